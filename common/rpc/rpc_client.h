// The client side: calls to named services over all their live endpoints. It belongs to no event loop: the host watches
// one fd, calls rpc_client_process when it is readable or the next timeout has come, and rpc_client_flush at the end of
// each turn of its loop. So the same code serves libuv and nginx. One thread.
//
// Per endpoint one raw REQ socket of nng with one connection. Frames that are queued in one turn for one endpoint leave
// as one packet. When a connection breaks, its calls in flight end at once with UNAVAILABLE and the socket is thrown
// away with whatever was queued in it; a new one is dialled with back-off and jitter.
#ifndef BULKHEAD_RPC_RPC_CLIENT_H
#define BULKHEAD_RPC_RPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/rpc/rpc.h"

struct rpc_client;
struct rpc_call;

struct rpc_client_options {
  const char *peer_service;    // our own name, sent as peer_service
  size_t max_message_bytes;    // 0: RPC_MAX_MESSAGE_BYTES
  size_t max_calls_in_flight;  // per endpoint; 0: 4,096. Beyond it calls end with RESOURCE_EXHAUSTED
  struct rpc_tls tls;
};

// NULL never; failure to create nng's notification fd aborts. Starts nng's threads: not before a fork.
struct rpc_client *rpc_client_create(const struct rpc_client_options *options);
// Every call in flight ends with CANCELLED (its callback runs); then all is freed.
void rpc_client_free(struct rpc_client **client);

// Readable when rpc_client_process has something to do. Level-triggered.
int rpc_client_fd(const struct rpc_client *client);
// Takes in what has arrived, expires what is overdue at `now_us`. Callbacks of calls run from here.
void rpc_client_process(struct rpc_client *client, uint64_t now_us);
// Sends what was queued. Cheap when there is nothing.
void rpc_client_flush(struct rpc_client *client);
// When rpc_client_process must run next even if the fd stays quiet (deadlines, reconnects); DEADLINE_NONE for never.
uint64_t rpc_client_next_timeout_us(const struct rpc_client *client);

// The endpoints of `service` are now exactly these. Connections that stay are untouched; calls in flight on those that
// go may finish (up to their deadlines), new calls avoid them.
void rpc_client_set_endpoints(struct rpc_client *client, const char *service, const struct rpc_endpoint *endpoints,
                              size_t count);
// Connected ones.
size_t rpc_client_ready_endpoints(const struct rpc_client *client, const char *service);

struct rpc_call_options {
  const char *service;                // whose endpoints: "item"
  struct slice method;                // "item.v1.ItemService/GetItem"; must stay valid until the call has ended
  struct slice payload;               // copied
  uint64_t deadline_us;               // DEADLINE_NONE is refused (CHECK): every call has an end
  const struct rpc_context *context;  // copied; may be NULL
};

// `status` and `payload` are valid only during the callback. status->code OK: payload is the response message.
typedef void rpc_done_fn(void *arg, const struct rpc_status *status, struct slice payload);

// Queues the call. `done` comes exactly once for each call, never from inside rpc_client_call: refusals too come from
// the next rpc_client_process. Without a connected endpoint the call waits for one for a short time within its deadline
// (1 s at most), then ends with UNAVAILABLE.
struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options, rpc_done_fn *done,
                                 void *arg);
// The caller has lost interest: `done` will not be called, the server is told. Only before `done`.
void rpc_call_cancel(struct rpc_call *call);

#endif

// The client side: calls to named services over all their live endpoints. It belongs to no event loop, so that libuv
// and nginx can use the same code: the host watches one fd, calls rpc_client_process when it is readable or the next
// timeout has come, and rpc_client_flush at the end of each turn of its loop. All functions must be called on one
// thread.
//
// Each endpoint has one connection, which takes calls once the server has answered over it, and proven that it is the
// service that it is listed as: a list of endpoints, such as Consul's, proves nothing. Frames that are queued in
// one turn for one endpoint leave as one packet. A connection that breaks is dialled again with back-off and jitter.
//
// A call whose request has not left when its connection breaks, or that a server has refused without beginning it, goes
// to another endpoint by itself. So does one in flight there if it is repeatable; others end at once with UNAVAILABLE.
// From a server that does not answer for half a second repeatable calls go to another, and others wait for it.
// Only the retries of requests that a server may have seen count against a budget: a fifth of the recent calls. Hedges
// count, too, and may use half of it.
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
struct service_identity;

struct rpc_client_options {
  // Proves our name to servers and theirs to us, on connections without TLS; must outlive the client. NULL where all
  // connections have TLS.
  struct service_identity *identity;
  size_t max_message_bytes;    // 0: RPC_MAX_MESSAGE_BYTES
  size_t max_calls_in_flight;  // per endpoint; 0: 4,096. Beyond it calls end with RESOURCE_EXHAUSTED
  // Requests that wait for room in the connections of all endpoints; 0: 64 MiB. Beyond it an endpoint gets no more
  // calls while it has its even part of them, so that all together have less than twice as much. The calls go to
  // others, and end with RESOURCE_EXHAUSTED where it is so with all. One request may exceed the bounds.
  size_t max_unsent_bytes;
  struct rpc_tls tls;
  // Where this process runs; copied. Calls go to endpoints of the same zone while these can do them. NULL or "": all
  // endpoints are alike.
  const char *zone;
};

// Creates a client; never NULL. Its first dial starts nng's threads, so it must be called after any fork.
struct rpc_client *rpc_client_create(const struct rpc_client_options *options);
// Ends every call in flight with CANCELLED (its callback runs), then frees the client. Nulls the pointer and accepts
// NULL in it.
void rpc_client_free(struct rpc_client **client);

// Makes the metric series of the calls to a service, which a client otherwise makes itself. Processes that share their
// metrics must do so before (metrics_attach).
void rpc_client_make_series(const char *service);

// Returns the fd to watch: it is readable (level-triggered) when rpc_client_process has something to do. It belongs to
// the client.
int rpc_client_fd(const struct rpc_client *client);
// Handles the packets and connection events that have come, and ends calls whose deadline is not after `now_us`
// (monotonic clock). The callbacks of calls run inside.
void rpc_client_process(struct rpc_client *client, uint64_t now_us);
// Sends the frames that were queued in this turn. Cheap when there are none.
void rpc_client_flush(struct rpc_client *client);
// Returns when (monotonic clock, in microseconds) rpc_client_process must run next even if the fd stays quiet, because
// of deadlines or reconnects; DEADLINE_NONE for never.
uint64_t rpc_client_next_timeout_us(const struct rpc_client *client);

// Sets the endpoints of `service` to exactly these, which are copied. Connections to endpoints that stay are untouched,
// also where their zone has changed.
// Calls in flight at endpoints that go may finish, up to their deadlines; new calls avoid them.
void rpc_client_set_endpoints(struct rpc_client *client, const char *service, const struct rpc_endpoint *endpoints,
                              size_t count);
// Returns how many endpoints of the service take calls: connected, heard of since, and not draining.
size_t rpc_client_ready_endpoints(const struct rpc_client *client, const char *service);

// Takes what comes over the stream of a call, from rpc_client_process and rpc_client_flush. Neither runs after `done`.
struct rpc_stream_events {
  // A message of the server, valid during the callback.
  void (*on_message)(void *arg, struct slice payload);
  // rpc_call_may_write has become true, after it was asked and was false. NULL where the client writes no messages.
  void (*on_writable)(void *arg);
};

struct rpc_call_options {
  const char *service;  // whose endpoints: "item"
  struct slice method;  // "item.v1.ItemService/GetItem"; must stay valid until the call has ended
  struct slice payload;
  uint64_t deadline_us;  // DEADLINE_NONE is refused (CHECK): every call has an end
  // How much longer than the deadline the call waits for its reply once the request has left. The server ends its work
  // at the deadline, and may then still say what has happened.
  uint32_t reply_wait_ms;
  const struct rpc_context *context;  // may be NULL
  // `payload` and `context` stay valid until `done` runs or rpc_call_cancel returns. Otherwise they are copied.
  bool keeps_request;
  // A repeat does nothing more than the call itself, and is answered as the call would have been: a method without side
  // effects, or a creation whose Idempotency-Key brings the first answer again. Such a call is also sent again when it
  // is not known what has become of it.
  bool is_repeatable;
  // After how long without a reply a second request of the call goes to another instance; the first good answer counts,
  // and the other request is cancelled. 0: never. Only where the call is repeatable, without a stream, and with
  // reply_wait_ms 0.
  uint32_t hedge_after_ms;
  // Opens a stream; must outlive the call, and gets the `arg` of `done`. NULL for a call with one message each way. A
  // stream is opened again only where its request has not left, or was refused.
  const struct rpc_stream_events *stream;
  // How many bytes of messages the server may have sent that were not taken; one message more may exceed it. 0: 256 KiB
  // at first, and up to 1 MiB where all that comes is taken at once. Only with `stream`.
  uint32_t credit_bytes;
  // The client sends messages beside `payload`, which may then be empty. Only with `stream`.
  bool writes_messages;
};

// Runs when a call has ended. `status` and `payload` are valid only during the callback. With status->code OK, payload
// is the response message. A failure that no server has sent has RPC_NOT_APPLIED as its reason when the request has not
// left this process, and RPC_OUTCOME_UNKNOWN when it has.
typedef void rpc_done_fn(void *arg, const struct rpc_status *status, struct slice payload);

// Queues a call. `done` runs exactly once, always from rpc_client_process (or rpc_client_free), also for a call that is
// refused. While no endpoint is ready, the call waits within its deadline only if one may soon be: for 1 s after an
// endpoint was listed, its connection broke, or it has announced its end. Once one whose connection broke cannot be
// dialled either, calls end at once with UNAVAILABLE and RPC_NOT_APPLIED.
struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options, rpc_done_fn *done,
                                 void *arg);

// Returns the id of the endpoint that has the request of a call now; empty while none has it. A call with two requests
// tells that of the first. Valid until the client does anything else.
struct slice rpc_call_instance(const struct rpc_call *call);

// ---- streams ----

// Nothing of a stream waits in here: the host keeps messages until it can use them, and gives credit for them then; and
// it writes only while it may.

// Gives the server credit for `count` messages of `size` bytes together that on_message has brought and that are used
// up now.
void rpc_call_take_messages(struct rpc_call *call, size_t count, size_t size);
// Returns whether a message may be written: the request has been sent, the server takes more, and so does the
// connection.
bool rpc_call_may_write(struct rpc_call *call);
// Sends a message, which is copied. rpc_call_may_write must have returned true just before. False when the message is
// larger than max_message_bytes, which ends nothing.
bool rpc_call_write(struct rpc_call *call, struct slice payload) MUST_CHECK;
// Says that no more messages follow. A call that was not sent yet says so when it is.
void rpc_call_half_close(struct rpc_call *call);

// ---- cancelling ----

// Cancels a call: `done` will not run. A request that has not left never will; otherwise the server is sent a CANCEL.
// Returns whether the request has left, so that the server may have begun the call. Must not be called after `done` has
// run, because the call is freed then.
bool rpc_call_cancel(struct rpc_call *call);

#endif

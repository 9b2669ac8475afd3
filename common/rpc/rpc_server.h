// The server side: one raw REP socket. Like the client it belongs to no loop: fd, process, flush, next timeout. One
// thread.
//
// Replies leave in any order, batched per turn and connection. nng's raw REP drops a reply when its queue for a
// connection is full, so at most 32 packets per connection are unacknowledged (Packet.received); frames beyond wait
// here and leave in larger batches.
#ifndef BULKHEAD_RPC_RPC_SERVER_H
#define BULKHEAD_RPC_RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/rpc/rpc.h"

struct rpc_server;
// One request between its arrival and its reply. Owned by the server; the handler's side may use it until it replies.
struct rpc_request;

struct rpc_server_options {
  const char *listen_url;      // "tcp://127.0.0.1:0": port 0 picks a free one
  size_t max_message_bytes;    // 0: RPC_MAX_MESSAGE_BYTES
  size_t max_calls_in_flight;  // 0: 4,096; beyond it requests are answered RESOURCE_EXHAUSTED with retry_after_ms
  struct rpc_tls tls;
  // A request came. Must lead to exactly one rpc_request_reply, at once or later.
  void (*on_request)(void *arg, struct rpc_request *request);
  // The client cancelled it or went away; a reply is still due (and thrown away).
  void (*on_cancel)(void *arg, struct rpc_request *request);
  void *arg;
};

enum status rpc_server_create(const struct rpc_server_options *options, struct rpc_server **out,
                              struct error *error) MUST_CHECK;
// All requests must have been replied to (CHECK).
void rpc_server_free(struct rpc_server **server);

// The bound port of a TCP listener, 0 for others.
int rpc_server_port(const struct rpc_server *server);
int rpc_server_fd(const struct rpc_server *server);
void rpc_server_process(struct rpc_server *server, uint64_t now_us);
void rpc_server_flush(struct rpc_server *server);
// When rpc_server_process must run next even if the fd stays quiet (frames that are held back); DEADLINE_NONE for
// never.
uint64_t rpc_server_next_timeout_us(const struct rpc_server *server);

// Draining: tells every client by a GOAWAY frame to send no new calls here. Calls in flight go on, and so do those that
// were on their way: a client's calls are answered UNAVAILABLE only after it has acknowledged the GOAWAY.
void rpc_server_drain(struct rpc_server *server);
size_t rpc_server_calls_in_flight(const struct rpc_server *server);
// Everything that was replied has been handed to the clients' connections; while draining, has also arrived there.
bool rpc_server_idle(const struct rpc_server *server);

// Views into the request, valid until its reply. The arena is the request's own, freed after the reply.
struct slice rpc_request_method(const struct rpc_request *request);
struct slice rpc_request_payload(const struct rpc_request *request);
const struct rpc_context *rpc_request_context(const struct rpc_request *request);
uint64_t rpc_request_deadline_us(const struct rpc_request *request);
struct arena *rpc_request_arena(struct rpc_request *request);
void rpc_request_set_data(struct rpc_request *request, void *data);
void *rpc_request_data(const struct rpc_request *request);

// The end of the request: `status` NULL means OK with `payload` (copied). A reply over max_message_bytes becomes
// INTERNAL.
void rpc_request_reply(struct rpc_request *request, const struct rpc_status *status, struct slice payload);

#endif

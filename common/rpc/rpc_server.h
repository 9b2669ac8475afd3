// The server side: a listener of nng and its connections. Like the client it belongs to no event loop: the host watches
// the fd, calls rpc_server_process and, at the end of each turn, rpc_server_flush. All functions must be called on one
// thread.
//
// A client whose key or certificate is accepted no longer is told to connect again, and its connection is closed once
// its calls have ended.
//
// Replies leave in any order, in one batch for each turn and connection. At most 32 packets on a connection are
// unacked; further frames wait in the server and leave in larger batches.
#ifndef BULKHEAD_RPC_RPC_SERVER_H
#define BULKHEAD_RPC_RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/rpc/rpc.h"

struct rpc_server;
struct service_identity;
// One request between its arrival and its reply. The server owns it; the handler may use it until it replies.
struct rpc_request;

struct rpc_server_options {
  const char *listen_url;      // "tcp://127.0.0.1:0": port 0 picks a free one
  size_t max_message_bytes;    // 0: RPC_MAX_MESSAGE_BYTES
  size_t max_calls_in_flight;  // 0: 4,096; beyond it requests are answered RESOURCE_EXHAUSTED with retry_after_ms
  size_t max_streams;          // 0: 2,048; the same for streams, which may last for long and do not count as calls
  struct rpc_tls tls;
  // Proves our name to clients and theirs to us, on connections without TLS; must outlive the server. NULL where all
  // connections have TLS.
  struct service_identity *identity;
  // Runs when a request has arrived whose caller still waits. Each request needs exactly one rpc_request_reply, at once
  // or later.
  void (*on_request)(void *arg, struct rpc_request *request);
  // Says whether requests to a method are taken while all others are refused, because there are too many calls or too
  // many unread bytes: up to 64 beyond max_calls_in_flight. For what has a small reply at once, such as a health check.
  // NULL: no method's are. Never asked about streams.
  bool (*is_vital)(void *arg, struct slice method);
  // Runs when the client has cancelled the request or has gone. A reply is still due; it is dropped.
  void (*on_cancel)(void *arg, struct rpc_request *request);
  // Take what comes over streams, see rpc_request_is_stream; NULL where the host serves none, and then requests that
  // open one are answered with UNIMPLEMENTED. The payload is valid during the callback. Never run after on_cancel.
  void (*on_message)(void *arg, struct rpc_request *request, struct slice payload);
  void (*on_half_close)(void *arg, struct rpc_request *request);
  // Runs when rpc_request_may_write has become true, after it was asked and was false.
  void (*on_writable)(void *arg, struct rpc_request *request);
  void *arg;
};

// Creates a server that listens. Starts nng's threads, so it must be called after any fork. The texts of `options` need
// not outlive the call. On failure `error` names the URL and the reason.
enum status rpc_server_create(const struct rpc_server_options *options, struct rpc_server **out,
                              struct error *error) MUST_CHECK;
// Closes all connections and frees the server. All requests must have been replied to (CHECK). Nulls the pointer and
// accepts NULL in it.
void rpc_server_free(struct rpc_server **server);

// Returns the bound port of a TCP listener, 0 for others.
int rpc_server_port(const struct rpc_server *server);
// Returns the fd to watch: it is readable (level-triggered) when rpc_server_process has something to do. It belongs to
// the server.
int rpc_server_fd(const struct rpc_server *server);
// Handles the packets and connection events that have come. `now_us` is the time on the monotonic clock. on_request and
// on_cancel run inside.
void rpc_server_process(struct rpc_server *server, uint64_t now_us);
// Sends the replies of this turn. Cheap when there are none.
void rpc_server_flush(struct rpc_server *server);
// Returns when rpc_server_process has something to do although nothing has come, or earlier: a client that does not
// prove its name in time loses its connection, and so does one whose proof holds no longer. DEADLINE_NONE when nothing
// is due.
uint64_t rpc_server_next_timeout_us(const struct rpc_server *server);

// Starts draining: a GOAWAY frame tells every client to send no new calls here. Calls in flight go on, and so do those
// that crossed with the GOAWAY. Once a client has acked the GOAWAY, its new calls are answered with UNAVAILABLE.
void rpc_server_drain(struct rpc_server *server);
// Returns how many requests wait for their reply.
size_t rpc_server_calls_in_flight(const struct rpc_server *server);
// Returns whether all replies have left their outboxes and, while draining, are acked by the clients.
bool rpc_server_idle(const struct rpc_server *server);

// Returns the method, "item.v1.ItemService/GetItem". Like all that rpc_request_* returns, it is valid until the reply.
struct slice rpc_request_method(const struct rpc_request *request);
// Returns the request message as protobuf bytes, valid until the reply.
struct slice rpc_request_payload(const struct rpc_request *request);
// Returns the context that came with the request, valid until the reply.
const struct rpc_context *rpc_request_context(const struct rpc_request *request);
// Returns when the client stops waiting, on the monotonic clock; DEADLINE_NONE if it has set no timeout.
uint64_t rpc_request_deadline_us(const struct rpc_request *request);
// Returns the arena of the request, which is freed with its reply.
struct arena *rpc_request_arena(struct rpc_request *request);
// Returns whether the reply would be taken: the client waits, and has not left too many bytes of replies unread, nor of
// those to the same caller. A handler asks before it begins what makes a large reply, and answers RESOURCE_EXHAUSTED
// instead.
bool rpc_request_is_wanted(const struct rpc_request *request);
// Sets a pointer for the handler's own use; rpc_request_data returns it (NULL until set).
void rpc_request_set_data(struct rpc_request *request, void *data);
void *rpc_request_data(const struct rpc_request *request);

// ---- streams ----

// A request that opens a stream is answered with any number of messages before its reply, and may itself be followed by
// any number. The payload of the request is the first message where the method takes only one. Nothing waits in here:
// the host keeps what comes until it can be used, and gives credit for it then; and it writes only while it may.

// Returns whether the request has opened a stream.
bool rpc_request_is_stream(const struct rpc_request *request);
// Gives the client credit for a message of `size` bytes that on_message has brought and that is used up now.
void rpc_request_take_message(struct rpc_request *request, size_t size);
// Returns whether a message may be sent: the client takes more, and so does the connection. A request that was
// cancelled may not send any.
bool rpc_request_may_write(struct rpc_request *request);
// Sends a message, which is copied. rpc_request_may_write must have returned true just before. False when the message
// is larger than max_message_bytes, which ends nothing.
bool rpc_request_write(struct rpc_request *request, struct slice payload) MUST_CHECK;

// ---- replies ----

// Replies to the request and frees it. With `status` NULL or OK, the reply is `payload`, which is copied; otherwise it
// is the status. A reply over max_message_bytes becomes INTERNAL.
void rpc_request_reply(struct rpc_request *request, const struct rpc_status *status, struct slice payload);
// Replies with the content of a buffer, which is empty then. The memory of a large one is taken over, so it is not
// copied.
void rpc_request_reply_buffer(struct rpc_request *request, struct strbuf *payload);

#endif

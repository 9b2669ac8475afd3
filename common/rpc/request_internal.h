// A request between its arrival and its reply, and the table that finds it again for a CANCEL frame.
#ifndef BULKHEAD_RPC_REQUEST_INTERNAL_H
#define BULKHEAD_RPC_REQUEST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/rpc/connection_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/stream_flow_internal.h"

// A copy of a received packet. Its users are the loop that reads it, and each of its requests.
struct shared_message {
  size_t users;
  size_t size;
  char bytes[];
};

// Copies a packet, with the caller as its first user.
struct shared_message *shared_message_make(struct slice packet);
// Ends one use and sets the pointer to NULL; the last one frees the message.
void shared_message_release(struct shared_message **shared);

enum request_state {
  REQUEST_RUNNING,
  REQUEST_CANCELLED,  // by the client; the reply is dropped
  REQUEST_ORPHANED,   // the client's connection has closed; the reply is dropped
};

struct rpc_request {
  enum request_state state;
  struct rpc_server *server;
  struct connection *connection;  // NULL when orphaned
  struct list node;               // connection.requests
  struct hashtable_node slot;     // request_table.by_call
  struct shared_message *message;
  struct rpc_frame frame;  // points into the message and the arena
  struct arena arena;
  uint64_t deadline_us;
  uint64_t arrived_us;
  uint8_t owner;  // of its reply in the outbox
  bool is_stream;
  struct stream_flow flow;   // of a stream
  struct list backlog_node;  // rpc_server.blocked, while it waits until its connection has sent what waits
  void *data;
};

// Returns the owner of the replies to a caller, who is told by the access token or, without one, by the client's
// address: callers share an owner by chance. 0 where neither is known.
uint8_t request_find_owner(const struct rpc_context *context);

// Returns whether a request only asks for a packet, as that of a client does which has connected and needs the server's
// clock.
bool request_is_probe(const struct rpc_frame *frame);
// Returns when the client stops waiting for a request that has come now: the earlier of its two limits.
uint64_t request_find_deadline(const struct rpc_frame *frame, uint64_t now_us);
// Whether there is room for one more request.
enum request_room {
  REQUEST_HAS_ROOM,
  REQUEST_TOO_MANY_CALLS,  // the server has as many requests as it takes
  REQUEST_TOO_MANY_STREAMS,
  REQUEST_TOO_MANY_BYTES,  // the client has left too many bytes of replies unread, or of those for the same caller
};

// Returns why a request over a connection in this state may not begin; NULL when it may.
const struct rpc_status *request_find_refusal(enum connection_state state, const struct rpc_frame *frame,
                                              uint64_t now_us, enum request_room room);

// A zeroed table is ready and empty. The key is the call id, which each client chooses for itself: a find compares the
// connection too.
struct request_table {
  struct hashtable by_call;
};

void request_table_free(struct request_table *table);
void request_table_add(struct request_table *table, struct rpc_request *request);
void request_table_remove(struct request_table *table, struct rpc_request *request);
// Finds a request of this connection; NULL when there is none. An orphaned request is never found.
struct rpc_request *request_table_find(const struct request_table *table, const struct connection *connection,
                                       uint64_t call_id);

static inline size_t request_table_count(const struct request_table *table)
{
  return table->by_call.count;
}

#endif

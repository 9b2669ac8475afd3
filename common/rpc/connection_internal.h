// One client as the server sees it: a pipe of the raw REP socket, its requests, and the sender of its replies.
#ifndef BULKHEAD_RPC_CONNECTION_INTERNAL_H
#define BULKHEAD_RPC_CONNECTION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/rpc/sender_internal.h"

enum connection_state {
  CONNECTION_OPEN,
  CONNECTION_GOAWAY_SENT,   // may still send requests: they crossed with the GOAWAY
  CONNECTION_GOAWAY_ACKED,  // knows that the server drains; its requests are refused from now on
  CONNECTION_ABANDONED,     // does not take its replies: nothing is read from it or sent to it any more
};

struct connection {
  uint32_t pipe;  // nng's id
  enum connection_state state;
  struct list requests;        // rpc_request.node
  struct list node;            // connection_table.all
  struct hashtable_node slot;  // connection_table.by_pipe
  struct sender sender;
};

struct connection_table {
  struct hashtable by_pipe;
  struct list all;
};

void connection_table_init(struct connection_table *table);
// All connections must have been removed.
void connection_table_free(struct connection_table *table);
// Finds the connection of a pipe; NULL when there is none.
struct connection *connection_find(const struct connection_table *table, uint32_t pipe);
// Adds an open connection. `options` are those of its sender; the pipe is taken from there.
struct connection *connection_add(struct connection_table *table, const struct sender_options *options);
// Removes and frees the connection. Its requests must have been taken from it.
void connection_remove(struct connection_table *table, struct connection **connection);

// Queues a GOAWAY frame, so that the client sends no further requests here. Ignored unless the connection is open.
void connection_send_goaway(struct connection *connection);
// Notes that everything sent so far has been acked, also the GOAWAY if one was sent.
void connection_note_all_acked(struct connection *connection);
// Drops what is unsent and takes nothing more.
void connection_abandon(struct connection *connection);

// Whether everything has left and, if `acked`, has arrived. An abandoned connection has nothing to wait for.
bool connection_is_idle(const struct connection *connection, bool acked);

#endif

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
  CONNECTION_STARTING,      // packets may come from it; nng drops what is sent to it unless it follows a packet
  CONNECTION_OPEN,          // may be sent frames at any time
  CONNECTION_GOAWAY_SENT,   // may still send requests: they crossed with the GOAWAY
  CONNECTION_GOAWAY_ACKED,  // knows that the server drains; its requests are refused from now on
  CONNECTION_ABANDONED,     // does not take its replies: nothing is read from it or sent to it any more
};

struct connection {
  uint32_t pipe;  // nng's id
  enum connection_state state;
  struct list requests;        // rpc_request.node
  size_t request_count;        // in `requests`: their replies are still to come
  struct list node;            // connection_table.all
  struct hashtable_node slot;  // connection_table.by_pipe
  struct sender sender;
};

struct connection_table {
  struct hashtable by_pipe;
  struct list all;
};

void connection_table_init(struct connection_table *table);
// Frees the table. All connections must have been removed from it (CHECK).
void connection_table_free(struct connection_table *table);
// Finds the connection of a pipe; NULL when there is none.
struct connection *connection_find(const struct connection_table *table, uint32_t pipe);
// Adds a connection that is starting. `options` are those of its sender, and name its pipe; `to_come` is the
// connection's.
struct connection *connection_add(struct connection_table *table, const struct sender_options *options);
// Removes the connection from the table, frees it and nulls the pointer. Its list of requests must be empty (CHECK).
void connection_remove(struct connection_table *table, struct connection **connection);

// Notes that nng sends to the connection now. Ignored unless the connection is starting.
void connection_set_started(struct connection *connection);
// Queues a GOAWAY frame, so that the client sends no further requests here. Ignored unless the connection is open.
void connection_send_goaway(struct connection *connection);
// Notes that the client has acked everything that was sent to it, also the GOAWAY if there was one: after that its
// requests are refused.
void connection_note_all_acked(struct connection *connection);
// Gives the client up: drops what is unsent, and drops all replies from now on.
void connection_abandon(struct connection *connection);

// Returns whether everything has been handed to nng and, if `acked`, has arrived; a connection that is starting may
// still be owed a GOAWAY then. An abandoned connection is always idle, because nothing is sent to it.
bool connection_is_idle(const struct connection *connection, bool acked);

#endif

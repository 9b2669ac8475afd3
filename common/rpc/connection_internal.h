// One client as the server sees it: a pipe of the raw REP socket, its replies that wait to leave, and the window of
// packets that it has not acknowledged.
#ifndef BULKHEAD_RPC_CONNECTION_INTERNAL_H
#define BULKHEAD_RPC_CONNECTION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/rpc/flow_internal.h"
#include "common/rpc/outbox_internal.h"

// nng's raw REP keeps 64 packets a pipe and drops what comes on top (xrep.c); half of that is safe.
#define RPC_WINDOW_PACKETS 32

struct connection {
  uint32_t pipe;            // nng's id
  bool dead;                // does not take its replies: nothing is read from it or sent to it any more
  bool knows_goaway;        // has acknowledged that we drain: what it sends now, it should have sent elsewhere
  struct connection *next;  // in its bucket
  struct list requests;     // rpc_request.node
  struct list dirty;        // has something to send and a window to send it in
  struct list node;         // all connections
  struct outbox outbox;
  struct packet_flow flow;
};

#define CONNECTION_BUCKETS 256

struct connection_table {
  struct connection *buckets[CONNECTION_BUCKETS];
  struct list all;
};

void connection_table_init(struct connection_table *table);
struct connection *connection_find(const struct connection_table *table, uint32_t pipe);
struct connection *connection_add(struct connection_table *table, uint32_t pipe);
// Its requests must have been taken from it.
void connection_remove(struct connection_table *table, struct connection *connection);

static inline bool connection_may_send(const struct connection *connection)
{
  return flow_on_their_way(&connection->flow) < RPC_WINDOW_PACKETS;
}

// Everything has left and, if `acknowledged`, has arrived. A dead one has nothing to wait for.
static inline bool connection_idle(const struct connection *connection, bool acknowledged)
{
  return connection->dead ||
         (outbox_bytes(&connection->outbox) == 0 && (!acknowledged || flow_on_their_way(&connection->flow) == 0));
}

#endif

// A request between its arrival and its reply, and the table that finds it again for a CANCEL.
#ifndef BULKHEAD_RPC_REQUEST_INTERNAL_H
#define BULKHEAD_RPC_REQUEST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/socket_internal.h"

struct connection;

// A packet whose bytes are still in use: by the loop that reads it and by each of its requests.
struct shared_message {
  nng_msg *message;
  size_t users;
};

struct shared_message *shared_message_make(nng_msg *message);
void shared_message_release(struct shared_message *shared);

struct rpc_request {
  struct rpc_server *server;
  struct connection *connection;  // NULL when the client is gone
  struct list node;               // connection.requests
  struct rpc_request *next;       // in its bucket
  struct shared_message *message;
  struct rpc_frame frame;  // points into the message and the arena
  struct arena arena;
  uint64_t deadline_us;
  uint64_t arrived_us;
  bool cancelled;
  void *data;
};

// By connection and call id. Bucket numbers depend on a random seed, as call ids are the client's choice.
struct request_table {
  struct rpc_request **buckets;
  size_t mask;
  uint64_t seed;
  size_t count;
};

void request_table_init(struct request_table *table, size_t max_requests);
void request_table_free(struct request_table *table);
void request_table_add(struct request_table *table, struct rpc_request *request);
void request_table_remove(struct request_table *table, struct rpc_request *request);
struct rpc_request *request_table_find(const struct request_table *table, const struct connection *connection,
                                       uint64_t call_id);

#endif

// The client's calls between rpc_client_call and their end, in a slab. A call's id holds its place and how often the
// place has been used, so that a late reply to an earlier user of the place is recognised and dropped.
#ifndef BULKHEAD_RPC_CALL_TABLE_INTERNAL_H
#define BULKHEAD_RPC_CALL_TABLE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/rpc/rpc_client.h"

struct rpc_service;
struct endpoint;

enum call_state {
  CALL_FREE,
  CALL_WAITING,    // for a connected endpoint
  CALL_IN_FLIGHT,  // given to an endpoint
  CALL_REFUSED,    // its end is told by the next rpc_client_process
};

struct rpc_call {
  uint64_t id;
  enum call_state state;
  struct list node;        // of the service's waiting, the endpoint's calls, the client's refused
  struct heap_node timer;  // its deadline, or earlier the end of its waiting
  uint64_t started_us;
  uint64_t deadline_us;
  struct rpc_client *client;
  struct rpc_service *service;
  struct endpoint *endpoint;  // CALL_IN_FLIGHT
  struct slice method;
  struct strbuf request;  // CALL_WAITING: the frame without its timeout
  enum status refusal;    // CALL_REFUSED
  const char *refusal_message;
  rpc_done_fn *done;
  void *arg;
  size_t next_free;
};

#define CALLS_PER_CHUNK 128

// A zeroed table is a ready, empty one.
struct call_table {
  struct rpc_call **chunks;
  size_t chunk_count;
  size_t first_free;  // index + 1; 0 for none
  size_t count;       // in use
};

void call_table_free(struct call_table *table);
// Zeroed but for its id; the state is the caller's to set.
struct rpc_call *call_table_take(struct call_table *table);
void call_table_release(struct call_table *table, struct rpc_call *call);
// NULL for an id that names no call of now.
struct rpc_call *call_table_find(const struct call_table *table, uint64_t id);
// Any call in use; NULL when there is none.
struct rpc_call *call_table_any(const struct call_table *table);

#endif

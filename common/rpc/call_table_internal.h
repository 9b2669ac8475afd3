// The client's calls between rpc_client_call and their end, in a slab. A call's id is its place in the slab and how
// often the place has been used, so that a late reply to an earlier user of the place is recognised and dropped.
#ifndef BULKHEAD_RPC_CALL_TABLE_INTERNAL_H
#define BULKHEAD_RPC_CALL_TABLE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/stream_flow_internal.h"

struct rpc_channel;
struct method_entry;
struct endpoint;

enum call_state {
  CALL_FREE,       // a free place in the slab
  CALL_DETACHED,   // in no list: just taken, or about to end
  CALL_WAITING,    // for a connected endpoint; in the channel's list
  CALL_IN_FLIGHT,  // queued or sent; its attempts are in their endpoints' lists
  CALL_REFUSED,    // ends with the next rpc_client_process; in the client's list
};

// The request of a call at one endpoint.
struct rpc_attempt {
  struct list node;  // endpoint.attempts
  struct rpc_call *call;
  struct endpoint *endpoint;
  uint64_t frame_number;  // the request in the endpoint's sender
  uint64_t sent_us;       // when the request was queued
  uint32_t cost_us;       // what the call counts at the endpoint
  bool has_left;          // set while its connection is given up: the request has left over it
  bool is_try;            // of the method's breaker at the endpoint, which does not know yet how it ends
  bool is_answered;       // which the breaker knows
};

struct rpc_call {
  uint64_t id;
  enum call_state state;
  struct list node;        // in the list of its state
  struct heap_node timer;  // its deadline, or earlier the end of its hope, or the time to hedge
  uint64_t started_us;
  uint64_t deadline_us;
  uint64_t give_up_us;  // the end of waiting for the reply, not before the deadline
  struct rpc_client *client;
  struct rpc_channel *channel;
  struct rpc_attempt attempt;  // CALL_IN_FLIGHT
  struct rpc_attempt *hedge;   // CALL_IN_FLIGHT: the same request at another endpoint; NULL without one
  struct slice method;
  struct method_entry *entry;         // of the method
  struct slice payload;               // the caller's; not used where there is a copy
  const struct rpc_context *context;  // the same
  struct strbuf copy;                 // the frame without its time limits; empty where the caller keeps the request
  uint32_t hedge_after_ms;            // 0: never
  bool is_hedged;                     // a hedge was sent once, or was over the budget
  bool is_repeatable;
  bool may_have_begun;                     // an earlier attempt has left, and what became of it is not known
  uint8_t attempts;                        // how often the request has left or was refused
  enum status refusal;                     // CALL_REFUSED: how it ends
  const char *refusal_message;             // CALL_REFUSED
  const struct rpc_stream_events *stream;  // NULL without a stream
  struct stream_flow flow;
  struct list backlog_node;  // rpc_client.blocked, while it waits until its connection has sent what waits
  bool has_streamed;         // a message has come or was written: the call is not sent again
  rpc_done_fn *done;
  void *arg;
  size_t next_free;  // private: CALL_FREE
};

#define CALLS_PER_CHUNK 128

// A zeroed table is ready and empty.
struct call_table {
  struct rpc_call **chunks;
  size_t chunk_count;
  size_t first_free;  // index + 1; 0 when all places are taken
  size_t count;       // calls in the table
};

// Frees the slab and all calls in it, whatever their state.
void call_table_free(struct call_table *table);
// Takes a free place and returns its call, zeroed but for its id, in the state CALL_DETACHED. The call stays where it
// is until call_table_release.
struct rpc_call *call_table_take(struct call_table *table);
// Gives the place of a call back. The call must be in no list and no heap.
void call_table_release(struct call_table *table, struct rpc_call *call);
// Finds a call by its id; NULL when it has ended or never was.
struct rpc_call *call_table_find(const struct call_table *table, uint64_t id);
// Returns any call in the table; NULL when it is empty.
struct rpc_call *call_table_any(const struct call_table *table);

#endif

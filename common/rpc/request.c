#include "common/rpc/request_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"

// ---- messages ----

struct shared_message *shared_message_make(struct slice packet)
{
  struct shared_message *shared = malloc(sizeof(*shared) + packet.size);
  CHECK(shared != NULL);
  shared->users = 1;
  shared->size = packet.size;
  if (packet.size != 0)
    memcpy(shared->bytes, packet.data, packet.size);
  return shared;
}

void shared_message_release(struct shared_message **shared_pointer)
{
  struct shared_message *shared = *shared_pointer;
  *shared_pointer = NULL;
  if (--shared->users == 0)
    free(shared);
}

// ---- table ----

void request_table_free(struct request_table *table)
{
  hashtable_free(&table->by_call);
}

void request_table_add(struct request_table *table, struct rpc_request *request)
{
  hashtable_insert(&table->by_call, &request->slot, hash_integers(request->frame.call_id, 0));
}

void request_table_remove(struct request_table *table, struct rpc_request *request)
{
  hashtable_remove(&table->by_call, &request->slot);
}

struct rpc_request *request_table_find(const struct request_table *table, const struct connection *connection,
                                       uint64_t call_id)
{
  struct hashtable_node *slot = hashtable_first(&table->by_call, hash_integers(call_id, 0));
  for (; slot != NULL; slot = hashtable_next(slot)) {
    struct rpc_request *request = CONTAINER_OF(slot, struct rpc_request, slot);
    if (request->connection == connection && request->frame.call_id == call_id)
      return request;
  }
  return NULL;
}

// ---- what handlers see ----

struct slice rpc_request_method(const struct rpc_request *request)
{
  return request->frame.method;
}

struct slice rpc_request_payload(const struct rpc_request *request)
{
  return request->frame.payload;
}

const struct rpc_context *rpc_request_context(const struct rpc_request *request)
{
  return &request->frame.context;
}

uint64_t rpc_request_deadline_us(const struct rpc_request *request)
{
  return request->deadline_us;
}

struct arena *rpc_request_arena(struct rpc_request *request)
{
  return &request->arena;
}

void rpc_request_set_data(struct rpc_request *request, void *data)
{
  request->data = data;
}

void *rpc_request_data(const struct rpc_request *request)
{
  return request->data;
}

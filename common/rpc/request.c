// Chained buckets, as many as requests may be in flight. A request whose connection has gone stays in the bucket of its
// call id until its reply; nobody can find it then, for a find asks for the connection too.
#include "common/rpc/request_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/random.h"

struct shared_message *shared_message_make(nng_msg *message)
{
  struct shared_message *shared = malloc(sizeof(*shared));
  CHECK(shared != NULL);
  *shared = (struct shared_message){.message = message, .users = 1};
  return shared;
}

void shared_message_release(struct shared_message *shared)
{
  if (--shared->users != 0)
    return;
  nng_msg_free(shared->message);
  free(shared);
}

void request_table_init(struct request_table *table, size_t max_requests)
{
  size_t size = 64;
  while (size < max_requests && size < 65536)
    size *= 2;
  *table = (struct request_table){.buckets = calloc(size, sizeof(*table->buckets)), .mask = size - 1};
  CHECK(table->buckets != NULL);
  random_bytes(&table->seed, sizeof(table->seed));
}

void request_table_free(struct request_table *table)
{
  free(table->buckets);
  table->buckets = NULL;
}

static struct rpc_request **bucket_of(const struct request_table *table, uint64_t call_id)
{
  uint64_t mixed = (call_id ^ table->seed) * UINT64_C(0x9E3779B97F4A7C15);
  mixed = (mixed ^ mixed >> 32) * UINT64_C(0xD6E8FEB86659FD93);
  return &table->buckets[(mixed >> 32) & table->mask];
}

void request_table_add(struct request_table *table, struct rpc_request *request)
{
  struct rpc_request **bucket = bucket_of(table, request->frame.call_id);
  request->next = *bucket;
  *bucket = request;
  table->count++;
}

void request_table_remove(struct request_table *table, struct rpc_request *request)
{
  struct rpc_request **place = bucket_of(table, request->frame.call_id);
  while (*place != request)
    place = &(*place)->next;
  *place = request->next;
  table->count--;
}

struct rpc_request *request_table_find(const struct request_table *table, const struct connection *connection,
                                       uint64_t call_id)
{
  struct rpc_request *request = *bucket_of(table, call_id);
  while (request != NULL && (request->connection != connection || request->frame.call_id != call_id))
    request = request->next;
  return request;
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

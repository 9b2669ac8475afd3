// Chunks never move, so pointers to calls stay valid. The low bits of an id are the place, the high ones the use.
#include "common/rpc/call_table_internal.h"

#include <stdlib.h>

#include "common/base/check.h"

#define INDEX_BITS 24
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)

static struct rpc_call *get_call(const struct call_table *table, size_t index)
{
  return &table->chunks[index / CALLS_PER_CHUNK][index % CALLS_PER_CHUNK];
}

static void add_chunk(struct call_table *table)
{
  size_t first = table->chunk_count * CALLS_PER_CHUNK;
  CHECK(first + CALLS_PER_CHUNK <= INDEX_MASK);
  table->chunks = realloc(table->chunks, (table->chunk_count + 1) * sizeof(*table->chunks));
  CHECK(table->chunks != NULL);
  struct rpc_call *chunk = calloc(CALLS_PER_CHUNK, sizeof(*chunk));
  CHECK(chunk != NULL);
  table->chunks[table->chunk_count++] = chunk;
  for (size_t i = CALLS_PER_CHUNK; i-- > 0;) {
    // Uses count from 1, so no call has the id 0.
    chunk[i].id = first + i;
    chunk[i].next_free = table->first_free;
    table->first_free = first + i + 1;
  }
}

void call_table_free(struct call_table *table)
{
  for (size_t i = 0; i < table->chunk_count; i++)
    free(table->chunks[i]);
  free(table->chunks);
  *table = (struct call_table){0};
}

struct rpc_call *call_table_take(struct call_table *table)
{
  if (table->first_free == 0)
    add_chunk(table);
  struct rpc_call *call = get_call(table, table->first_free - 1);
  table->first_free = call->next_free;
  table->count++;
  uint64_t id = call->id + INDEX_MASK + 1;
  *call = (struct rpc_call){.id = id, .state = CALL_DETACHED};
  list_init(&call->node);
  return call;
}

void call_table_release(struct call_table *table, struct rpc_call *call)
{
  CHECK(call->state != CALL_FREE);
  call->state = CALL_FREE;
  call->next_free = table->first_free;
  table->first_free = (size_t)(call->id & INDEX_MASK) + 1;
  table->count--;
}

struct rpc_call *call_table_find(const struct call_table *table, uint64_t id)
{
  size_t index = (size_t)(id & INDEX_MASK);
  if (index >= table->chunk_count * CALLS_PER_CHUNK)
    return NULL;
  struct rpc_call *call = get_call(table, index);
  return call->id == id && call->state != CALL_FREE ? call : NULL;
}

struct rpc_call *call_table_any(const struct call_table *table)
{
  for (size_t i = 0; table->count != 0 && i < table->chunk_count * CALLS_PER_CHUNK; i++)
    if (get_call(table, i)->state != CALL_FREE)
      return get_call(table, i);
  return NULL;
}

#include "services/auth/auth_endings.h"

#include <stdlib.h>
#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/security/token.h"
#include "common/service/call.h"
#include "services/auth/auth_state.h"

// The most entries of a reply.
#define MAX_REPLY 2000
// After so long without a successful read ListEndings answers UNAVAILABLE, so that gateways ask another instance.
#define STALE_US 3000000

struct ending {
  struct hashtable_node node;
  struct list order;
  uint64_t sequence;
  int64_t id;
  int64_t generation;
  int64_t expire_s;
  char user_id[UUID_TEXT_SIZE];
  char session_id[UUID_TEXT_SIZE];
};

void auth_endings_init(struct auth_endings *endings)
{
  *endings = (struct auth_endings){0};
  uuid_v7(endings->instance);
  list_init(&endings->order);
}

static struct ending *get_entry(const struct list *order)
{
  return CONTAINER_OF((struct list *)(uintptr_t)order, struct ending, order);
}

static void remove_first(struct auth_endings *endings)
{
  struct ending *ending = get_entry(endings->order.next);
  hashtable_remove(&endings->by_id, &ending->node);
  list_remove(&ending->order);
  free(ending);
}

void auth_endings_free(struct auth_endings *endings)
{
  while (endings->by_id.count > 0)
    remove_first(endings);
  hashtable_free(&endings->by_id);
}

static bool is_known(const struct auth_endings *endings, int64_t id)
{
  for (struct hashtable_node *node = hashtable_first(&endings->by_id, hash_integers((uint64_t)id, 0)); node != NULL;
       node = hashtable_next(node))
    if (CONTAINER_OF(node, struct ending, node)->id == id)
      return true;
  return false;
}

static void copy_id(char out[UUID_TEXT_SIZE], const char *id)
{
  if (id != NULL)
    memcpy(out, id, strnlen(id, UUID_TEXT_SIZE - 1));
}

static void add(struct auth_endings *endings, const struct auth_db_list_endings_row *row)
{
  if (!row->has_id || is_known(endings, row->id))
    return;
  if (endings->by_id.count >= TOKEN_MAX_ENDINGS)
    remove_first(endings);
  struct ending *ending = calloc(1, sizeof(*ending));
  CHECK(ending != NULL);
  ending->sequence = ++endings->sequence;
  ending->id = row->id;
  ending->generation = row->has_generation ? row->generation : 0;
  ending->expire_s = row->expire_s;
  copy_id(ending->user_id, row->user_id);
  copy_id(ending->session_id, row->session_id);
  hashtable_insert(&endings->by_id, &ending->node, hash_integers((uint64_t)row->id, 0));
  list_append(&endings->order, &ending->order);
}

enum status auth_endings_read(struct auth_endings *endings, struct pg *pg)
{
  struct arena arena;
  struct auth_db_list_endings_row *rows = NULL;
  size_t count = 0;
  arena_init(&arena);
  const struct auth_db_list_endings_params params = {.since = endings->horizon, .most = TOKEN_MAX_ENDINGS};
  enum status status = auth_db_list_endings(query_on(pg), &params, &arena, &rows, &count);
  if (status == STATUS_OK && count > 0) {
    // By the database's clock, like their ends: this host's may be another one.
    while (endings->by_id.count > 0 && get_entry(endings->order.next)->expire_s <= rows[0].now_s)
      remove_first(endings);
    for (size_t i = 0; i < count; i++)
      add(endings, &rows[i]);
    // Numbers of transactions only fall where the database was restored to another server; then all is read again.
    endings->horizon = rows[0].horizon < endings->horizon ? 0 : rows[0].horizon;
    endings->read_us = clock_now_us();
  }
  arena_free(&arena);
  return status;
}

// ---- the gateways' calls ----

static uint64_t find_position(const struct auth_endings *endings, const Auth__V1__ListEndingsRequest *request)
{
  for (size_t i = 0; i < request->n_positions; i++)
    if (strcmp(request->positions[i]->instance, endings->instance) == 0)
      return request->positions[i]->sequence;
  return 0;
}

static Auth__V1__Ending *describe(struct arena *arena, struct ending *ending)
{
  Auth__V1__Ending *entry = arena_alloc(arena, sizeof(*entry));
  auth__v1__ending__init(entry);
  entry->user_id = arena_string(arena, slice_from_string(ending->user_id));
  entry->session_id = arena_string(arena, slice_from_string(ending->session_id));
  entry->generation = ending->generation;
  entry->expire_s = ending->expire_s;
  return entry;
}

static enum status list_endings(struct call *call, const Auth__V1__ListEndingsRequest *request,
                                Auth__V1__ListEndingsResponse *response)
{
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_endings *endings = &state->endings;
  if (clock_now_us() - endings->read_us > STALE_US)
    return call_fail(call, STATUS_UNAVAILABLE, "UNAVAILABLE", "this instance cannot read what has ended right now");
  uint64_t position = find_position(endings, request);
  const struct list *node = &endings->order;
  size_t count = 0;
  for (; node->previous != &endings->order && get_entry(node->previous)->sequence > position; node = node->previous)
    count++;
  response->endings = arena_array(arena, count < MAX_REPLY ? count : MAX_REPLY, sizeof(*response->endings));
  for (; node != &endings->order && response->n_endings < MAX_REPLY; node = node->next) {
    position = get_entry(node)->sequence;
    response->endings[response->n_endings++] = describe(arena, get_entry(node));
  }
  response->more = count > response->n_endings;
  response->position = arena_alloc(arena, sizeof(*response->position));
  auth__v1__endings_position__init(response->position);
  response->position->instance = arena_string(arena, slice_from_string(endings->instance));
  response->position->sequence = position;
  return STATUS_OK;
}

const struct auth_v1_ending_service_handlers auth_ending_handlers = {.list_endings = list_endings};

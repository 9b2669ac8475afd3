#include "services/item/owner_handlers.h"

#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "item/queries.bh.h"
#include "services/item/item_cache.h"
#include "services/item/item_state.h"

// Items that a call deletes at most: each is announced to the caches of all instances before.
#define MOST_ITEMS 200

// Deletes rows whose ids were read, once no cache serves them any more.
static enum status delete_rows(struct call *call, const struct item_db_delete_owned_params *params, int64_t *deleted)
{
  const struct item_state *state = call_state(call);
  struct slice *keys = arena_array(call_arena(call), params->ids_count, sizeof(*keys));
  for (size_t i = 0; i < params->ids_count; i++)
    (void)item_cache_of(call, params->ids[i], &keys[i]);
  struct cache_change *change = cache_change_begin(state->cache, keys, params->ids_count);
  enum status status;
  do {
    status = cache_change_confirm(change);
    if (status == STATUS_OK)
      status = item_db_delete_owned(query_on(service_pg(call_service(call))), params, call_arena(call), deleted);
  } while (cache_change_is_late(change, status));
  cache_change_end(&change, task_effect() != TASK_EFFECT_UNKNOWN);
  return status;
}

static enum status delete_owner_items(struct call *call, const Item__V1__DeleteOwnerItemsRequest *request,
                                      Item__V1__DeleteOwnerItemsResponse *response)
{
  const struct item_db_list_owned_ids_params list = {.owner_id = request->owner_id, .most = MOST_ITEMS};
  struct item_db_list_owned_ids_row *rows = NULL;
  size_t count = 0;
  enum status status =
      item_db_list_owned_ids(query_on(service_pg(call_service(call))), &list, call_arena(call), &rows, &count);
  if (status != STATUS_OK || count == 0)
    return status;
  const char **ids = arena_array(call_arena(call), count, sizeof(*ids));
  for (size_t i = 0; i < count; i++)
    ids[i] = rows[i].id;
  const struct item_db_delete_owned_params params = {.owner_id = request->owner_id, .ids = ids, .ids_count = count};
  response->more = count == MOST_ITEMS;
  item_tell_when_done(call);
  return delete_rows(call, &params, &response->deleted);
}

static enum status list_owner_items(struct call *call, const Item__V1__ListOwnerItemsRequest *request,
                                    Item__V1__ListOwnerItemsResponse *response)
{
  (void)response;
  return resource_list(call, &item_db_list_owned, NULL, &request->base);
}

const struct item_v1_owner_service_handlers item_owner_handlers = {
    .delete_owner_items = delete_owner_items,
    .list_owner_items = list_owner_items,
};

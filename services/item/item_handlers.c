#include "services/item/item_handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/uuid.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "item/queries.bh.h"
#include "services/item/item_cache.h"
#include "services/item/item_import.h"
#include "services/item/item_rules.h"
#include "services/item/item_state.h"
#include "services/item/item_watch.h"

// Adds a violation of an item's field. `place` is the item's path in the request: "items[3]." or "".
static void add_violation_at(struct call *call, const char *place, const char *field, const char *text)
{
  call_violation(call, arena_printf(call_arena(call), "%s%s", place, field), text);
}

static enum status fail_taken_sku(struct call *call, enum status status)
{
  if (status != STATUS_ALREADY_EXISTS)
    return status;
  call_violation(call, "sku", "another item of yours has this sku");
  return call_fail(call, status, "SKU_TAKEN", "another item of yours has this sku");
}

// Adds a violation for every rule that the item breaks. True when there is none.
static bool check_rules(struct call *call, const char *place, const Item__V1__Item *item)
{
  struct item_problem problems[ITEM_MAX_PROBLEMS];
  size_t count = item_rules_check(item, problems);
  for (size_t i = 0; i < count; i++)
    add_violation_at(call, place, problems[i].field, problems[i].text);
  return count == 0;
}

static enum status check_item(struct call *call, const Item__V1__Item *item, const char *message)
{
  if (check_rules(call, "", item))
    return STATUS_OK;
  return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", "%s", message);
}

static enum status check_changed(struct call *call, const ProtobufCMessage *message)
{
  return check_item(call, (const Item__V1__Item *)(const void *)message,
                    "the item would not be valid after the change");
}

const struct resource item_resource = {
    .name = "item",
    .article = "an item",
    .title = "item",
    .not_found = "ITEM_NOT_FOUND",
    .invalid = "INVALID_ITEM",
    .get_request = &item__v1__get_item_request__descriptor,
    .update_request = &item__v1__update_item_request__descriptor,
    .delete_request = &item__v1__delete_item_request__descriptor,
    .get = &item_db_get_query,
    .lock = &item_db_lock_query,
    .update = &item_db_update_query,
    .update_part = &item_db_update_part_query,
    .remove = &item_db_delete_query,
    .owned = true,
    .check = check_changed,
    .refuse = fail_taken_sku,
    .cache = item_cache_of,
};

static enum status create_item(struct call *call, const Item__V1__CreateItemRequest *request, Item__V1__Item *response)
{
  enum status status = check_item(call, request->item, "the item is not valid");
  if (status != STATUS_OK)
    return status;
  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  item_tell_when_done(call);
  Item__V1__Item made = *request->item;
  made.id = id;
  made.owner_id = (char *)(uintptr_t)resource_caller(call);
  status = item_db_insert(resource_db(call), &made, call_arena(call), response);
  return fail_taken_sku(call, status == STATUS_NOT_FOUND ? STATUS_ALREADY_EXISTS : status);
}

static enum status get_item(struct call *call, const Item__V1__GetItemRequest *request, Item__V1__Item *response)
{
  (void)response;
  return resource_get(call, &item_resource, &request->base);
}

static enum status list_items(struct call *call, const Item__V1__ListItemsRequest *request,
                              Item__V1__ListItemsResponse *response)
{
  (void)response;
  return resource_list(call, &item_db_list, NULL, &request->base);
}

static enum status update_item(struct call *call, const Item__V1__UpdateItemRequest *request, Item__V1__Item *response)
{
  (void)response;
  item_tell_when_done(call);
  return resource_update(call, &item_resource, &request->base);
}

static enum status delete_item(struct call *call, const Item__V1__DeleteItemRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  item_tell_when_done(call);
  return resource_delete(call, &item_resource, &request->base);
}

// ---- batches ----

struct sku_place {
  const char *sku;
  size_t index;
};

static int compare_skus(const void *a, const void *b)
{
  const struct sku_place *left = a, *right = b;
  int order = strcmp(left->sku, right->sku);
  return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

static const char *item_place(struct call *call, size_t index)
{
  return arena_printf(call_arena(call), "items[%zu].", index);
}

// Adds a violation for every item that breaks a rule and for every repeated sku. True when there is none.
static bool check_batch(struct call *call, const Item__V1__BatchCreateItemsRequest *request)
{
  bool sound = true;
  struct sku_place *skus = arena_array(call_arena(call), request->n_items, sizeof(*skus));
  for (size_t i = 0; i < request->n_items; i++) {
    skus[i] = (struct sku_place){request->items[i]->sku, i};
    sound = check_rules(call, item_place(call, i), request->items[i]) && sound;
  }
  qsort(skus, request->n_items, sizeof(*skus), compare_skus);
  for (size_t i = 1; i < request->n_items; i++) {
    if (skus[i].sku[0] == '\0' || strcmp(skus[i - 1].sku, skus[i].sku) != 0)
      continue;
    sound = false;
    add_violation_at(call, item_place(call, skus[i].index), "sku", "is used before in this batch");
  }
  return sound;
}

static enum status fail_taken_skus(struct call *call, const Item__V1__BatchCreateItemsRequest *request)
{
  struct arena *arena = call_arena(call);
  const char **skus = arena_array(arena, request->n_items, sizeof(*skus));
  for (size_t i = 0; i < request->n_items; i++)
    skus[i] = request->items[i]->sku;
  const struct item_db_find_skus_params params = {
      .owner_id = resource_caller(call), .skus = skus, .skus_count = request->n_items};
  struct item_db_find_skus_row *rows;
  size_t count;
  if (item_db_find_skus(resource_db(call), &params, arena, &rows, &count) == STATUS_OK)
    for (size_t i = 0; i < count; i++)
      if (rows[i].taken)
        add_violation_at(call, item_place(call, i), "sku", "another item of yours has this sku");
  return call_fail(call, STATUS_ALREADY_EXISTS, "SKU_TAKEN",
                   "items of yours have some of these skus; nothing was created");
}

static const char *const *new_ids(size_t count, struct arena *arena)
{
  const char **ids = arena_array(arena, count, sizeof(*ids));
  char(*texts)[UUID_TEXT_SIZE] = arena_array(arena, count, sizeof(*texts));
  for (size_t i = 0; i < count; i++) {
    uuid_v7(texts[i]);
    ids[i] = texts[i];
  }
  return ids;
}

static enum status batch_create_items(struct call *call, const Item__V1__BatchCreateItemsRequest *request,
                                      Item__V1__BatchCreateItemsResponse *response)
{
  if (!check_batch(call, request))
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", "some items are not valid; nothing was created");
  item_tell_when_done(call);
  struct arena *arena = call_arena(call);
  const struct item_db_insert_many_params params = {
      .owner_id = resource_caller(call),
      .ids = new_ids(request->n_items, arena),
      .ids_count = request->n_items,
      .items = request->items,
      .items_count = request->n_items,
  };
  enum status status = item_db_insert_many(resource_db(call), &params, arena, &response->items, &response->n_items);
  return status == STATUS_ALREADY_EXISTS ? fail_taken_skus(call, request) : status;
}

const struct item_v1_item_service_handlers item_handlers = {
    .create_item = create_item,
    .get_item = get_item,
    .list_items = list_items,
    .update_item = update_item,
    .delete_item = delete_item,
    .batch_create_items = batch_create_items,
    .import_items = item_import,
    .watch_items = item_watch,
};

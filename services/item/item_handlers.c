#include "services/item/item_handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/item/item_cache.h"
#include "services/item/item_repo.h"
#include "services/item/item_rules.h"
#include "services/item/item_state.h"

#define DEFAULT_PAGE_SIZE 50
// A page of large items ends before pageSize, well below what one RPC message may hold (RPC_MAX_MESSAGE_BYTES).
#define MAX_PAGE_BYTES ((size_t)4 * 1024 * 1024)

static const char *caller_of(struct call *call)
{
  return arena_string(call_arena(call), call_caller_id(call));
}

static enum status fail_not_found(struct call *call, const char *id)
{
  return call_fail(call, STATUS_NOT_FOUND, "ITEM_NOT_FOUND", "there is no item %s", id);
}

static enum status fail_stale(struct call *call)
{
  return call_fail(call, STATUS_ABORTED, "ETAG_MISMATCH",
                   "the item has changed since you read it; read it again and repeat the change");
}

// `place` is the item's path in the request: "items[3].", "item." or "".
static void violation_at(struct call *call, const char *place, const char *field, const char *text)
{
  call_violation(call, arena_printf(call_arena(call), "%s%s", place, field), text);
}

// A write that PostgreSQL refused although it keeps the contract.
static enum status fail_write(struct call *call, enum status status, const char *place)
{
  if (status == STATUS_ALREADY_EXISTS) {
    violation_at(call, place, "sku", "another item of yours has this sku");
    return call_fail(call, status, "SKU_TAKEN", "another item of yours has this sku");
  }
  return status;
}

static enum status create_item(struct call *call, const Item__V1__CreateItemRequest *request, Item__V1__Item *response)
{
  struct item_state *state = call_state(call);
  struct item_problem problem = item_rules_check(request->item);
  if (problem.text != NULL) {
    call_violation(call, problem.field, problem.text);
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", "the item is not valid");
  }
  Item__V1__Item *const items[] = {request->item};
  Item__V1__Item *created;
  enum status status = item_repo_insert(state->pg, caller_of(call), items, 1, call_arena(call), &created);
  if (status != STATUS_OK)
    return fail_write(call, status, "");
  *response = created[0];
  return STATUS_OK;
}

static enum status get_item(struct call *call, const Item__V1__GetItemRequest *request, Item__V1__Item *response)
{
  (void)response;
  struct slice wire;
  enum status status = item_cache_read(call_state(call), request->id, call_arena(call), &wire);
  if (status == STATUS_NOT_FOUND)
    return fail_not_found(call, request->id);
  if (status != STATUS_OK)
    return status;
  call_reply_bytes(call, wire);
  return STATUS_OK;
}

static const char *filter_of(const char *text)
{
  return text[0] == '\0' ? NULL : text;
}

// How many of the items make up the page: at least one of them.
static size_t count_in_page(const Item__V1__Item *items, size_t count)
{
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    bytes += item__v1__item__get_packed_size(&items[i]);
    if (i > 0 && bytes > MAX_PAGE_BYTES)
      return i;
  }
  return count;
}

static enum status list_items(struct call *call, const Item__V1__ListItemsRequest *request,
                              Item__V1__ListItemsResponse *response)
{
  struct item_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  size_t page_size = request->page_size == 0 ? DEFAULT_PAGE_SIZE : (size_t)request->page_size;
  struct item_query query = {
      .category = filter_of(request->category),
      .tag = filter_of(request->tag),
      .owner_id = filter_of(request->owner_id),
      .words = filter_of(request->q),
      .limit = page_size + 1,  // one more tells whether there is a next page
  };
  item_rules_parse_order(request->order_by, &query.order, &query.descending);
  if (request->page_token[0] != '\0' && !item_rules_read_token(request->page_token, &query, arena)) {
    call_violation(call, "pageToken", "must be the nextPageToken of a page of the same list");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "the page token is not valid for this list");
  }

  Item__V1__Item *items;
  size_t count;
  enum status status = item_repo_list(state->pg, &query, arena, &items, &count);
  if (status != STATUS_OK)
    return status;
  size_t fitting = count_in_page(items, count > page_size ? page_size : count);
  if (count > fitting) {
    count = fitting;
    response->next_page_token = (char *)(uintptr_t)item_rules_write_token(&query, &items[count - 1], arena);
  }
  response->n_items = count;
  response->items = arena_array(arena, count, sizeof(*response->items));
  for (size_t i = 0; i < count; i++)
    response->items[i] = &items[i];
  return STATUS_OK;
}

// ---- changing ----

// What came of a write: told to the cache unless it is certain that nothing has changed.
static void written(struct call *call, const char *id, enum status status)
{
  switch (status) {
  case STATUS_INVALID_ARGUMENT:
  case STATUS_NOT_FOUND:
  case STATUS_ALREADY_EXISTS:
  case STATUS_PERMISSION_DENIED:
  case STATUS_ABORTED:
    return;
  default:
    item_cache_forget(call_state(call), id);
  }
}

// The caller may change the item and knows it in this state.
static enum status check_change(struct call *call, const Item__V1__Item *item, const char *if_match,
                                const char *body_etag)
{
  if (!slice_equal_string(call_caller_id(call), item->owner_id) && !call_caller_has_role(call, "admin"))
    return call_fail(call, STATUS_PERMISSION_DENIED, "NOT_THE_OWNER", "only its owner or an admin may change an item");
  return resource_etag_fits(item->etag, if_match, body_etag) ? STATUS_OK : fail_stale(call);
}

struct update {
  struct call *call;
  const Item__V1__UpdateItemRequest *request;
  bool refused;  // by us, who have said why, and not by PostgreSQL
};

static enum status merge_update(const struct update *update, Item__V1__Item *item)
{
  const Item__V1__UpdateItemRequest *request = update->request;
  struct call *call = update->call;
  enum status status = check_change(call, item, request->if_match, request->item->etag);
  if (status != STATUS_OK)
    return status;
  const char *unknown = item_rules_merge(item, request->item, request->update_mask);
  if (unknown != NULL) {
    call_violation(call, "updateMask", arena_printf(call_arena(call), "names no field of an item: %s", unknown));
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_UPDATE_MASK", "the update mask is not valid");
  }
  struct item_problem problem = item_rules_check(item);
  if (problem.text != NULL) {
    call_violation(call, problem.field, problem.text);
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", "the item would not be valid after the change");
  }
  return STATUS_OK;
}

// From the item as it is to the item as it shall be.
static enum status apply_update(void *arg, Item__V1__Item *item)
{
  struct update *update = arg;
  enum status status = merge_update(update, item);
  update->refused = status != STATUS_OK;
  return status;
}

// ABORTED when somebody else's change came between.
static enum status update_optimistically(struct update *update, Item__V1__Item *response)
{
  struct item_state *state = call_state(update->call);
  struct arena *arena = call_arena(update->call);
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  enum status status = item_repo_get(state->pg, update->request->item->id, arena, &item);
  if (status == STATUS_OK)
    status = apply_update(update, &item);
  return status != STATUS_OK ? status : item_repo_update(state->pg, &item, item.etag, arena, response);
}

static enum status update_item(struct call *call, const Item__V1__UpdateItemRequest *request, Item__V1__Item *response)
{
  struct item_state *state = call_state(call);
  const char *id = request->item->id;
  if (id[0] == '\0') {
    call_violation(call, "item.id", "is required");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", "which item to change is not said");
  }
  struct update update = {.call = call, .request = request};
  // A write that its caller no longer waits for may still be made, and then the cache has to hear of it.
  task_shield(true);
  enum status status = update_optimistically(&update, response);
  if (status == STATUS_ABORTED && !resource_is_conditional(request->if_match, request->item->etag))
    status = item_repo_change(state->pg, id, apply_update, &update, call_arena(call), response);
  written(call, id, status);
  task_shield(false);
  if (status == STATUS_ABORTED)
    return fail_stale(call);
  if (status == STATUS_NOT_FOUND)
    return fail_not_found(call, id);
  return status == STATUS_OK || update.refused ? status : fail_write(call, status, "");
}

static enum status delete_item(struct call *call, const Item__V1__DeleteItemRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  struct item_state *state = call_state(call);
  bool conditional = resource_is_conditional(request->if_match, "");
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  enum status status = item_repo_get(state->pg, request->id, call_arena(call), &item);
  if (status == STATUS_OK)
    status = check_change(call, &item, request->if_match, "");
  if (status == STATUS_OK) {
    task_shield(true);
    status = item_repo_delete(state->pg, request->id, conditional ? item.etag : NULL, call_arena(call));
    written(call, request->id, status);
    task_shield(false);
  }
  if (status == STATUS_ABORTED && conditional)
    return fail_stale(call);
  if (status == STATUS_ABORTED || status == STATUS_NOT_FOUND)
    return fail_not_found(call, request->id);
  return status;
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

// Names every item that is not sound, and every sku that comes twice. True when there is none.
static bool check_batch(struct call *call, const Item__V1__BatchCreateItemsRequest *request)
{
  bool sound = true;
  struct sku_place *skus = arena_array(call_arena(call), request->n_items, sizeof(*skus));
  for (size_t i = 0; i < request->n_items; i++) {
    skus[i] = (struct sku_place){request->items[i]->sku, i};
    struct item_problem problem = item_rules_check(request->items[i]);
    if (problem.text == NULL)
      continue;
    sound = false;
    violation_at(call, item_place(call, i), problem.field, problem.text);
  }
  qsort(skus, request->n_items, sizeof(*skus), compare_skus);
  for (size_t i = 1; i < request->n_items; i++) {
    if (skus[i].sku[0] == '\0' || strcmp(skus[i - 1].sku, skus[i].sku) != 0)
      continue;
    sound = false;
    violation_at(call, item_place(call, skus[i].index), "sku", "is used before in this batch");
  }
  return sound;
}

static enum status fail_taken_skus(struct call *call, const Item__V1__BatchCreateItemsRequest *request)
{
  struct item_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const char **skus = arena_array(arena, request->n_items, sizeof(*skus));
  bool *taken = arena_array(arena, request->n_items, sizeof(*taken));
  for (size_t i = 0; i < request->n_items; i++)
    skus[i] = request->items[i]->sku;
  if (item_repo_find_skus(state->pg, caller_of(call), skus, request->n_items, arena, taken) == STATUS_OK)
    for (size_t i = 0; i < request->n_items; i++)
      if (taken[i])
        violation_at(call, item_place(call, i), "sku", "another item of yours has this sku");
  return call_fail(call, STATUS_ALREADY_EXISTS, "SKU_TAKEN",
                   "items of yours have some of these skus; nothing was created");
}

static enum status batch_create_items(struct call *call, const Item__V1__BatchCreateItemsRequest *request,
                                      Item__V1__BatchCreateItemsResponse *response)
{
  struct item_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  if (!check_batch(call, request))
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", "some items are not valid; nothing was created");
  Item__V1__Item *created;
  enum status status = item_repo_insert(state->pg, caller_of(call), request->items, request->n_items, arena, &created);
  if (status == STATUS_ALREADY_EXISTS)
    return fail_taken_skus(call, request);
  if (status != STATUS_OK)
    return fail_write(call, status, "items[].");
  response->n_items = request->n_items;
  response->items = arena_array(arena, request->n_items, sizeof(*response->items));
  for (size_t i = 0; i < request->n_items; i++)
    response->items[i] = &created[i];
  return STATUS_OK;
}

const struct item_v1_item_service_handlers item_handlers = {
    .create_item = create_item,
    .get_item = get_item,
    .list_items = list_items,
    .update_item = update_item,
    .delete_item = delete_item,
    .batch_create_items = batch_create_items,
};

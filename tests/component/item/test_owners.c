// The items of an owner whose account was deleted.
#include <criterion/criterion.h>

#include "item/v1/owners.pb-c.h"
#include "tests/component/item/items.h"

#define DELETE_OWNER_ITEMS "item.v1.OwnerService/DeleteOwnerItems"

static struct items items;
static struct driver user;
static const struct rpc_context nobody = {.request_id = SLICE_INIT("r-0")};

static void setup(void)
{
  items_open(&items);
  driver_open(&user, items.process.url, "user");
}

static void teardown(void)
{
  driver_close(&user);
  items_close(&items);
}

TestSuite(item_owners, .init = setup, .fini = teardown);

static const Item__V1__DeleteOwnerItemsResponse *delete_some(void)
{
  Item__V1__DeleteOwnerItemsRequest request = ITEM__V1__DELETE_OWNER_ITEMS_REQUEST__INIT;
  request.owner_id = OWNER;
  struct outcome outcome = driver_call(&user, DELETE_OWNER_ITEMS, &request.base, &nobody);
  return (const void *)driver_reply(&outcome, &item__v1__delete_owner_items_response__descriptor);
}

static enum status get(const char *id)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = (char *)(uintptr_t)id;
  return driver_call(&items.driver, GET_ITEM, &request.base, &owner).status;
}

Test(item_owners, items_go_in_batches_from_caches_too_and_others_stay)
{
  enum { OF_OWNER = 450 };
  Item__V1__Item *batch[OF_OWNER];
  for (size_t i = 0; i < OF_OWNER; i++)
    batch[i] = items_make(&items, items_text(&items, "S%zu", i), "Lamp");
  cr_assert_eq(items_create_batch(&items, batch, OF_OWNER).status, STATUS_OK);
  const char *kept = items_created(&items, items_make(&items, "S1", "Lamp"), &other_owner)->id;
  const char *cached = items_created(&items, items_make(&items, "S-cached", "Lamp"), &owner)->id;
  cr_assert_eq(get(cached), STATUS_OK);
  int64_t deleted = 0;
  const Item__V1__DeleteOwnerItemsResponse *response;
  do {
    response = delete_some();
    cr_expect_leq(response->deleted, 200);
    deleted += response->deleted;
  } while (response->more);
  cr_expect_eq(deleted, OF_OWNER + 1);
  cr_expect_eq(get(cached), STATUS_NOT_FOUND);
  cr_expect_eq(get(kept), STATUS_OK);
  cr_expect_eq(delete_some()->deleted, 0, "a repeat finds nothing");
}

Test(item_owners, the_gateway_may_not_ask_for_it)
{
  Item__V1__DeleteOwnerItemsRequest request = ITEM__V1__DELETE_OWNER_ITEMS_REQUEST__INIT;
  request.owner_id = OWNER;
  cr_expect_eq(driver_call(&items.driver, DELETE_OWNER_ITEMS, &request.base, &owner).status, STATUS_PERMISSION_DENIED);
}

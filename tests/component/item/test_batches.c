// Batches of new items: all are made, or none.
#include <criterion/criterion.h>

#include "tests/component/item/items.h"

static struct items items;

static void setup(void)
{
  items_open(&items);
}

static void teardown(void)
{
  items_close(&items);
}

TestSuite(item_batches, .init = setup, .fini = teardown);

enum { BATCH = 1000 };

static Item__V1__Item **make_batch(void)
{
  Item__V1__Item **batch = arena_array(&items.driver.arena, BATCH, sizeof(*batch));
  for (int i = 0; i < BATCH; i++)
    batch[i] = items_make(&items, items_text(&items, "S-%04d", i), items_text(&items, "Lamp %d", i));
  return batch;
}

Test(item_batches, a_whole_batch_is_made_in_its_order)
{
  struct outcome outcome = items_create_batch(&items, make_batch(), BATCH);
  const Item__V1__BatchCreateItemsResponse *response =
      (const Item__V1__BatchCreateItemsResponse *)(const void *)driver_reply(
          &outcome, &item__v1__batch_create_items_response__descriptor);
  cr_assert_eq(response->n_items, BATCH);
  for (int i = 0; i < BATCH; i++) {
    cr_assert_str_eq(response->items[i]->sku, items_text(&items, "S-%04d", i));
    cr_assert_str_eq(response->items[i]->owner_id, OWNER);
  }
  cr_expect_str_eq(items_count(&items), "1000");
  cr_expect_str_eq(items_get(&items, response->items[617]->id)->name, "Lamp 617");
}

Test(item_batches, a_batch_with_one_taken_sku_makes_nothing_and_names_it)
{
  items_created(&items, items_make(&items, "S-0617", "Here before"), &owner);
  struct outcome outcome = items_create_batch(&items, make_batch(), BATCH);
  items_expect_violation(&outcome, STATUS_ALREADY_EXISTS, "items[617].sku");
  cr_expect_str_eq(items_count(&items), "1");
}

Test(item_batches, a_batch_with_a_sku_twice_makes_nothing_and_names_the_second)
{
  Item__V1__Item **batch = make_batch();
  batch[999]->sku = "S-0000";
  struct outcome outcome = items_create_batch(&items, batch, BATCH);
  items_expect_violation(&outcome, STATUS_INVALID_ARGUMENT, "items[999].sku");
  cr_expect_str_eq(items_count(&items), "0");
}

// Every item of the batch is invalid: the reply is bounded, and the service keeps running.
Test(item_batches, a_batch_that_is_taken_as_a_whole_is_refused)
{
  cr_expect_eq(items_create_batch(&items, make_batch(), BATCH).status, STATUS_OK);
  struct outcome outcome = items_create_batch(&items, make_batch(), BATCH);
  cr_expect_eq(outcome.status, STATUS_ALREADY_EXISTS);
  cr_expect_gt(outcome.violation_count, 0);
  cr_expect_str_eq(items_count(&items), "1000");
}

static Item__V1__Item **make_reversed_batch(void)
{
  Item__V1__Item **forth = make_batch();
  Item__V1__Item **back = arena_array(&items.driver.arena, BATCH, sizeof(*back));
  for (size_t i = 0; i < BATCH; i++)
    back[i] = forth[BATCH - 1 - i];
  return back;
}

// Whoever inserts in another order than others can hold a sku that they wait for, and wait for one that they hold.
Test(item_batches, a_batch_is_stored_in_the_order_of_its_skus)
{
  cr_expect_eq(items_create_batch(&items, make_reversed_batch(), BATCH).status, STATUS_OK);
  const char *unordered =
      database_sql(&items.database, "SELECT count(*) FROM (SELECT sku < lag(sku) OVER (ORDER BY ctid)"
                                    " AS before FROM item.items) AS t WHERE before");
  cr_expect_str_eq(unordered, "0");
}

// Batches with the same skus in opposite order: one is made, and the others learn why they are not.
Test(item_batches, opposed_batches_do_not_hold_up_one_another)
{
  enum { OPPOSED = 16 };
  struct outcome outcomes[OPPOSED];
  Item__V1__BatchCreateItemsRequest request = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  Item__V1__Item **forth = make_batch();
  Item__V1__Item **back = make_reversed_batch();
  request.n_items = BATCH;
  for (size_t i = 0; i < OPPOSED; i++) {
    request.items = i % 2 == 0 ? forth : back;
    driver_begin(&items.driver, BATCH_CREATE, driver_pack(&items.driver, &request.base), &owner, 30000, &outcomes[i]);
  }
  size_t made = 0;
  for (size_t i = 0; i < OPPOSED; i++) {
    driver_finish(&items.driver, &outcomes[i]);
    made += outcomes[i].status == STATUS_OK;
    cr_expect(outcomes[i].status == STATUS_OK || outcomes[i].status == STATUS_ALREADY_EXISTS, "%zu: %s", i,
              status_name(outcomes[i].status));
  }
  cr_expect_eq(made, 1);
}

// Watching items: what is told, in which order, and that nothing is missed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/component/item/items.h"
#include "tests/component/item/watchers.h"

static struct items items;
static struct watcher watcher;

static void setup(void)
{
  items_open(&items);
}

static void teardown(void)
{
  items_close(&items);
}

TestSuite(item_watch, .init = setup, .fini = teardown);

static void watch_all(struct watcher *of)
{
  const Item__V1__WatchItemsRequest request = ITEM__V1__WATCH_ITEMS_REQUEST__INIT;
  watcher_open(of, &items.driver, &request);
}

static const char *create(const char *sku)
{
  return items_created(&items, items_make(&items, sku, sku), &owner)->id;
}

static void set_category(const char *id, char *category)
{
  char *path = "category";
  Item__V1__Item *item = items_make(&items, "", "");
  item->id = items_text(&items, "%s", id);
  item->category = category;
  const struct item_update update = {.item = item, .paths = &path, .count = 1, .as = &owner, .timeout_ms = 30000};
  struct outcome outcome;
  items_begin_update(&items, &update, &outcome);
  cr_assert_eq(items_finish_all(&items, &outcome, 1, STATUS_OK), 1);
}

static void delete_item(const char *id)
{
  Item__V1__DeleteItemRequest request = ITEM__V1__DELETE_ITEM_REQUEST__INIT;
  request.id = items_text(&items, "%s", id);
  cr_assert_eq(driver_call(&items.driver, DELETE_ITEM, &request.base, &owner).status, STATUS_OK);
}

Test(item_watch, changes_are_told_as_they_happen)
{
  create("before");
  watch_all(&watcher);
  cr_expect_eq(watcher.count, 0);
  const char *id = create("lamp");
  watcher_await(&watcher, 1);
  set_category(id, "light");
  watcher_await(&watcher, 2);
  delete_item(id);
  watcher_await(&watcher, 3);
  watcher_expect(&watcher, 0, CREATED, "lamp");
  watcher_expect(&watcher, 1, UPDATED, "lamp");
  watcher_expect(&watcher, 2, DELETED, "");
  for (size_t i = 0; i < 3; i++) {
    cr_expect_str_eq(watcher.told[i].id, id);
    cr_expect_eq(watcher.told[i].revision, (int64_t)i + 1);
  }
  watcher_cancel(&watcher);
}

Test(item_watch, a_watch_with_a_token_is_told_what_has_happened_since)
{
  watch_all(&watcher);
  const char *first = create("first");
  watcher_await(&watcher, 1);
  watcher_cancel(&watcher);
  char token[sizeof(watcher.token)];
  memcpy(token, watcher.token, sizeof(token));
  create("second");
  delete_item(first);
  for (int i = 0; i < 2; i++) {
    watcher = (struct watcher){0};
    watcher_begin(&watcher, &items.driver, token);
    watcher_await(&watcher, 2);
    watcher_expect(&watcher, 0, CREATED, "second");
    watcher_expect(&watcher, 1, DELETED, "");
    cr_expect_str_eq(watcher.told[1].id, first);
    watcher_cancel(&watcher);
  }
}

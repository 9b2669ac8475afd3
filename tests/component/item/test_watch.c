// Watching items: what is told, in which order, and that nothing is missed.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
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

// A watch that begins may also be told what was changed while an older transaction ran, such as one of another test.
static void watch_all(struct watcher *of)
{
  database_wait_sql(&items.database,
                    "SELECT coalesce(max(clock), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
                    " FROM item.item_changes",
                    "t");
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

// ---- filters ----

static struct watcher lights, owned;

Test(item_watch, filters_say_what_is_told)
{
  Item__V1__WatchItemsRequest request = ITEM__V1__WATCH_ITEMS_REQUEST__INIT;
  request.category = "light";
  watcher_open(&lights, &items.driver, &request);
  Item__V1__WatchItemsRequest of_owner = ITEM__V1__WATCH_ITEMS_REQUEST__INIT;
  of_owner.owner_id = OTHER_OWNER;
  watcher_open(&owned, &items.driver, &of_owner);
  watch_all(&watcher);
  const char *id = create("lamp");
  set_category(id, "light");
  set_category(id, "waste");
  delete_item(id);
  items_created(&items, items_make(&items, "shade", "shade"), &other_owner);
  watcher_await(&owned, 1);
  watcher_expect(&owned, 0, CREATED, "shade");
  cr_expect_eq(owned.count, 1);
  watcher_await(&lights, 1);
  cr_expect_str_eq(lights.told[0].id, id);
  // Where the changes were read one by one, it came and went; else it went.
  cr_expect_eq(lights.told[lights.count - 1].kind, DELETED);
  watcher_cancel(&watcher);
  watcher_cancel(&lights);
  watcher_cancel(&owned);
}

Test(item_watch, an_item_that_comes_to_match_a_filter_is_told_and_so_is_its_end)
{
  Item__V1__WatchItemsRequest request = ITEM__V1__WATCH_ITEMS_REQUEST__INIT;
  request.tag = "brass";
  watcher_open(&lights, &items.driver, &request);
  Item__V1__Item *lamp = items_make(&items, "lamp", "lamp");
  char *tags[] = {"old", "brass"};
  lamp->tags = tags;
  lamp->n_tags = ARRAY_LEN(tags);
  const char *id = items_created(&items, lamp, &owner)->id;
  watcher_await(&lights, 1);
  watcher_expect(&lights, 0, CREATED, "lamp");
  database_sql(&items.database, "UPDATE item.items SET tags = '{old}', revision = 2");
  watcher_await(&lights, 2);
  watcher_expect(&lights, 1, DELETED, "");
  database_sql(&items.database, "UPDATE item.items SET tags = '{brass}', revision = 3");
  watcher_await(&lights, 3);
  watcher_expect(&lights, 2, UPDATED, "lamp");
  delete_item(id);
  watcher_await(&lights, 4);
  watcher_expect(&lights, 3, DELETED, "");
  cr_expect_eq(lights.told[3].revision, 4);
  watcher_cancel(&lights);
}

// ---- tokens ----

static void expect_refused(const char *token, enum status status, const char *reason)
{
  watcher = (struct watcher){0};
  watcher_begin(&watcher, &items.driver, token);
  watcher_await_end(&watcher, status, reason);
}

Test(item_watch, what_is_no_token_is_refused)
{
  expect_refused("AQ", STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
  // The first is of another version, the second has a negative number, the third is longer than a token is.
  expect_refused("AgAAAAAAAAABAAAAAAAAAAE", STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
  expect_refused("Af__________AAAAAAAAAAE", STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
  expect_refused("AQAAAAAAAAABAAAAAAAAAAEAAAA", STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN");
  expect_refused("so!", STATUS_INVALID_ARGUMENT, "INVALID_REQUEST");
}

Test(item_watch, a_token_of_another_server_is_refused)
{
  // Its clock is 2^62.
  expect_refused("AUAAAAAAAAAAAAAAAAAAAAE", STATUS_OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED");
}

Test(item_watch, a_token_whose_changes_are_gone_is_refused)
{
  watch_all(&watcher);
  create("lamp");
  watcher_await(&watcher, 1);
  char token[sizeof(watcher.token)];
  memcpy(token, watcher.token, sizeof(token));
  create("shade");
  watcher_await(&watcher, 2);
  database_sql(&items.database, "UPDATE item.item_changes SET time = time - interval '2 hours'");
  database_wait_sql(&items.database, "SELECT count(*) FROM item.item_changes", "0");
  // Whoever has heard all that is gone goes on.
  create("bulb");
  watcher_await(&watcher, 3);
  watcher_expect(&watcher, 2, CREATED, "bulb");
  watcher_cancel(&watcher);
  expect_refused(token, STATUS_OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED");
}

Test(item_watch, young_changes_are_kept_behind_old_ones)
{
  create("old");
  create("young");
  create("also old");
  database_sql(&items.database, "UPDATE item.item_changes SET time = time - interval '2 hours' FROM item.items"
                                " WHERE items.id = item_id AND name LIKE '%%old'");
  database_wait_sql(&items.database,
                    "SELECT string_agg(name, ', ' ORDER BY clock) FROM item.item_changes"
                    " JOIN item.items ON items.id = item_id",
                    "young, also old");
}

// ---- order ----

// A transaction that has its number before another one, and changes the same item after it.
Test(item_watch, changes_of_one_item_are_told_in_their_order)
{
  struct process holder, writer;
  create("other");
  watch_all(&watcher);
  items_hold(&items, &holder, "SELECT pg_advisory_xact_lock(1)");
  process_prepare(&writer);
  process_launch(&writer, items_text(&items, "%s/psql", getenv("BULKHEAD_PG_BIN")),
                 (char *[]){"psql", "-Xq", "-c", "BEGIN", "-c",
                            "UPDATE item.items SET revision = 2 WHERE sku = 'other'", "-c",
                            "SELECT pg_advisory_xact_lock(1)", "-c",
                            "UPDATE item.items SET revision = 2, changed_in = greatest(changed_in,"
                            " pg_current_xact_id()::text::bigint) WHERE sku = 'lamp'",
                            "-c", "COMMIT", (char *)(uintptr_t)database_of_superuser(&items.database), NULL},
                 NULL);
  database_wait_sql(&items.database,
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
                    " (SELECT oid FROM pg_database WHERE datname = current_database())",
                    "1");
  create("lamp");
  items_unlock(&items, &holder);
  cr_expect_eq(process_end(&writer), 0, "%s", strbuf_cstring(&writer.output));
  process_free(&writer);
  watcher_await(&watcher, 3);
  watcher_expect(&watcher, 0, UPDATED, "other");
  watcher_expect(&watcher, 1, CREATED, "lamp");
  watcher_expect(&watcher, 2, UPDATED, "lamp");
  cr_expect_eq(watcher.count, 3);
  watcher_cancel(&watcher);
}

// A server that was filled from a backup of another one, whose numbers were higher.
Test(item_watch, clocks_of_another_server_do_not_count)
{
  const char *id = create("lamp");
  database_sql(&items.database, "ALTER TABLE item.items DISABLE TRIGGER USER");
  database_sql(&items.database, "UPDATE item.items SET changed_in = 4611686018427387904");
  database_sql(&items.database, "ALTER TABLE item.items ENABLE TRIGGER USER");
  watch_all(&watcher);
  set_category(id, "light");
  watcher_await(&watcher, 1);
  delete_item(id);
  watcher_await(&watcher, 2);
  watcher_expect(&watcher, 0, UPDATED, "lamp");
  watcher_expect(&watcher, 1, DELETED, "");
  watcher_cancel(&watcher);
}

// ---- faults ----

Test(item_watch, what_an_operator_changes_is_told)
{
  create("lamp");
  watch_all(&watcher);
  database_sql(&items.database, "UPDATE item.items SET name = 'Lamp', revision = 2");
  watcher_await(&watcher, 1);
  watcher_expect(&watcher, 0, UPDATED, "Lamp");
  watcher_cancel(&watcher);
}

Test(item_watch, an_instance_that_is_killed_loses_nothing)
{
  struct process other;
  struct driver driver;
  items_open_other(&items, &other, &driver);
  watch_all(&watcher);
  create("lamp");
  watcher_await(&watcher, 1);
  Item__V1__CreateItemRequest request = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
  // What it commits last it tells nobody.
  for (int i = 0; i < 20; i++) {
    struct outcome outcome;
    request.item = items_make(&items, items_text(&items, "last-%02d", i), "last");
    driver_begin(&items.driver, CREATE_ITEM, driver_pack(&items.driver, &request.base), &owner, 30000, &outcome);
    driver_finish(&items.driver, &outcome);
    cr_assert_eq(outcome.status, STATUS_OK);
  }
  items_kill(&items);
  watcher_await_end(&watcher, STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN");
  size_t told = watcher.count;
  char token[sizeof(watcher.token)];
  memcpy(token, watcher.token, sizeof(token));
  watcher = (struct watcher){0};
  watcher_begin(&watcher, &driver, token);
  watcher_await(&watcher, 21 - told);
  watcher_cancel(&watcher);
  items_close_other(&other, &driver);
  items_start_again(&items);
  cr_expect_str_eq(items_count(&items), "21");
}

// All connections break while items are made, the one that listens, too.
Test(item_watch, broken_connections_to_postgresql_lose_nothing)
{
  enum { ROUNDS = 10 };
  watch_all(&watcher);
  size_t made = 0;
  for (size_t i = 0; i < ROUNDS; i++) {
    database_sql(&items.database,
                 "INSERT INTO item.items (id, owner_id, sku, name, description, category, tags, quantity,"
                 " attributes) VALUES (gen_random_uuid(), gen_random_uuid(), 'a', 'a', '', '', '{}', 0, '{}')");
    database_sql(&items.database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
                                  " current_database() AND pid <> pg_backend_pid()");
    made++;
  }
  watcher_await(&watcher, made);
  cr_expect_eq(watcher.count, made);
  for (size_t i = 0; i < made; i++)
    watcher_expect(&watcher, i, CREATED, "a");
  watcher_cancel(&watcher);
}

Test(item_watch_drain, a_process_that_drains_ends_its_watches, .init = setup)
{
  watch_all(&watcher);
  cr_assert_eq(kill(items.process.pid, SIGTERM), 0);
  watcher_await_end(&watcher, STATUS_UNAVAILABLE, "NOT_APPLIED");
  driver_close(&items.driver);
  cr_expect_eq(process_end(&items.process), 0, "%s", strbuf_cstring(&items.process.output));
  process_free(&items.process);
  database_drop(&items.database);
}

// ---- many changes ----

enum { BATCH = 1000 };

static Item__V1__Item **make_batch(void)
{
  static char description[2001];
  memset(description, 'x', sizeof(description) - 1);
  Item__V1__Item **batch = arena_array(&items.driver.arena, BATCH, sizeof(*batch));
  for (size_t i = 0; i < BATCH; i++) {
    batch[i] = items_make(&items, items_text(&items, "S-%04zu", i), "Lamp");
    batch[i]->description = description;
  }
  return batch;
}

Test(item_watch, who_does_not_read_is_ended_and_slows_nobody)
{
  static struct watcher slow;
  watch_all(&watcher);
  slow = (struct watcher){.reads_nothing = true};
  watcher_begin(&slow, &items.driver, "");
  for (uint64_t end_us = patience_end_us(); slow.messages == 0; driver_turn(&items.driver))
    cr_assert_lt(clock_now_us(), end_us);
  cr_assert_eq(items_create_batch(&items, make_batch(), BATCH).status, STATUS_OK);
  watcher_await(&watcher, BATCH);
  cr_expect_eq(watcher.count, BATCH);
  watcher_cancel(&watcher);
  watcher_await_end(&slow, STATUS_RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW");
  cr_expect_lt(slow.count, BATCH);
  // The watch goes on where it was ended.
  watcher = (struct watcher){0};
  watcher_begin(&watcher, &items.driver, slow.token);
  watcher_await(&watcher, BATCH - slow.count);
  cr_expect_eq(watcher.count, BATCH - slow.count);
  watcher_cancel(&watcher);
}

// ---- many watchers ----

enum { WATCHERS = 1000 };

static void await_all(struct watcher *watchers, size_t count)
{
  for (size_t i = 0; i < WATCHERS; i++)
    watcher_await(&watchers[i], count);
}

Test(item_watch, a_thousand_watch_at_one_process)
{
  struct watcher *watchers = calloc(WATCHERS, sizeof(*watchers));
  for (size_t i = 0; i < WATCHERS; i++)
    watcher_begin(&watchers[i], &items.driver, "");
  for (size_t i = 0; i < WATCHERS; i++)
    for (uint64_t end_us = patience_end_us(); watchers[i].messages == 0; driver_turn(&items.driver))
      cr_assert(!watchers[i].done && clock_now_us() < end_us, "%s", watchers[i].reason);
  create("lamp");
  await_all(watchers, 1);
  create("shade");
  await_all(watchers, 2);
  for (size_t i = 0; i < WATCHERS; i++) {
    watcher_expect(&watchers[i], watchers[i].count - 1, CREATED, "shade");
    watcher_cancel(&watchers[i]);
  }
  free(watchers);
}

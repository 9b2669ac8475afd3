// Imports: what becomes of each line, however many there are, and what is said of one that is interrupted.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/component/item/items.h"
#include "tests/component/item/watchers.h"

#define IMPORT_ITEMS "item.v1.ItemService/ImportItems"

static struct items items;

static struct {
  struct rpc_call *call;
  bool done;
  enum status status;
  char message[300];
  Item__V1__ImportItemsResponse *reply;
} import;

static void setup(void)
{
  items_open(&items);
}

static void teardown(void)
{
  if (import.reply != NULL)
    item__v1__import_items_response__free_unpacked(import.reply, NULL);
  items_close(&items);
}

TestSuite(item_import, .init = setup, .fini = teardown);

static void on_message(void *arg, struct slice payload)
{
  (void)arg;
  (void)payload;
  cr_assert_fail("an import sends no messages");
}

static void on_writable(void *arg)
{
  (void)arg;
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  (void)arg;
  import.done = true;
  import.status = status->code;
  snprintf(import.message, sizeof(import.message), SLICE_FMT, SLICE_ARG(status->message));
  import.reply = item__v1__import_items_response__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  cr_assert_not_null(import.reply);
}

static void begin(void)
{
  static const struct rpc_stream_events events = {on_message, on_writable};
  struct rpc_context context = driver_authenticate(&items.driver, &owner);
  const struct rpc_call_options options = {
      .service = "item",
      .method = SLICE(IMPORT_ITEMS),
      .deadline_us = deadline_after_ms(clock_now_us(), 600000),
      .context = &context,
      .stream = &events,
      .writes_messages = true,
  };
  import.call = rpc_client_call(items.driver.client, &options, on_done, NULL);
}

// Sends a line. False where the import has ended.
static bool send(const Item__V1__ImportItemsRequest *line)
{
  uint8_t bytes[32768];
  cr_assert_leq(item__v1__import_items_request__get_packed_size(line), sizeof(bytes));
  struct slice wire = slice_make(bytes, item__v1__import_items_request__pack(line, bytes));
  for (uint64_t end_us = patience_end_us(); !import.done && !rpc_call_may_write(import.call);) {
    cr_assert_lt(clock_now_us(), end_us);
    driver_turn(&items.driver);
  }
  if (!import.done)
    cr_assert(rpc_call_write(import.call, wire));
  return !import.done;
}

static bool send_item(const char *sku, const char *name)
{
  Item__V1__ImportItemsRequest line = ITEM__V1__IMPORT_ITEMS_REQUEST__INIT;
  line.sku = (char *)(uintptr_t)sku;
  line.name = (char *)(uintptr_t)name;
  return send(&line);
}

static void await_end(enum status status)
{
  for (uint64_t end_us = patience_end_us(); !import.done; driver_turn(&items.driver))
    cr_assert_lt(clock_now_us(), end_us);
  cr_assert_eq(import.status, status, "%s: %s", status_name(import.status), import.message);
}

static void await_count(const char *count)
{
  for (uint64_t end_us = patience_end_us(); strcmp(items_count(&items), count) != 0;) {
    cr_assert_lt(clock_now_us(), end_us);
    rpc_client_process(items.driver.client, clock_now_us());
    rpc_client_flush(items.driver.client);
  }
}

static void finish(int64_t created, int64_t failed)
{
  rpc_call_half_close(import.call);
  await_end(STATUS_OK);
  cr_expect_eq(import.reply->created, created, "%lld are created", (long long)import.reply->created);
  cr_expect_eq(import.reply->failed, failed, "%lld have failed", (long long)import.reply->failed);
  cr_expect_eq(import.reply->lines, created + failed);
}

static void expect_failure(size_t index, int64_t line, const char *reason, const char *field)
{
  cr_assert_lt(index, import.reply->n_failures);
  const Item__V1__ImportFailure *failure = import.reply->failures[index];
  cr_expect_eq(failure->line, line, "line %lld", (long long)failure->line);
  cr_expect_str_eq(failure->reason, reason);
  cr_expect_str_eq(failure->field, field);
  cr_expect_str_neq(failure->message, "");
}

Test(item_import, each_line_becomes_an_item_or_a_failure)
{
  items_created(&items, items_make(&items, "taken", "Lamp"), &owner);
  items_created(&items, items_make(&items, "of another", "Lamp"), &other_owner);
  begin();
  Item__V1__ImportItemsRequest line = ITEM__V1__IMPORT_ITEMS_REQUEST__INIT;
  char *tags[] = {"brass", "old"};
  line.sku = "whole";
  line.name = "Lamp";
  line.description = "Of brass.";
  line.category = "light";
  line.tags = tags;
  line.n_tags = ARRAY_LEN(tags);
  line.price = "12.50";
  line.currency = "EUR";
  line.quantity = 7;
  line.attributes = "{\"depth\": 1e400}";
  send(&line);
  send_item("", "no sku");
  send_item("taken", "Lamp");
  send_item("of another", "Lamp");
  send_item("twice", "first");
  send_item("twice", "second");
  line.sku = "half";
  line.currency = "";
  send(&line);
  line.currency = "EUR";
  line.quantity = -1;
  send(&line);
  finish(3, 5);
  expect_failure(0, 2, "INVALID_REQUEST", "sku");
  expect_failure(1, 3, "SKU_TAKEN", "sku");
  expect_failure(2, 6, "SKU_TAKEN", "sku");
  expect_failure(3, 7, "INVALID_ITEM", "currency");
  expect_failure(4, 8, "INVALID_REQUEST", "quantity");
  cr_expect_str_eq(import.reply->failures[1]->code, "ALREADY_EXISTS");
  cr_expect_str_eq(import.reply->failures[0]->code, "INVALID_ARGUMENT");
  cr_expect_str_eq(database_sql(&items.database,
                                "SELECT concat_ws('|', name, description, category, tags, price, currency, quantity,"
                                " attributes, revision) FROM item.items WHERE sku = 'whole' AND owner_id = '" OWNER
                                "'"),
                   "Lamp|Of brass.|light|{brass,old}|12.50|EUR|7|{\"depth\": 1e400}|1");
  cr_expect_str_eq(database_sql(&items.database, "SELECT name FROM item.items WHERE sku = 'twice'"), "first");
}

Test(item_import, no_line_is_well_too)
{
  begin();
  finish(0, 0);
}

// What the rules let pass and PostgreSQL does not is found among the others.
Test(item_import, an_item_that_the_database_refuses_keeps_no_other_one_back)
{
  database_sql(&items.database, "ALTER TABLE item.items ADD CHECK (name NOT LIKE 'bad%%')");
  begin();
  char sku[16];
  for (int i = 1; i <= 100; i++) {
    snprintf(sku, sizeof(sku), "S-%d", i);
    send_item(sku, i == 37 || i == 38 || i == 100 ? "bad" : "good");
  }
  finish(97, 3);
  expect_failure(0, 37, "INVALID_ITEM", "");
  expect_failure(1, 38, "INVALID_ITEM", "");
  expect_failure(2, 100, "INVALID_ITEM", "");
}

enum { LINES = 20000 };

static void send_many(void)
{
  char sku[16];
  for (int i = 1; i <= LINES; i++) {
    snprintf(sku, sizeof(sku), "S-%d", i);
    if (!send_item(i % 10 == 0 ? "" : sku, "Lamp"))
      return;
  }
}

Test(item_import, a_long_import_reports_its_first_failures_and_may_be_repeated)
{
  begin();
  send_many();
  finish(LINES / 10 * 9, LINES / 10);
  cr_assert_eq(import.reply->n_failures, 1000);
  for (size_t i = 0; i < 1000; i++)
    expect_failure(i, (int64_t)(i + 1) * 10, "INVALID_REQUEST", "sku");
  item__v1__import_items_response__free_unpacked(import.reply, NULL);
  memset(&import, 0, sizeof(import));
  begin();
  send_many();
  finish(0, LINES);
  expect_failure(0, 1, "SKU_TAKEN", "sku");
  expect_failure(999, 1000, "INVALID_REQUEST", "sku");
  char made[16];
  snprintf(made, sizeof(made), "%d", LINES / 10 * 9);
  cr_expect_str_eq(items_count(&items), made);
}

static struct watcher watcher;

Test(item_import, watchers_are_told_of_an_import_while_it_goes_on)
{
  const Item__V1__WatchItemsRequest request = ITEM__V1__WATCH_ITEMS_REQUEST__INIT;
  watcher_open(&watcher, &items.driver, &request);
  begin();
  char sku[16];
  for (int i = 1; i <= 1000; i++) {
    snprintf(sku, sizeof(sku), "S-%d", i);
    send_item(sku, "Lamp");
  }
  watcher_await(&watcher, 1000);
  cr_expect(!import.done);
  finish(1000, 0);
  watcher_cancel(&watcher);
}

Test(item_import, an_import_that_is_cancelled_leaves_the_batches_that_were_written)
{
  begin();
  char sku[16];
  for (int i = 1; i <= 1500; i++) {
    snprintf(sku, sizeof(sku), "S-%d", i);
    send_item(sku, "Lamp");
  }
  await_count("1000");
  rpc_call_cancel(import.call);
  rpc_client_flush(items.driver.client);
  // A call that comes after it finds it ended.
  items_created(&items, items_make(&items, "after", "Lamp"), &owner);
  cr_expect_str_eq(items_count(&items), "1001");
}

// The protocols that carry JSON tell this before it gets here.
Test(item_import, a_message_that_is_no_line_ends_the_import)
{
  begin();
  send_item("lamp", "Lamp");
  Item__V1__ImportItemsRequest line = ITEM__V1__IMPORT_ITEMS_REQUEST__INIT;
  line.attributes = "[]";
  send(&line);
  rpc_call_half_close(import.call);
  await_end(STATUS_INVALID_ARGUMENT);
  cr_expect_str_eq(import.message,
                   "the import ended early: all lines to 0 are done (0 items created, 0 lines refused); "
                   "send the lines from 1 on again");
  cr_expect_str_eq(items_count(&items), "0");
}

// PostgreSQL is gone in the middle: what is said is what was written.
Test(item_import, an_import_that_is_interrupted_says_how_far_it_came)
{
  begin();
  char sku[16];
  for (int i = 1; i <= 1000; i++) {
    snprintf(sku, sizeof(sku), "S-%d", i);
    send_item(sku, "Lamp");
  }
  await_count("1000");
  database_sql(&items.database, "ALTER TABLE item.items RENAME TO gone");
  for (int i = 1001; i <= 1010; i++) {
    snprintf(sku, sizeof(sku), "S-%d", i);
    send_item(sku, "Lamp");
  }
  rpc_call_half_close(import.call);
  await_end(STATUS_INTERNAL);
  cr_expect_str_eq(import.message,
                   "the import ended early: all lines to 1000 are done, and those to 1010 perhaps (1000 "
                   "items created, 0 lines refused); send the lines from 1001 on again");
  database_sql(&items.database, "ALTER TABLE item.gone RENAME TO items");
}

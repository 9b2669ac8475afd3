#include "tests/component/item/items.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct rpc_context owner = {.request_id = SLICE_INIT("r-1"), .caller_id = SLICE_INIT(OWNER)};
const struct rpc_context other_owner = {.request_id = SLICE_INIT("r-2"), .caller_id = SLICE_INIT(OTHER_OWNER)};

static void launch(struct items *items, struct process *process, struct driver *driver)
{
  const char *redis = getenv("BULKHEAD_TEST_REDIS");
  cr_assert_not_null(redis);
  service_launch(process, &items->database, "item", NULL, NULL,
                 (const char *const[]){"MIGRATE_ON_START=true", "IDEMPOTENCY_SWEEP_INTERVAL=20ms",
                                       "ITEM_SWEEP_INTERVAL=20ms",
                                       arena_printf(&items->database.arena, "REDIS_URL=%s", redis), NULL});
  process_wait_ready(process);
  driver_open(driver, process->url, "gateway");
}

void items_open(struct items *items)
{
  database_create(&items->database, (const char *const[]){"item", NULL});
  process_prepare(&items->process);
  launch(items, &items->process, &items->driver);
}

void items_open_other(struct items *items, struct process *process, struct driver *driver)
{
  process_prepare(process);
  launch(items, process, driver);
}

void items_close_other(struct process *process, struct driver *driver)
{
  driver_close(driver);
  cr_expect_eq(process_stop(process), 0, "%s", strbuf_cstring(&process->output));
  process_free(process);
}

void items_kill(struct items *items)
{
  cr_assert_eq(kill(items->process.pid, SIGKILL), 0);
  cr_expect_eq(process_end(&items->process), -1);
  process_free(&items->process);
}

void items_start_again(struct items *items)
{
  driver_close(&items->driver);
  process_prepare_again(&items->process);
  launch(items, &items->process, &items->driver);
}

void items_close(struct items *items)
{
  driver_close(&items->driver);
  int code = process_stop(&items->process);
  cr_expect_eq(code, 0, "it ended with %d: %s", code, strbuf_cstring(&items->process.output));
  process_free(&items->process);
  database_drop(&items->database);
}

char *items_text(struct items *items, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  char *text = arena_vprintf(&items->driver.arena, format, args);
  va_end(args);
  return text;
}

Item__V1__Item *items_make(struct items *items, const char *sku, const char *name)
{
  Item__V1__Item *item = arena_alloc(&items->driver.arena, sizeof(*item));
  item__v1__item__init(item);
  item->sku = items_text(items, "%s", sku);
  item->name = items_text(items, "%s", name);
  return item;
}

struct outcome items_create(struct items *items, Item__V1__Item *item, const struct rpc_context *as)
{
  Item__V1__CreateItemRequest request = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
  request.item = item;
  return driver_call(&items->driver, CREATE_ITEM, &request.base, as);
}

static const Item__V1__Item *item_in(const struct outcome *outcome)
{
  return (const Item__V1__Item *)(const void *)driver_reply(outcome, &item__v1__item__descriptor);
}

const Item__V1__Item *items_created(struct items *items, Item__V1__Item *item, const struct rpc_context *as)
{
  struct outcome outcome = items_create(items, item, as);
  return item_in(&outcome);
}

const Item__V1__Item *items_get(struct items *items, const char *id)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = items_text(items, "%s", id);
  struct outcome outcome = driver_call(&items->driver, GET_ITEM, &request.base, &owner);
  return item_in(&outcome);
}

void items_begin_update(struct items *items, const struct item_update *update, struct outcome *outcome)
{
  Item__V1__UpdateItemRequest request = ITEM__V1__UPDATE_ITEM_REQUEST__INIT;
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  mask.paths = update->paths;
  mask.n_paths = update->count;
  request.update_mask = &mask;
  request.item = update->item;
  if (update->if_match != NULL)
    request.if_match = update->if_match;
  driver_begin(&items->driver, UPDATE_ITEM, driver_pack(&items->driver, &request.base), update->as, update->timeout_ms,
               outcome);
}

size_t items_finish_all(struct items *items, struct outcome *outcomes, size_t count, enum status other)
{
  size_t good = 0;
  for (size_t i = 0; i < count; i++) {
    driver_finish(&items->driver, &outcomes[i]);
    good += outcomes[i].status == STATUS_OK;
    if (outcomes[i].status != STATUS_OK)
      cr_expect_eq(outcomes[i].status, other, "%s: " SLICE_FMT, status_name(outcomes[i].status),
                   SLICE_ARG(outcomes[i].message));
  }
  return good;
}

void items_expect_violation(const struct outcome *outcome, enum status status, const char *field)
{
  cr_expect_eq(outcome->status, status, "%s", status_name(outcome->status));
  cr_assert_eq(outcome->violation_count, 1);
  cr_expect(slice_equal_string(outcome->violation_field, field), SLICE_FMT, SLICE_ARG(outcome->violation_field));
}

struct outcome items_create_batch(struct items *items, Item__V1__Item **batch, size_t count)
{
  Item__V1__BatchCreateItemsRequest request = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  request.items = batch;
  request.n_items = count;
  return driver_call(&items->driver, BATCH_CREATE, &request.base, &owner);
}

const char *items_count(struct items *items)
{
  return database_sql(&items->database, "SELECT count(*) FROM item.items");
}

long items_read_metric(struct items *items, const char *series)
{
  struct strbuf metrics;
  strbuf_init(&metrics, 0);
  const char *found = strstr(process_http(&items->process, "GET /metrics HTTP/1.0\r\n\r\n", &metrics), series);
  long value = found == NULL ? 0 : strtol(found + strlen(series), NULL, 10);
  strbuf_free(&metrics);
  return value;
}

void items_hold(struct items *items, struct process *holder, char *sql)
{
  process_prepare(holder);
  process_launch(holder, items_text(items, "%s/psql", getenv("BULKHEAD_PG_BIN")),
                 (char *[]){"psql", "-Xq", "-c", "SET application_name = 'holder'", "-c", "BEGIN", "-c", sql, "-c",
                            "SELECT pg_sleep(600)", (char *)(uintptr_t)database_of_superuser(&items->database), NULL},
                 NULL);
  database_wait_sql(
      &items->database,
      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND datname = current_database()"
      " AND wait_event = 'PgSleep'",
      "1");
}

void items_lock(struct items *items, struct process *holder, const char *id)
{
  items_hold(items, holder, items_text(items, "SELECT FROM item.items WHERE id = '%s' FOR UPDATE", id));
}

void items_unlock(struct items *items, struct process *holder)
{
  database_sql(&items->database,
               "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder' AND datname = "
               "current_database()");
  process_end(holder);
  process_free(holder);
}

// What handlers do in the transaction of a call that carries an Idempotency-Key.
#include <criterion/criterion.h>
#include <string.h>

#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/support/service/database.h"

static struct database database;
static struct process probe;
static struct driver gateway;

static const struct rpc_context with_key = {
    .request_id = SLICE_INIT("r-1"), .caller_id = SLICE_INIT("caller-1"), .idempotency_key = SLICE_INIT("key-1")};
static const struct rpc_context without_key = {.request_id = SLICE_INIT("r-2"), .caller_id = SLICE_INIT("caller-1")};

static void setup(void)
{
  database_create(&database, (const char *const[]){"probe", NULL});
  probe_serve(&probe, (const char *const[]){
                          "MIGRATE_ON_START=true",
                          arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_service(&database, "probe")),
                          NULL,
                      });
  driver_open(&gateway, probe.url, "gateway");
}

static void teardown(void)
{
  driver_close(&gateway);
  cr_expect_eq(process_stop(&probe), 0);
  process_free(&probe);
  database_drop(&database);
}

TestSuite(service_idempotency, .init = setup, .fini = teardown);

static struct outcome create(char *name, const struct rpc_context *context)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  Item__V1__BatchCreateItemsRequest request = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  item.sku = "S";
  item.name = name;
  request.items = (Item__V1__Item *[]){&item};
  request.n_items = 1;
  return driver_call(&gateway, "item.v1.ItemService/BatchCreateItems", &request.base, context);
}

static const Item__V1__Item *item_in(const struct outcome *outcome)
{
  const void *reply = driver_reply(outcome, &item__v1__batch_create_items_response__descriptor);
  return ((const Item__V1__BatchCreateItemsResponse *)reply)->items[0];
}

static void expect_sql(const char *query, const char *expected)
{
  const char *result = database_sql(&database, "%s", query);
  cr_expect_str_eq(result, expected, "%s: %s", query, result);
}

Test(service_idempotency, a_handler_reads_what_it_has_written_in_the_transaction)
{
  struct outcome outcome = create("lamp", &with_key);
  cr_expect_str_eq(item_in(&outcome)->description, "lamp");
  expect_sql("SELECT string_agg(word, ' ') FROM probe.words", "lamp");
}

Test(service_idempotency, an_effect_elsewhere_is_answered_once_too)
{
  struct outcome first = create(PROBE_ELSEWHERE, &with_key);
  struct outcome repeat = create(PROBE_ELSEWHERE, &with_key);
  cr_expect_str_eq(item_in(&first)->sku, "1");
  cr_expect_str_eq(item_in(&repeat)->sku, "1");
}

Test(service_idempotency, without_a_key_every_call_has_its_effect)
{
  struct outcome first = create("lamp", &without_key);
  struct outcome second = create("lamp", &without_key);
  cr_expect_str_eq(item_in(&first)->sku, "1");
  cr_expect_str_eq(item_in(&second)->sku, "2");
  expect_sql("SELECT count(*) FROM probe.words", "2");
  expect_sql("SELECT count(*) FROM probe.idempotency_keys", "0");
}

// The transaction cannot be kept after a failed statement, so its effect and a good answer would contradict each other.
Test(service_idempotency, a_handler_that_ignores_a_failed_statement_fails)
{
  struct outcome outcome = create(PROBE_CARELESS, &with_key);
  cr_expect_eq(outcome.status, STATUS_INTERNAL, "%s", status_name(outcome.status));
  process_wait_output(&probe, "the handler must return that failure");
  expect_sql("SELECT count(*) FROM probe.words", "0");
  expect_sql("SELECT count(*) FROM probe.idempotency_keys", "0");
}

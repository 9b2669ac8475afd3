// What handlers do in the transaction of a call that carries an Idempotency-Key.
#include <criterion/criterion.h>
#include <stdlib.h>
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

// `setting` comes on top of what the probe needs; NULL for none.
static void start_probe(const char *setting)
{
  const char *const environment[] = {
      "MIGRATE_ON_START=true",
      arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_owner(&database, "probe")),
      setting,
      NULL,
  };
  probe_open(&probe, &gateway, environment);
}

static void stop_probe(void)
{
  probe_close(&probe, &gateway);
}

static void setup(void)
{
  database_create(&database, (const char *const[]){"probe", NULL});
  start_probe(NULL);
}

static void teardown(void)
{
  stop_probe();
  database_drop(&database);
}

TestSuite(service_idempotency, .init = setup, .fini = teardown);

#define BATCH_CREATE "item.v1.ItemService/BatchCreateItems"

static void begin_create(char *name, const struct rpc_context *context, struct outcome *outcome)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  Item__V1__BatchCreateItemsRequest request = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  item.sku = "S";
  item.name = name;
  request.items = (Item__V1__Item *[]){&item};
  request.n_items = 1;
  driver_begin(&gateway, BATCH_CREATE, driver_pack(&gateway, &request.base), context, 10000, outcome);
}

static struct outcome create(char *name, const struct rpc_context *context)
{
  struct outcome outcome;
  begin_create(name, context, &outcome);
  driver_finish(&gateway, &outcome);
  return outcome;
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

// One connection for all writes: a transaction that stayed open would keep it from the repeat.
Test(service_idempotency, a_handler_that_fails_leaves_neither_effect_nor_key)
{
  stop_probe();
  start_probe("PG_POOL_SIZE=1");
  struct outcome outcome = create(PROBE_REGRET, &with_key);
  cr_expect_eq(outcome.status, STATUS_NOT_FOUND, "%s", status_name(outcome.status));
  expect_sql("SELECT count(*) FROM probe.words", "0");
  struct outcome other = create("lamp", &with_key);
  cr_expect_eq(other.status, STATUS_OK, "%s", status_name(other.status));
  expect_sql("SELECT string_agg(word, ' ') FROM probe.words", "lamp");
}

// The second request finds no row, fails by itself with many details, and finds the row of the first then. Its answer
// has nothing of its own failure.
Test(service_idempotency, a_refused_key_is_not_explained_by_what_the_handler_has_said)
{
  struct outcome late;
  begin_create(PROBE_LATE, &with_key, &late);
  process_wait_http(&probe, "/debug/tasks", BATCH_CREATE "\",\"state\":\"waiting\"");
  cr_expect_eq(create("lamp", &with_key).status, STATUS_OK);
  probe_release(&probe);
  driver_finish(&gateway, &late);
  cr_expect_eq(late.status, STATUS_FAILED_PRECONDITION, "%s", status_name(late.status));
  cr_expect(slice_equal_string(late.reason, "IDEMPOTENCY_KEY_REUSED"), SLICE_FMT, SLICE_ARG(late.reason));
  cr_expect_eq(late.violation_count, 0);
  cr_expect_eq(late.retry_after_ms, 0);
}

// The handler has succeeded and done nothing wrong, so the call does not end with INTERNAL.
Test(service_idempotency, an_effect_elsewhere_fails_as_its_claim_does)
{
  database_sql(&database, "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                          " 'BEGIN RAISE EXCEPTION USING ERRCODE = ''disk_full''; END';"
                          "CREATE TRIGGER refuse BEFORE INSERT ON probe.idempotency_keys FOR EACH ROW"
                          " EXECUTE FUNCTION public.refuse()");
  struct outcome outcome = create(PROBE_ELSEWHERE, &with_key);
  cr_expect_eq(outcome.status, STATUS_UNAVAILABLE, "%s", status_name(outcome.status));
}

// PostgreSQL refuses the first two INSERTs, as if their lock had not been granted in time. The sequence goes on where
// everything else is rolled back.
static void lose_two_locks(void)
{
  database_sql(&database, "CREATE SEQUENCE public.tries;"
                          "CREATE FUNCTION public.lose_lock() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
                          " 'BEGIN IF nextval(''public.tries'') < 3 THEN"
                          " RAISE EXCEPTION USING ERRCODE = ''lock_not_available''; END IF; RETURN NEW; END';"
                          "CREATE TRIGGER lose_lock BEFORE INSERT ON probe.words FOR EACH ROW"
                          " EXECUTE FUNCTION public.lose_lock()");
}

Test(service_idempotency, a_handler_that_lost_a_lock_runs_again_and_its_last_run_answers)
{
  lose_two_locks();
  struct outcome first = create("lamp", &with_key);
  cr_assert_eq(first.status, STATUS_OK, "%s", status_name(first.status));
  cr_expect_str_eq(item_in(&first)->sku, "3");
  cr_expect_str_eq(item_in(&first)->description, "lamp");
  expect_sql("SELECT string_agg(word, ' ') FROM probe.words", "lamp");
  struct outcome repeat = create("lamp", &with_key);
  cr_expect_str_eq(item_in(&repeat)->sku, "3");
}

Test(service_idempotency, what_an_earlier_run_has_said_is_forgotten)
{
  lose_two_locks();
  struct outcome outcome = create(PROBE_REGRET, &with_key);
  cr_expect_eq(outcome.status, STATUS_NOT_FOUND, "%s", status_name(outcome.status));
  cr_expect(slice_equal_string(outcome.reason, "NOT_FOUND"), SLICE_FMT, SLICE_ARG(outcome.reason));
  cr_expect_eq(memmem(outcome.message.data, outcome.message.size, "words", 5), NULL, SLICE_FMT,
               SLICE_ARG(outcome.message));
}

// ---- many keys ----

static void expect_sku(struct outcome outcome, int number)
{
  cr_expect_str_eq(item_in(&outcome)->sku, arena_printf(&database.arena, "%d", number));
}

enum { CALLS = 20, EXPIRED = 40000 };

#define STATISTICS(column) "SELECT " column " FROM pg_stat_user_tables WHERE relid = 'probe.idempotency_keys'::regclass"

// Returns how many statements have removed expired keys, or have found none.
static long count_sweeps(void)
{
  static const char series[] = "bulkhead_postgres_statements_total{statement=\"idempotency_sweep\",status=\"OK\"} ";
  struct strbuf answer;
  strbuf_init(&answer, 0);
  const char *found = strstr(process_http(&probe, "GET /metrics HTTP/1.0\r\n\r\n", &answer), series);
  cr_assert_not_null(found);
  long count = strtol(found + strlen(series), NULL, 10);
  strbuf_free(&answer);
  return count;
}

// The plans are those that PostgreSQL itself chooses: custom ones first, and a generic one after some calls. Each sweep
// removes all expired keys, though few in one statement.
Test(service_idempotency, no_statement_scans_the_table)
{
  database_sql(&database,
               "INSERT INTO probe.idempotency_keys SELECT sha256(i::text::bytea), '', '',"
               " now() - CASE WHEN i <= %d THEN 25 ELSE 1 END * interval '1 hour' FROM generate_series(1, 100000) AS i",
               EXPIRED);
  database_sql(&database, "VACUUM ANALYZE probe.idempotency_keys");
  stop_probe();
  database_sql(&database, "SELECT pg_stat_reset()");
  start_probe("IDEMPOTENCY_SWEEP_INTERVAL=1s");
  for (int i = 0; i < CALLS; i++) {
    struct rpc_context context = with_key;
    context.idempotency_key = slice_from_string(arena_printf(&database.arena, "key-%d", i));
    for (int repeat = 0; repeat < 2; repeat++)
      expect_sku(create(PROBE_ELSEWHERE, &context), i + 1);
  }
  database_wait_sql(&database, STATISTICS("n_tup_del"), "40000");
  // 80 statements have removed all, and one a second since then has found nothing for a minute at most.
  cr_expect_leq(count_sweeps(), 160);
  // A session that ends reports the rest of what it has done.
  driver_close(&gateway);
  cr_expect_eq(process_stop(&probe), 0);
  EXPECT_NO_OUTPUT(probe, "could not remove");
  process_free(&probe);
  database_wait_sql(&database, STATISTICS("n_tup_ins"), "20");
  expect_sql(STATISTICS("seq_scan"), "0");
  start_probe(NULL);
}

Test(service_idempotency, a_sweep_that_fails_is_told)
{
  stop_probe();
  database_sql(&database, "ALTER TABLE probe.idempotency_keys RENAME TO elsewhere");
  start_probe("IDEMPOTENCY_SWEEP_INTERVAL=10ms");
  process_wait_output(&probe, "could not remove expired Idempotency-Keys");
}

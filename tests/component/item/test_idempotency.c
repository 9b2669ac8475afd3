// Creating calls that are repeated with the same Idempotency-Key.
#include <criterion/criterion.h>
#include <string.h>

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

TestSuite(item_idempotency, .init = setup, .fini = teardown);

enum { TWINS = 12 };

static struct rpc_context with_key(const struct rpc_context *caller, const char *key)
{
  struct rpc_context context = *caller;
  context.idempotency_key = slice_from_string(key);
  return context;
}

// Creates an item of the owner with this key and sku.
static struct outcome create(const char *key, const char *sku)
{
  const struct rpc_context context = with_key(&owner, key);
  return items_create(&items, items_make(&items, sku, "Lamp"), &context);
}

static void begin_create(const char *key, const char *sku, uint64_t timeout_ms, struct outcome *outcome)
{
  const struct rpc_context context = with_key(&owner, key);
  Item__V1__CreateItemRequest request = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
  request.item = items_make(&items, sku, "Lamp");
  driver_begin(&items.driver, CREATE_ITEM, driver_pack(&items.driver, &request.base), &context, timeout_ms, outcome);
}

static void expect_same(const struct outcome *first, const struct outcome *repeat)
{
  cr_expect_eq(first->status, STATUS_OK, SLICE_FMT, SLICE_ARG(first->message));
  cr_expect_eq(repeat->status, STATUS_OK, SLICE_FMT, SLICE_ARG(repeat->message));
  cr_expect(first->payload.size > 0 && slice_equal(first->payload, repeat->payload));
}

static void expect_refused(const struct outcome *outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome->status, status, "%s", status_name(outcome->status));
  cr_expect(slice_equal_string(outcome->reason, reason), SLICE_FMT, SLICE_ARG(outcome->reason));
}

// ---- the answer ----

Test(item_idempotency, a_repeat_gets_the_answer_of_the_first)
{
  struct outcome first = create("key-1", "S");
  struct outcome repeat = create("key-1", "S");
  expect_same(&first, &repeat);
  cr_expect_str_eq(items_count(&items), "1");
}

Test(item_idempotency, a_repeat_gets_the_first_answer_also_after_a_restart_and_a_change)
{
  struct outcome first = create("key-1", "S");
  // The driver that holds the first answer is closed with the process.
  char kept[4096];
  cr_assert_leq(first.payload.size, sizeof(kept));
  memcpy(kept, first.payload.data, first.payload.size);
  first.payload.data = kept;
  items_kill(&items);
  database_sql(&items.database, "UPDATE item.items SET name = 'Another', revision = 7");
  items_start_again(&items);
  struct outcome repeat = create("key-1", "S");
  expect_same(&first, &repeat);
  cr_expect_str_eq(items_count(&items), "1");
}

Test(item_idempotency, another_request_with_the_same_key_is_refused)
{
  cr_assert_eq(create("key-1", "S").status, STATUS_OK);
  struct outcome other = create("key-1", "T");
  expect_refused(&other, STATUS_FAILED_PRECONDITION, "IDEMPOTENCY_KEY_REUSED");
  cr_expect_str_eq(items_count(&items), "1");
  cr_expect_eq(create("key-2", "T").status, STATUS_OK);
}

Test(item_idempotency, a_key_belongs_to_its_caller_and_method)
{
  struct outcome mine = create("key-1", "S");
  const struct rpc_context other = with_key(&other_owner, "key-1");
  struct outcome theirs = items_create(&items, items_make(&items, "S", "Lamp"), &other);
  cr_expect_eq(theirs.status, STATUS_OK);
  cr_expect_not(slice_equal(mine.payload, theirs.payload));
  const struct rpc_context context = with_key(&owner, "key-1");
  Item__V1__BatchCreateItemsRequest request = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  request.items = (Item__V1__Item *[]){items_make(&items, "T", "Lamp")};
  request.n_items = 1;
  cr_expect_eq(driver_call(&items.driver, BATCH_CREATE, &request.base, &context).status, STATUS_OK);
  cr_expect_str_eq(items_count(&items), "3");
}

Test(item_idempotency, neither_key_nor_request_is_stored)
{
  cr_assert_eq(create("a-key-to-look-for", "a-sku-to-look-for").status, STATUS_OK);
  const char *rows =
      database_sql(&items.database, "SELECT encode(id || request_hash, 'escape') FROM item.idempotency_keys");
  cr_expect_null(strstr(rows, "look-for"), "%s", rows);
}

// ---- failures ----

Test(item_idempotency, after_a_failure_the_key_is_free)
{
  const Item__V1__Item *holder = items_created(&items, items_make(&items, "S", "Lamp"), &owner);
  struct outcome failed = create("key-1", "S");
  expect_refused(&failed, STATUS_ALREADY_EXISTS, "SKU_TAKEN");
  cr_expect(slice_equal_string(failed.violation_field, "sku"));
  Item__V1__DeleteItemRequest request = ITEM__V1__DELETE_ITEM_REQUEST__INIT;
  request.id = holder->id;
  cr_assert_eq(driver_call(&items.driver, DELETE_ITEM, &request.base, &owner).status, STATUS_OK);
  cr_expect_eq(create("key-1", "S").status, STATUS_OK);
  cr_expect_str_eq(items_count(&items), "1");
}

// The handler looks for the taken sku after its statement has failed.
Test(item_idempotency, a_batch_that_fails_tells_why)
{
  items_created(&items, items_make(&items, "T", "Lamp"), &owner);
  const struct rpc_context context = with_key(&owner, "key-1");
  Item__V1__BatchCreateItemsRequest request = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  request.items = (Item__V1__Item *[]){items_make(&items, "S", "Lamp"), items_make(&items, "T", "Lamp")};
  request.n_items = 2;
  struct outcome failed = driver_call(&items.driver, BATCH_CREATE, &request.base, &context);
  expect_refused(&failed, STATUS_ALREADY_EXISTS, "SKU_TAKEN");
  cr_expect(slice_equal_string(failed.violation_field, "items[1].sku"), SLICE_FMT, SLICE_ARG(failed.violation_field));
  cr_expect_str_eq(items_count(&items), "1");
}

// ---- at the same time ----

// Closes the gate: from now on PostgreSQL holds up every call between its effect and its commit, until open_gate.
static void close_gate(void)
{
  database_sql(
      &items.database,
      "CREATE TABLE public.gate ();"
      "CREATE FUNCTION public.wait_for_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
      " 'BEGIN WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; END';"
      "CREATE TRIGGER gate BEFORE UPDATE ON item.idempotency_keys FOR EACH ROW"
      " EXECUTE FUNCTION public.wait_for_gate()");
}

static void open_gate(void)
{
  database_sql(&items.database, "INSERT INTO public.gate DEFAULT VALUES");
}

// Waits until this many connections of the service are in such a wait.
static void wait_waiting(const char *condition, const char *count)
{
  database_wait_sql(&items.database,
                    items_text(&items,
                               "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_item'"
                               " AND datname = current_database() AND %s",
                               condition),
                    count);
}

#define AT_THE_GATE "wait_event = 'PgSleep'"

Test(item_idempotency, concurrent_repeats_get_one_answer)
{
  struct outcome outcomes[TWINS];
  close_gate();
  begin_create("key-1", "S", 30000, &outcomes[0]);
  wait_waiting(AT_THE_GATE, "1");
  for (size_t i = 1; i < TWINS; i++)
    begin_create("key-1", "S", 30000, &outcomes[i]);
  database_wait_sql(&items.database,
                    "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'bulkhead_item'"
                    " AND datname = current_database() AND wait_event_type = 'Lock'",
                    "t");
  open_gate();
  for (size_t i = 0; i < TWINS; i++) {
    driver_finish(&items.driver, &outcomes[i]);
    expect_same(&outcomes[0], &outcomes[i]);
  }
  cr_expect_str_eq(items_count(&items), "1");
}

Test(item_idempotency, of_concurrent_requests_with_one_key_one_is_made)
{
  struct outcome outcomes[TWINS];
  for (size_t i = 0; i < TWINS; i++)
    begin_create("key-1", items_text(&items, "S%zu", i), 30000, &outcomes[i]);
  size_t good = 0;
  for (size_t i = 0; i < TWINS; i++) {
    driver_finish(&items.driver, &outcomes[i]);
    good += outcomes[i].status == STATUS_OK;
    if (outcomes[i].status != STATUS_OK)
      expect_refused(&outcomes[i], STATUS_FAILED_PRECONDITION, "IDEMPOTENCY_KEY_REUSED");
  }
  cr_expect_eq(good, 1);
  cr_expect_str_eq(items_count(&items), "1");
}

// Two requests with keys of their own want the same sku, and the first holds its lock for longer than anything waits
// for a lock. The second must not fail because of that.
Test(item_idempotency, a_lock_that_another_call_holds_is_waited_for)
{
  struct outcome first, second;
  close_gate();
  begin_create("key-1", "S", 30000, &first);
  wait_waiting(AT_THE_GATE, "1");
  begin_create("key-2", "S", 30000, &second);
  process_wait_http(&items.process, "/metrics", "{statement=\"item_insert\",status=\"ABORTED\"} 2");
  open_gate();
  driver_finish(&items.driver, &first);
  driver_finish(&items.driver, &second);
  cr_expect_eq(first.status, STATUS_OK, "%s", status_name(first.status));
  expect_refused(&second, STATUS_ALREADY_EXISTS, "SKU_TAKEN");
}

Test(item_idempotency, a_repeat_waits_no_longer_than_its_deadline)
{
  struct outcome first, repeat;
  close_gate();
  begin_create("key-1", "S", 30000, &first);
  wait_waiting(AT_THE_GATE, "1");
  begin_create("key-1", "S", 300, &repeat);
  driver_finish(&items.driver, &repeat);
  cr_expect_eq(repeat.status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(repeat.status));
  open_gate();
  driver_finish(&items.driver, &first);
  repeat = create("key-1", "S");
  expect_same(&first, &repeat);
}

Test(item_idempotency, a_crash_before_the_commit_leaves_neither_effect_nor_key)
{
  struct outcome first;
  close_gate();
  begin_create("key-1", "S", 30000, &first);
  wait_waiting(AT_THE_GATE, "1");
  items_kill(&items);
  open_gate();
  items_start_again(&items);
  first = create("key-1", "S");
  struct outcome repeat = create("key-1", "S");
  expect_same(&first, &repeat);
  cr_expect_str_eq(items_count(&items), "1");
}

// The connection breaks before COMMIT was sent, so nothing has happened.
Test(item_idempotency, a_broken_connection_leaves_the_key_free)
{
  struct outcome first;
  close_gate();
  begin_create("key-1", "S", 30000, &first);
  wait_waiting(AT_THE_GATE, "1");
  database_sql(&items.database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename ="
                                " 'bulkhead_item' AND datname = current_database() AND " AT_THE_GATE);
  driver_finish(&items.driver, &first);
  cr_expect_eq(first.status, STATUS_UNAVAILABLE, "%s", status_name(first.status));
  open_gate();
  cr_expect_eq(create("key-1", "S").status, STATUS_OK);
  cr_expect_str_eq(items_count(&items), "1");
}

// ---- 24 hours ----

static void age_keys(const char *age)
{
  database_sql(&items.database, "UPDATE item.idempotency_keys SET create_time = now() - interval '%s'", age);
}

Test(item_idempotency, a_key_is_kept_for_24_hours)
{
  struct outcome first = create("key-1", "S");
  age_keys("23 hours 59 minutes");
  struct outcome repeat = create("key-1", "S");
  expect_same(&first, &repeat);
}

Test(item_idempotency, an_old_key_is_a_new_one_also_before_it_is_removed)
{
  cr_assert_eq(create("key-1", "S").status, STATUS_OK);
  // The rule keeps the sweep from removing the row.
  database_sql(&items.database, "CREATE RULE keep AS ON DELETE TO item.idempotency_keys DO INSTEAD NOTHING");
  age_keys("24 hours 1 minute");
  cr_expect_eq(create("key-1", "T").status, STATUS_OK);
  cr_expect_str_eq(items_count(&items), "2");
  struct outcome other = create("key-1", "S");
  expect_refused(&other, STATUS_FAILED_PRECONDITION, "IDEMPOTENCY_KEY_REUSED");
}

Test(item_idempotency, old_keys_are_removed)
{
  database_sql(&items.database,
               "INSERT INTO item.idempotency_keys (id, request_hash, create_time)"
               " SELECT decode(md5(n::text), 'hex'), '', now() - interval '25 hours' FROM generate_series(1, 1234) n");
  cr_assert_eq(create("key-1", "S").status, STATUS_OK);
  database_wait_sql(&items.database, "SELECT count(*) FROM item.idempotency_keys", "1");
}

// An item that somebody has locked: what becomes of its changes, and of everything else.
#include <criterion/criterion.h>
#include <poll.h>

#include "google/protobuf/field_mask.pb-c.h"
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

TestSuite(item_locks, .init = setup, .fini = teardown);

static void begin_rename(const char *id, char *name, const struct rpc_context *as, uint64_t timeout_ms,
                         struct outcome *outcome)
{
  char *path = "name";
  Item__V1__Item *item = items_make(&items, "", name);
  item->id = items_text(&items, "%s", id);
  items_begin_update(
      &items, &(struct item_update){.item = item, .paths = &path, .count = 1, .as = as, .timeout_ms = timeout_ms},
      outcome);
}

static enum status rename_now(const char *id, char *name, const struct rpc_context *as)
{
  struct outcome outcome;
  begin_rename(id, name, as, 30000, &outcome);
  driver_finish(&items.driver, &outcome);
  return outcome.status;
}

static void wait_for_sessions(const char *condition, const char *count)
{
  database_wait_sql(&items.database,
                    items_text(&items,
                               "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'bulkhead_item' AND datname ="
                               " current_database() AND %s",
                               condition),
                    count);
}

enum { CHANGES = 24 };

// More changes of the locked item than there are connections for writes, all of one caller.
static void begin_changes(const char *id, struct outcome *outcomes)
{
  for (size_t i = 0; i < CHANGES; i++)
    begin_rename(id, "Changed", &owner, 4000, &outcomes[i]);
  wait_for_sessions("wait_event_type = 'Lock'", "t");
}

static void expect_not_applied(const struct outcome *outcomes)
{
  for (size_t i = 0; i < CHANGES; i++) {
    driver_finish(&items.driver, &outcomes[i]);
    cr_expect_eq(outcomes[i].status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(outcomes[i].status));
    cr_expect(slice_equal_string(outcomes[i].reason, "NOT_APPLIED"), SLICE_FMT, SLICE_ARG(outcomes[i].reason));
  }
}

Test(item_locks, one_locked_item_holds_up_no_other, .timeout = 90)
{
  const char *locked = items_created(&items, items_make(&items, "S", "Locked"), &owner)->id;
  const char *mine = items_created(&items, items_make(&items, "T", "Mine"), &owner)->id;
  const char *theirs = items_created(&items, items_make(&items, "S", "Theirs"), &other_owner)->id;
  struct process holder;
  static struct outcome outcomes[CHANGES];
  items_lock(&items, &holder, locked);
  begin_changes(locked, outcomes);
  cr_expect_eq(rename_now(theirs, "Changed", &other_owner), STATUS_OK);
  cr_expect_eq(rename_now(mine, "Changed", &owner), STATUS_OK);
  cr_expect_str_eq(items_get(&items, mine)->name, "Changed");
  cr_expect_str_eq(items_get(&items, locked)->name, "Locked");
  for (size_t i = 0; i < CHANGES; i++)
    cr_expect_not(outcomes[i].done, "the changes of the locked item still wait");
  expect_not_applied(outcomes);
  // Nothing of them is left that could still happen.
  wait_for_sessions("state <> 'idle'", "f");
  items_unlock(&items, &holder);
  cr_expect_str_eq(items_get(&items, locked)->name, "Locked");
  cr_expect_eq(rename_now(locked, "Unlocked", &owner), STATUS_OK);
  cr_expect_str_eq(items_get(&items, locked)->name, "Unlocked");
}

// What a confirmation gives to a write is over before the lock is free. The change is confirmed again, as long as its
// caller waits.
Test(item_locks, a_change_waits_longer_than_its_confirmation_lasts, .timeout = 90)
{
  enum { LOCKED_MS = 2500, PATIENT_MS = 4000 };
  const char *id = items_created(&items, items_make(&items, "S", "Locked"), &owner)->id;
  struct process holder;
  struct outcome outcome;
  items_lock(&items, &holder, id);
  uint64_t began_us = clock_now_us();
  begin_rename(id, "Changed", &owner, 30000, &outcome);
  wait_for_sessions("wait_event_type = 'Lock'", "t");
  while (clock_now_us() < deadline_after_ms(began_us, LOCKED_MS))
    driver_turn(&items.driver);
  items_unlock(&items, &holder);
  driver_finish(&items.driver, &outcome);
  // A machine that stood still has used up the time of the call.
  bool is_overdue = clock_now_us() > deadline_after_ms(began_us, PATIENT_MS);
  cr_expect(outcome.status == STATUS_OK || is_overdue, "%s", status_name(outcome.status));
}

// A trigger of a product's own, say. What must be soon is that the write begins, and not that it ends.
Test(item_locks, a_change_that_takes_long_is_made, .timeout = 90)
{
  const char *id = items_created(&items, items_make(&items, "S", "Slow"), &owner)->id;
  database_sql(&items.database, "CREATE FUNCTION item.wait() RETURNS trigger LANGUAGE plpgsql AS "
                                "'BEGIN PERFORM pg_sleep(3); RETURN NEW; END'");
  database_sql(&items.database,
               "CREATE TRIGGER wait BEFORE UPDATE ON item.items FOR EACH ROW EXECUTE FUNCTION item.wait()");
  cr_expect_eq(rename_now(id, "Changed", &owner), STATUS_OK);
  cr_expect_str_eq(items_get(&items, id)->name, "Changed");
}

static void begin_new_sku(const char *id, char *sku, struct outcome *outcome)
{
  char *path = "sku";
  Item__V1__Item *item = items_make(&items, sku, "");
  item->id = items_text(&items, "%s", id);
  items_begin_update(&items,
                     &(struct item_update){.item = item, .paths = &path, .count = 1, .as = &owner, .timeout_ms = 30000},
                     outcome);
}

// Somebody changes the item while its update waits, so it is repeated with the row locked, and there misses the lock of
// the sku that another transaction is about to take. The caller has named no state, so no such miss is told as one.
Test(item_locks, a_change_that_names_no_state_waits_for_all_its_locks, .timeout = 90)
{
  static const char missed[] = "bulkhead_postgres_statements_total{statement=\"item_update\",status=\"ABORTED\"} ";
  const char *mine = items_created(&items, items_make(&items, "S", "Mine"), &owner)->id;
  const char *other = items_created(&items, items_make(&items, "U", "Other"), &owner)->id;
  struct process holder;
  struct outcome outcome;
  items_hold(&items, &holder, items_text(&items, "UPDATE item.items SET sku = 'T' WHERE id = '%s'", other));
  begin_new_sku(mine, "T", &outcome);
  wait_for_sessions("wait_event_type = 'Lock'", "t");
  database_sql(&items.database,
               items_text(&items, "UPDATE item.items SET revision = revision + 1 WHERE id = '%s'", mine));
  uint64_t end_us = patience_end_us();
  while (items_read_metric(&items, missed) == 0) {
    cr_assert_lt(clock_now_us(), end_us, "the locked update has missed no lock");
    poll(NULL, 0, 5);
  }
  items_unlock(&items, &holder);
  driver_finish(&items.driver, &outcome);
  cr_expect_eq(outcome.status, STATUS_OK, "%s", status_name(outcome.status));
  cr_expect_str_eq(items_get(&items, mine)->sku, "T");
}

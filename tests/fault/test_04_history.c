// Reads and writes of many clients stay linearizable, item by item, whatever breaks meanwhile: nobody reads what was
// overwritten before he asked, and a write that failed happens once or never. load.h is what runs; every drill waits
// for enough of it to succeed before, after and, where something is left that can serve, during the fault.
#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/random.h"
#include "tests/fault/load.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

// Lets frozen processes run again, also after a drill that failed.
static void thaw_all(void)
{
  static const char *const names[] = {"item-1", "item-2", "redis"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    if (access(text("%s/pids/%s", need_variable("BULKHEAD_RUN_DIR"), names[i]), F_OK) == 0)
      stack_signal(names[i], SIGCONT);
  thaw_postgres();
}

TestSuite(fault_04_history, .fini = thaw_all);

// Lets the clients only read for a while: what the fault has left in some cache is not written over.
static void look_around(struct load *load)
{
  load_pause_writes(load, true);
  load_await(load, LOAD_ALL_ITEMS, 40, 0, "while nobody writes");
  load_pause_writes(load, false);
}

// Something else is broken at a random point of somebody's write each time.
static void await_some_writes(struct load *load)
{
  load_await(load, 1U << random_below(LOAD_ITEMS), 0, 1 + random_below(4), "between two faults");
}

static void drill(void (*break_something)(struct load *load))
{
  struct account owner = account_create();
  struct load *load = load_start(&owner);
  wait_until_caching();
  load_await(load, LOAD_ALL_ITEMS, 100, 20, "before the fault");
  break_something(load);
  look_around(load);
  wait_until_healthy();
  wait_until_caching();
  look_around(load);
  load_await(load, LOAD_ALL_ITEMS, 100, 30, "after the fault");
  load_stop(load);
  load_assert_right(load);
  load_free(load);
}

// ---- instances ----

static void kill_instances(struct load *load)
{
  for (size_t round = 0; round < 4; round++) {
    const char *victim = round % 2 == 0 ? "item-1" : "item-2";
    await_some_writes(load);
    stack("kill", victim);
    load_await(load, LOAD_ALL_ITEMS, 5, 1, "at the other instance");
    stack("start", victim);
    look_around(load);
  }
}

Test(fault_04_history, survives_kills_of_item_services_at_any_point_of_a_write)
{
  drill(kill_instances);
}

static void thaw_instance(struct load *load, const char *victim)
{
  stack_signal(victim, SIGCONT);
  look_around(load);
}

// All items can be used only once the gateway has given up on what it sent to the frozen instance. One can be used at
// once, so what the second instance has in hand when it goes on is still wanted.
static void freeze_instances(struct load *load)
{
  await_some_writes(load);
  stack_signal("item-1", SIGSTOP);
  load_await(load, LOAD_ALL_ITEMS, 20, 3, "while an instance is frozen");
  thaw_instance(load, "item-1");
  await_some_writes(load);
  stack_signal("item-2", SIGSTOP);
  load_await_any(load, 20, 3, "while the other instance is frozen");
  thaw_instance(load, "item-2");
}

Test(fault_04_history, survives_frozen_item_services)
{
  drill(freeze_instances);
}

static void stop_all_instances(struct load *load)
{
  (void)load;
  stack("stop", "item-1");
  stack("stop", "item-2");
  stack("start", "item-1");
  stack("start", "item-2");
}

Test(fault_04_history, survives_the_loss_of_all_item_services)
{
  drill(stop_all_instances);
}

// ---- PostgreSQL ----

static void kill_postgres(struct load *load)
{
  await_some_writes(load);
  stack("kill", "postgres");
  stack("start", "postgres");
}

Test(fault_04_history, survives_the_kill_of_postgresql)
{
  drill(kill_postgres);
}

static void stop_postgres(struct load *load)
{
  await_some_writes(load);
  stack("stop", "postgres");
  stack("start", "postgres");
}

Test(fault_04_history, survives_the_stop_of_postgresql)
{
  drill(stop_postgres);
}

static void freeze_and_thaw_postgres(struct load *load)
{
  for (size_t round = 0; round < 2; round++) {
    await_some_writes(load);
    freeze_postgres();
    thaw_postgres();
    look_around(load);
  }
}

Test(fault_04_history, survives_a_frozen_postgresql)
{
  drill(freeze_and_thaw_postgres);
}

static void break_connections(struct load *load)
{
  for (size_t round = 0; round < 6; round++) {
    await_some_writes(load);
    const char *broken = sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                             " WHERE usename = 'bulkhead_item'");
    cr_assert_str_neq(broken, "0");
    look_around(load);
  }
}

Test(fault_04_history, survives_broken_connections_to_postgresql)
{
  drill(break_connections);
}

static size_t count_failed(const struct load *load, size_t first_item)
{
  size_t failed = 0;
  for (size_t i = first_item; i < LOAD_ITEMS; i++)
    failed += load_count(load, i).failed;
  return failed;
}

static bool has_failed_write(const void *arg)
{
  return load_count(arg, 0).failed > 0;
}

// Somebody holds the row of the first item. It can be read, and the other items can be read and written.
static void lock_a_row(struct load *load)
{
  const unsigned others = LOAD_ALL_ITEMS & ~1U;
  struct sql_transaction *lock =
      sql_begin(text("SELECT FROM item.items WHERE id = '%s' FOR UPDATE", load_item_id(load, 0)));
  size_t failed = count_failed(load, 1);
  wait_until(has_failed_write, load, "the answer to a write of the locked row");
  load_await(load, LOAD_ALL_ITEMS, 200, 0, "while the row of the first item is locked");
  load_await(load, others, 200, 50, "while the row of another item is locked");
  cr_expect_eq(count_failed(load, 1), failed, "a locked row made reads or writes of other rows fail");
  sql_commit(lock);
}

Test(fault_04_history, a_locked_row_does_not_stop_other_rows)
{
  drill(lock_a_row);
}

// ---- Redis ----

static void kill_redis(struct load *load)
{
  await_some_writes(load);
  stack("kill", "redis");
  load_await(load, LOAD_ALL_ITEMS, 20, 5, "without Redis");
  stack("start", "redis");
}

Test(fault_04_history, survives_the_kill_of_redis)
{
  drill(kill_redis);
}

static void freeze_redis(struct load *load)
{
  for (size_t round = 0; round < 2; round++) {
    await_some_writes(load);
    stack_signal("redis", SIGSTOP);
    load_await(load, LOAD_ALL_ITEMS, 20, 5, "while Redis is frozen");
    stack_signal("redis", SIGCONT);
    look_around(load);
  }
}

Test(fault_04_history, survives_a_frozen_redis)
{
  drill(freeze_redis);
}

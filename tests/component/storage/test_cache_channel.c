// The cache while a part of it is missing, silent or strange: the channel, or another instance.
#include <criterion/criterion.h>

#include "tests/component/storage/cache_rig.h"
#include "tests/support/common/read_metric.h"

static struct server server;

// ---- the channel ----

static void check_channel_lost(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, "", 0);
  cr_assert_eq(instance_get(&pair.a, &pair.source), 1);
  run_sql(world,
          arena_printf(&world->arena,
                       "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE "
                       "'%s %%' AND (query LIKE 'LISTEN%%' OR query LIKE 'SELECT pg_notify%%')",
                       world->schema));
  instance_change(&pair.b, &pair.source, 2);
  cr_assert_eq(instance_get(&pair.a, &pair.source), 2);
  instance_settle(world, &pair.a);
  instance_settle(world, &pair.b);
  instance_meet(&pair.a, &pair.b);
  pair_check(&pair, 10);
  pair_close(&pair);
}

Test(cache_channel, a_lost_channel_empties_the_memory_and_delays_changes)
{
  with_pg(check_channel_lost);
}

static void check_settling(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance early;
  instance_start_holding(world, &early, "", 60000, 3600000);
  cr_assert_eq(instance_get(&early, &source), 1);
  instance_change(&early, &source, 2);
  for (int value = 2; value < 10; value++) {
    source.value = value;  // as another instance does that the new one has not heard
    cr_assert_eq(instance_get(&early, &source), value);
  }
  instance_stop(&early);
}

Test(cache_channel, nothing_is_served_from_memory_before_earlier_changes_are_over)
{
  with_pg(check_settling);
}

// An instance that was frozen after the confirmation must not begin its write after the others have forgotten the
// change.
static void check_bound(struct world *world)
{
  enum { HOLD_MS = 100000 };
  struct instance instance;
  instance_start_holding(world, &instance, "", 60000, HOLD_MS);
  struct slice key = SLICE("key");
  uint64_t before = task_deadline_us();
  struct cache_change *change = cache_change_begin(instance.cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  cr_expect_leq(task_deadline_us(), deadline_after_ms(clock_now_us(), HOLD_MS));
  uint64_t sooner = task_deadline_us();
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  cr_expect_eq(task_deadline_us(), sooner, "a second confirmation gives no more time");
  cache_change_end(&change, true);
  cr_expect_eq(task_deadline_us(), before);
  instance_stop(&instance);
}

Test(cache_channel, a_confirmed_change_must_begin_while_the_others_remember_it)
{
  with_pg(check_bound);
}

// A commit that waits for a standby holds the lock that all NOTIFYs need. The channel waits as long.
static void check_slow_notify(struct world *world)
{
  struct instance a;
  world->conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder);
  world->pg = pg_create(world->loop, &(struct pg_options){.conninfo = world->conninfo});
  run_sql(world, "CREATE TABLE t (id int)");
  run_sql(world, "ALTER SYSTEM SET synchronous_commit = 'local'");
  run_sql(world, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  postgres_restart(&server, false);
  while (run_status(world, "SELECT 1") != STATUS_OK)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  instance_start(world, &a, "", 60000);
  instance_settle(world, &a);
  int64_t pid = instance_channel_pid(world);
  struct crew crew = {.world = world};
  const char *sql = "WITH waits AS (SELECT set_config('synchronous_commit', 'on', true)), "
                    "made AS (INSERT INTO t SELECT 1 FROM waits RETURNING 1) SELECT pg_notify('other', 'x') FROM made";
  struct ask holder = {.crew = &crew, .statement = statement(sql, PG_LANE_WRITE)};
  crew_start(&crew, ask, &holder);
  instance_lose_lease(world, &a);
  run_sql(world, "ALTER SYSTEM RESET synchronous_standby_names");
  run_sql(world, "SELECT pg_reload_conf()");
  crew_join(&crew);
  cr_expect_eq(holder.status, STATUS_OK);
  instance_settle(world, &a);
  cr_expect_eq(instance_channel_pid(world), pid, "it is the same connection");
  instance_stop(&a);
  pg_free(&world->pg);
}

Test(cache_channel, a_lock_that_others_hold_for_long_does_not_cost_the_channel)
{
  postgres_start(&server);
  with_loop(check_slow_notify);
  postgres_stop(&server);
}

// ---- other instances ----

static void notify(struct world *world, const char *text)
{
  run_sql(world, arena_printf(&world->arena, "SELECT pg_notify('cache:%s', E'%s')", world->schema, text));
}

static int64_t count_waited_out(struct world *world)
{
  const struct slice label = slice_from_string(world->schema);
  return read_metric(METRIC_CACHE_LEASES_WAITED_OUT, &label, 1);
}

// An instance that has shown life and is then silent may serve until its lease is over.
static void check_silent_member(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  instance_start(world, &a, "", 60000);
  instance_settle(world, &a);
  int64_t before = count_waited_out(world);
  do {
    notify(world, "00000000000000aa 1 1\\n");
    instance_change(&a, &source, 2);
  } while (count_waited_out(world) == before);
  instance_change(&a, &source, 3);
  cr_expect_eq(count_waited_out(world), before + 1, "its lease was over before this change");
  instance_stop(&a);
}

Test(cache_channel, a_change_waits_out_the_lease_of_a_silent_instance)
{
  with_pg(check_silent_member);
}

// An instance that has just connected does not know who has a lease. One that was heard before may have one.
static void check_unheard_member(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  uint64_t begun_us = clock_now_us();
  notify(world, "00000000000000aa 1 1\\n");
  instance_start(world, &a, "", 60000);
  instance_change(&a, &source, 2);
  cr_expect_geq(clock_now_us(), begun_us + UINT64_C(500000), "the other lease was not over yet");
  instance_stop(&a);
}

Test(cache_channel, a_new_instance_waits_out_the_leases_of_which_it_has_not_heard)
{
  with_pg(check_unheard_member);
}

static void terminate_backend(struct world *world, int64_t pid)
{
  run_sql(world, arena_printf(&world->arena, "SELECT pg_terminate_backend(%lld)", (long long)pid));
}

// The acknowledgement is missing when the channel is lost, and with it what is known of the other instance.
static void check_lost_acknowledgement(struct world *world)
{
  const struct slice key = SLICE("key");
  struct instance a;
  instance_start(world, &a, "", 60000);
  instance_settle(world, &a);
  int64_t pid = instance_channel_pid(world);
  instance_change(&a, &(struct source){.world = world}, 1);
  uint64_t begun_us = clock_now_us();
  notify(world, "00000000000000aa 1 1\\n");
  cr_assert_eq(task_sleep_ms(20), STATUS_OK);
  struct cache_change *change = cache_change_begin(a.cache, &key, 1);
  cr_assert_eq(task_sleep_ms(20), STATUS_OK);
  terminate_backend(world, pid);
  cr_assert_eq(task_sleep_ms(20), STATUS_OK);
  cr_expect_eq(cache_change_confirm(change), STATUS_OK);
  cr_expect_geq(clock_now_us(), begun_us + UINT64_C(500000), "the other lease was not over yet");
  cache_change_end(&change, true);
  instance_stop(&a);
}

Test(cache_channel, a_channel_that_is_lost_does_not_stand_for_an_acknowledgement)
{
  with_pg(check_lost_acknowledgement);
}

// The end of a change is lost with the channel, and told when it works again.
static void check_lost_end(struct world *world)
{
  const struct slice key = SLICE("key");
  const struct slice other = SLICE("other");
  struct pair pair;
  pair_open_in_turn(world, &pair, 0);
  struct cache_change *changes[3];
  for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
    changes[i] = cache_change_begin(pair.a.cache, i == 1 ? &other : &key, 1);
    cr_assert_eq(cache_change_confirm(changes[i]), STATUS_OK);
  }
  pair_cut_channel(world, &pair);
  cache_change_end(&changes[0], true);
  cache_change_end(&changes[2], true);
  instance_warm(&pair.b, &pair.source);
  cache_change_end(&changes[1], true);
  pair_close(&pair);
}

Test(cache_channel, the_end_of_a_change_is_heard_though_the_channel_was_lost)
{
  with_pg(check_lost_end);
}

// The key of a change is too long to be cached, or for a message.
static void check_long_key(struct world *world)
{
  struct pair pair;
  const struct slice keys[] = {slice_make(arena_zalloc(&world->arena, 10000), 10000), SLICE("key")};
  pair_open(world, &pair, "", 0);
  struct cache_change *change = cache_change_begin(pair.a.cache, keys, ARRAY_LEN(keys));
  cr_expect_eq(cache_change_confirm(change), STATUS_OK);
  cr_expect_not(instance_peek(&pair.b));
  cache_change_end(&change, true);
  pair_check(&pair, 10);
  pair_close(&pair);
}

Test(cache_channel, a_change_of_a_key_that_is_too_long_holds_up_nothing)
{
  with_pg(check_long_key);
}

static void check_quit(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  instance_start(world, &a, "", 60000);
  instance_settle(world, &a);
  int64_t before = count_waited_out(world);
  for (int i = 0; i < 20; i++) {
    notify(world, "00000000000000aa 1 1\\nq\\n");
    instance_change(&a, &source, 2);
  }
  cr_expect_eq(count_waited_out(world), before);
  instance_stop(&a);
}

Test(cache_channel, nobody_waits_for_an_instance_that_has_left)
{
  with_pg(check_quit);
}

// A write whose outcome nobody knows may still come: until it cannot any more nothing is kept.
static void check_unknown_outcome(struct world *world)
{
  struct pair pair;
  const struct slice key = SLICE("key");
  pair_open(world, &pair, redis_url(), 700);
  struct cache_change *change = cache_change_begin(pair.a.cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  cache_change_end(&change, false);
  for (int value = 1; value < 50; value++) {
    pair.source.value = value;
    cr_assert_eq(instance_get(&pair.a, &pair.source), value);
    cr_assert_eq(instance_get(&pair.b, &pair.source), value);
  }
  instance_warm(&pair.a, &pair.source);
  instance_warm(&pair.b, &pair.source);
  pair_close(&pair);
}

Test(cache_channel, after_a_write_of_unknown_outcome_nothing_is_kept_until_it_is_over)
{
  with_pg(check_unknown_outcome);
}

// An instance that dies in a change is silent; the others keep nothing of its keys until it is forgotten.
static void check_death(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_url(), 0);
  cr_assert_eq(instance_get(&pair.b, &pair.source), 1);
  while (instance_peek(&pair.b)) {
    notify(world, "00000000000000aa 1 1\\ni 1 key\\n");
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  }
  for (int value = 1; value < 50; value++) {
    pair.source.value = value;
    cr_assert_eq(instance_get(&pair.b, &pair.source), value);
  }
  instance_warm(&pair.b, &pair.source);
  pair_close(&pair);
}

Test(cache_channel, what_a_dead_instance_was_changing_is_kept_again_once_it_is_forgotten)
{
  with_pg(check_death);
}

// A new instance learns what is being changed.
static void check_newcomer(struct world *world)
{
  struct instance a, b;
  struct source source = {.world = world, .value = 1};
  const struct slice key = SLICE("key");
  instance_start_holding(world, &a, "", 60000, 700);
  instance_settle(world, &a);
  uint64_t deadline_us = task_deadline_us();
  struct cache_change *change = cache_change_begin(a.cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  task_restore_deadline(deadline_us);  // the task goes on as the other instance
  instance_start_holding(world, &b, "", 60000, 700);
  instance_settle(world, &b);
  for (int value = 1; value < 50; value++) {
    source.value = value;
    cr_assert_eq(instance_get(&b, &source), value);
  }
  cache_change_end(&change, true);
  instance_warm(&b, &source);
  instance_stop(&a);
  instance_stop(&b);
}

Test(cache_channel, a_new_instance_learns_what_is_changing)
{
  with_pg(check_newcomer);
}

// Messages that are not understood may announce something: nothing is served until their changes are over.
static void check_strange_messages(struct world *world)
{
  const char *const texts[] = {"",
                               "00000000000000aa",
                               "00000000000000aa 1 1",
                               "00000000000000aa 1 2\\n",
                               "00000000000000aa 1 1\\nz 1\\n",
                               "00000000000000aa 1 1\\ni 1 %zz\\n",
                               "00000000000000aa 1 1\\ni key\\n",
                               "00000000000000aa 1 1\\na x 1\\n",
                               "i 1 key\\n"};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    struct instance a;
    struct source source = {.world = world, .value = 1};
    instance_start_holding(world, &a, "", 60000, 100);
    instance_settle(world, &a);
    cr_assert_eq(instance_get(&a, &source), 1);
    cr_assert(instance_peek(&a));
    notify(world, texts[i]);
    while (instance_peek(&a))
      cr_assert_eq(task_sleep_ms(1), STATUS_OK);
    instance_settle(world, &a);
    instance_stop(&a);
  }
}

Test(cache_channel, a_message_that_is_not_understood_empties_the_memory)
{
  with_pg(check_strange_messages);
}

// What a change leaves in the tiers: its value where nobody else was changing the key, and nothing otherwise.
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/storage/cache_coherence_internal.h"
#include "common/storage/cache_redis_internal.h"
#include "tests/component/storage/cache_rig.h"

static const struct slice KEY = SLICE_INIT("key");

static struct cache_change *begin_change(struct instance *instance)
{
  struct cache_change *change = cache_change_begin(instance->cache, &KEY, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  return change;
}

// Ends a change that has written `text` and given it to be kept.
static void end_change(struct cache_change *change, const char *text, bool known)
{
  cache_change_keep(change, slice_from_string(text));
  cache_change_end(&change, known);
}

static void check_kept(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_url(), 0);
  struct cache_change *change = begin_change(&pair.a);
  pair.source.value = 2;
  end_change(change, "key=2", true);
  cr_expect(instance_peek(&pair.a));
  cr_expect_eq(instance_look_in_redis(world, &pair.a), 'v');
  // The other instance has it from Redis as soon as it has heard that the change is over.
  while (!instance_peek(&pair.b))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_expect_eq(instance_get(&pair.a, &pair.source), 2);
  cr_expect_eq(instance_get(&pair.b, &pair.source), 2);
  cr_expect_eq(pair.source.loads, 0);
  pair_check(&pair, 10);
  pair_close(&pair);
}

Test(cache_kept, a_change_leaves_its_value_in_both_tiers)
{
  with_pg(check_kept);
}

static void expect_nothing(struct world *world, struct pair *pair)
{
  // Redis has handled what both have sent once it has answered both.
  (void)instance_look_in_redis(world, &pair->a);
  cr_expect_eq(instance_look_in_redis(world, &pair->b), 0);
  cr_expect_not(instance_peek(&pair->a));
  cr_expect_not(instance_peek(&pair->b));
}

// Where two changes overlap, nobody knows here which was written last.
static void check_crossed(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_url(), 0);
  for (int round = 0; round < 4; round++) {
    struct cache_change *changes[2];
    int first = round % 2;
    changes[0] = begin_change(&pair.a);
    changes[1] = begin_change(round < 2 ? &pair.a : &pair.b);
    end_change(changes[first], "key=2", true);
    end_change(changes[1 - first], "key=3", true);
    expect_nothing(world, &pair);
  }
  pair_check(&pair, 10);
  pair_close(&pair);
}

Test(cache_kept, of_changes_that_overlap_none_leaves_a_value)
{
  with_pg(check_crossed);
}

// The other change begins and ends within the first; then there are three, of which never more than two overlap.
static void check_crossed_within(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_url(), 0);
  struct cache_change *change = begin_change(&pair.a);
  end_change(begin_change(&pair.b), "key=2", true);
  end_change(change, "key=3", true);
  expect_nothing(world, &pair);
  struct cache_change *outer[] = {begin_change(&pair.a), begin_change(&pair.a)};
  end_change(outer[0], "key=4", true);
  struct cache_change *last = begin_change(&pair.a);
  end_change(outer[1], "key=5", true);
  end_change(last, "key=6", true);
  expect_nothing(world, &pair);
  pair_close(&pair);
}

Test(cache_kept, a_change_that_has_met_another_leaves_no_value)
{
  with_pg(check_crossed_within);
}

static void check_unknown(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_url(), 700);
  end_change(begin_change(&pair.a), "key=2", false);
  cr_expect_not(instance_peek(&pair.a));
  cr_expect_eq(instance_look_in_redis(world, &pair.a), 'x');
  pair_close(&pair);
}

Test(cache_kept, a_change_of_unknown_outcome_leaves_no_value)
{
  with_pg(check_unknown);
}

// Other changes may have been missed while the channel was away, also if it works again at the end.
static void check_deaf(struct world *world)
{
  struct pair pair;
  pair_open_in_turn(world, &pair, 0);
  struct cache_change *change = begin_change(&pair.a);
  pair_cut_channel(world, &pair);
  instance_lose_lease(world, &pair.a);
  instance_settle(world, &pair.a);
  end_change(change, "key=2", true);
  cr_expect_not(instance_peek(&pair.a));
  pair_close(&pair);
}

Test(cache_kept, a_change_that_may_have_missed_another_leaves_no_value)
{
  with_pg(check_deaf);
}

// Stops this process for longer than a lease, as an overloaded machine does.
static void freeze_past_lease(void)
{
  uint64_t end_us = clock_now_us() + (CACHE_LEASE_MS + CACHE_HEARTBEAT_MS) * UINT64_C(1000);
  while (clock_now_us() < end_us)
    poll(NULL, 0, 10);
}

// Others do not wait for an instance whose lease is over, so it may not have heard yet of what they have changed.
static void check_frozen(struct world *world)
{
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  instance_settle(world, &a);
  struct cache_change *change = begin_change(&a);
  freeze_past_lease();
  end_change(change, "key=2", true);
  instance_settle(world, &a);
  cr_expect_not(instance_peek(&a));
  cr_expect_eq(instance_look_in_redis(world, &a), 0);
  instance_stop(&a);
}

Test(cache_kept, a_change_whose_instance_has_lost_its_lease_leaves_no_value)
{
  with_pg(check_frozen);
}

// A value may reach Redis late, when another change has come and gone there.
static void check_late(struct world *world)
{
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  instance_settle(world, &a);
  struct cache_redis shared;
  struct cache_hidden mine = {.epoch = 1, .keys = &KEY, .count = 1};
  struct cache_hidden other = mine;
  const struct slice value = SLICE("key=2");
  const struct cache_options options = {.name = world->schema, .hold_ms = 60000, .redis = a.redis};
  cache_redis_init(&shared, &options, 60000);
  cache_redis_hide(&shared, &mine, NULL, NULL);
  cache_redis_hide(&shared, &other, NULL, NULL);
  cache_redis_show(&shared, &other, NULL);
  cr_expect_eq(instance_look_in_redis(world, &a), 'x');
  cache_redis_show(&shared, &mine, &value);
  cr_expect_eq(instance_look_in_redis(world, &a), 0);
  cache_redis_hide(&shared, &mine, NULL, NULL);
  cache_redis_show(&shared, &mine, &value);
  cr_expect_eq(instance_look_in_redis(world, &a), 'v', "alone it does");
  cache_redis_hide(&shared, &other, NULL, NULL);
  cache_redis_show(&shared, &mine, &value);
  cr_expect_eq(instance_look_in_redis(world, &a), 'x', "said again, in the time of another");
  cache_redis_show(&shared, &other, NULL);
  cr_expect_eq(instance_look_in_redis(world, &a), 0);
  cache_redis_clear(&shared);
  instance_stop(&a);
}

Test(cache_kept, a_value_that_comes_late_does_not_enter_redis)
{
  with_pg(check_late);
}

// Waits until the only instance has sent its first message.
static void await_first_message(struct world *world)
{
  const char *sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%s %%' "
                    "AND query LIKE 'SELECT pg_notify%%'";
  while (strcmp(run_sql(world, arena_printf(&world->arena, sql, world->schema)), "0") == 0)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

// What an instance missed before it joined may take effect until it is settled: after its own change, too.
static void check_settling(struct world *world)
{
  struct instance a;
  instance_start_holding(world, &a, "", 60000, 2000);
  await_first_message(world);
  struct cache_change *change = cache_change_begin(a.cache, &KEY, 1);
  instance_settle(world, &a);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  end_change(change, "key=2", true);
  cr_expect_not(instance_peek(&a));
  end_change(begin_change(&a), "key=3", true);
  cr_expect(instance_peek(&a), "once settled it does");
  instance_stop(&a);
}

Test(cache_kept, a_change_that_began_before_its_instance_was_settled_leaves_no_value)
{
  with_pg(check_settling);
}

// Instance a misses the announcement because its channel is away. The change is confirmed when a's old lease is over,
// and takes effect at the end of `hold_ms` from then. Until that instance a must keep nothing that it reads.
static void check_missed(struct world *world)
{
  enum { HOLD_MS = 700, BEFORE_END_MS = 100 };
  struct pair pair;
  pair_open_in_turn(world, &pair, HOLD_MS);
  pair_cut_channel(world, &pair);
  struct cache_change *change = begin_change(&pair.b);
  uint64_t over_us = clock_now_us() + HOLD_MS * UINT64_C(1000);
  cache_change_end(&change, false);
  while (clock_now_us() + BEFORE_END_MS * UINT64_C(1000) < over_us) {
    (void)instance_get(&pair.a, &pair.source);
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  }
  bool in_time = clock_now_us() < over_us;
  pair.source.value = 2;
  cr_expect(!in_time || instance_get(&pair.a, &pair.source) == 2);
  pair_close(&pair);
}

Test(cache_kept, nothing_is_kept_while_a_change_that_was_missed_may_take_effect)
{
  with_pg(check_missed);
}

// The cache's promises, with real PostgreSQL and Redis.
#include <criterion/criterion.h>
#include <string.h>

#include "common/observe/metrics.h"
#include "tests/component/storage/cache_rig.h"
#include "tests/support/common/yield_task.h"

static void check_tiers(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  struct instance b;
  instance_start(world, &a, redis_url(), 60000);
  instance_start(world, &b, redis_url(), 60000);
  instance_settle(world, &a);
  instance_settle(world, &b);
  instance_meet(&a, &b);
  instance_meet(&b, &a);
  int64_t from_memory = cache_hits(world, "memory");
  int64_t from_redis = cache_hits(world, "redis");
  cr_assert_eq(instance_get(&a, &source), 1);
  cr_assert_eq(instance_get(&a, &source), 1);
  cr_assert_eq(source.loads, 1);
  cr_assert_eq(cache_hits(world, "memory"), from_memory + 1);
  instance_wait_shared(world, &a);
  cr_assert_eq(instance_get(&b, &source), 1);
  cr_assert_eq(source.loads, 1, "the other instance has it from Redis");
  cr_assert_eq(cache_hits(world, "redis"), from_redis + 1);
  cr_assert(instance_peek(&b));
  instance_stop(&a);
  instance_stop(&b);
}

Test(cache, both_tiers_serve)
{
  with_pg(check_tiers);
}

// A release that caches in another format is rolled out.
static void check_formats(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance old;
  struct instance new;
  instance_start(world, &old, redis_url(), 60000);
  instance_start_formatted(world, &new, 2);
  instance_settle(world, &old);
  instance_settle(world, &new);
  instance_meet(&old, &new);
  instance_meet(&new, &old);
  cr_assert_eq(instance_get(&old, &source), 1);
  instance_wait_shared(world, &old);
  cr_assert_eq(instance_look_in_redis(world, &old), 'v');
  cr_assert_eq(instance_get(&new, &source), 1);
  cr_assert_eq(source.loads, 2, "the value of the other format is not taken");
  instance_change(&new, &source, 2);
  cr_assert_neq(instance_look_in_redis(world, &old), 'v', "the change has taken it away");
  cr_assert_eq(instance_get(&old, &source), 2);
  instance_change(&old, &source, 3);
  cr_assert_eq(instance_get(&new, &source), 3);
  cr_assert_eq(instance_get(&old, &source), 3);
  instance_stop(&old);
  instance_stop(&new);
}

Test(cache, instances_of_another_format_hear_of_changes_and_do_not_take_each_others_values)
{
  with_pg(check_formats);
}

static void check_coherence(struct world *world)
{
  struct source source = {.world = world};
  struct instance instances[2];
  for (int i = 0; i < 2; i++)
    instance_start(world, &instances[i], redis_url(), 60000);
  for (int i = 0; i < 2; i++)
    instance_settle(world, &instances[i]);
  instance_meet(&instances[0], &instances[1]);
  int64_t before = cache_hits(world, "memory");
  for (int round = 1; round <= 500; round++) {
    struct instance *writer = &instances[round % 2];
    struct instance *reader = &instances[(round + 1) % 2];
    instance_change(writer, &source, round);
    cr_assert_eq(instance_get(reader, &source), round, "a read right after a write elsewhere");
    cr_assert_eq(instance_get(writer, &source), round);
    cr_assert_eq(instance_get(reader, &source), round);
    if (round % 10 == 0)
      for (int i = 0; i < 2; i++)
        instance_warm(&instances[i], &source);
  }
  cr_assert_gt(cache_hits(world, "memory"), before, "it was cached at all");
  for (int i = 0; i < 2; i++)
    instance_stop(&instances[i]);
}

Test(cache, a_read_after_a_write_on_another_instance_sees_it)
{
  with_pg(check_coherence);
}

// More keys than one message takes.
static void check_many_keys(struct world *world)
{
  enum { KEYS = 1201 };
  static struct slice keys[KEYS];
  struct source source = {.world = world};
  struct instance instances[2];
  for (int i = 0; i < 2; i++)
    instance_start(world, &instances[i], redis_url(), 60000);
  for (int i = 0; i < 2; i++)
    instance_settle(world, &instances[i]);
  instance_meet(&instances[0], &instances[1]);
  cr_assert_eq(instance_get(&instances[1], &source), 0);
  cr_assert(instance_peek(&instances[1]));
  for (size_t i = 0; i < KEYS; i++)
    keys[i] = slice_from_string(arena_printf(&world->arena, "another key, with \x01 and %% in it, %zu", i));
  keys[KEYS - 1] = SLICE("key");
  struct cache_change *change = cache_change_begin(instances[0].cache, keys, KEYS);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  cr_assert_not(instance_peek(&instances[1]));
  source.value = 1;
  cache_change_end(&change, true);
  cr_assert_eq(instance_get(&instances[1], &source), 1);
  for (int i = 0; i < 2; i++)
    instance_stop(&instances[i]);
}

Test(cache, of_many_changed_keys_none_is_left_out)
{
  with_pg(check_many_keys);
}

// While a key changes both the old and the new value may be read, and neither is kept.
static void check_changing(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance instances[2];
  const struct slice key = SLICE("key");
  for (int i = 0; i < 2; i++)
    instance_start(world, &instances[i], redis_url(), 60000);
  for (int i = 0; i < 2; i++)
    instance_settle(world, &instances[i]);
  instance_meet(&instances[0], &instances[1]);
  struct cache_change *change = cache_change_begin(instances[0].cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(instance_get(&instances[i], &source), 1);
    cr_assert_not(instance_peek(&instances[i]));
  }
  source.value = 2;
  for (int i = 0; i < 2; i++)
    cr_assert_eq(instance_get(&instances[i], &source), 2);
  cache_change_end(&change, true);
  instance_warm(&instances[1], &source);
  for (int i = 0; i < 2; i++)
    instance_stop(&instances[i]);
}

Test(cache, a_key_that_is_changing_is_read_and_not_kept)
{
  with_pg(check_changing);
}

// ---- a load that is overtaken by a change ----

struct reader {
  struct crew *crew;
  struct instance *instance;
  struct source *source;
  int value;
};

static void read_in_task(void *arg)
{
  struct reader *reader = arg;
  reader->value = instance_get(reader->instance, reader->source);
  crew_finished(reader->crew);
}

static bool is_at_gate(void *arg)
{
  return ((struct source *)arg)->at_gate;
}

static void check_overtaken_by(struct world *world, bool by_another_instance)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  struct instance b;
  instance_start(world, &a, redis_url(), 60000);
  instance_start(world, &b, redis_url(), 60000);
  instance_settle(world, &a);
  instance_settle(world, &b);
  instance_meet(&b, &a);
  struct completion gate = COMPLETION_INIT;
  struct crew crew = {.world = world};
  struct reader early = {.crew = &crew, .instance = &a, .source = &source};
  source.gate = &gate;
  crew_start(&crew, read_in_task, &early);
  wait_until(is_at_gate, &source);
  instance_change(by_another_instance ? &b : &a, &source, 2);
  // A get after the change does not join the old load.
  cr_assert_eq(instance_get(&a, &source), 2);
  instance_change(&b, &source, 3);
  completion_finish(&gate, STATUS_OK);
  crew_join(&crew);
  cr_assert_eq(early.value, 1, "it asked before the change");
  cr_assert_eq(instance_get(&b, &source), 3, "nor in Redis");
  cr_assert_eq(instance_get(&a, &source), 3);
  instance_stop(&a);
  instance_stop(&b);
}

static void check_overtaken_here(struct world *world)
{
  check_overtaken_by(world, false);
}

static void check_overtaken_elsewhere(struct world *world)
{
  check_overtaken_by(world, true);
}

Test(cache, a_load_that_began_before_a_change_here_enters_no_tier)
{
  with_pg(check_overtaken_here);
}

Test(cache, a_load_that_began_before_a_change_elsewhere_enters_no_tier)
{
  with_pg(check_overtaken_elsewhere);
}

static void check_single_flight(struct world *world)
{
  enum { READERS = 100 };
  struct source source = {.world = world, .value = 7};
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  instance_settle(world, &a);
  struct crew crew = {.world = world};
  struct reader readers[READERS];
  for (size_t i = 0; i < READERS; i++) {
    readers[i] = (struct reader){.crew = &crew, .instance = &a, .source = &source};
    crew_start(&crew, read_in_task, &readers[i]);
  }
  crew_join(&crew);
  for (size_t i = 0; i < READERS; i++)
    cr_assert_eq(readers[i].value, 7);
  cr_assert_eq(source.loads, 1);
  instance_stop(&a);
}

Test(cache, concurrent_misses_load_once)
{
  with_pg(check_single_flight);
}

struct leader {
  struct reader reader;
  enum status status;
};

static void lead_in_task(void *arg)
{
  struct leader *leader = arg;
  struct arena arena = {0};
  struct slice value;
  leader->status =
      cache_get(leader->reader.instance->cache, SLICE("key"), source_load, leader->reader.source, &arena, &value);
  arena_free(&arena);
  crew_finished(leader->reader.crew);
}

static void check_leader_gives_up(struct world *world)
{
  struct source source = {.world = world, .value = 7};
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  instance_settle(world, &a);
  struct completion gate = COMPLETION_INIT;
  struct crew crew = {.world = world, .running = 1};
  struct leader leader = {.reader = {.crew = &crew, .instance = &a, .source = &source}};
  struct reader follower = {.crew = &crew, .instance = &a, .source = &source};
  source.gate = &gate;
  struct task *task = task_start(world->loop, lead_in_task, &leader, DEADLINE_NONE, NULL);
  wait_until(is_at_gate, &source);
  crew_start(&crew, read_in_task, &follower);
  yield_task();
  task_cancel(task);
  crew_join(&crew);
  cr_assert_eq(leader.status, STATUS_CANCELLED);
  cr_assert_eq(follower.value, 7);
  cr_assert_eq(source.loads, 2);
  instance_stop(&a);
}

Test(cache, who_waits_for_a_load_does_not_share_its_cancellation)
{
  with_pg(check_leader_gives_up);
}

static void check_failures(struct world *world)
{
  struct source source = {.world = world, .value = 1, .status = STATUS_NOT_FOUND};
  struct instance a;
  struct arena arena = {0};
  struct slice value;
  instance_start(world, &a, redis_url(), 60000);
  instance_settle(world, &a);
  for (int i = 0; i < 2; i++)
    cr_assert_eq(cache_get(a.cache, SLICE("key"), source_load, &source, &arena, &value), STATUS_NOT_FOUND);
  cr_assert_eq(source.loads, 2);
  source.status = STATUS_OK;
  cr_assert_eq(instance_get(&a, &source), 1);
  arena_free(&arena);
  instance_stop(&a);
}

Test(cache, failures_are_not_cached)
{
  with_pg(check_failures);
}

static void check_ttl(struct world *world)
{
  struct source source = {.world = world};
  struct instance off;
  struct instance brief;
  instance_start(world, &off, redis_url(), 0);
  for (unsigned i = 1; i <= 3; i++) {
    source.value = (int)i;
    cr_assert_eq(instance_get(&off, &source), (int)i);
  }
  instance_stop(&off);

  instance_start(world, &brief, redis_url(), 200);
  source.value = 1;
  instance_warm(&brief, &source);
  source.value = 2;
  while (instance_get(&brief, &source) != 2)  // nobody invalidates
    cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  instance_stop(&brief);
}

Test(cache, entries_expire_and_zero_turns_it_off)
{
  with_pg(check_ttl);
}

// The cache's promises, with a real Redis: a "source" that the tests change by hand stands for PostgreSQL, and two
// instances of a service are two caches with connections of their own.
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/observe/metrics.h"
#include "common/storage/cache.h"
#include "tests/component/storage/support.h"

struct source {
  struct world *world;
  int value;
  unsigned loads;
  enum status status;
  struct completion *gate;  // a load has read the value, and waits here until the test lets it go on
  bool at_gate;
};

struct instance {
  struct redis *redis;
  struct cache *cache;
};

static enum status load(void *arg, struct slice key, struct arena *arena, struct slice *value)
{
  struct source *source = arg;
  source->loads++;
  if (source->status != STATUS_OK)
    return source->status;
  *value = slice_from_string(arena_printf(arena, SLICE_FMT "=%d", SLICE_ARG(key), source->value));
  if (source->gate != NULL) {
    struct completion *gate = source->gate;
    source->gate = NULL;
    source->at_gate = true;
    return completion_wait(gate);
  }
  return STATUS_OK;
}

static void instance_start_settling(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms,
                                    uint32_t settle_ms)
{
  struct error error;
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &instance->redis, &error), STATUS_OK);
  const struct cache_options cache_options = {
      .name = world->schema, .max_bytes = 1 << 20, .ttl_ms = ttl_ms, .settle_ms = settle_ms, .redis = instance->redis};
  instance->cache = cache_create(world->loop, &cache_options);
}

static void instance_start(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms)
{
  instance_start_settling(world, instance, url, ttl_ms, 0);
}

static void instance_stop(struct instance *instance)
{
  cache_free(&instance->cache);
  redis_free(&instance->redis);
}

static int get(struct instance *instance, struct source *source)
{
  struct arena arena = {0};
  struct slice value;
  cr_assert_eq(cache_get(instance->cache, SLICE("key"), load, source, &arena, &value), STATUS_OK);
  cr_assert(slice_starts_with(value, SLICE("key=")));
  int64_t number = -1;
  cr_assert(slice_to_int64(slice_skip(value, 4), 0, INT32_MAX, &number));
  arena_free(&arena);
  return (int)number;
}

static void invalidate(struct instance *instance)
{
  const struct slice key = SLICE("key");
  cache_invalidate(instance->cache, &key, 1);
}

static bool peek(struct instance *instance)
{
  struct slice value;
  return cache_peek(instance->cache, SLICE("key"), &value);
}

static int64_t hits(struct world *world, const char *tier)
{
  const struct slice labels[] = {slice_from_string(world->schema), slice_from_string(tier)};
  return metric_value(metrics_series(METRIC_CACHE_HITS, labels, 2));
}

// Until both tiers work: an entry of this probe has gone through both.
static void settle(struct world *world, struct instance *instance)
{
  struct source probe = {.world = world};
  struct arena arena = {0};
  struct slice value;
  struct redis_reply reply;
  const struct slice words[] = {SLICE("GETRANGE"),
                                slice_from_string(arena_printf(&arena, "cache:%s:probe", world->schema)), SLICE("0"),
                                SLICE("0")};
  const struct slice key = SLICE("probe");
  for (;;) {
    cr_assert_eq(cache_get(instance->cache, key, load, &probe, &arena, &value), STATUS_OK);
    bool in_memory = cache_peek(instance->cache, key, &value);
    bool in_redis =
        redis_command(instance->redis, words, 4, &arena, &reply) == STATUS_OK && slice_equal_string(reply.string, "v");
    cache_invalidate(instance->cache, &key, 1);
    if (in_memory && in_redis)
      break;
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  }
  arena_free(&arena);
}

static void check_tiers(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  struct instance b;
  instance_start(world, &a, redis_url(), 60000);
  instance_start(world, &b, redis_url(), 60000);
  settle(world, &a);
  settle(world, &b);
  int64_t from_memory = hits(world, "memory");
  int64_t from_redis = hits(world, "redis");
  cr_assert_not(peek(&a));
  cr_assert_eq(get(&a, &source), 1);
  cr_assert(peek(&a));
  cr_assert_eq(get(&a, &source), 1);
  cr_assert_eq(source.loads, 1);
  cr_assert_eq(hits(world, "memory"), from_memory + 2);
  cr_assert_eq(get(&b, &source), 1);
  cr_assert_eq(source.loads, 1, "the other instance has it from Redis");
  cr_assert_eq(hits(world, "redis"), from_redis + 1);
  cr_assert(peek(&b));
  instance_stop(&a);
  instance_stop(&b);
}

Test(cache, both_tiers_serve)
{
  with_loop(check_tiers);
}

static void check_coherence(struct world *world)
{
  struct source source = {.world = world};
  struct instance instances[2];
  for (int i = 0; i < 2; i++)
    instance_start(world, &instances[i], redis_url(), 60000);
  for (int i = 0; i < 2; i++)
    settle(world, &instances[i]);
  int64_t before = hits(world, "memory");
  for (int round = 1; round <= 500; round++) {
    struct instance *writer = &instances[round % 2];
    struct instance *reader = &instances[(round + 1) % 2];
    source.value = round;
    invalidate(writer);
    cr_assert_eq(get(reader, &source), round, "a read right after a write elsewhere");
    cr_assert_eq(get(writer, &source), round);
    cr_assert_eq(get(reader, &source), round);
  }
  cr_assert_gt(hits(world, "memory"), before, "it was cached at all");
  for (int i = 0; i < 2; i++)
    instance_stop(&instances[i]);
}

Test(cache, a_read_after_a_write_on_another_instance_sees_it)
{
  with_loop(check_coherence);
}

// More keys than travel in one command, by a caller that is overdue: all of them are told all the same.
static void check_many_keys(struct world *world)
{
  enum { KEYS = 1201 };
  static struct slice keys[KEYS];
  struct source source = {.world = world};
  struct instance instances[2];
  for (int i = 0; i < 2; i++)
    instance_start(world, &instances[i], redis_url(), 60000);
  for (int i = 0; i < 2; i++)
    settle(world, &instances[i]);
  cr_assert_eq(get(&instances[1], &source), 0);
  source.value = 1;
  for (size_t i = 0; i < KEYS; i++)
    keys[i] = SLICE("another");
  keys[KEYS - 1] = SLICE("key");
  uint64_t before = task_tighten_deadline(clock_now_us());
  cache_invalidate(instances[0].cache, keys, KEYS);
  task_restore_deadline(before);
  // Once this has been told, so has what was sent before it.
  cache_invalidate(instances[0].cache, keys, 1);
  cr_assert_eq(get(&instances[1], &source), 1);
  for (int i = 0; i < 2; i++)
    instance_stop(&instances[i]);
}

Test(cache, of_many_changed_keys_none_is_left_out)
{
  with_loop(check_many_keys);
}

// A load that is overtaken by a change.
// ---------------------------------------------------------------------------------------------------------------------

struct reader {
  struct crew *crew;
  struct instance *instance;
  struct source *source;
  int value;
};

static void read_in_task(void *arg)
{
  struct reader *reader = arg;
  reader->value = get(reader->instance, reader->source);
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
  settle(world, &a);
  settle(world, &b);
  struct completion gate = COMPLETION_INIT;
  struct crew crew = {.world = world};
  struct reader early = {.crew = &crew, .instance = &a, .source = &source};
  source.gate = &gate;
  crew_start(&crew, read_in_task, &early);
  wait_until(is_at_gate, &source);
  source.value = 2;
  invalidate(by_another_instance ? &b : &a);
  // Who comes after the change does not wait for the old load.
  cr_assert_eq(get(&a, &source), 2);
  invalidate(&b);
  source.value = 3;
  completion_finish(&gate, STATUS_OK);
  crew_join(&crew);
  cr_assert_eq(early.value, 1, "it asked before the change");
  cr_assert_not(peek(&a), "the old value is not in memory");
  cr_assert_eq(get(&b, &source), 3, "nor in Redis");
  cr_assert_eq(get(&a, &source), 3);
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
  with_loop(check_overtaken_here);
}

Test(cache, a_load_that_began_before_a_change_elsewhere_enters_no_tier)
{
  with_loop(check_overtaken_elsewhere);
}

static void check_single_flight(struct world *world)
{
  enum { READERS = 100 };
  struct source source = {.world = world, .value = 7};
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  settle(world, &a);
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
  with_loop(check_single_flight);
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
  leader->status = cache_get(leader->reader.instance->cache, SLICE("key"), load, leader->reader.source, &arena, &value);
  arena_free(&arena);
  crew_finished(leader->reader.crew);
}

static void check_leader_gives_up(struct world *world)
{
  struct source source = {.world = world, .value = 7};
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  settle(world, &a);
  struct completion gate = COMPLETION_INIT;
  struct crew crew = {.world = world, .running = 1};
  struct leader leader = {.reader = {.crew = &crew, .instance = &a, .source = &source}};
  struct reader follower = {.crew = &crew, .instance = &a, .source = &source};
  source.gate = &gate;
  struct task *task = task_start(world->loop, lead_in_task, &leader, DEADLINE_NONE, NULL);
  wait_until(is_at_gate, &source);
  crew_start(&crew, read_in_task, &follower);
  task_yield();
  task_cancel(task);
  crew_join(&crew);
  cr_assert_eq(leader.status, STATUS_CANCELLED);
  cr_assert_eq(follower.value, 7);
  cr_assert_eq(source.loads, 2);
  instance_stop(&a);
}

Test(cache, who_waits_for_a_load_does_not_share_its_cancellation)
{
  with_loop(check_leader_gives_up);
}

static void check_failures(struct world *world)
{
  struct source source = {.world = world, .value = 1, .status = STATUS_NOT_FOUND};
  struct instance a;
  struct arena arena = {0};
  struct slice value;
  instance_start(world, &a, redis_url(), 60000);
  settle(world, &a);
  for (int i = 0; i < 2; i++)
    cr_assert_eq(cache_get(a.cache, SLICE("key"), load, &source, &arena, &value), STATUS_NOT_FOUND);
  cr_assert_eq(source.loads, 2);
  source.status = STATUS_OK;
  cr_assert_eq(get(&a, &source), 1);
  arena_free(&arena);
  instance_stop(&a);
}

Test(cache, failures_are_not_cached)
{
  with_loop(check_failures);
}

static void check_ttl(struct world *world)
{
  struct source source = {.world = world};
  struct instance off;
  struct instance brief;
  instance_start(world, &off, redis_url(), 0);
  for (unsigned i = 1; i <= 3; i++) {
    source.value = (int)i;
    cr_assert_eq(get(&off, &source), (int)i);
    cr_assert_not(peek(&off));
  }
  instance_stop(&off);

  instance_start(world, &brief, redis_url(), 40);
  source.value = 1;
  get(&brief, &source);
  source.value = 2;
  while (get(&brief, &source) != 2)  // nobody invalidates
    cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  instance_stop(&brief);
}

Test(cache, entries_expire_and_zero_turns_it_off)
{
  with_loop(check_ttl);
}

// Redis away.
// ---------------------------------------------------------------------------------------------------------------------

static struct server server;

static bool is_down(void *redis)
{
  return !redis_up(redis);
}

static void check_redis_down(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance instances[2];
  const char *url = redis_server_url(world, &server);
  for (int i = 0; i < 2; i++)
    instance_start(world, &instances[i], url, 60000);
  for (int i = 0; i < 2; i++)
    settle(world, &instances[i]);
  for (int i = 0; i < 2; i++)
    cr_assert_eq(get(&instances[i], &source), 1);
  redis_kill(&server);
  // From here on nobody can tell anybody; so nobody serves from memory.
  source.value = 2;
  invalidate(&instances[0]);
  cr_assert_eq(get(&instances[1], &source), 2);
  cr_assert_eq(get(&instances[0], &source), 2);
  for (int i = 0; i < 2; i++) {
    wait_until(is_down, instances[i].redis);
    cr_assert_not(peek(&instances[i]));
  }
  source.value = 3;
  cr_assert_eq(get(&instances[1], &source), 3);
  redis_start(&server);
  for (int i = 0; i < 2; i++)
    settle(world, &instances[i]);
  source.value = 4;
  invalidate(&instances[1]);
  cr_assert_eq(get(&instances[0], &source), 4);
  cr_assert_eq(get(&instances[1], &source), 4);
  for (int i = 0; i < 2; i++)
    instance_stop(&instances[i]);
}

Test(cache, without_redis_it_is_slow_and_right)
{
  redis_start(&server);
  with_loop(check_redis_down);
  redis_stop(&server);
}

static void redis_words(struct world *world, struct redis *redis, const struct slice *words, size_t count)
{
  struct redis_reply reply;
  cr_assert_eq(redis_command(redis, words, count, &world->arena, &reply), STATUS_OK);
}

// The change could not be told, but Redis kept what it had: the old value is still in it, and in the other's memory.
static void check_lost_invalidation(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  struct instance b;
  const char *url = redis_server_url(world, &server);
  instance_start(world, &a, url, 60000);
  instance_start(world, &b, url, 60000);
  settle(world, &a);
  settle(world, &b);
  struct redis *operator;
  struct error error;
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &operator, & error), STATUS_OK);
  while (!redis_up(operator))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(get(&a, &source), 1);
  cr_assert_eq(get(&b, &source), 1);

  // A read-only replica refuses writes; clients that are connected stay so.
  const struct slice replica[] = {SLICE("REPLICAOF"), SLICE("127.0.0.1"), SLICE("1")};
  const struct slice master[] = {SLICE("REPLICAOF"), SLICE("NO"), SLICE("ONE")};
  redis_words(world, operator, replica, 3);
  source.value = 2;
  invalidate(&a);
  redis_words(world, operator, master, 3);
  // As soon as A can, it tells the others, and nobody takes what is in Redis from before.
  while (peek(&b))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(get(&b, &source), 2);
  cr_assert_eq(get(&a, &source), 2);
  redis_free(&operator);
  instance_stop(&a);
  instance_stop(&b);
}

Test(cache, an_invalidation_that_failed_is_made_good)
{
  redis_start(&server);
  with_loop(check_lost_invalidation);
  redis_stop(&server);
}

static void check_subscription_lost(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  struct instance b;
  instance_start(world, &a, redis_server_url(world, &server), 60000);
  instance_start(world, &b, redis_server_url(world, &server), 60000);
  settle(world, &a);
  settle(world, &b);
  cr_assert_eq(get(&a, &source), 1);
  cr_assert(peek(&a));
  // Only the subscriptions are cut; commands go on.
  const struct slice kill_them[] = {SLICE("CLIENT"), SLICE("KILL"), SLICE("TYPE"), SLICE("pubsub")};
  redis_words(world, b.redis, kill_them, 4);
  source.value = 2;
  invalidate(&b);
  cr_assert_eq(get(&a, &source), 2);
  settle(world, &a);
  cr_assert_eq(get(&a, &source), 2);
  instance_stop(&a);
  instance_stop(&b);
}

Test(cache, a_lost_subscription_empties_the_memory)
{
  redis_start(&server);
  with_loop(check_subscription_lost);
  redis_stop(&server);
}

// One that has just subscribed does not trust that the others can tell it of their writes yet.
static void check_settling(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance early;
  struct instance settled;
  instance_start_settling(world, &early, redis_url(), 60000, 3600000);
  instance_start(world, &settled, redis_url(), 60000);
  settle(world, &settled);
  while (!redis_up(early.redis))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(get(&settled, &source), 1);
  cr_assert_eq(get(&early, &source), 1);
  // Changed without a word to anybody, as by an instance that is cut off.
  source.value = 2;
  cr_assert_eq(get(&settled, &source), 1);
  cr_assert_eq(get(&early, &source), 2);
  cr_assert_not(peek(&early));
  instance_stop(&early);
  instance_stop(&settled);
}

Test(cache, nothing_cached_is_served_before_the_others_are_back)
{
  with_loop(check_settling);
}

// Whatever somebody publishes or puts there.
static void check_hostile(struct world *world)
{
  struct source source = {.world = world, .value = 5};
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  settle(world, &a);
  const struct slice channel = slice_from_string(arena_printf(&world->arena, "cache-changes:%s", world->schema));
  const struct slice key = slice_from_string(arena_printf(&world->arena, "cache:%s:key", world->schema));
  const struct slice texts[] = {SLICE(""),     SLICE("k\xff\xff"), SLICE("*12"),
                                SLICE("+abc"), SLICE("k\x0a\x7f"), SLICE("zzz"),
                                SLICE("t"),    SLICE("v"),         SLICE("v0000000000000000old")};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    const struct slice publish[] = {SLICE("PUBLISH"), channel, texts[i]};
    redis_words(world, a.redis, publish, 3);
    const struct slice set[] = {SLICE("SET"), key, texts[i]};
    redis_words(world, a.redis, set, 3);
    cr_assert_eq(get(&a, &source), 5, "%zu", i);
    invalidate(&a);
  }
  instance_stop(&a);
}

Test(cache, strange_messages_and_values_do_no_harm)
{
  with_loop(check_hostile);
}

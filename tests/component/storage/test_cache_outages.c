// The cache while Redis, or a message from it, is missing; and what strangers may put there.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/component/storage/cache_rig.h"

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
    instance_settle(world, &instances[i]);
  for (int i = 0; i < 2; i++)
    cr_assert_eq(instance_get(&instances[i], &source), 1);
  redis_kill(&server);
  // No instance can publish its writes now, so no instance may serve from memory.
  source.value = 2;
  instance_invalidate(&instances[0]);
  cr_assert_eq(instance_get(&instances[1], &source), 2);
  cr_assert_eq(instance_get(&instances[0], &source), 2);
  for (int i = 0; i < 2; i++) {
    wait_until(is_down, instances[i].redis);
    cr_assert_not(instance_peek(&instances[i]));
  }
  source.value = 3;
  cr_assert_eq(instance_get(&instances[1], &source), 3);
  redis_start(&server);
  for (int i = 0; i < 2; i++)
    instance_settle(world, &instances[i]);
  source.value = 4;
  instance_invalidate(&instances[1]);
  cr_assert_eq(instance_get(&instances[0], &source), 4);
  cr_assert_eq(instance_get(&instances[1], &source), 4);
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

// An invalidation fails, but Redis keeps what it has: the old value stays in it, and in the other instance's memory.
static void check_lost_invalidation(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance a;
  struct instance b;
  const char *url = redis_server_url(world, &server);
  instance_start(world, &a, url, 60000);
  instance_start(world, &b, url, 60000);
  instance_settle(world, &a);
  instance_settle(world, &b);
  struct redis *operator;
  struct error error;
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &operator, & error), STATUS_OK);
  while (!redis_up(operator))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(instance_get(&a, &source), 1);
  cr_assert_eq(instance_get(&b, &source), 1);

  // A read-only replica refuses writes; clients that are connected stay so.
  const struct slice replica[] = {SLICE("REPLICAOF"), SLICE("127.0.0.1"), SLICE("1")};
  const struct slice master[] = {SLICE("REPLICAOF"), SLICE("NO"), SLICE("ONE")};
  redis_words(world, operator, replica, 3);
  source.value = 2;
  instance_invalidate(&a);
  redis_words(world, operator, master, 3);
  // As soon as A can, it announces the loss, and no instance accepts what is in Redis from before.
  while (instance_peek(&b))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(instance_get(&b, &source), 2);
  cr_assert_eq(instance_get(&a, &source), 2);
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
  instance_settle(world, &a);
  instance_settle(world, &b);
  cr_assert_eq(instance_get(&a, &source), 1);
  cr_assert(instance_peek(&a));
  // Only the subscriptions are cut; commands go on.
  const struct slice kill_them[] = {SLICE("CLIENT"), SLICE("KILL"), SLICE("TYPE"), SLICE("pubsub")};
  redis_words(world, b.redis, kill_them, 4);
  source.value = 2;
  instance_invalidate(&b);
  cr_assert_eq(instance_get(&a, &source), 2);
  instance_settle(world, &a);
  cr_assert_eq(instance_get(&a, &source), 2);
  instance_stop(&a);
  instance_stop(&b);
}

Test(cache, a_lost_subscription_empties_the_memory)
{
  redis_start(&server);
  with_loop(check_subscription_lost);
  redis_stop(&server);
}

// An instance that has just subscribed does not trust yet that the other instances can publish their writes.
static void check_settling(struct world *world)
{
  struct source source = {.world = world, .value = 1};
  struct instance early;
  struct instance settled;
  instance_start_settling(world, &early, redis_url(), 60000, 3600000);
  instance_start(world, &settled, redis_url(), 60000);
  instance_settle(world, &settled);
  while (!redis_up(early.redis))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(instance_get(&settled, &source), 1);
  cr_assert_eq(instance_get(&early, &source), 1);
  // The source changes without an invalidation, as when an instance that is cut off writes.
  source.value = 2;
  cr_assert_eq(instance_get(&settled, &source), 1);
  cr_assert_eq(instance_get(&early, &source), 2);
  cr_assert_not(instance_peek(&early));
  instance_stop(&early);
  instance_stop(&settled);
}

Test(cache, nothing_cached_is_served_before_the_others_are_back)
{
  with_loop(check_settling);
}

// Strange messages and values in Redis must not change what a get returns.
static void check_hostile(struct world *world)
{
  struct source source = {.world = world, .value = 5};
  struct instance a;
  instance_start(world, &a, redis_url(), 60000);
  instance_settle(world, &a);
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
    cr_assert_eq(instance_get(&a, &source), 5, "%zu", i);
    instance_invalidate(&a);
  }
  instance_stop(&a);
}

Test(cache, strange_messages_and_values_do_no_harm)
{
  with_loop(check_hostile);
}

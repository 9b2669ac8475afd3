// The cache while Redis is missing, silent or strange.
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/component/storage/cache_rig.h"

static struct server server;

// ---- Redis ----

static void check_without_redis(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, "", 0);
  pair_check(&pair, 10);
  pair_close(&pair);
}

Test(cache_outages, without_redis_memory_serves_and_is_right)
{
  with_pg(check_without_redis);
}

static bool is_down(void *redis)
{
  return !redis_up(redis);
}

static void check_redis_killed(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_server_url(world, &server), 0);
  pair_check(&pair, 10);
  redis_kill(&server);
  pair_check(&pair, 20);
  wait_until(is_down, pair.a.redis);
  wait_until(is_down, pair.b.redis);
  pair_check(&pair, 30);
  redis_start(&server);
  instance_settle(world, &pair.a);
  instance_settle(world, &pair.b);
  pair_check(&pair, 40);
  pair_close(&pair);
}

Test(cache_outages, a_redis_that_dies_and_comes_back_changes_no_answer)
{
  redis_start(&server);
  with_pg(check_redis_killed);
  redis_stop(&server);
}

// Redis answers nothing, but its sockets take what is sent, and it works it off later.
static void check_redis_frozen(struct world *world)
{
  struct pair pair;
  pair_open(world, &pair, redis_server_url(world, &server), 0);
  cr_assert_eq(instance_get(&pair.b, &pair.source), 1);
  kill(server.pid, SIGSTOP);
  pair_check(&pair, 10);
  kill(server.pid, SIGCONT);
  pair_check(&pair, 20);
  instance_settle(world, &pair.a);
  instance_settle(world, &pair.b);
  pair_check(&pair, 30);
  pair_close(&pair);
}

Test(cache_outages, a_frozen_redis_changes_no_answer)
{
  redis_start(&server);
  with_pg(check_redis_frozen);
  redis_stop(&server);
}

// One instance alone has lost Redis, the other one goes on with it.
static void check_cut_off(struct world *world)
{
  struct pair pair = {.source = {.world = world, .value = 1}};
  instance_start(world, &pair.a, "", 60000);
  instance_start(world, &pair.b, redis_server_url(world, &server), 60000);
  instance_settle(world, &pair.a);
  instance_meet(&pair.a, &pair.b);
  instance_meet(&pair.b, &pair.a);
  pair_check(&pair, 10);
  pair_close(&pair);
}

Test(cache_outages, an_instance_that_is_cut_off_from_redis_is_heard_all_the_same)
{
  redis_start(&server);
  with_pg(check_cut_off);
  redis_stop(&server);
}

// A read-only replica refuses what would hide a value.
static void check_redis_refuses(struct world *world)
{
  struct pair pair;
  struct redis_reply reply;
  pair_open(world, &pair, redis_server_url(world, &server), 0);
  pair_check(&pair, 10);
  const struct slice replica[] = {SLICE("REPLICAOF"), SLICE("127.0.0.1"), SLICE("1")};
  cr_assert_eq(redis_command(pair.b.redis, replica, 3, &world->arena, &reply), STATUS_OK);
  pair_check(&pair, 20);
  pair_close(&pair);
}

Test(cache_outages, a_redis_that_refuses_changes_no_answer)
{
  redis_start(&server);
  with_pg(check_redis_refuses);
  redis_stop(&server);
}

static bool is_up(void *redis)
{
  return redis_up(redis);
}

// Redis comes back with a value of long ago, from a snapshot. Nobody has heard that it was away, because the channel is
// stuck meanwhile.
static void check_old_snapshot(struct world *world)
{
  struct instance a;
  struct redis_reply reply;
  struct source source = {.world = world, .value = 1};
  instance_start(world, &a, redis_server_url(world, &server), 60000);
  instance_settle(world, &a);
  cr_assert_eq(instance_get(&a, &source), 1);
  const struct slice save = SLICE("SAVE");
  cr_assert_eq(redis_command(a.redis, &save, 1, &world->arena, &reply), STATUS_OK);
  instance_change(&a, &source, 2);
  pid_t server_process = (pid_t)instance_channel_pid(world);
  cr_assert_eq(kill(server_process, SIGSTOP), 0);
  instance_lose_lease(world, &a);
  redis_kill(&server);
  wait_until(is_down, a.redis);
  redis_start(&server);
  wait_until(is_up, a.redis);
  cr_assert_eq(kill(server_process, SIGCONT), 0);
  instance_settle(world, &a);
  cr_expect_eq(instance_get(&a, &source), 2);
  instance_stop(&a);
}

Test(cache_outages, a_redis_that_comes_back_with_old_values_changes_no_answer)
{
  redis_start(&server);
  with_pg(check_old_snapshot);
  redis_stop(&server);
}

// Whatever somebody writes into Redis as a value that is none.
static void check_strange_values(struct world *world)
{
  struct pair pair;
  struct redis_reply reply;
  pair_open(world, &pair, redis_url(), 0);
  const struct slice texts[] = {SLICE(""), SLICE("t"), SLICE("x"), SLICE("zzz")};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    instance_change(&pair.a, &pair.source, (int)i);
    cr_assert_eq(instance_get(&pair.a, &pair.source), (int)i);
    const struct slice words[] = {
        SLICE("EVAL"),
        SLICE("for _, key in ipairs(redis.call('KEYS', ARGV[1])) do "
              "redis.call('SET', key, ARGV[2]) end return 1"),
        SLICE("0"), slice_from_string(arena_printf(&world->arena, "cache:%s:*:key", world->schema)), texts[i]};
    cr_assert_eq(redis_command(pair.b.redis, words, 5, &world->arena, &reply), STATUS_OK);
    cr_assert_eq(instance_get(&pair.b, &pair.source), (int)i);
  }
  pair_close(&pair);
}

Test(cache_outages, strange_values_in_redis_do_no_harm)
{
  with_pg(check_strange_values);
}

// What enters Redis, and what must not: only a value whose loader still has its lease.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/component/storage/cache_rig.h"

// An operator at the server that the instances use.
struct operator
{
  struct world *world;
  struct redis *redis;
};

static bool is_up(void *redis)
{
  return redis_up(redis);
}

static void connect_operator(struct world *world, struct operator* operator, const char * url)
{
  struct error error;
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  operator->world = world;
  cr_assert_eq(redis_create(world->loop, &options, &operator->redis, &error), STATUS_OK);
  wait_until(is_up, operator->redis);
}

static struct redis_reply run_command(struct operator* operator, struct slice first, struct slice second,
                                      struct slice third)
{
  struct redis_reply reply;
  const struct slice words[] = {first, second, third};
  size_t count = third.data != NULL ? 3 : 2;
  cr_assert_eq(redis_command(operator->redis, words, count, &operator->world->arena, &reply), STATUS_OK);
  return reply;
}

// Returns the key of the entry "key" in Redis, whose epoch the instances have chosen; empty while there is none.
static struct slice stored_key(struct operator* operator)
{
  struct world *world = operator->world;
  struct slice pattern = slice_from_string(arena_printf(&world->arena, "cache:%s:*:key", world->schema));
  struct redis_reply reply = run_command(operator, SLICE("KEYS"), pattern, (struct slice){0});
  cr_assert_leq(reply.item_count, 1);
  return reply.item_count == 0 ? SLICE("none") : reply.items[0].string;
}

// An instance's load that has taken a lease, and waits until the test lets it go on.
struct loader {
  struct crew *crew;
  struct instance *instance;
  struct source source;
  struct completion gate;
  int value;
};

static void load_in_task(void *arg)
{
  struct loader *loader = arg;
  loader->value = instance_get(loader->instance, &loader->source);
  crew_finished(loader->crew);
}

static bool is_at_gate(void *arg)
{
  return ((struct loader *)arg)->source.at_gate;
}

static void start_load(struct loader *loader)
{
  loader->source.gate = &loader->gate;
  crew_start(loader->crew, load_in_task, loader);
  wait_until(is_at_gate, loader);
}

static void finish_load(struct loader *loader)
{
  completion_finish(&loader->gate, STATUS_OK);
  crew_join(loader->crew);
}

struct scene {
  struct instance a;
  struct instance b;
  struct operator operator;
  struct crew crew;
  struct loader loader;  // of instance a
};

// Waits until Redis has handled what the instance sent: it handles the commands of one connection in order.
static void await_instance(struct world *world, struct instance *instance)
{
  struct redis_reply reply;
  const struct slice ping = SLICE("PING");
  cr_assert_eq(redis_command(instance->redis, &ping, 1, &world->arena, &reply), STATUS_OK);
}

static void open_scene(struct world *world, struct scene *scene, const char *url)
{
  *scene = (struct scene){.crew = {.world = world}};
  instance_start(world, &scene->a, url, 60000);
  instance_start(world, &scene->b, url, 60000);
  instance_settle(world, &scene->a);
  instance_settle(world, &scene->b);
  connect_operator(world, &scene->operator, url);
  instance_meet(&scene->a, &scene->b);
  instance_meet(&scene->b, &scene->a);
  scene->loader = (struct loader){
      .crew = &scene->crew, .instance = &scene->a, .source = {.world = world, .value = 1}, .gate = COMPLETION_INIT};
}

static void close_scene(struct scene *scene)
{
  redis_free(&scene->operator.redis);
  instance_stop(&scene->a);
  instance_stop(&scene->b);
}

// Returns what the key holds: 'v' for a value, 't' for a lease, 0 for nothing.
static char kind_in_redis(struct scene *scene)
{
  await_instance(scene->operator.world, &scene->a);
  await_instance(scene->operator.world, &scene->b);
  struct redis_reply reply =
      run_command(&scene->operator, SLICE("GET"), stored_key(&scene->operator), (struct slice){0});
  return reply.type == REDIS_STRING && reply.string.size > 0 ? reply.string.data[0] : 0;
}

static void check_lease_then_value(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  start_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 't', "while it loads");
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 'v');
  struct redis_reply reply =
      run_command(&scene.operator, SLICE("PTTL"), stored_key(&scene.operator), (struct slice){0});
  cr_expect(reply.integer > 0 && reply.integer <= 30000, "half of the entry's life: %lld", (long long)reply.integer);
  close_scene(&scene);
}

Test(cache_leases, a_load_holds_a_lease_and_leaves_a_value_for_half_of_its_life)
{
  with_pg(check_lease_then_value);
}

// An invalidation whose message has not reached the loading instance yet has deleted the lease already.
static void check_lost_lease(struct world *world)
{
  struct scene scene;
  struct source newer = {.world = world, .value = 2};
  open_scene(world, &scene, redis_url());
  start_load(&scene.loader);
  run_command(&scene.operator, SLICE("DEL"), stored_key(&scene.operator), (struct slice){0});
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 0, "what was loaded before the change");
  cr_expect_eq(instance_get(&scene.b, &newer), 2);
  close_scene(&scene);
}

Test(cache_leases, a_value_whose_lease_was_deleted_does_not_enter)
{
  with_pg(check_lost_lease);
}

static void check_other_lease(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  struct crew crew = {.world = world};
  struct loader later = {
      .crew = &crew, .instance = &scene.b, .source = {.world = world, .value = 2}, .gate = COMPLETION_INIT};
  start_load(&scene.loader);
  run_command(&scene.operator, SLICE("DEL"), stored_key(&scene.operator), (struct slice){0});
  start_load(&later);
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 't', "the lease is another loader's now");
  finish_load(&later);
  cr_expect_eq(kind_in_redis(&scene), 'v');
  struct redis_reply reply = run_command(&scene.operator, SLICE("GET"), stored_key(&scene.operator), (struct slice){0});
  cr_expect_not_null(memmem(reply.string.data, reply.string.size, "key=2", 5));
  close_scene(&scene);
}

Test(cache_leases, a_lease_is_its_takers_alone)
{
  with_pg(check_other_lease);
}

static struct server server;

static int64_t count_scripts(struct operator* operator)
{
  struct redis_reply reply = run_command(operator, SLICE("INFO"), SLICE("commandstats"), (struct slice){0});
  const char *calls = memmem(reply.string.data, reply.string.size, "cmdstat_eval:calls=", 19);
  return calls == NULL ? 0 : strtoll(calls + 19, NULL, 10);
}

static void check_second_loader(struct world *world)
{
  struct scene scene;
  struct source source = {.world = world, .value = 2};
  open_scene(world, &scene, redis_server_url(world, &server));
  start_load(&scene.loader);
  await_instance(world, &scene.a);
  await_instance(world, &scene.b);
  int64_t before = count_scripts(&scene.operator);
  cr_expect_eq(instance_get(&scene.b, &source), 2);
  cr_expect_eq(count_scripts(&scene.operator), before, "it sees the lease, and neither takes one nor puts its value");
  finish_load(&scene.loader);
  close_scene(&scene);
}

Test(cache_leases, a_loader_without_a_lease_puts_nothing)
{
  redis_start(&server);
  with_pg(check_second_loader);
  redis_stop(&server);
}

// A load that fails gives its lease back.
static void check_failed_load(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  struct source failing = {.world = world, .status = STATUS_NOT_FOUND};
  struct source source = {.world = world, .value = 1};
  struct slice value;
  cr_assert_eq(cache_get(scene.a.cache, SLICE("key"), source_load, &failing, &world->arena, &value), STATUS_NOT_FOUND);
  cr_expect_eq(kind_in_redis(&scene), 0);
  cr_expect_eq(instance_get(&scene.b, &source), 1);
  cr_expect_eq(kind_in_redis(&scene), 'v');
  close_scene(&scene);
}

Test(cache_leases, a_load_that_fails_gives_its_lease_back)
{
  with_pg(check_failed_load);
}

// A change hides its keys from those that load meanwhile, and from those that have loaded before.
static void check_tombstone(struct world *world)
{
  struct scene scene;
  const struct slice key = SLICE("key");
  open_scene(world, &scene, redis_url());
  start_load(&scene.loader);
  struct cache_change *change = cache_change_begin(scene.b.cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  cr_expect_eq(kind_in_redis(&scene), 'x');
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 'x');
  cache_change_end(&change, true);
  cr_expect_eq(kind_in_redis(&scene), 0);
  close_scene(&scene);
}

Test(cache_leases, a_change_hides_its_keys_until_it_has_ended)
{
  with_pg(check_tombstone);
}

// A key stays hidden until the last of two changes has ended, whichever ends first.
static void check_overlapping(struct world *world)
{
  struct scene scene;
  const struct slice key = SLICE("key");
  open_scene(world, &scene, redis_url());
  for (int i = 0; i < 2; i++) {
    struct cache_change *changes[2];
    changes[0] = cache_change_begin(scene.a.cache, &key, 1);
    cr_assert_eq(cache_change_confirm(changes[0]), STATUS_OK);
    changes[1] = cache_change_begin(scene.b.cache, &key, 1);
    cr_assert_eq(cache_change_confirm(changes[1]), STATUS_OK);
    cache_change_end(&changes[i], true);
    cr_expect_eq(kind_in_redis(&scene), 'x');
    struct redis_reply reply =
        run_command(&scene.operator, SLICE("PTTL"), stored_key(&scene.operator), (struct slice){0});
    cr_expect_gt(reply.integer, 0, "it ends by itself");
    cache_change_end(&changes[1 - i], true);
    cr_expect_eq(kind_in_redis(&scene), 0);
  }
  close_scene(&scene);
}

Test(cache_leases, overlapping_changes_hide_a_key_until_the_last_has_ended)
{
  with_pg(check_overlapping);
}

// A flood of changes of one key: its tombstone does not grow with them, and hides the key until all have ended.
static void check_many_changes(struct world *world)
{
  enum { CHANGES = 200 };
  struct scene scene;
  const struct slice key = SLICE("key");
  open_scene(world, &scene, redis_url());
  struct cache_change *changes[CHANGES];
  for (size_t i = 0; i < CHANGES; i++)
    changes[i] = cache_change_begin(i % 2 == 0 ? scene.a.cache : scene.b.cache, &key, 1);
  for (size_t i = 0; i < CHANGES; i++)
    cr_assert_eq(cache_change_confirm(changes[i]), STATUS_OK);
  struct redis_reply reply =
      run_command(&scene.operator, SLICE("STRLEN"), stored_key(&scene.operator), (struct slice){0});
  cr_expect_lt(reply.integer, 4096);
  for (size_t i = 0; i < CHANGES - 1; i++)
    cache_change_end(&changes[i], true);
  cr_expect_eq(kind_in_redis(&scene), 'x');
  reply = run_command(&scene.operator, SLICE("PTTL"), stored_key(&scene.operator), (struct slice){0});
  cr_expect_gt(reply.integer, 0, "it ends by itself");
  cache_change_end(&changes[CHANGES - 1], true);
  instance_warm(&scene.a, &(struct source){.world = world});
  close_scene(&scene);
}

Test(cache_leases, the_tombstone_of_many_changes_stays_small)
{
  with_pg(check_many_changes);
}

// Redis may evict a tombstone. Then a load that has not heard of the change puts the old value in.
static void check_evicted(struct world *world)
{
  struct scene scene;
  const struct slice key = SLICE("key");
  open_scene(world, &scene, redis_url());
  struct cache_change *change = cache_change_begin(scene.a.cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  run_command(&scene.operator, SLICE("SET"), stored_key(&scene.operator), SLICE("vkey=1"));
  cache_change_end(&change, true);
  cr_expect_eq(kind_in_redis(&scene), 0);
  close_scene(&scene);
}

Test(cache_leases, what_stands_in_place_of_a_tombstone_ends_with_the_change)
{
  with_pg(check_evicted);
}

static enum status load_large(void *arg, struct slice key, struct arena *arena, struct slice *value)
{
  enum { SIZE = (1 << 20) + 1 };
  (void)key;
  (*(unsigned *)arg)++;
  *value = slice_make(arena_zalloc(arena, SIZE), SIZE);
  return STATUS_OK;
}

static void check_large(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  unsigned loads = 0;
  struct slice value;
  cr_assert_eq(cache_get(scene.a.cache, SLICE("key"), load_large, &loads, &world->arena, &value), STATUS_OK);
  cr_expect_eq(value.size, (1 << 20) + 1);
  cr_expect_neq(kind_in_redis(&scene), 'v');
  close_scene(&scene);
}

Test(cache_leases, what_is_too_large_is_loaded_and_not_cached)
{
  with_pg(check_large);
}

static void check_long_keys(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  struct slice key = slice_make(arena_zalloc(&world->arena, 1025), 1025);
  for (unsigned excess = 0; excess <= 1; excess++) {
    struct source source = {.world = world};
    struct slice value;
    key.size = 1024 + excess;
    for (int i = 0; i < 2; i++)
      cr_assert_eq(cache_get(scene.a.cache, key, source_load, &source, &world->arena, &value), STATUS_OK);
    cr_expect_eq(source.loads, excess == 0 ? 1 : 2);
  }
  close_scene(&scene);
}

Test(cache_leases, keys_that_are_too_long_are_loaded_each_time)
{
  with_pg(check_long_keys);
}

// Before an instance has settled nobody can tell whether a running load is older than the question.
static void check_no_joining(struct world *world)
{
  struct instance young;
  struct crew crew = {.world = world};
  instance_start_holding(world, &young, "", 60000, 3600000);
  struct loader old = {
      .crew = &crew, .instance = &young, .source = {.world = world, .value = 1}, .gate = COMPLETION_INIT};
  struct source newer = {.world = world, .value = 2};
  start_load(&old);
  cr_expect_eq(instance_get(&young, &newer), 2);
  finish_load(&old);
  cr_expect_eq(old.value, 1);
  instance_stop(&young);
}

Test(cache_leases, before_it_has_settled_each_caller_loads_for_itself)
{
  with_pg(check_no_joining);
}

// A load that runs while the lease ends may have read before a change that waited for that.
static void check_no_joining_late(struct world *world)
{
  struct instance a;
  struct crew crew = {.world = world};
  instance_start(world, &a, "", 60000);
  instance_settle(world, &a);
  pid_t server_process = (pid_t)instance_channel_pid(world);
  struct loader old = {.crew = &crew, .instance = &a, .source = {.world = world, .value = 1}, .gate = COMPLETION_INIT};
  struct source newer = {.world = world, .value = 2};
  start_load(&old);
  cr_assert_eq(kill(server_process, SIGSTOP), 0);
  instance_lose_lease(world, &a);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 5000));
  cr_expect_eq(instance_get(&a, &newer), 2);
  task_restore_deadline(before);
  cr_assert_eq(kill(server_process, SIGCONT), 0);
  finish_load(&old);
  cr_expect_eq(old.value, 1);
  instance_stop(&a);
}

Test(cache_leases, without_a_lease_nobody_joins_a_load_that_runs)
{
  with_pg(check_no_joining_late);
}

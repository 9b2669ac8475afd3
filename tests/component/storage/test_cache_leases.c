// What enters Redis, and what must not: only a value whose loader still has its lease.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/component/storage/cache_rig.h"

// An operator at the server that the instances use.
struct operator
{
  struct world *world;
  struct redis *redis;
  struct slice key;  // of the entry "key" in Redis
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
  operator->key = slice_from_string(arena_printf(&world->arena, "cache:%s:key", world->schema));
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

static void open_scene(struct world *world, struct scene *scene, const char *url)
{
  *scene = (struct scene){.crew = {.world = world}};
  instance_start(world, &scene->a, url, 60000);
  instance_start(world, &scene->b, url, 60000);
  instance_settle(world, &scene->a);
  instance_settle(world, &scene->b);
  connect_operator(world, &scene->operator, url);
  scene->loader = (struct loader){
      .crew = &scene->crew, .instance = &scene->a, .source = {.world = world, .value = 1}, .gate = COMPLETION_INIT};
}

static void close_scene(struct scene *scene)
{
  redis_free(&scene->operator.redis);
  instance_stop(&scene->a);
  instance_stop(&scene->b);
}

// Waits until Redis has handled what the instance sent: it handles the commands of one connection in order.
static void await_instance(struct world *world, struct instance *instance)
{
  struct redis_reply reply;
  const struct slice ping = SLICE("PING");
  cr_assert_eq(redis_command(instance->redis, &ping, 1, &world->arena, &reply), STATUS_OK);
}

// Returns what the key holds: 'v' for a value, 't' for a lease, 0 for nothing.
static char kind_in_redis(struct scene *scene)
{
  await_instance(scene->operator.world, &scene->a);
  await_instance(scene->operator.world, &scene->b);
  struct redis_reply reply = run_command(&scene->operator, SLICE("GET"), scene->operator.key, (struct slice){0});
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
  struct redis_reply reply = run_command(&scene.operator, SLICE("PTTL"), scene.operator.key, (struct slice){0});
  cr_expect(reply.integer > 0 && reply.integer <= 30000, "half of the entry's life: %lld", (long long)reply.integer);
  close_scene(&scene);
}

Test(cache_leases, a_load_holds_a_lease_and_leaves_a_value_for_half_of_its_life)
{
  with_loop(check_lease_then_value);
}

// An invalidation whose message has not reached the loading instance yet has deleted the lease already.
static void check_lost_lease(struct world *world)
{
  struct scene scene;
  struct source newer = {.world = world, .value = 2};
  open_scene(world, &scene, redis_url());
  start_load(&scene.loader);
  run_command(&scene.operator, SLICE("DEL"), scene.operator.key, (struct slice){0});
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 0, "what was loaded before the change");
  cr_expect_eq(instance_get(&scene.b, &newer), 2);
  close_scene(&scene);
}

Test(cache_leases, a_value_whose_lease_was_deleted_does_not_enter)
{
  with_loop(check_lost_lease);
}

static void check_other_lease(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  struct crew crew = {.world = world};
  struct loader later = {
      .crew = &crew, .instance = &scene.b, .source = {.world = world, .value = 2}, .gate = COMPLETION_INIT};
  start_load(&scene.loader);
  run_command(&scene.operator, SLICE("DEL"), scene.operator.key, (struct slice){0});
  start_load(&later);
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 't', "the lease is another loader's now");
  finish_load(&later);
  cr_expect_eq(kind_in_redis(&scene), 'v');
  struct redis_reply reply = run_command(&scene.operator, SLICE("GET"), scene.operator.key, (struct slice){0});
  cr_expect_not_null(memmem(reply.string.data, reply.string.size, "key=2", 5));
  close_scene(&scene);
}

Test(cache_leases, a_lease_is_its_takers_alone)
{
  with_loop(check_other_lease);
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
  int64_t before = count_scripts(&scene.operator);
  cr_expect_eq(instance_get(&scene.b, &source), 2);
  cr_expect_eq(count_scripts(&scene.operator), before, "it sees the lease, and neither takes one nor puts its value");
  finish_load(&scene.loader);
  close_scene(&scene);
}

Test(cache_leases, a_loader_without_a_lease_puts_nothing)
{
  redis_start(&server);
  with_loop(check_second_loader);
  redis_stop(&server);
}

// A message that is not understood invalidates everything, loads in progress included.
static void check_strange_message(struct world *world)
{
  struct scene scene;
  open_scene(world, &scene, redis_url());
  start_load(&scene.loader);
  struct slice channel = slice_from_string(arena_printf(&world->arena, "cache-changes:%s", world->schema));
  run_command(&scene.operator, SLICE("PUBLISH"), channel, SLICE("a newer version's"));
  // Redis answers this after it has written the message to its subscribers.
  run_command(&scene.operator, SLICE("STRLEN"), channel, (struct slice){0});
  redis_poll_subscriptions(scene.a.redis);
  finish_load(&scene.loader);
  cr_expect_eq(kind_in_redis(&scene), 't');
  cr_expect_not(instance_peek(&scene.a));
  close_scene(&scene);
}

Test(cache_leases, a_message_that_is_not_understood_keeps_running_loads_out)
{
  with_loop(check_strange_message);
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
  with_loop(check_large);
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
  with_loop(check_long_keys);
}

// Without a subscription nobody can tell whether a running load is older than the question.
static void check_no_joining(struct world *world)
{
  struct instance alone;
  struct crew crew = {.world = world};
  instance_start(world, &alone, "", 60000);
  struct loader old = {
      .crew = &crew, .instance = &alone, .source = {.world = world, .value = 1}, .gate = COMPLETION_INIT};
  struct source newer = {.world = world, .value = 2};
  start_load(&old);
  cr_expect_eq(instance_get(&alone, &newer), 2);
  finish_load(&old);
  cr_expect_eq(old.value, 1);
  instance_stop(&alone);
}

Test(cache_leases, without_redis_each_caller_loads_for_itself)
{
  with_loop(check_no_joining);
}

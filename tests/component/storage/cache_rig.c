#include "tests/component/storage/cache_rig.h"

#include <criterion/criterion.h>

#include "tests/support/common/read_metric.h"

enum status source_load(void *arg, struct slice key, struct arena *arena, struct slice *value)
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

void instance_start_settling(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms,
                             uint32_t settle_ms)
{
  struct error error;
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &instance->redis, &error), STATUS_OK);
  const struct cache_options cache_options = {
      .name = world->schema, .max_bytes = 1 << 20, .ttl_ms = ttl_ms, .settle_ms = settle_ms, .redis = instance->redis};
  instance->cache = cache_create(world->loop, &cache_options);
}

void instance_start(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms)
{
  instance_start_settling(world, instance, url, ttl_ms, 0);
}

void instance_stop(struct instance *instance)
{
  cache_free(&instance->cache);
  redis_free(&instance->redis);
}

int instance_get(struct instance *instance, struct source *source)
{
  struct arena arena = {0};
  struct slice value;
  cr_assert_eq(cache_get(instance->cache, SLICE("key"), source_load, source, &arena, &value), STATUS_OK);
  cr_assert(slice_starts_with(value, SLICE("key=")));
  int64_t number = -1;
  cr_assert(slice_to_int64(slice_skip(value, 4), 0, INT32_MAX, &number));
  arena_free(&arena);
  return (int)number;
}

void instance_invalidate(struct instance *instance)
{
  const struct slice key = SLICE("key");
  cache_invalidate(instance->cache, &key, 1);
}

bool instance_peek(struct instance *instance)
{
  struct slice value;
  return cache_peek(instance->cache, SLICE("key"), &value);
}

int64_t cache_hits(struct world *world, const char *tier)
{
  const struct slice labels[] = {slice_from_string(world->schema), slice_from_string(tier)};
  return read_metric(METRIC_CACHE_HITS, labels, 2);
}

void instance_settle(struct world *world, struct instance *instance)
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
    cr_assert_eq(cache_get(instance->cache, key, source_load, &probe, &arena, &value), STATUS_OK);
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

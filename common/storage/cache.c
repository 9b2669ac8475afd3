// Gets, loads, and who waits for whom. The tiers are cache_memory.c and cache_shared.c.
//
// A flight is one load of one key; those who come while it lasts wait for it. When its key changes meanwhile, the
// flight is "stale": it answers those who asked before the change, enters no tier, and nobody joins it any more. While
// the subscription is away we cannot know of changes; then all flights are stale from the start.
#include "common/storage/cache.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/cache_memory_internal.h"
#include "common/storage/cache_shared_internal.h"

enum { FLIGHT_BUCKETS = 64, MAX_KEY_BYTES = 1024 };

struct flight {
  struct list node;
  struct slice key;
  uint64_t hash;
  bool stale;
  struct list waiters;
};

// On the stack of the task that waits.
struct flight_waiter {
  struct list node;
  struct completion completion;
  struct arena *arena;
  struct slice *value;
  bool again;  // the loader gave up for reasons of its own
};

struct cache {
  struct loop *loop;
  uint32_t ttl_ms;
  struct cache_memory memory;
  struct cache_shared shared;
  struct list flights[FLIGHT_BUCKETS];
  struct metric_series *hits_memory;
  struct metric_series *hits_redis;
  struct metric_series *misses;
  struct metric_series *entries;
  struct metric_series *invalidations;
};

static bool is_on(const struct cache *cache)
{
  return cache->ttl_ms > 0;
}

static struct flight *find_flight(struct cache *cache, struct slice key, uint64_t hash)
{
  struct list *bucket = &cache->flights[hash % FLIGHT_BUCKETS];
  for (struct list *node = bucket->next; node != bucket; node = node->next) {
    struct flight *flight = CONTAINER_OF(node, struct flight, node);
    if (flight->hash == hash && slice_equal(flight->key, key))
      return flight;
  }
  return NULL;
}

// ---- changes ----

static void make_stale(struct flight *flight)
{
  flight->stale = true;
  list_remove(&flight->node);
}

static void changed(void *arg, struct slice key)
{
  struct cache *cache = arg;
  uint64_t hash = cache_memory_hash(&cache->memory, key);
  struct flight *flight = find_flight(cache, key, hash);
  if (flight != NULL)
    make_stale(flight);
  if (!cache_memory_remove(&cache->memory, key, hash))
    return;
  metric_add(cache->invalidations, 1);
  metric_set(cache->entries, (int64_t)cache->memory.count);
}

static void all_changed(void *arg)
{
  struct cache *cache = arg;
  for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
    while (!list_empty(&cache->flights[i]))
      make_stale(CONTAINER_OF(cache->flights[i].next, struct flight, node));
  metric_add(cache->invalidations, (int64_t)cache->memory.count);
  cache_memory_clear(&cache->memory);
  metric_set(cache->entries, 0);
}

void cache_invalidate(struct cache *cache, const struct slice *keys, size_t count)
{
  if (!is_on(cache) || count == 0)
    return;
  for (size_t i = 0; i < count; i++)
    changed(cache, keys[i]);
  cache_shared_invalidate(&cache->shared, keys, count);
  // Between the first time and the deletion in Redis somebody may have fetched the old value from there.
  for (size_t i = 0; i < count; i++)
    changed(cache, keys[i]);
}

// ---- life ----

static struct metric_series *hits_series(struct slice name, struct slice tier)
{
  const struct slice labels[] = {name, tier};
  return metrics_series(METRIC_CACHE_HITS, labels, ARRAY_LEN(labels));
}

struct cache *cache_create(struct loop *loop, const struct cache_options *options)
{
  struct cache *cache = calloc(1, sizeof(*cache));
  CHECK(cache != NULL);
  struct slice name = slice_from_string(options->name);
  cache->loop = loop;
  cache->ttl_ms = options->ttl_ms;
  for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
    list_init(&cache->flights[i]);
  cache->hits_memory = hits_series(name, SLICE("memory"));
  cache->hits_redis = hits_series(name, SLICE("redis"));
  cache->misses = metrics_series(METRIC_CACHE_MISSES, &name, 1);
  cache->entries = metrics_series(METRIC_CACHE_ENTRIES, &name, 1);
  cache->invalidations = metrics_series(METRIC_CACHE_INVALIDATIONS, &name, 1);
  cache_memory_init(&cache->memory, options->max_bytes);
  // Half of its life in each tier, so that an entry that goes from Redis to memory is not older than ttl at its end.
  const struct cache_shared_events events = {.changed = changed, .all_changed = all_changed, .arg = cache};
  if (is_on(cache))
    cache_shared_init(&cache->shared, options, (options->ttl_ms + 1) / 2, &events);
  return cache;
}

void cache_free(struct cache **cache)
{
  struct cache *ended = *cache;
  if (ended == NULL)
    return;
  *cache = NULL;
  for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
    CHECK(list_empty(&ended->flights[i]));
  if (is_on(ended))
    cache_shared_free(&ended->shared);
  cache_memory_free(&ended->memory);
  free(ended);
}

// ---- gets ----

static bool look_in_memory(struct cache *cache, struct slice key, uint64_t hash, struct slice *value)
{
  redis_poll_subscriptions(cache->shared.redis);
  if (!cache_shared_hears_all(&cache->shared) ||
      !cache_memory_get(&cache->memory, key, hash, loop_now_us(cache->loop), value))
    return false;
  metric_add(cache->hits_memory, 1);
  return true;
}

bool cache_peek(struct cache *cache, struct slice key, struct slice *value)
{
  return is_on(cache) && look_in_memory(cache, key, cache_memory_hash(&cache->memory, key), value);
}

static void keep(struct cache *cache, const struct flight *flight, struct slice value, uint32_t ttl_ms)
{
  if (flight->stale)
    return;
  uint64_t expires_us = deadline_after_ms(loop_now_us(cache->loop), ttl_ms);
  cache_memory_put(&cache->memory, flight->key, flight->hash, value, expires_us);
  metric_set(cache->entries, (int64_t)cache->memory.count);
}

struct loader {
  cache_load_fn *load;
  void *arg;
};

static enum status fetch(struct cache *cache, const struct flight *flight, const struct loader *loader,
                         struct arena *arena, struct slice *value)
{
  struct cache_lease lease;
  if (cache_shared_get(&cache->shared, flight->key, arena, value, &lease) == STATUS_OK) {
    metric_add(cache->hits_redis, 1);
    keep(cache, flight, *value, (cache->ttl_ms + 1) / 2);
    return STATUS_OK;
  }
  metric_add(cache->misses, 1);
  enum status status = loader->load(loader->arg, flight->key, arena, value);
  if (status != STATUS_OK)
    return status;
  keep(cache, flight, *value, cache->ttl_ms);
  if (!flight->stale)
    cache_shared_put(&cache->shared, flight->key, *value, &lease);
  return STATUS_OK;
}

static void land(struct flight *flight, enum status status, struct slice value)
{
  // The loader's own deadline or cancellation is not that of those who wait.
  bool again = status == STATUS_CANCELLED || status == STATUS_DEADLINE_EXCEEDED;
  list_remove(&flight->node);
  while (!list_empty(&flight->waiters)) {
    struct flight_waiter *waiter = CONTAINER_OF(flight->waiters.next, struct flight_waiter, node);
    list_remove(&waiter->node);
    waiter->again = again;
    if (status == STATUS_OK)
      *waiter->value = arena_copy(waiter->arena, value);
    completion_finish(&waiter->completion, again ? STATUS_OK : status);
  }
}

static enum status fly(struct cache *cache, struct flight *flight, const struct loader *loader, struct arena *arena,
                       struct slice *value)
{
  list_init(&flight->node);
  list_init(&flight->waiters);
  flight->stale = !cache_shared_hears_all(&cache->shared);
  if (!flight->stale)
    list_append(&cache->flights[flight->hash % FLIGHT_BUCKETS], &flight->node);
  enum status status = fetch(cache, flight, loader, arena, value);
  land(flight, status, *value);
  return status;
}

static enum status join_flight(struct flight *flight, struct arena *arena, struct slice *value, bool *again)
{
  struct flight_waiter waiter = {.completion = COMPLETION_INIT, .arena = arena, .value = value};
  list_append(&flight->waiters, &waiter.node);
  enum status status = completion_wait(&waiter.completion);
  list_remove(&waiter.node);
  *again = status == STATUS_OK && waiter.again;
  return status;
}

enum status cache_get(struct cache *cache, struct slice key, cache_load_fn *load, void *arg, struct arena *arena,
                      struct slice *value)
{
  *value = (struct slice){0};
  if (!is_on(cache) || key.size > MAX_KEY_BYTES)
    return load(arg, key, arena, value);
  uint64_t hash = cache_memory_hash(&cache->memory, key);
  const struct loader loader = {.load = load, .arg = arg};
  for (;;) {
    struct slice kept;
    if (look_in_memory(cache, key, hash, &kept)) {
      *value = arena_copy(arena, kept);
      return STATUS_OK;
    }
    struct flight *running = find_flight(cache, key, hash);
    if (running == NULL) {
      struct flight flight = {.key = key, .hash = hash};
      return fly(cache, &flight, &loader, arena, value);
    }
    bool again = false;
    enum status status = join_flight(running, arena, value, &again);
    if (!again)
      return status;
  }
}

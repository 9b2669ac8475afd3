// Gets, loads in progress, and invalidation. The tiers are cache_memory.c and cache_redis.c.
//
// A load in progress is found by its key, and later callers join it. When its key is invalidated meanwhile, the load is
// detached: it still answers the callers who joined before, enters no tier, and nobody joins it any more. While the
// subscription is away invalidations go unheard, so every load is detached from the start.
#include "common/storage/cache.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/hashtable.h"
#include "common/observe/metrics.h"
#include "common/runtime/task.h"
#include "common/storage/cache_memory_internal.h"
#include "common/storage/cache_redis_internal.h"

enum { MAX_KEY_BYTES = 1024 };

enum load_state {
  LOAD_JOINABLE,  // in cache.loads; its value may enter the tiers
  LOAD_DETACHED,  // its value may be older than an invalidation
};

// Lies on the stack of the task that loads.
struct load {
  struct hashtable_node node;
  struct slice key;
  uint64_t hash;
  enum load_state state;
  struct list joined;  // struct joined_get
};

// Lies on the stack of a task that waits for another task's load.
struct joined_get {
  struct list node;
  struct completion completion;
  struct arena *arena;
  struct slice *value;
  bool retry;  // the loading task gave up for reasons of its own
};

struct source {
  cache_load_fn *load;
  void *arg;
};

struct cache {
  struct loop *loop;
  uint32_t ttl_ms;
  struct cache_memory memory;
  struct cache_redis shared;
  struct hashtable loads;  // those that are LOAD_JOINABLE, by the hash of their keys
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

// ---- loads in progress ----

static struct load *find_load(const struct cache *cache, struct slice key, uint64_t hash)
{
  for (struct hashtable_node *node = hashtable_first(&cache->loads, hash); node != NULL; node = hashtable_next(node)) {
    struct load *load = CONTAINER_OF(node, struct load, node);
    if (slice_equal(load->key, key))
      return load;
  }
  return NULL;
}

static void detach_load(struct cache *cache, struct load *load)
{
  if (load->state == LOAD_DETACHED)
    return;
  load->state = LOAD_DETACHED;
  hashtable_remove(&cache->loads, &load->node);
}

// ---- invalidation ----

static void invalidate_here(void *arg, struct slice key)
{
  struct cache *cache = arg;
  uint64_t hash = hash_bytes(key);
  struct load *load = find_load(cache, key, hash);
  if (load != NULL)
    detach_load(cache, load);
  if (!cache_memory_remove(&cache->memory, key, hash))
    return;
  metric_add(cache->invalidations, 1);
  metric_set(cache->entries, (int64_t)cache_memory_count(&cache->memory));
}

static void invalidate_all_here(void *arg)
{
  struct cache *cache = arg;
  struct hashtable_node *node;
  while ((node = hashtable_any(&cache->loads, NULL)) != NULL)
    detach_load(cache, CONTAINER_OF(node, struct load, node));
  metric_add(cache->invalidations, (int64_t)cache_memory_count(&cache->memory));
  cache_memory_clear(&cache->memory);
  metric_set(cache->entries, 0);
}

void cache_invalidate(struct cache *cache, const struct slice *keys, size_t count)
{
  if (!is_on(cache) || count == 0)
    return;
  for (size_t i = 0; i < count; i++)
    invalidate_here(cache, keys[i]);
  cache_redis_invalidate(&cache->shared, keys, count);
  // Until Redis had deleted a key, another task could fetch the old value from there.
  for (size_t i = 0; i < count; i++)
    invalidate_here(cache, keys[i]);
}

// ---- creating and freeing ----

static struct metric_series *hits_series(struct slice name, struct slice tier)
{
  const struct slice labels[] = {name, tier};
  return metrics_series(METRIC_CACHE_HITS, labels, ARRAY_LEN(labels));
}

// Half of an entry's life in each tier: an entry that goes from Redis to memory is then not older than ttl at its end.
static uint32_t half_ttl_ms(uint32_t ttl_ms)
{
  return ttl_ms / 2 + ttl_ms % 2;
}

struct cache *cache_create(struct loop *loop, const struct cache_options *options)
{
  struct cache *cache = calloc(1, sizeof(*cache));
  CHECK(cache != NULL);
  struct slice name = slice_from_string(options->name);
  cache->loop = loop;
  cache->ttl_ms = options->ttl_ms;
  cache->hits_memory = hits_series(name, SLICE("memory"));
  cache->hits_redis = hits_series(name, SLICE("redis"));
  cache->misses = metrics_series(METRIC_CACHE_MISSES, &name, 1);
  cache->entries = metrics_series(METRIC_CACHE_ENTRIES, &name, 1);
  cache->invalidations = metrics_series(METRIC_CACHE_INVALIDATIONS, &name, 1);
  cache_memory_init(&cache->memory, options->max_bytes);
  const struct cache_redis_events events = {
      .invalidated = invalidate_here, .all_invalidated = invalidate_all_here, .arg = cache};
  if (is_on(cache))
    cache_redis_init(&cache->shared, options, half_ttl_ms(options->ttl_ms), &events);
  return cache;
}

void cache_free(struct cache **cache)
{
  struct cache *ended = *cache;
  if (ended == NULL)
    return;
  *cache = NULL;
  CHECK(ended->loads.count == 0);
  hashtable_free(&ended->loads);
  if (is_on(ended))
    cache_redis_clear(&ended->shared);
  cache_memory_clear(&ended->memory);
  free(ended);
}

// ---- gets ----

static bool look_in_memory(struct cache *cache, struct slice key, uint64_t hash, struct slice *value)
{
  redis_poll_subscriptions(cache->shared.redis);
  if (!cache_redis_hears_all(&cache->shared) ||
      !cache_memory_get(&cache->memory, key, hash, loop_now_us(cache->loop), value))
    return false;
  metric_add(cache->hits_memory, 1);
  return true;
}

bool cache_peek(struct cache *cache, struct slice key, struct slice *value)
{
  return is_on(cache) && look_in_memory(cache, key, hash_bytes(key), value);
}

static void keep_in_memory(struct cache *cache, const struct load *load, struct slice value, uint32_t ttl_ms)
{
  if (load->state == LOAD_DETACHED)
    return;
  uint64_t expires_us = deadline_after_ms(loop_now_us(cache->loop), ttl_ms);
  cache_memory_put(&cache->memory, load->key, load->hash, value, expires_us);
  metric_set(cache->entries, (int64_t)cache_memory_count(&cache->memory));
}

static enum status fetch_value(struct cache *cache, const struct load *load, const struct source *source,
                               struct arena *arena, struct slice *value)
{
  struct cache_lease lease;
  if (cache_redis_get(&cache->shared, load->key, arena, value, &lease) == STATUS_OK) {
    metric_add(cache->hits_redis, 1);
    keep_in_memory(cache, load, *value, half_ttl_ms(cache->ttl_ms));
    return STATUS_OK;
  }
  metric_add(cache->misses, 1);
  enum status status = source->load(source->arg, load->key, arena, value);
  if (status != STATUS_OK)
    return status;
  keep_in_memory(cache, load, *value, cache->ttl_ms);
  if (load->state == LOAD_JOINABLE)
    cache_redis_put(&cache->shared, load->key, *value, &lease);
  return STATUS_OK;
}

static void finish_load(struct cache *cache, struct load *load, enum status status, struct slice value)
{
  // The loading task's deadline or cancellation is its own, so those who joined try again.
  bool retry = status == STATUS_CANCELLED || status == STATUS_DEADLINE_EXCEEDED;
  detach_load(cache, load);
  while (!list_empty(&load->joined)) {
    struct joined_get *get = CONTAINER_OF(load->joined.next, struct joined_get, node);
    list_remove(&get->node);
    get->retry = retry;
    if (status == STATUS_OK)
      *get->value = arena_copy(get->arena, value);
    completion_finish(&get->completion, retry ? STATUS_OK : status);
  }
}

static enum status run_load(struct cache *cache, struct load *load, const struct source *source, struct arena *arena,
                            struct slice *value)
{
  list_init(&load->joined);
  load->state = LOAD_DETACHED;
  if (cache_redis_hears_all(&cache->shared)) {
    load->state = LOAD_JOINABLE;
    hashtable_insert(&cache->loads, &load->node, load->hash);
  }
  enum status status = fetch_value(cache, load, source, arena, value);
  finish_load(cache, load, status, *value);
  return status;
}

static enum status join_load(struct load *load, struct arena *arena, struct slice *value, bool *retry)
{
  struct joined_get get = {
      .completion = {.what = "another task that loads the same key"}, .arena = arena, .value = value};
  list_append(&load->joined, &get.node);
  enum status status = completion_wait(&get.completion);
  list_remove(&get.node);
  *retry = status == STATUS_OK && get.retry;
  return status;
}

enum status cache_get(struct cache *cache, struct slice key, cache_load_fn *load_value, void *arg, struct arena *arena,
                      struct slice *value)
{
  *value = (struct slice){0};
  if (!is_on(cache) || key.size > MAX_KEY_BYTES)
    return load_value(arg, key, arena, value);
  uint64_t hash = hash_bytes(key);
  const struct source source = {.load = load_value, .arg = arg};
  for (;;) {
    struct slice kept;
    if (look_in_memory(cache, key, hash, &kept)) {
      *value = arena_copy(arena, kept);
      return STATUS_OK;
    }
    struct load *running = find_load(cache, key, hash);
    if (running == NULL) {
      struct load load = {.key = key, .hash = hash};
      return run_load(cache, &load, &source, arena, value);
    }
    bool retry = false;
    enum status status = join_load(running, arena, value, &retry);
    if (!retry)
      return status;
  }
}

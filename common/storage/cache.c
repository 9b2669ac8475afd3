// Gets, and loads in progress. The tiers are cache_memory.c and cache_redis.c; changes are cache_changes.c; who
// may serve what, and when a change may go on, is cache_coherence.c.
//
// A load in progress is found by its key, and later callers join it. When its key is invalidated meanwhile, the load is
// detached: it still answers the callers who joined before, enters no tier, and nobody joins it any more. While its key
// is changing, or invalidations may go unheard, a load is detached from the start.
#include "common/storage/cache_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/hashtable.h"
#include "common/observe/metrics.h"
#include "common/runtime/task.h"

enum load_state {
  LOAD_JOINABLE,  // in cache.loads; its value may enter the tiers if it `keeps`
  LOAD_DETACHED,  // its value may be older than an invalidation
};

// Lies on the stack of the task that loads.
struct load {
  struct hashtable_node node;
  struct slice key;
  uint64_t hash;
  enum load_state state;
  bool keeps;          // what it reads in the source may be kept and shared
  struct list joined;  // struct joined_get
};

// Lies on the stack of a task that waits for another task's load.
struct joined_get {
  struct list node;
  struct completion completion;
  struct arena *arena;
  struct slice *value;
  bool retry;               // the loading task gave up for reasons of its own
  struct task_cause cause;  // why it has failed
};

struct source {
  cache_load_fn *load;
  void *arg;
};

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
  struct load *load;
  while ((load = find_load(cache, key, hash)) != NULL)
    detach_load(cache, load);
  if (!cache_memory_remove(&cache->memory, key, hash))
    return;
  metric_add(cache->invalidations, 1);
  metric_set(cache->entries, (int64_t)cache_memory_count(&cache->memory));
}

static void invalidate_loads_here(void *arg)
{
  struct cache *cache = arg;
  struct hashtable_node *node;
  while ((node = hashtable_any(&cache->loads, NULL)) != NULL)
    detach_load(cache, CONTAINER_OF(node, struct load, node));
}

static void invalidate_all_here(void *arg)
{
  struct cache *cache = arg;
  invalidate_loads_here(cache);
  metric_add(cache->invalidations, (int64_t)cache_memory_count(&cache->memory));
  cache_memory_clear(&cache->memory);
  metric_set(cache->entries, 0);
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

static void handle_redis_state(void *arg, bool up)
{
  struct cache *cache = arg;
  cache_coherence_set_redis(&cache->coherence, up);
}

static void connect_instances(struct cache *cache, const struct cache_options *options)
{
  const struct cache_coherence_events events = {.invalidated = invalidate_here,
                                                .all_invalidated = invalidate_all_here,
                                                .loads_invalidated = invalidate_loads_here,
                                                .arg = cache};
  cache_coherence_init(&cache->coherence, cache->loop, options, &events);
  cache_redis_init(&cache->shared, options, half_ttl_ms(options->ttl_ms));
  cache->redis_observer = (struct redis_observer){.changed = handle_redis_state, .arg = cache};
  redis_observe(options->redis, &cache->redis_observer);
  cache_coherence_set_redis(&cache->coherence, redis_up(options->redis));
}

struct cache *cache_create(struct loop *loop, const struct cache_options *options)
{
  CHECK(strlen(options->name) <= CACHE_MAX_NAME_BYTES);
  struct cache *cache = calloc(1, sizeof(*cache));
  CHECK(cache != NULL);
  struct slice name = slice_from_string(options->name);
  cache->loop = loop;
  cache->ttl_ms = options->ttl_ms;
  CHECK(options->begin_ms == 0 || options->begin_ms > CACHE_BEGIN_LEAST_MS);
  cache->begin_ms = options->begin_ms;
  cache->hits_memory = hits_series(name, SLICE("memory"));
  cache->hits_redis = hits_series(name, SLICE("redis"));
  cache->misses = metrics_series(METRIC_CACHE_MISSES, &name, 1);
  cache->entries = metrics_series(METRIC_CACHE_ENTRIES, &name, 1);
  cache->invalidations = metrics_series(METRIC_CACHE_INVALIDATIONS, &name, 1);
  cache_memory_init(&cache->memory, options->max_bytes);
  if (cache_is_on(cache))
    connect_instances(cache, options);
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
  if (cache_is_on(ended)) {
    redis_unobserve(&ended->redis_observer);
    cache_coherence_clear(&ended->coherence);
    cache_redis_clear(&ended->shared);
  }
  cache_memory_clear(&ended->memory);
  free(ended);
}

// ---- gets ----

static bool look_in_memory(struct cache *cache, struct slice key, uint64_t hash, struct slice *value)
{
  if (!cache_coherence_may_serve(&cache->coherence) ||
      !cache_memory_get(&cache->memory, key, hash, cache_coherence_age_us(&cache->coherence), value))
    return false;
  metric_add(cache->hits_memory, 1);
  return true;
}

void cache_put_in_memory(struct cache *cache, struct slice key, uint64_t hash, struct slice value, uint32_t ttl_ms)
{
  uint64_t expires_us = deadline_after_ms(loop_now_us(cache->loop), ttl_ms);
  cache_memory_put(&cache->memory, key, hash, value, expires_us);
  metric_set(cache->entries, (int64_t)cache_memory_count(&cache->memory));
}

static void keep_in_memory(struct cache *cache, const struct load *load, struct slice value, uint32_t ttl_ms)
{
  if (load->state == LOAD_JOINABLE)
    cache_put_in_memory(cache, load->key, load->hash, value, ttl_ms);
}

// Looks in Redis. Only a load whose value may be kept looks there, because nothing else keeps an old value away from
// it.
static enum status look_in_redis(struct cache *cache, const struct load *load, struct arena *arena, struct slice *value,
                                 struct cache_lease *lease)
{
  uint64_t epoch = cache_coherence_epoch(&cache->coherence);
  if (load->state == LOAD_DETACHED || epoch == 0)
    return STATUS_UNAVAILABLE;
  enum status status = cache_redis_get(&cache->shared, epoch, load->key, arena, value, lease);
  // Meanwhile the key may have been announced, or the lease may have ended.
  bool trusted = load->state == LOAD_JOINABLE && cache_coherence_may_use_redis(&cache->coherence);
  return trusted ? status : STATUS_UNAVAILABLE;
}

static enum status fetch_value(struct cache *cache, const struct load *load, const struct source *source,
                               struct arena *arena, struct slice *value)
{
  struct cache_lease lease = {0};
  if (look_in_redis(cache, load, arena, value, &lease) == STATUS_OK) {
    metric_add(cache->hits_redis, 1);
    keep_in_memory(cache, load, *value, half_ttl_ms(cache->ttl_ms));
    return STATUS_OK;
  }
  metric_add(cache->misses, 1);
  enum status status = source->load(source->arg, load->key, arena, value);
  if (status != STATUS_OK) {
    cache_redis_give_up(&cache->shared, load->key, &lease);
    return status;
  }
  if (!load->keeps || load->state == LOAD_DETACHED) {
    cache_redis_give_up(&cache->shared, load->key, &lease);
    return STATUS_OK;
  }
  keep_in_memory(cache, load, *value, cache->ttl_ms);
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
    get->cause = task_find_cause(status);
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
  load->keeps = cache_coherence_is_current(&cache->coherence);
  if (cache_coherence_may_use_redis(&cache->coherence) &&
      !cache_coherence_is_changing(&cache->coherence, load->key, load->hash)) {
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
  task_note_cause(get.cause);
  *retry = status == STATUS_OK && get.retry;
  return status;
}

bool cache_peek(struct cache *cache, struct slice key, struct arena *arena, struct slice *value)
{
  struct slice kept;
  if (!cache_is_on(cache) || !look_in_memory(cache, key, hash_bytes(key), &kept))
    return false;
  *value = arena_copy(arena, kept);
  return true;
}

enum status cache_get(struct cache *cache, struct slice key, cache_load_fn *load_value, void *arg, struct arena *arena,
                      struct slice *value)
{
  *value = (struct slice){0};
  if (!cache_is_on(cache) || key.size > CACHE_MAX_KEY_BYTES)
    return load_value(arg, key, arena, value);
  uint64_t hash = hash_bytes(key);
  const struct source source = {.load = load_value, .arg = arg};
  for (;;) {
    struct slice kept;
    if (look_in_memory(cache, key, hash, &kept)) {
      *value = arena_copy(arena, kept);
      return STATUS_OK;
    }
    // Without a lease nobody can tell whether a running load has read before a change that is over by now.
    bool may_join = cache_coherence_is_current(&cache->coherence);
    struct load *running = may_join ? find_load(cache, key, hash) : NULL;
    if (running == NULL || !running->keeps) {
      struct load load = {.key = key, .hash = hash};
      return run_load(cache, &load, &source, arena, value);
    }
    bool retry = false;
    enum status status = join_load(running, arena, value, &retry);
    if (!retry)
      return status;
  }
}

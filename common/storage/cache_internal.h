// Private to cache.c and cache_changes.c: what a cache is made of.
#ifndef BULKHEAD_STORAGE_CACHE_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_INTERNAL_H

#include "common/base/hashtable.h"
#include "common/observe/metrics.h"
#include "common/storage/cache.h"
#include "common/storage/cache_coherence_internal.h"
#include "common/storage/cache_memory_internal.h"
#include "common/storage/cache_redis_internal.h"

struct cache {
  struct loop *loop;
  uint32_t ttl_ms;
  uint32_t begin_ms;
  struct cache_memory memory;
  struct cache_coherence coherence;
  struct cache_redis shared;
  struct redis_observer redis_observer;
  struct hashtable loads;  // those that are LOAD_JOINABLE, by the hash of their keys
  struct metric_series *hits_memory;
  struct metric_series *hits_redis;
  struct metric_series *misses;
  struct metric_series *entries;
  struct metric_series *invalidations;
};

static inline bool cache_is_on(const struct cache *cache)
{
  return cache->ttl_ms > 0;
}

// Puts a value into memory. `hash` is the key's hash_bytes.
void cache_put_in_memory(struct cache *cache, struct slice key, uint64_t hash, struct slice value, uint32_t ttl_ms);

#endif

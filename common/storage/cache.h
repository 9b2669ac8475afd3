// A cache in two tiers: in this process (bytes ready to send) and in Redis. Values are loaded on a miss. Without Redis
// the cache is slow, and never wrong.
//
// Coherence. A write invalidates its keys here, in Redis and, by a published message, in all other instances, before
// its caller is answered. Each instance takes in pending messages before it reads its memory. Memory is served only
// while the subscription is alive. A lost subscription empties it, because messages may have been missed. For
// `settle_ms` after a subscription has begun nothing cached is served: when Redis was away, other instances may still
// be reconnecting, and could not publish their writes meanwhile. A load that began before an invalidation of its key
// enters neither tier. Entries also expire after `ttl_ms`. A cache's name holds the version of its data format.
//
// Two gaps are left. An instance that alone is cut off from Redis cannot publish its writes until it has reconnected;
// then all instances drop what they have. A subscription that died silently is noticed after 3 s.
//
// Concurrent misses of one key load once. While the subscription is away each caller loads on its own, because nobody
// can tell whether another caller's load began before the latest write.
#ifndef BULKHEAD_STORAGE_CACHE_H
#define BULKHEAD_STORAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/runtime/loop.h"
#include "common/storage/redis.h"

struct cache;

// Longer than an instance takes to reconnect to a Redis that is back (redis.h: at most 2 s between attempts).
#define CACHE_SETTLE_MS 3000u

struct cache_options {
  const char *name;    // of the metrics and of the keys in Redis, with the version of the data format: "item.v1"
  size_t max_bytes;    // of memory, for keys, values and overhead; the least recently used entries are evicted
  uint32_t ttl_ms;     // 0 turns both tiers off: every get loads
  uint32_t settle_ms;  // CACHE_SETTLE_MS where other instances share Redis
  struct redis *redis;
};

struct cache *cache_create(struct loop *loop, const struct cache_options *options);
// Nulls the pointer; accepts NULL. No cache_get may be waiting (CHECK).
void cache_free(struct cache **cache);

// Loads the value from the source, into `arena`. A failure, NOT_FOUND among them, is returned to the caller and not
// cached.
typedef enum status cache_load_fn(void *arg, struct slice key, struct arena *arena, struct slice *value);

// Looks in memory only, without waiting; may be called outside tasks. On true `value` is a view that is valid until the
// next call of any cache function. Without Redis it is always false.
bool cache_peek(struct cache *cache, struct slice key, struct slice *value);

// Gets the value from memory, from Redis, or by `load`. Called from a task; `value` is in `arena`.
enum status cache_get(struct cache *cache, struct slice key, cache_load_fn *load, void *arg, struct arena *arena,
                      struct slice *value) MUST_CHECK;

// Invalidates keys after the source has changed; call it before the change is acknowledged. Waits for Redis, for its
// command timeout at most.
void cache_invalidate(struct cache *cache, const struct slice *keys, size_t count);

#endif

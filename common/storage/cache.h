// Cache-aside in two tiers: in this process (bytes ready to send) and in Redis. Redis' loss makes it slow, never wrong.
//
// Coherence. A write invalidates here, in Redis and, by a published message, in all other instances, before its caller
// is answered; each instance takes in pending messages before it reads its memory. Memory is only served while the
// subscription is alive; it is emptied when the subscription was lost, for messages may have been missed. After a
// subscription has begun, nothing cached is served for settle_ms: when Redis was away, other instances may still be on
// their way back and could not tell of a write meanwhile. A load that began before an invalidation of its key does not
// enter either tier. Entries also expire (ttl, however they came). Keys name their version of the data format. What is
// left: an instance that alone is cut off from Redis cannot tell the others of its writes until it is back (then they
// drop all); a subscription that died silently is noticed in 3 s.
//
// Concurrent misses of one key load once; while the subscription is away each loads for itself, for nobody could tell
// whether its value is newer than the question.
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
  const char *name;    // of the metrics and of the keys in Redis: "item.v1"
  size_t max_bytes;    // of memory, keys and values and overhead; least recently used go first
  uint32_t ttl_ms;     // 0 turns both tiers off: every get loads
  uint32_t settle_ms;  // CACHE_SETTLE_MS where other instances share Redis
  struct redis *redis;
};

struct cache *cache_create(struct loop *loop, const struct cache_options *options);
void cache_free(struct cache **cache);

// Fills `value` from the source, in `arena`. NOT_FOUND and every other failure is passed on and not cached.
typedef enum status cache_load_fn(void *arg, struct slice key, struct arena *arena, struct slice *value);

// In memory only (so false without Redis) and without waiting, also outside tasks: true and a view valid until the next
// cache call of any task.
bool cache_peek(struct cache *cache, struct slice key, struct slice *value);

// From memory, from Redis, or by `load`. Called from a task; `value` is in `arena`.
enum status cache_get(struct cache *cache, struct slice key, cache_load_fn *load, void *arg, struct arena *arena,
                      struct slice *value) MUST_CHECK;

// After the source has changed, before the change is acknowledged. Waits for Redis at most its command timeout.
void cache_invalidate(struct cache *cache, const struct slice *keys, size_t count);

#endif

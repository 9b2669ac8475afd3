// The tier in Redis and the messages between the instances of a service.
//
// What is in Redis under a key is a value, "v" epoch bytes, or a lease, "t" and a random number. Who misses takes a
// lease, loads, and puts the value in only if its lease is still there, in one step (a script). An invalidation deletes
// the key, lease or value; so a value that was loaded before it can never enter after it.
//
// Epochs answer for invalidations that could not reach Redis. Each instance begins a new epoch, a number that only
// grows, whenever it has got its connections (back), and takes no value of an earlier one: what was written before
// Redis was lost is not trusted after. A value has the epoch that its loader knew when it took the lease. The instance
// whose invalidation failed tells all others to do the same as soon as it can.
//
// What stays: an instance that alone is cut off from Redis while it writes cannot tell the others; until it is back,
// or until the entry expires, they may serve what they have.
#ifndef BULKHEAD_STORAGE_CACHE_SHARED_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_SHARED_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/storage/cache.h"
#include "common/storage/redis_internal.h"

#define CACHE_EPOCH_SIZE 16  // decimal digits, with leading zeros

struct cache_shared_events {
  void (*changed)(void *arg, struct slice key);  // by another instance, or by this one
  void (*all_changed)(void *arg);
  void *arg;
};

struct cache_shared {
  struct redis *redis;
  struct cache_shared_events events;
  struct redis_listener listener;
  char *prefix;
  char *epoch_key;
  char *channel;
  uint32_t ttl_ms;
  uint32_t settle_ms;
  bool subscribed;
  uint64_t settled_us;                  // when the others have had time to come back too
  bool ready;                           // connected, subscribed, and in an epoch
  bool failed;                          // an invalidation of ours did not get through; the others are to be told
  uint64_t generation;                  // grows at each loss
  char accepted[CACHE_EPOCH_SIZE + 1];  // no value of an earlier epoch
  char known[CACHE_EPOCH_SIZE + 1];     // the latest that we heard of
  struct list pending;                  // struct shared_call
};

// What a loader needs to put its value in.
struct cache_lease {
  bool taken;
  uint64_t generation;
  char token[40];
  char epoch[CACHE_EPOCH_SIZE + 1];
};

// `ttl_ms` of values in Redis.
void cache_shared_init(struct cache_shared *shared, const struct cache_options *options, uint32_t ttl_ms,
                       const struct cache_shared_events *events);
void cache_shared_free(struct cache_shared *shared);
// Whether every change that another instance makes now reaches us: what is in memory may be served and kept.
bool cache_shared_hears_all(const struct cache_shared *shared);

// OK with the value in `arena`, or NOT_FOUND, then perhaps with a lease. Waits for Redis.
enum status cache_shared_get(struct cache_shared *shared, struct slice key, struct arena *arena, struct slice *value,
                             struct cache_lease *lease) MUST_CHECK;
// Does not wait.
void cache_shared_put(struct cache_shared *shared, struct slice key, struct slice value,
                      const struct cache_lease *lease);
// Deletes the keys and tells all instances. Waits until the message has been written to each.
void cache_shared_invalidate(struct cache_shared *shared, const struct slice *keys, size_t count);

#endif

// The tier in Redis, and the messages between the instances of a service.
//
// A key in Redis holds a value ("v", its epoch, its bytes) or a lease ("t" and a random number). An instance that
// misses takes a lease, loads, and puts the value in only if its lease is still there; a script makes that one step. An
// invalidation deletes the key, so a value that was loaded before it can never enter after it.
//
// Epochs cover invalidations that could not reach Redis. An epoch is a number that only grows. Each instance begins a
// new epoch whenever both of its connections are up (again), and accepts no value of an earlier epoch: what was written
// before Redis was lost is not trusted afterwards. A value carries the epoch that its loader knew when it took the
// lease. An instance whose invalidation failed makes all others accept nothing of earlier epochs either, as soon as it
// can.
//
// One gap is left: an instance that alone is cut off from Redis while it writes cannot reach the others. They may serve
// what they have until it is back, or until the entry expires.
#ifndef BULKHEAD_STORAGE_CACHE_REDIS_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_REDIS_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/storage/cache.h"
#include "common/storage/redis_internal.h"

#define CACHE_EPOCH_SIZE 16  // decimal digits, with leading zeros

// What another instance, or this one, has published.
struct cache_redis_events {
  void (*invalidated)(void *arg, struct slice key);
  void (*all_invalidated)(void *arg);
  void *arg;
};

enum cache_redis_state {
  CACHE_REDIS_UNSUBSCRIBED,  // messages may be missed
  CACHE_REDIS_SUBSCRIBED,    // messages arrive; no epoch has been begun since
  CACHE_REDIS_READY,         // in an epoch: values may be read and written
};

struct cache_redis {
  struct redis *redis;
  struct cache_redis_events events;
  struct redis_observer observer;
  char *prefix;
  char *epoch_key;
  char *channel;
  uint32_t ttl_ms;
  uint32_t settle_ms;
  enum cache_redis_state state;
  uint64_t settled_us;                  // when the other instances have had time to reconnect, too
  bool invalidation_lost;               // an invalidation failed here, and the other instances do not know yet
  uint64_t generation;                  // grows each time a connection is lost
  char accepted[CACHE_EPOCH_SIZE + 1];  // values of earlier epochs are not accepted
  char known[CACHE_EPOCH_SIZE + 1];     // the latest epoch that this instance knows of
  struct list calls;                    // struct cache_call in flight
};

// What a loader needs to put its value in.
struct cache_lease {
  bool taken;
  uint64_t generation;
  char token[40];
  char epoch[CACHE_EPOCH_SIZE + 1];
};

// `ttl_ms` is that of values in Redis.
void cache_redis_init(struct cache_redis *shared, const struct cache_options *options, uint32_t ttl_ms,
                      const struct cache_redis_events *events);
void cache_redis_clear(struct cache_redis *shared);
// Tells whether every invalidation of another instance reaches this one now: what is in memory may be served and kept.
bool cache_redis_hears_all(const struct cache_redis *shared);

// OK with the value in `arena`, or another status and perhaps a lease. Waits for Redis.
enum status cache_redis_get(struct cache_redis *shared, struct slice key, struct arena *arena, struct slice *value,
                            struct cache_lease *lease) MUST_CHECK;
// Puts a loaded value in, under its lease. Does not wait.
void cache_redis_put(struct cache_redis *shared, struct slice key, struct slice value, const struct cache_lease *lease);
// Deletes the keys and publishes that. Waits until Redis has written the message to every instance.
void cache_redis_invalidate(struct cache_redis *shared, const struct slice *keys, size_t count);

#endif

// The tier in Redis: values, found by the cache's name, the epoch and the key.
//
// A key in Redis holds a value ("v" and its bytes; in a format after the first "w", its version, ":" and its bytes), a
// lease ("t" and a random number) or a tombstone ("x" and a random number for each change that is under way). An
// instance that misses takes a lease, loads, and puts the value in only if its lease is still there; a script makes
// that one step. A change puts a tombstone in the place of whatever is there before it takes effect, so no value that
// was loaded before enters after it, and nobody takes a lease. The tombstone ends with the last change, or by itself.
// One that several changes have shared begins with "x+", also when only one is left. One of many changes ("x!") does
// not count them, and ends by itself. A change leaves its value in the place of a tombstone that was its own alone.
#ifndef BULKHEAD_STORAGE_CACHE_REDIS_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_REDIS_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/storage/cache.h"
#include "common/storage/redis_internal.h"

#define CACHE_TOKEN_SIZE 34

// A tombstone lasts for so much longer than `hold_ms`. A change that is confirmed later than that hides its keys again.
// Longer than Redis may take to answer.
enum { CACHE_TOMBSTONE_MARGIN_MS = 3000 };

struct cache_redis {
  struct redis *redis;
  char *prefix;
  char tag[16];      // before the bytes of a value
  uint32_t ttl_ms;   // of values
  uint32_t hold_ms;  // see cache.h
};

// What a loader needs to put its value in.
struct cache_lease {
  bool taken;
  uint64_t epoch;
  char token[CACHE_TOKEN_SIZE];
};

// Values last for `ttl_ms`, whatever the options say.
void cache_redis_init(struct cache_redis *shared, const struct cache_options *options, uint32_t ttl_ms);
void cache_redis_clear(struct cache_redis *shared);

// OK with the value in `arena`, or another status and perhaps a lease. Waits for Redis.
enum status cache_redis_get(struct cache_redis *shared, uint64_t epoch, struct slice key, struct arena *arena,
                            struct slice *value, struct cache_lease *lease) MUST_CHECK;
// Puts a loaded value in, under its lease. Does not wait.
void cache_redis_put(struct cache_redis *shared, struct slice key, struct slice value, const struct cache_lease *lease);

// Gives a lease back whose load has failed, so that the next one may take it. Does not wait.
void cache_redis_give_up(struct cache_redis *shared, struct slice key, const struct cache_lease *lease);

// The tombstones of one change.
struct cache_hidden {
  uint64_t epoch;
  const struct slice *keys;
  size_t count;
  char token[CACHE_TOKEN_SIZE];
};

// Puts tombstones in, and draws their token. `done(arg, status)` runs once, outside tasks, unless the call is forgotten
// (redis_call_forget). Returns NULL when Redis is away: then it does not run. Does not wait.
struct redis_call *cache_redis_hide(struct cache_redis *shared, struct cache_hidden *hidden, redis_done_fn *done,
                                    void *arg);
// Takes this change out of the tombstones that are still there. A `value` takes the place of the only one, where no
// other change has shared it; NULL for none. Does not wait.
void cache_redis_show(struct cache_redis *shared, const struct cache_hidden *hidden, const struct slice *value);

#endif

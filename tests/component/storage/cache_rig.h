// Caches under test: a "source" that the tests change by hand stands for the rows in PostgreSQL, and two instances of a
// service are two caches with connections of their own.
#ifndef BULKHEAD_TESTS_COMPONENT_STORAGE_CACHE_RIG_H
#define BULKHEAD_TESTS_COMPONENT_STORAGE_CACHE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/storage/cache.h"
#include "tests/component/storage/support.h"

struct source {
  struct world *world;
  int value;
  unsigned loads;
  enum status status;
  struct completion *gate;  // a load has read the value, and waits here until the test lets it go on
  bool at_gate;
};

struct instance {
  const char *name;  // the cache's
  char address[32];  // where other instances ask it
  bool is_cut_off;   // nobody reaches it there, and it reaches nobody
  unsigned asked;    // questions that have reached it
  bool has_redis;
  struct pg *pg;
  struct redis *redis;
  struct cache *cache;
};

// A cache_load_fn over a struct source: "<key>=<value>".
enum status source_load(void *arg, struct slice key, struct arena *arena, struct slice *value);

void instance_start(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms);
void instance_start_holding(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms,
                            uint32_t hold_ms);
// Starts an instance whose values have another format.
void instance_start_formatted(struct world *world, struct instance *instance, uint32_t format);
// Starts an instance of another cache.
void instance_start_named(struct world *world, struct instance *instance, const char *cache, uint32_t hold_ms);
// Starts an instance that reaches PostgreSQL in a way of its own.
void instance_start_behind(struct world *world, struct instance *instance, const char *conninfo, const char *url);
// Frees all of the instance, as a process does that ends.
void instance_stop(struct instance *instance);
// Waits until the memory tier works, and, where the instance uses it, Redis: until a probe's entry has gone through
// both.
void instance_settle(struct world *world, struct instance *instance);
// Waits until a change at `from` empties the memory of `to`.
void instance_meet(struct instance *from, struct instance *to);

// The functions below get, look for and change the key "key".
int instance_get(struct instance *instance, struct source *source);
// Tells whether the key is in memory, and served from there.
bool instance_peek(struct instance *instance);
// Gets the key until it is in memory.
void instance_warm(struct instance *instance, struct source *source);
// Waits until the key's value is in Redis, because nobody waits for it to arrive there.
void instance_wait_shared(struct world *world, struct instance *instance);
// Returns what the key holds in Redis once Redis has handled what the instance has sent: 'v' or 'w' for a value, 't'
// for a lease, 'x' for a tombstone, 0 for nothing.
char instance_look_in_redis(struct world *world, struct instance *instance);
// Changes the source as a service does: announced before, ended after.
void instance_change(struct instance *instance, struct source *source, int value);

// Waits until the memory tier serves nothing, because the lease is over.
void instance_lose_lease(struct world *world, struct instance *instance);
// Returns the process of the server at the other end of the channel of the only instance so far.
int64_t instance_channel_pid(struct world *world);

// Two instances that have met, and their source, whose value is 1.
struct pair {
  struct instance a;
  struct instance b;
  struct source source;
  int64_t channel_pid;  // a's process at the server, where pair_open_in_turn has opened the pair
};

void pair_open(struct world *world, struct pair *pair, const char *url, uint32_t hold_ms);
// Opens two instances without Redis one after the other, so that the channel of a can be cut.
void pair_open_in_turn(struct world *world, struct pair *pair, uint32_t hold_ms);
// Ends the connection of a's channel at the server; a connects again.
void pair_cut_channel(struct world *world, const struct pair *pair);
void pair_close(struct pair *pair);
// Changes the value ten times, here and there. Both instances must see each change at once, and keep what they have
// read.
void pair_check(struct pair *pair, int first);

int64_t cache_hits(struct world *world, const char *tier);

#endif

// Caches under test: a "source" that the tests change by hand stands for PostgreSQL, and two instances of a service are
// two caches with connections of their own.
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
  struct redis *redis;
  struct cache *cache;
};

// A cache_load_fn over a struct source: "<key>=<value>".
enum status source_load(void *arg, struct slice key, struct arena *arena, struct slice *value);

void instance_start(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms);
void instance_start_settling(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms,
                             uint32_t settle_ms);
void instance_stop(struct instance *instance);
// Waits until both tiers work, that is until a probe's entry has gone through both.
void instance_settle(struct world *world, struct instance *instance);

// The functions below get, look for and invalidate the key "key".
int instance_get(struct instance *instance, struct source *source);
bool instance_peek(struct instance *instance);
void instance_invalidate(struct instance *instance);

int64_t cache_hits(struct world *world, const char *tier);

#endif

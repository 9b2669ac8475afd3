// Caches items as the bytes of their reply, by id. How long an entry may be served is in the contract (cache_ttl_ms of
// GetItem).
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H

#include <stddef.h>

#include "common/storage/cache.h"

struct item_state;

// Makes the cache. NULL where max_bytes or the contract's lifetime is 0: then every read goes to PostgreSQL.
struct cache *item_cache_create(struct loop *loop, struct redis *redis, size_t max_bytes);

// Reads a serialized item.v1.Item from memory, Redis or PostgreSQL, in `arena`. NOT_FOUND when there is none. May wait.
enum status item_cache_read(struct item_state *state, const char *id, struct arena *arena,
                            struct slice *wire) MUST_CHECK;

// Invalidates an item in all instances. Call it after a change and before the change is answered. May wait.
void item_cache_forget(struct item_state *state, const char *id);

#endif

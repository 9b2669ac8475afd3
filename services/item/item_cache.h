// Caches items as the bytes of their reply, by id. How long an entry may be served is in the contract (cache_ttl_ms of
// GetItem).
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H

#include <stddef.h>

#include "common/storage/cache.h"

struct call;
struct item_state;
struct service;

// Makes the cache. NULL where max_bytes or the contract's lifetime is 0: then every read goes to PostgreSQL.
struct cache *item_cache_create(struct service *service, size_t max_bytes);

// Reads a serialized item.v1.Item from memory, Redis or PostgreSQL, in `arena`. NOT_FOUND when there is none. May wait.
enum status item_cache_read(struct item_state *state, const char *id, struct arena *arena,
                            struct slice *wire) MUST_CHECK;

// Tells resource.h where an item is cached: the cache, or NULL, and the item's key.
struct cache *item_cache_of(struct call *call, const char *id, struct slice *key);

#endif

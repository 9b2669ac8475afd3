// Caches items as the bytes of their reply, by id. How long an entry may be served is in the contract (cache_ttl_ms of
// GetItem).
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H

#include <stddef.h>

#include "common/storage/cache.h"

struct call;
struct service;

// Makes the cache. NULL where max_bytes or the contract's lifetime is 0: then every read goes to PostgreSQL.
struct cache *item_cache_create(struct service *service, size_t max_bytes);

// Tells resource.h where an item is cached: the cache, or NULL, and the item's key.
struct cache *item_cache_of(struct call *call, const char *id, struct slice *key);

#endif

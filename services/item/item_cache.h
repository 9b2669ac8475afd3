// Items as the bytes of their reply, by id. How long one may be served is in the contract (cache_ttl_ms of GetItem).
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_CACHE_H

#include <stddef.h>

#include "common/storage/cache.h"

struct item_state;

// NULL where max_bytes or the contract's lifetime is 0: every read goes to PostgreSQL.
struct cache *item_cache_create(struct loop *loop, struct redis *redis, size_t max_bytes);

// The serialized item.v1.Item, from memory, Redis or PostgreSQL, in `arena`. NOT_FOUND when there is none. May wait.
enum status item_cache_read(struct item_state *state, const char *id, struct arena *arena,
                            struct slice *wire) MUST_CHECK;

// After a change of the item, before it is acknowledged. May wait.
void item_cache_forget(struct item_state *state, const char *id);

#endif

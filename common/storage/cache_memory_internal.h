// The tier in memory: byte strings by key, bounded in bytes; the least recently used entries are evicted. It owns
// copies of keys and values. It knows nothing of loading or coherence.
#ifndef BULKHEAD_STORAGE_CACHE_MEMORY_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_MEMORY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/slice.h"

struct cache_memory {
  struct hashtable entries;  // by hash_bytes of the key
  struct list by_use;        // least recently used first
  size_t entry_bytes;
  size_t max_bytes;
};

void cache_memory_init(struct cache_memory *memory, size_t max_bytes);
// Removes all entries and frees what they used.
void cache_memory_clear(struct cache_memory *memory);
size_t cache_memory_count(const struct cache_memory *memory);
// Returns the bytes in use: keys, values, and what it takes to find them.
size_t cache_memory_bytes(const struct cache_memory *memory);

// The functions below take the hash_bytes of the key, because their caller needs it for more than one call.

// Finds an entry that has not expired, and makes it the most recently used. The view is valid until the next change.
bool cache_memory_get(struct cache_memory *memory, struct slice key, uint64_t hash, uint64_t now_us,
                      struct slice *value);
// Puts a value in place of the key's old one. A value that would take more than an eighth of all bytes is not kept.
void cache_memory_put(struct cache_memory *memory, struct slice key, uint64_t hash, struct slice value,
                      uint64_t expires_us);
// Tells whether the key was there.
bool cache_memory_remove(struct cache_memory *memory, struct slice key, uint64_t hash);

#endif

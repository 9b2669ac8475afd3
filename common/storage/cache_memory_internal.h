// The tier in memory: a table of byte strings, bounded in bytes, the least recently used go first. It owns copies of
// keys and values. It knows nothing of loading or coherence.
#ifndef BULKHEAD_STORAGE_CACHE_MEMORY_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_MEMORY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/storage/siphash.h"

struct cache_entry;

struct cache_memory {
  struct siphash_key hash_key;
  struct cache_entry **buckets;  // a power of two
  size_t bucket_count;
  struct list used;  // least recently used first
  size_t count;
  size_t bytes;  // of entries and buckets
  size_t max_bytes;
};

void cache_memory_init(struct cache_memory *memory, size_t max_bytes);
void cache_memory_free(struct cache_memory *memory);
uint64_t cache_memory_hash(const struct cache_memory *memory, struct slice key);
// `hash` is cache_memory_hash of the key. The view is valid until the next change.
bool cache_memory_get(struct cache_memory *memory, struct slice key, uint64_t hash, uint64_t now_us,
                      struct slice *value);
// Replaces what is there. An entry that would take more than an eighth of all is not taken in.
void cache_memory_put(struct cache_memory *memory, struct slice key, uint64_t hash, struct slice value,
                      uint64_t expires_us);
bool cache_memory_remove(struct cache_memory *memory, struct slice key, uint64_t hash);
void cache_memory_clear(struct cache_memory *memory);

#endif

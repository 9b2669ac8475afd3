#include "common/storage/cache_memory_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"

enum { MALLOC_OVERHEAD = 16, MAX_SHARE = 8 };

struct cache_entry {
  struct hashtable_node node;
  struct list use;
  uint64_t expires_us;
  size_t key_size;
  size_t value_size;
  char bytes[];  // the key, then the value
};

static size_t entry_size(size_t key_size, size_t value_size)
{
  return sizeof(struct cache_entry) + MALLOC_OVERHEAD + key_size + value_size;
}

static struct slice entry_key(const struct cache_entry *entry)
{
  return slice_make(entry->bytes, entry->key_size);
}

void cache_memory_init(struct cache_memory *memory, size_t max_bytes)
{
  *memory = (struct cache_memory){.max_bytes = max_bytes};
  list_init(&memory->by_use);
}

size_t cache_memory_count(const struct cache_memory *memory)
{
  return memory->entries.count;
}

size_t cache_memory_bytes(const struct cache_memory *memory)
{
  return memory->entry_bytes + memory->entries.bucket_count * sizeof(struct hashtable_node *);
}

static struct cache_entry *find_entry(const struct cache_memory *memory, struct slice key, uint64_t hash)
{
  for (struct hashtable_node *node = hashtable_first(&memory->entries, hash); node != NULL;
       node = hashtable_next(node)) {
    struct cache_entry *entry = CONTAINER_OF(node, struct cache_entry, node);
    if (slice_equal(entry_key(entry), key))
      return entry;
  }
  return NULL;
}

static void drop_entry(struct cache_memory *memory, struct cache_entry *entry)
{
  hashtable_remove(&memory->entries, &entry->node);
  list_remove(&entry->use);
  memory->entry_bytes -= entry_size(entry->key_size, entry->value_size);
  free(entry);
}

static void evict_oldest(struct cache_memory *memory)
{
  drop_entry(memory, CONTAINER_OF(memory->by_use.next, struct cache_entry, use));
}

bool cache_memory_get(struct cache_memory *memory, struct slice key, uint64_t hash, uint64_t now_us,
                      struct slice *value)
{
  struct cache_entry *entry = find_entry(memory, key, hash);
  if (entry == NULL)
    return false;
  if (entry->expires_us <= now_us) {
    drop_entry(memory, entry);
    return false;
  }
  list_remove(&entry->use);
  list_append(&memory->by_use, &entry->use);
  *value = slice_make(entry->bytes + entry->key_size, entry->value_size);
  return true;
}

static struct cache_entry *make_entry(struct slice key, struct slice value, uint64_t expires_us)
{
  struct cache_entry *entry = malloc(sizeof(*entry) + key.size + value.size);
  CHECK(entry != NULL);
  *entry = (struct cache_entry){.expires_us = expires_us, .key_size = key.size, .value_size = value.size};
  if (key.size > 0)
    memcpy(entry->bytes, key.data, key.size);
  if (value.size > 0)
    memcpy(entry->bytes + key.size, value.data, value.size);
  return entry;
}

static bool is_too_large(const struct cache_memory *memory, struct slice key, struct slice value)
{
  return key.size > memory->max_bytes || value.size > memory->max_bytes ||
         entry_size(key.size, value.size) > memory->max_bytes / MAX_SHARE;
}

void cache_memory_put(struct cache_memory *memory, struct slice key, uint64_t hash, struct slice value,
                      uint64_t expires_us)
{
  cache_memory_remove(memory, key, hash);
  if (is_too_large(memory, key, value))
    return;
  struct cache_entry *entry = make_entry(key, value, expires_us);
  hashtable_insert(&memory->entries, &entry->node, hash);
  list_append(&memory->by_use, &entry->use);
  memory->entry_bytes += entry_size(key.size, value.size);
  // The table of buckets may have grown, too.
  while (cache_memory_bytes(memory) > memory->max_bytes && !list_empty(&memory->by_use))
    evict_oldest(memory);
}

bool cache_memory_remove(struct cache_memory *memory, struct slice key, uint64_t hash)
{
  struct cache_entry *entry = find_entry(memory, key, hash);
  if (entry == NULL)
    return false;
  drop_entry(memory, entry);
  return true;
}

void cache_memory_clear(struct cache_memory *memory)
{
  while (!list_empty(&memory->by_use))
    evict_oldest(memory);
  hashtable_free(&memory->entries);
}

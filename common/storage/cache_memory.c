#include "common/storage/cache_memory_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/random.h"

enum { FIRST_BUCKETS = 64, MALLOC_OVERHEAD = 16, MAX_SHARE = 8 };

struct cache_entry {
  struct list used;
  struct cache_entry *next;  // in its bucket
  uint64_t hash;
  uint64_t expires_us;
  size_t key_size;
  size_t value_size;
  char bytes[];  // key, value
};

static size_t size_of(size_t key_size, size_t value_size)
{
  return sizeof(struct cache_entry) + MALLOC_OVERHEAD + key_size + value_size;
}

static void allocate_buckets(struct cache_memory *memory, size_t count)
{
  memory->buckets = calloc(count, sizeof(struct cache_entry *));
  CHECK(memory->buckets != NULL);
  memory->bucket_count = count;
  memory->bytes += count * sizeof(struct cache_entry *);
}

void cache_memory_init(struct cache_memory *memory, size_t max_bytes)
{
  *memory = (struct cache_memory){.max_bytes = max_bytes};
  random_bytes(&memory->hash_key, sizeof(memory->hash_key));
  list_init(&memory->used);
  allocate_buckets(memory, FIRST_BUCKETS);
}

uint64_t cache_memory_hash(const struct cache_memory *memory, struct slice key)
{
  return siphash13(&memory->hash_key, key);
}

// The link that points to the entry, or to NULL at the end of its bucket.
static struct cache_entry **find(const struct cache_memory *memory, struct slice key, uint64_t hash)
{
  struct cache_entry **link = &memory->buckets[hash & (memory->bucket_count - 1)];
  for (; *link != NULL; link = &(*link)->next)
    if ((*link)->hash == hash && slice_equal(slice_make((*link)->bytes, (*link)->key_size), key))
      break;
  return link;
}

static void drop(struct cache_memory *memory, struct cache_entry **link)
{
  struct cache_entry *entry = *link;
  CHECK(entry != NULL);
  *link = entry->next;
  list_remove(&entry->used);
  memory->count--;
  memory->bytes -= size_of(entry->key_size, entry->value_size);
  free(entry);
}

static void drop_oldest(struct cache_memory *memory)
{
  struct cache_entry *entry = CONTAINER_OF(memory->used.next, struct cache_entry, used);
  drop(memory, find(memory, slice_make(entry->bytes, entry->key_size), entry->hash));
}

static void grow(struct cache_memory *memory)
{
  struct cache_entry **old = memory->buckets;
  size_t old_count = memory->bucket_count;
  allocate_buckets(memory, old_count * 2);
  for (size_t i = 0; i < old_count; i++)
    while (old[i] != NULL) {
      struct cache_entry *entry = old[i];
      struct cache_entry **bucket = &memory->buckets[entry->hash & (memory->bucket_count - 1)];
      old[i] = entry->next;
      entry->next = *bucket;
      *bucket = entry;
    }
  memory->bytes -= old_count * sizeof(struct cache_entry *);
  free(old);
}

bool cache_memory_get(struct cache_memory *memory, struct slice key, uint64_t hash, uint64_t now_us,
                      struct slice *value)
{
  struct cache_entry **link = find(memory, key, hash);
  struct cache_entry *entry = *link;
  if (entry == NULL)
    return false;
  if (entry->expires_us <= now_us) {
    drop(memory, link);
    return false;
  }
  list_remove(&entry->used);
  list_append(&memory->used, &entry->used);
  *value = slice_make(entry->bytes + entry->key_size, entry->value_size);
  return true;
}

void cache_memory_put(struct cache_memory *memory, struct slice key, uint64_t hash, struct slice value,
                      uint64_t expires_us)
{
  cache_memory_remove(memory, key, hash);
  if (key.size > memory->max_bytes || value.size > memory->max_bytes)
    return;
  size_t size = size_of(key.size, value.size);
  if (size > memory->max_bytes / MAX_SHARE)
    return;
  if (memory->count >= memory->bucket_count)
    grow(memory);
  while (memory->count > 0 && memory->bytes + size > memory->max_bytes)
    drop_oldest(memory);
  if (memory->bytes + size > memory->max_bytes)
    return;

  struct cache_entry *entry = malloc(sizeof(*entry) + key.size + value.size);
  CHECK(entry != NULL);
  struct cache_entry **bucket = &memory->buckets[hash & (memory->bucket_count - 1)];
  *entry = (struct cache_entry){
      .next = *bucket, .hash = hash, .expires_us = expires_us, .key_size = key.size, .value_size = value.size};
  if (key.size > 0)
    memcpy(entry->bytes, key.data, key.size);
  if (value.size > 0)
    memcpy(entry->bytes + key.size, value.data, value.size);
  *bucket = entry;
  list_append(&memory->used, &entry->used);
  memory->count++;
  memory->bytes += size;
}

bool cache_memory_remove(struct cache_memory *memory, struct slice key, uint64_t hash)
{
  struct cache_entry **link = find(memory, key, hash);
  if (*link == NULL)
    return false;
  drop(memory, link);
  return true;
}

void cache_memory_clear(struct cache_memory *memory)
{
  while (memory->count > 0)
    drop_oldest(memory);
}

void cache_memory_free(struct cache_memory *memory)
{
  cache_memory_clear(memory);
  free(memory->buckets);
  *memory = (struct cache_memory){0};
}

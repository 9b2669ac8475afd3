#include "gateway/api_key_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"

// `worth` is the time until which the key is refused.
struct refused_key {
  struct bounded_entry entry;
  unsigned char hash[API_KEY_CACHE_HASH_BYTES];
};

static uint64_t place_of(const unsigned char *hash)
{
  return hash_bytes(slice_make(hash, API_KEY_CACHE_HASH_BYTES));
}

static struct api_key_entry *get_entry(struct list *order)
{
  return CONTAINER_OF(order, struct api_key_entry, order);
}

void api_key_cache_init(struct api_key_cache *cache, size_t max_entries)
{
  *cache = (struct api_key_cache){.max_entries = max_entries};
  list_init(&cache->order);
  bounded_table_init(&cache->refused, max_entries, sizeof(struct refused_key));
}

void api_key_cache_free(struct api_key_cache *cache)
{
  if (cache->max_entries == 0)
    return;
  while (!list_empty(&cache->order))
    api_key_cache_remove(cache, get_entry(cache->order.next));
  hashtable_free(&cache->entries);
  bounded_table_free(&cache->refused);
  cache->max_entries = 0;
}

static void note_use(struct api_key_cache *cache, struct api_key_entry *entry, uint64_t now_us)
{
  entry->used_us = now_us;
  list_remove(&entry->order);
  list_append(&cache->order, &entry->order);
}

struct api_key_entry *api_key_cache_find(struct api_key_cache *cache, const unsigned char *hash, uint64_t now_us)
{
  struct hashtable_node *node = hashtable_first(&cache->entries, place_of(hash));
  for (; node != NULL; node = hashtable_next(node)) {
    struct api_key_entry *entry = CONTAINER_OF(node, struct api_key_entry, node);
    // Comparing need not take constant time, because the time tells of hashes at most, and not of keys.
    if (memcmp(entry->hash, hash, sizeof(entry->hash)) != 0)
      continue;
    note_use(cache, entry, now_us);
    return entry;
  }
  return NULL;
}

// Removes up to two entries that nobody uses for each one that is added, so that memory shrinks without need for room,
// and one more where all places are taken. False where no place can be had.
static bool make_room(struct api_key_cache *cache, uint64_t now_us)
{
  struct list *node = cache->order.next;
  for (int idle = 0; node != &cache->order;) {
    struct api_key_entry *entry = get_entry(node);
    node = node->next;
    bool is_full = cache->entries.count >= cache->max_entries;
    bool is_idle = idle < 2 && now_us - entry->used_us >= API_KEY_CACHE_IDLE_US;
    if (!is_full && !is_idle)
      return true;
    if (entry->is_pinned)
      continue;
    idle++;
    api_key_cache_remove(cache, entry);
  }
  return cache->entries.count < cache->max_entries;
}

struct api_key_entry *api_key_cache_add(struct api_key_cache *cache, const unsigned char *hash, uint64_t now_us)
{
  if (!make_room(cache, now_us))
    return NULL;
  struct api_key_entry *entry = calloc(1, sizeof(*entry));
  CHECK(entry != NULL);
  memcpy(entry->hash, hash, sizeof(entry->hash));
  list_init(&entry->waiting);
  entry->used_us = now_us;
  list_append(&cache->order, &entry->order);
  hashtable_insert(&cache->entries, &entry->node, place_of(hash));
  return entry;
}

void api_key_cache_set_token(struct api_key_entry *entry, struct slice token)
{
  char *copy = malloc(token.size);
  CHECK(copy != NULL && token.size > 0);
  memcpy(copy, token.data, token.size);
  api_key_cache_drop_token(entry);
  entry->token = slice_make(copy, token.size);
}

void api_key_cache_drop_token(struct api_key_entry *entry)
{
  free((char *)(uintptr_t)entry->token.data);
  entry->token = (struct slice){0};
}

void api_key_cache_remove(struct api_key_cache *cache, struct api_key_entry *entry)
{
  hashtable_remove(&cache->entries, &entry->node);
  list_remove(&entry->order);
  api_key_cache_drop_token(entry);
  free(entry);
}

void api_key_cache_refuse(struct api_key_cache *cache, const unsigned char *hash, uint64_t until_us)
{
  uint64_t place = place_of(hash);
  struct refused_key *refused = bounded_table_find(&cache->refused, place);
  if (refused == NULL)
    refused = bounded_table_add(&cache->refused, place);
  memcpy(refused->hash, hash, sizeof(refused->hash));
  refused->entry.worth = until_us;
}

bool api_key_cache_is_refused(const struct api_key_cache *cache, const unsigned char *hash, uint64_t now_us)
{
  const struct refused_key *refused = bounded_table_find(&cache->refused, place_of(hash));
  return refused != NULL && now_us < refused->entry.worth && memcmp(refused->hash, hash, sizeof(refused->hash)) == 0;
}

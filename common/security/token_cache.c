// A hash table with chains, and one queue through all entries for eviction. An entry is one allocation that holds the
// token, the claims and their texts.
//
// The hash is SipHash under a key of this process, so nobody can choose tokens that fall into one bucket. The full
// comparison need not take constant time: it is reached only by a token whose 64-bit keyed hash is the same, and its
// timing tells nothing about tokens with another hash.
#include "common/security/token_cache_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/security/key.h"
#include "common/security/token_claims_internal.h"

#define MAX_ENTRIES ((size_t)1 << 24)

struct token_cache {
  struct token_cache_entry **buckets;
  size_t bucket_count;  // a power of two
  struct list order;    // the front is evicted first
  size_t count, max_entries;
  size_t bytes, max_bytes;
};

struct token_cache *token_cache_create(size_t max_entries)
{
  CHECK(max_entries > 0 && max_entries <= MAX_ENTRIES);
  struct token_cache *cache = calloc(1, sizeof *cache);
  CHECK(cache != NULL);
  cache->max_entries = max_entries;
  cache->max_bytes = max_entries * TOKEN_CACHE_BYTES_PER_ENTRY;
  cache->bucket_count = 16;
  while (cache->bucket_count < max_entries)
    cache->bucket_count *= 2;
  // Zeroed pages that nobody has touched cost no memory, so a table of the final size is cheap while it is empty.
  cache->buckets = calloc(cache->bucket_count, sizeof(struct token_cache_entry *));
  CHECK(cache->buckets != NULL);
  list_init(&cache->order);
  return cache;
}

static struct token_cache_entry *entry_of(struct list *order)
{
  return CONTAINER_OF(order, struct token_cache_entry, order);
}

void token_cache_free(struct token_cache **cache)
{
  if (*cache == NULL)
    return;
  while (!list_empty(&(*cache)->order))
    token_cache_remove(*cache, entry_of((*cache)->order.next));
  free((*cache)->buckets);
  free(*cache);
  *cache = NULL;
}

static struct token_cache_entry **bucket_of(struct token_cache *cache, uint64_t hash)
{
  return &cache->buckets[hash & (cache->bucket_count - 1)];
}

struct token_cache_entry *token_cache_find(struct token_cache *cache, struct slice token)
{
  uint64_t hash = key_hash(token);
  for (struct token_cache_entry *entry = *bucket_of(cache, hash); entry != NULL; entry = entry->next)
    if (entry->hash == hash && slice_equal(entry->token, token)) {
      entry->used = true;
      return entry;
    }
  return NULL;
}

void token_cache_remove(struct token_cache *cache, struct token_cache_entry *entry)
{
  struct token_cache_entry **place = bucket_of(cache, entry->hash);
  while (*place != entry)
    place = &(*place)->next;
  *place = entry->next;
  list_remove(&entry->order);
  cache->count--;
  cache->bytes -= entry->bytes;
  free(entry);
}

// Takes at most two rounds of the queue: the first one takes every second chance away.
static void make_room(struct token_cache *cache, size_t bytes, int64_t now)
{
  while (cache->count > 0 && (cache->count >= cache->max_entries || cache->bytes + bytes > cache->max_bytes)) {
    struct token_cache_entry *entry = entry_of(cache->order.next);
    if (entry->used && !token_has_expired(&entry->claims, now)) {
      entry->used = false;
      list_remove(&entry->order);
      list_append(&cache->order, &entry->order);
    } else {
      token_cache_remove(cache, entry);
    }
  }
}

// Two for each one that comes, so that memory for expired tokens shrinks even when nothing needs the room.
static void drop_expired(struct token_cache *cache, int64_t now)
{
  for (int i = 0; i < 2 && !list_empty(&cache->order); i++) {
    struct token_cache_entry *entry = entry_of(cache->order.next);
    if (!token_has_expired(&entry->claims, now))
      return;
    token_cache_remove(cache, entry);
  }
}

// Copies `text` to `*place` and moves that behind it.
static struct slice put(char **place, struct slice text)
{
  struct slice copy = slice_make(*place, text.size);
  if (text.size > 0)
    memcpy(*place, text.data, text.size);
  *place += text.size;
  return copy;
}

static size_t entry_size(struct slice token, const struct token_claims *claims)
{
  size_t size = sizeof(struct token_cache_entry) + claims->role_count * sizeof(struct slice);
  size += token.size + claims->subject.size + claims->id.size;
  for (size_t i = 0; i < claims->role_count; i++)
    size += claims->roles[i].size;
  return size;
}

static struct token_cache_entry *entry_create(struct slice token, const struct token_claims *claims)
{
  size_t bytes = entry_size(token, claims);
  struct token_cache_entry *entry = malloc(bytes);
  CHECK(entry != NULL);
  *entry = (struct token_cache_entry){.bytes = bytes, .claims = *claims};
  char *place = (char *)(entry->roles + claims->role_count);
  entry->token = put(&place, token);
  entry->claims.subject = put(&place, claims->subject);
  entry->claims.id = put(&place, claims->id);
  for (size_t i = 0; i < claims->role_count; i++)
    entry->roles[i] = put(&place, claims->roles[i]);
  entry->claims.roles = entry->roles;
  return entry;
}

struct token_cache_entry *token_cache_add(struct token_cache *cache, struct slice token, const struct token_key *key,
                                          const struct token_claims *claims, int64_t not_before, int64_t now)
{
  struct token_cache_entry *entry = entry_create(token, claims);
  entry->key = key;
  entry->not_before = not_before;
  entry->hash = key_hash(token);
  drop_expired(cache, now);
  make_room(cache, entry->bytes, now);
  struct token_cache_entry **bucket = bucket_of(cache, entry->hash);
  entry->next = *bucket;
  *bucket = entry;
  list_append(&cache->order, &entry->order);
  cache->count++;
  cache->bytes += entry->bytes;
  return entry;
}

void token_cache_forget_key(struct token_cache *cache, const struct token_key *key)
{
  struct list *node = cache->order.next;
  while (node != &cache->order) {
    struct token_cache_entry *entry = entry_of(node);
    node = node->next;
    if (entry->key == key)
      token_cache_remove(cache, entry);
  }
}

size_t token_cache_count(const struct token_cache *cache)
{
  return cache->count;
}

size_t token_cache_bytes(const struct token_cache *cache)
{
  return cache->bytes;
}

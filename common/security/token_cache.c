// A hash table, and one queue through all entries for eviction. An entry is one allocation that holds the token, the
// claims and their texts.
//
// Comparing tokens need not take constant time. Only a token with the same 64-bit keyed hash is compared, and the time
// that this takes says nothing about tokens with another hash.
#include "common/security/token_cache_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/security/token_claims_internal.h"

#define MAX_ENTRIES ((size_t)1 << 24)
#define HASHED_BYTES 64

struct token_cache *token_cache_create(size_t max_entries)
{
  CHECK(max_entries > 0 && max_entries <= MAX_ENTRIES);
  struct token_cache *cache = calloc(1, sizeof *cache);
  CHECK(cache != NULL);
  cache->max_entries = max_entries;
  cache->max_bytes = max_entries * TOKEN_CACHE_BYTES_PER_ENTRY;
  list_init(&cache->order);
  return cache;
}

static struct token_cache_entry *get_entry(struct list *order)
{
  return CONTAINER_OF(order, struct token_cache_entry, order);
}

void token_cache_free(struct token_cache **cache)
{
  if (*cache == NULL)
    return;
  while (!list_empty(&(*cache)->order))
    token_cache_remove(*cache, get_entry((*cache)->order.next));
  hashtable_free(&(*cache)->entries);
  hashtable_free(&(*cache)->users);
  free(*cache);
  *cache = NULL;
}

// Hashes the end of a token, which is its signature: two tokens that are valid never share it, and those that are not
// valid never enter the cache.
static uint64_t hash_token(struct slice token)
{
  return hash_bytes(token.size <= HASHED_BYTES ? token : slice_skip(token, token.size - HASHED_BYTES));
}

struct token_cache_entry *token_cache_find(struct token_cache *cache, struct slice token)
{
  for (struct hashtable_node *node = hashtable_first(&cache->entries, hash_token(token)); node != NULL;
       node = hashtable_next(node)) {
    struct token_cache_entry *entry = CONTAINER_OF(node, struct token_cache_entry, node);
    if (!slice_equal(entry->token, token))
      continue;
    entry->used = true;
    return entry;
  }
  return NULL;
}

void token_cache_remove(struct token_cache *cache, struct token_cache_entry *entry)
{
  hashtable_remove(&cache->entries, &entry->node);
  hashtable_remove(&cache->users, &entry->by_user);
  list_remove(&entry->order);
  cache->bytes -= entry->bytes;
  free(entry);
}

// Evicts until the bytes fit. That takes two rounds of the queue at most: the first one uses up every second chance.
static void make_room(struct token_cache *cache, size_t bytes, int64_t now)
{
  while (cache->entries.count > 0 &&
         (cache->entries.count >= cache->max_entries || cache->bytes + bytes > cache->max_bytes)) {
    struct token_cache_entry *entry = get_entry(cache->order.next);
    if (entry->used && !token_has_expired(&entry->claims, now)) {
      entry->used = false;
      list_remove(&entry->order);
      list_append(&cache->order, &entry->order);
    } else {
      token_cache_remove(cache, entry);
    }
  }
}

// Removes up to two expired tokens for each one that is added, so that memory shrinks even when nothing needs the room.
static void evict_expired(struct token_cache *cache, int64_t now)
{
  for (int i = 0; i < 2 && !list_empty(&cache->order); i++) {
    struct token_cache_entry *entry = get_entry(cache->order.next);
    if (!token_has_expired(&entry->claims, now))
      return;
    token_cache_remove(cache, entry);
  }
}

// Copies `text` to `*place`, and moves `*place` behind the copy.
static struct slice append_copy(char **place, struct slice text)
{
  struct slice copy = slice_make(*place, text.size);
  if (text.size > 0)
    memcpy(*place, text.data, text.size);
  *place += text.size;
  return copy;
}

static size_t entry_size(struct slice token, const struct token_claims *claims)
{
  size_t size =
      sizeof(struct token_cache_entry) + (claims->role_count + claims->permission_count) * sizeof(struct slice);
  size += token.size + claims->subject.size + claims->id.size + claims->session.size;
  for (size_t i = 0; i < claims->role_count; i++)
    size += claims->roles[i].size;
  for (size_t i = 0; i < claims->permission_count; i++)
    size += claims->permissions[i].size;
  return size;
}

static struct token_cache_entry *create_entry(struct slice token, const struct token_claims *claims)
{
  size_t bytes = entry_size(token, claims);
  struct token_cache_entry *entry = malloc(bytes);
  CHECK(entry != NULL);
  *entry = (struct token_cache_entry){.bytes = bytes, .claims = *claims};
  struct slice *permissions = entry->texts + claims->role_count;
  char *place = (char *)(permissions + claims->permission_count);
  entry->token = append_copy(&place, token);
  entry->claims.subject = append_copy(&place, claims->subject);
  entry->claims.id = append_copy(&place, claims->id);
  entry->claims.session = append_copy(&place, claims->session);
  for (size_t i = 0; i < claims->role_count; i++)
    entry->texts[i] = append_copy(&place, claims->roles[i]);
  for (size_t i = 0; i < claims->permission_count; i++)
    permissions[i] = append_copy(&place, claims->permissions[i]);
  entry->claims.roles = entry->texts;
  entry->claims.permissions = permissions;
  return entry;
}

struct token_cache_entry *token_cache_add(struct token_cache *cache, struct slice token, const struct token_key *key,
                                          const struct token_claims *claims, int64_t not_before, int64_t now)
{
  struct token_cache_entry *entry = create_entry(token, claims);
  entry->key = key;
  entry->not_before = not_before;
  evict_expired(cache, now);
  make_room(cache, entry->bytes, now);
  hashtable_insert(&cache->entries, &entry->node, hash_token(token));
  hashtable_insert(&cache->users, &entry->by_user, hash_bytes(entry->claims.subject));
  list_append(&cache->order, &entry->order);
  cache->bytes += entry->bytes;
  return entry;
}

// Removes the tokens of a user that belong to `session` or, where that has no data, are of an earlier generation.
static void forget(struct token_cache *cache, struct slice user, struct slice session, int64_t generation)
{
  struct hashtable_node *node = hashtable_first(&cache->users, hash_bytes(user));
  while (node != NULL) {
    struct token_cache_entry *entry = CONTAINER_OF(node, struct token_cache_entry, by_user);
    node = hashtable_next(node);
    bool is_meant =
        session.data != NULL ? slice_equal(entry->claims.session, session) : entry->claims.generation < generation;
    if (is_meant && slice_equal(entry->claims.subject, user))
      token_cache_remove(cache, entry);
  }
}

void token_cache_forget_session(struct token_cache *cache, struct slice user, struct slice session)
{
  forget(cache, user, session, 0);
}

void token_cache_forget_user(struct token_cache *cache, struct slice user, int64_t generation)
{
  forget(cache, user, (struct slice){0}, generation);
}

void token_cache_forget_key(struct token_cache *cache, const struct token_key *key)
{
  struct list *node = cache->order.next;
  while (node != &cache->order) {
    struct token_cache_entry *entry = get_entry(node);
    node = node->next;
    if (entry->key == key)
      token_cache_remove(cache, entry);
  }
}

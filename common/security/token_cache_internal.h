// Private to common/security: verified tokens by their whole text, bounded in number and bytes.
//
// Roughly the least recently used tokens are evicted (second chance): a token that was asked for since it last stood at
// the front of the queue goes to its end once more, unless it has expired. One thread.
#ifndef BULKHEAD_SECURITY_TOKEN_CACHE_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_CACHE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/security/token.h"
#include "common/security/token_keys_internal.h"

// All entries together take at most this many bytes for each entry allowed. Usual tokens need about 1,000.
#define TOKEN_CACHE_BYTES_PER_ENTRY 1024

struct token_cache_entry {
  struct hashtable_node node;
  struct hashtable_node by_user;
  struct list order;
  const struct token_key *key;  // the key that signed the token
  int64_t not_before;
  struct token_claims claims;
  struct slice token;
  size_t bytes;          // of this allocation
  bool used;             // asked for since it last stood at the front of the queue
  struct slice texts[];  // the roles, then the permissions
};

struct token_cache {
  struct hashtable entries;  // by the hash of the token
  struct hashtable users;    // the same by their subject
  struct list order;         // the queue; the front is evicted first
  size_t max_entries;
  size_t bytes;
  size_t max_bytes;
};

struct token_cache *token_cache_create(size_t max_entries);
// Frees the cache with its entries. Nulls the pointer and accepts NULL in it.
void token_cache_free(struct token_cache **cache);

// Finds a token; NULL when it is not in the cache. The entry is valid until the next add, remove or forget.
struct token_cache_entry *token_cache_find(struct token_cache *cache, struct slice token);
// Adds a token that is not in the cache yet; copies what is given, and evicts others if there is no room. `now` (Unix
// seconds) tells which entries have expired.
struct token_cache_entry *token_cache_add(struct token_cache *cache, struct slice token, const struct token_key *key,
                                          const struct token_claims *claims, int64_t not_before, int64_t now);
void token_cache_remove(struct token_cache *cache, struct token_cache_entry *entry);
// Removes the tokens of a session of a user.
void token_cache_forget_session(struct token_cache *cache, struct slice user, struct slice session);
// Removes the tokens of a user that are of an earlier generation.
void token_cache_forget_user(struct token_cache *cache, struct slice user, int64_t generation);
// Removes the tokens that `key` signed.
void token_cache_forget_key(struct token_cache *cache, const struct token_key *key);

#endif

// Private to common/security: verified tokens by their whole text, bounded in number and bytes.
//
// The least recently used ones go first, roughly: a token that was asked for since it last stood at the front of the
// queue gets another round (second chance), one that has expired does not. One thread.
#ifndef BULKHEAD_SECURITY_TOKEN_CACHE_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_CACHE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/security/token.h"
#include "common/security/token_keys_internal.h"

// All entries together take at most this much for each one allowed; usual tokens need about 900.
#define TOKEN_CACHE_BYTES_PER_ENTRY 1024

struct token_cache_entry {
  struct token_cache_entry *next;  // in its bucket
  struct list order;
  uint64_t hash;
  const struct token_key *key;  // that signed it
  int64_t not_before;
  struct token_claims claims;
  struct slice token;
  size_t bytes;  // of this allocation
  bool used;     // since it last stood at the front
  struct slice roles[];
};

struct token_cache;

struct token_cache *token_cache_create(size_t max_entries);
void token_cache_free(struct token_cache **cache);

// NULL when it is not there. Valid until the next add, remove or forget.
struct token_cache_entry *token_cache_find(struct token_cache *cache, struct slice token);
// Copies all it needs. The token must not be there yet. `now` (Unix seconds) tells which entries have expired.
struct token_cache_entry *token_cache_add(struct token_cache *cache, struct slice token, const struct token_key *key,
                                          const struct token_claims *claims, int64_t not_before, int64_t now);
void token_cache_remove(struct token_cache *cache, struct token_cache_entry *entry);
// Removes the tokens that `key` signed.
void token_cache_forget_key(struct token_cache *cache, const struct token_key *key);

size_t token_cache_count(const struct token_cache *cache);
size_t token_cache_bytes(const struct token_cache *cache);

#endif

// What a worker knows of API keys: the access tokens that stand for them, and which keys were refused. Keys are known
// by their SHA-256, never by their text. It neither calls nor has a clock: time is an argument. One thread.
//
// Both tables are bounded. Of the tokens, the key that was used longest ago makes room for a new one; guesses fill the
// table of refused keys only.
#ifndef BULKHEAD_GATEWAY_API_KEY_CACHE_H
#define BULKHEAD_GATEWAY_API_KEY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bounded_table.h"
#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/slice.h"

#define API_KEY_CACHE_HASH_BYTES 32
// How long a key must not have been used for its entry to go although there is room.
#define API_KEY_CACHE_IDLE_US (UINT64_C(900) * 1000000)
// How long a key that was refused is refused without another question, unless the auth service says otherwise.
#define API_KEY_CACHE_REFUSED_US (UINT64_C(5) * 1000000)

struct api_key_entry {
  struct hashtable_node node;
  struct list order;  // by the last use
  unsigned char hash[API_KEY_CACHE_HASH_BYTES];
  uint64_t used_us;
  uint64_t renew_us;   // the first use from then on asks for another token; the caller's
  struct slice token;  // no data: none yet
  // What is under way for it; the caller's. While `is_pinned` the entry stays.
  bool is_pinned;
  struct rpc_call *call;
  struct list waiting;
  void *owner;
};

struct api_key_cache {
  struct hashtable entries;
  struct list order;
  size_t max_entries;
  struct bounded_table refused;
};

// Makes an empty cache, for `max_entries` tokens and about as many refused keys.
void api_key_cache_init(struct api_key_cache *cache, size_t max_entries);
// Frees it with its entries, pinned ones included. Accepts a zeroed one.
void api_key_cache_free(struct api_key_cache *cache);

// Returns the entry of a key, which counts as used now; NULL where there is none.
struct api_key_entry *api_key_cache_find(struct api_key_cache *cache, const unsigned char *hash, uint64_t now_us);
// Adds an entry for a key that has none. NULL where all places are pinned.
struct api_key_entry *api_key_cache_add(struct api_key_cache *cache, const unsigned char *hash, uint64_t now_us);
// Gives the entry a copy of the token, in place of what it had.
void api_key_cache_set_token(struct api_key_entry *entry, struct slice token);
void api_key_cache_drop_token(struct api_key_entry *entry);
void api_key_cache_remove(struct api_key_cache *cache, struct api_key_entry *entry);

// Notes that a key is refused until a time.
void api_key_cache_refuse(struct api_key_cache *cache, const unsigned char *hash, uint64_t until_us);
bool api_key_cache_is_refused(const struct api_key_cache *cache, const unsigned char *hash, uint64_t now_us);

#endif

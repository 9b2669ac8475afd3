// Private to common/security: the public keys that a verifier trusts.
#ifndef BULKHEAD_SECURITY_TOKEN_KEYS_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_KEYS_INTERNAL_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/security/ec_key_internal.h"
#include "common/security/token.h"

// A trusted public key. Its address stays the same while it is in the set, so cached tokens can point to it.
struct token_key {
  struct arena memory;  // of the texts
  struct slice kid, x, y;
  struct ec_public_key *ec;
};

// A set of keys, which it owns. A zeroed set is ready and empty.
struct token_key_set {
  struct token_key *keys[TOKEN_MAX_KEYS];
  size_t count;
};

// Finds a key by its id; NULL when there is none.
const struct token_key *token_key_set_find(const struct token_key_set *set, struct slice kid);
void token_key_set_clear(struct token_key_set *set);

// Makes a key set of public coordinates in `out`. On an error `out` is empty.
enum status token_key_set_build(const struct token_public_key *keys, size_t count, struct token_key_set *out,
                                struct error *error) MUST_CHECK;

// Replaces the set by `next`, which is emptied. A key that is in both keeps its address. `gone(key, arg)` runs for each
// key that is only in the old set, before it is freed.
void token_key_set_replace(struct token_key_set *set, struct token_key_set *next,
                           void (*gone)(const struct token_key *key, void *arg), void *arg);

#endif

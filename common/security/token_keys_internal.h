// Private to common/security: the public keys that a verifier trusts.
#ifndef BULKHEAD_SECURITY_TOKEN_KEYS_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_KEYS_INTERNAL_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/security/ec_key_internal.h"
#include "common/security/token.h"

#define TOKEN_MAX_KEYS 32
#define TOKEN_MAX_JWKS_BYTES 65536

// Its address stays the same as long as the key is in the set, so cached tokens can point to it.
struct token_key {
  struct arena memory;  // of the texts
  struct slice kid, x, y;
  struct ec_public_key *ec;
};

// Owns its keys. A zeroed set is a ready, empty one.
struct token_key_set {
  struct token_key *keys[TOKEN_MAX_KEYS];
  size_t count;
};

// NULL when there is none.
const struct token_key *token_key_set_find(const struct token_key_set *set, struct slice kid);
void token_key_set_free(struct token_key_set *set);

// Makes `out` from coordinates. On an error `out` is empty.
enum status token_key_set_build(const struct token_public_key *keys, size_t count, struct token_key_set *out,
                                struct error *error) MUST_CHECK;

// The set becomes `next` (which is emptied). Keys that stay keep their address; for each key that goes, `gone(key,
// arg)` runs before it is freed.
void token_key_set_replace(struct token_key_set *set, struct token_key_set *next,
                           void (*gone)(const struct token_key *key, void *arg), void *arg);

// The EC P-256 signature keys of a JSON Web Key Set (RFC 7517), at most TOKEN_MAX_KEYS; others are passed over. The
// texts are in `jwks` or `arena`.
enum status token_jwks_parse(struct slice jwks, struct arena *arena, struct token_public_key keys[TOKEN_MAX_KEYS],
                             size_t *count, struct error *error) MUST_CHECK;

#endif

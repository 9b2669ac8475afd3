// Private to common/security: a JWK set (RFC 7517) as JSON text.
#ifndef BULKHEAD_SECURITY_JWK_SET_INTERNAL_H
#define BULKHEAD_SECURITY_JWK_SET_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/security/token_keys_internal.h"

struct jwk_set {
  struct token_public_key keys[TOKEN_MAX_KEYS];
  size_t count;
};

// Reads the P-256 keys of a set and passes over keys of other kinds. The texts are in `json` or `arena`.
// INVALID_ARGUMENT for what is not a JWK set, and for one with more than TOKEN_MAX_KEYS keys.
enum status jwk_set_parse(struct slice json, struct arena *arena, struct jwk_set *out, struct error *error) MUST_CHECK;

// Tells whether a setting holds the path of a set rather than its text.
bool jwk_set_is_path(const char *keys);
// Reads a file of at most 64 KiB into `arena`. On failure `error` names the file.
enum status jwk_set_read_file(const char *path, struct arena *arena, struct slice *out, struct error *error) MUST_CHECK;

#endif

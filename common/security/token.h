// Access tokens: JWT (RFC 7519) signed with ES256 (RFC 7518), the algorithm pinned. libjwt signs; OpenSSL verifies with
// keys that stay parsed, for libjwt 1.10 would verify nothing for "alg":"none", check no claims, and read the key's PEM
// anew for each token.
//
// alg must be ES256, typ absent or JWT, kid the id of a known key, crit absent; exp, nbf, iat, iss, aud, sub and jti
// are required and checked, with 30 s of leeway for clocks; roles may be absent. Texts are visible ASCII: sub and jti
// up to 128 bytes, a role up to 64. A member that comes twice, base64url with padding or unused bits set: malformed.
#ifndef BULKHEAD_SECURITY_TOKEN_H
#define BULKHEAD_SECURITY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define TOKEN_MAX_BYTES 4096
#define TOKEN_MAX_ROLES 16

struct token_claims {
  struct slice subject;  // the user's id
  const struct slice *roles;
  size_t role_count;
  struct slice id;    // jti
  int64_t issued_at;  // Unix seconds
  int64_t expires_at;
};

struct token_signing_key {
  const char *kid;
  const char *private_pem;  // EC P-256
};

// The signed token, in `arena`; nbf is iat. INVALID_ARGUMENT for claims that a verifier would not take, or a key that
// is no P-256 private key in unencrypted PEM.
enum status token_sign(const struct token_signing_key *key, const char *issuer, const char *audience,
                       const struct token_claims *claims, struct arena *arena, struct slice *token) MUST_CHECK;

// Verified tokens are remembered until they expire, keyed by the whole token, so that a repeated one costs a lookup.
// One thread.
struct token_verifier;

struct token_verifier_options {
  const char *issuer;
  const char *audience;
  size_t max_cached;  // 0: 65,536 tokens
};
struct token_verifier *token_verifier_create(const struct token_verifier_options *options);
void token_verifier_free(struct token_verifier **verifier);

// The keys are now exactly these: a JSON Web Key Set (RFC 7517); keys that are not EC P-256 signature keys are passed
// over. Tokens of keys that are gone are forgotten. On an error the old keys stay: INVALID_ARGUMENT for a set that
// cannot be read, holds a key id twice, a point that is not on the curve or more than 32 keys; FAILED_PRECONDITION for
// a set without any usable key.
enum status token_verifier_set_keys(struct token_verifier *verifier, struct slice jwks, struct error *error) MUST_CHECK;
// One key by its coordinates, as auth.v1.JsonWebKey holds them; for callers that have the set as messages.
struct token_public_key {
  struct slice kid, x, y;  // x and y base64url
};
enum status token_verifier_set_public_keys(struct token_verifier *verifier, const struct token_public_key *keys,
                                           size_t count, struct error *error) MUST_CHECK;
size_t token_verifier_key_count(const struct token_verifier *verifier);

enum token_result {
  TOKEN_VALID,
  TOKEN_MALFORMED,    // no JWT, too long, another algorithm
  TOKEN_UNKNOWN_KEY,  // perhaps a newer key than ours: worth a refresh of the keys
  TOKEN_FORGED,       // the signature does not fit
  TOKEN_EXPIRED,
  TOKEN_NOT_YET_VALID,
  TOKEN_WRONG_AUDIENCE,  // issuer or audience
};
// For the caller of the API: "the access token has expired".
const char *token_result_text(enum token_result result);

// `now` is Unix seconds. On TOKEN_VALID `*claims` points to claims that stay valid until the next call that takes the
// verifier. `cached` (may be NULL) tells whether the signature was remembered.
enum token_result token_verify(struct token_verifier *verifier, struct slice token, int64_t now,
                               const struct token_claims **claims, bool *cached) MUST_CHECK;

#endif

// Access tokens: JWT (RFC 7519) signed with ES256 (RFC 7518); no other algorithm is accepted. libjwt writes them;
// OpenSSL signs and verifies, with keys that stay parsed: libjwt 1.10 parses the key's PEM again for each token,
// verifies nothing for "alg":"none", and checks no claims.
//
// A token is valid when alg is ES256, typ is absent or JWT, kid is the id of a known key, and crit is absent. exp, nbf,
// iat, iss, aud, sub and jti are required and checked, with 30 s of leeway for clocks; roles, permissions, limited,
// sid, auth_time and gen may be absent. Texts are visible ASCII: sub, jti and sid up to 128 bytes, a role and a
// permission up to 64. A member that comes twice, and base64url with padding or unused bits set, make a token
// malformed.
#ifndef BULKHEAD_SECURITY_TOKEN_H
#define BULKHEAD_SECURITY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define TOKEN_MAX_BYTES 4096
// The most keys of a verifier.
#define TOKEN_MAX_KEYS 32
#define TOKEN_MAX_ROLES 16
// The most permissions of a token, and how many bytes they have together at most, so that the token fits.
#define TOKEN_MAX_PERMISSIONS 64
#define TOKEN_MAX_PERMISSION_BYTES 1280

struct token_claims {
  struct slice subject;  // the user's id
  const struct slice *roles;
  size_t role_count;
  const struct slice *permissions;  // what is allowed beside what the roles `user` and `admin` allow
  size_t permission_count;
  bool is_limited;    // limited: nothing but `permissions` is allowed
  struct slice id;    // jti
  int64_t issued_at;  // Unix seconds
  int64_t expires_at;
  struct slice session;  // sid: the session that the token belongs to; empty: none
  int64_t auth_time;     // when the user last proved who he is in this session, in Unix seconds; 0: not known
  int64_t generation;    // gen: the generation of the account's tokens; 0: not known
};

struct token_signing_key {
  const char *kid;
  const char *private_pem;           // EC P-256
  const struct private_key *parsed;  // the same (key.h); NULL: it is parsed for each signature
};

// Signs a token, in `arena`; its nbf is its iat. INVALID_ARGUMENT for claims that a verifier would refuse, and for a
// key that is not a P-256 private key in unencrypted PEM.
enum status token_sign(const struct token_signing_key *key, const char *issuer, const char *audience,
                       const struct token_claims *claims, struct arena *arena, struct slice *token) MUST_CHECK;

// Verifies tokens, and caches verified ones until they expire, so that a token that comes again costs a lookup of its
// text. One thread.
struct token_verifier;

struct token_verifier_options {
  const char *issuer;
  const char *audience;
  size_t max_cached;  // 0: 65,536 tokens
  // How much longer than 30 s after its end a token is taken. A service behind the gateway takes it longer than the
  // gateway, so that a call that has begun in time does not fail on its way.
  int64_t extra_leeway_s;
};
struct token_verifier *token_verifier_create(const struct token_verifier_options *options);
void token_verifier_free(struct token_verifier **verifier);

// A public key by its coordinates, as auth.v1.JsonWebKey holds them.
struct token_public_key {
  struct slice kid;
  struct slice x, y;  // base64url
};
// Replaces all keys of the verifier. Cached tokens of keys that are gone are removed. On an error the old keys stay:
// INVALID_ARGUMENT for more than TOKEN_MAX_KEYS, for a key id that comes twice or is not visible ASCII, and for a point
// that is not on the curve; FAILED_PRECONDITION for no keys.
enum status token_verifier_set_keys(struct token_verifier *verifier, const struct token_public_key *keys, size_t count,
                                    struct error *error) MUST_CHECK;
// Does the same with a JWK set (RFC 7517): its JSON, or the path of a file that holds it.
enum status token_verifier_read_keys(struct token_verifier *verifier, const char *keys, struct error *error) MUST_CHECK;
size_t token_verifier_key_count(const struct token_verifier *verifier);

// The most that has ended and is remembered; of more, the oldest is forgotten.
#define TOKEN_MAX_ENDINGS 131072
// Refuses the tokens of a session that has ended, from now on until `until` (Unix seconds), when the last of them has
// expired. Cached ones are removed, so that what is in the cache needs no look at what has ended. `user` is the
// session's.
void token_verifier_end_session(struct token_verifier *verifier, struct slice user, struct slice session, int64_t until,
                                int64_t now);
// Refuses the tokens of a user that are of an earlier generation than `generation`, which is at least 1.
void token_verifier_end_user(struct token_verifier *verifier, struct slice user, int64_t generation, int64_t until,
                             int64_t now);

enum token_result {
  TOKEN_VALID,
  TOKEN_MALFORMED,    // not a JWT, too long, or of another algorithm
  TOKEN_UNKNOWN_KEY,  // the key may be newer than the verifier's: fetch the keys again
  TOKEN_FORGED,       // the signature does not match
  TOKEN_EXPIRED,
  TOKEN_NOT_YET_VALID,
  TOKEN_WRONG_AUDIENCE,  // another issuer or audience
  TOKEN_ENDED,           // its session has ended, or it is of an earlier generation than the user's tokens are now
};
// Returns the result in words for the caller of the API: "the access token has expired".
const char *token_result_text(enum token_result result);

// Verifies a token at `now` (Unix seconds). On TOKEN_VALID `*claims` points to claims that stay valid until the next
// call with this verifier. `cached` (may be NULL) tells whether the token was found in the cache.
enum token_result token_verify(struct token_verifier *verifier, struct slice token, int64_t now,
                               const struct token_claims **claims, bool *cached) MUST_CHECK;
// Verifies a token that was verified before, which costs no check of its signature. False, without a result, for one
// that is not in the cache.
bool token_verify_cached(struct token_verifier *verifier, struct slice token, int64_t now,
                         const struct token_claims **claims, enum token_result *result) MUST_CHECK;

// Removes a token from the cache that will not come again, because another one has taken its place.
void token_verifier_forget(struct token_verifier *verifier, struct slice token);

#endif

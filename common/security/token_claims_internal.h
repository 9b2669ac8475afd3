// Private to common/security: the header and the claims of a token, from their JSON text.
#ifndef BULKHEAD_SECURITY_TOKEN_CLAIMS_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_CLAIMS_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/security/token.h"

// The leeway for clocks that differ, in seconds.
#define TOKEN_LEEWAY_S 30
// The latest time that a claim may hold: 2^53, the largest integer that all JSON readers agree on.
#define TOKEN_MAX_TIME (INT64_C(1) << 53)

// Parses a header. False unless alg is ES256, there is a key id and no "crit", and "typ" is absent or JWT.
bool token_header_parse(struct slice json, struct arena *arena, struct slice *kid) MUST_CHECK;

struct token_payload {
  struct token_claims claims;
  struct slice issuer;
  bool audience_fits;
  int64_t not_before;
};

// Parses the claims. False when a required claim is missing, has another type or is out of bounds. Texts are in `json`
// or `arena`.
bool token_payload_parse(struct slice json, const char *audience, struct arena *arena,
                         struct token_payload *payload) MUST_CHECK;

bool token_has_expired(const struct token_claims *claims, int64_t now);
// Checks the times of a token: VALID, EXPIRED or NOT_YET_VALID.
// `extra_leeway_s` is added to the leeway after the end.
enum token_result token_time_check(const struct token_claims *claims, int64_t not_before, int64_t now,
                                   int64_t extra_leeway_s);

#endif

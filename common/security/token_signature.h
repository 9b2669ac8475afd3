// Private to common/security: the only place that includes libjwt, and the signature on a token.
#ifndef BULKHEAD_SECURITY_TOKEN_SIGNATURE_H
#define BULKHEAD_SECURITY_TOKEN_SIGNATURE_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// 64 bytes, r and s of RFC 7518 section 3.4, in base64url.
#define TOKEN_SIGNATURE_TEXT_SIZE 86

// Whether the ES256 signature of `token` is by this key. `token` must have three parts of base64url, a header whose alg
// is ES256, at most TOKEN_MAX_BYTES bytes: the caller has checked that.
bool token_signature_fits(struct slice token, const char *public_pem) MUST_CHECK;

// A token with these claims (a JSON object), signed. INVALID_ARGUMENT where the key is no P-256 private key in
// unencrypted PEM.
enum status token_signature_make(const char *kid, const char *private_pem, const char *claims_json, struct arena *arena,
                                 struct slice *token) MUST_CHECK;

#endif

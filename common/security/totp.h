// Codes of authenticator apps: TOTP (RFC 6238) with SHA-1 and steps of 30 seconds, as all apps have it. On liboath.
#ifndef BULKHEAD_SECURITY_TOTP_H
#define BULKHEAD_SECURITY_TOTP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define TOTP_SECRET_BYTES 20  // as long as the hash is (RFC 4226, section 4)
#define TOTP_STEP_S 30
#define TOTP_DIGITS 6
#define TOTP_MAX_DIGITS 8

// Writes the code of a step (Unix time / 30). `digits` is 6, 7 or 8. INVALID_ARGUMENT for a negative step; INTERNAL
// where the hash cannot be computed.
enum status totp_generate(struct slice secret, int64_t step, unsigned digits,
                          char code[TOTP_MAX_DIGITS + 1]) MUST_CHECK;

// Whether `code` is the secret's at this time or one step before or after it, and of a later step than `last_step`,
// that of the code which was used last. *step is that of the code then. Takes the same time for every code of six
// digits.
bool totp_matches(struct slice secret, const char *code, int64_t now_s, int64_t last_step, int64_t *step);

// Writes a secret in Base32 without padding (RFC 4648), as apps take it.
const char *totp_base32(struct slice secret, struct arena *arena);

// Returns what an app scans (the "Key URI Format" of Google Authenticator). Issuer and account are any text.
const char *totp_uri(const char *base32, const char *issuer, const char *account, struct arena *arena);

#endif

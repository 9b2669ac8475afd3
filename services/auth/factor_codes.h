// The codes that prove a second factor, as people type them: those of authenticator apps (common/security/totp.h), and
// recovery codes, which stand for an app that was lost. A recovery code has 79 random bits; its hash rests on the
// stored secret and the account, so what the database holds tells nothing without the one and cannot be moved to
// another.
#ifndef BULKHEAD_SERVICES_AUTH_FACTOR_CODES_H
#define BULKHEAD_SERVICES_AUTH_FACTOR_CODES_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define RECOVERY_CODES 10

// Returns a code as it is compared: in lower case, without spaces and hyphens.
const char *factor_code_fold(const char *given, struct arena *arena);
// Whether a folded code has the form of an authenticator app's; all others are compared with recovery codes.
bool factor_code_is_totp(const char *folded);

// Makes a recovery code, as it is shown: "k3vq-7xw2-m5pt-9ahe".
char *recovery_code_new(struct arena *arena);
// Returns the hash of a folded recovery code of an account, in hexadecimal.
char *recovery_code_hash(const char *stored_secret, const char *user_id, const char *folded, struct arena *arena);

// Seals the secret of an app, bound to account and factor.
enum status factor_secret_seal(const char *stored_secret, const char *user_id, const char *factor_id,
                               struct slice secret, struct arena *arena, struct slice *sealed) MUST_CHECK;
// Opens it; FAILED_PRECONDITION for what is not sealed for this account and factor.
enum status factor_secret_open(const char *stored_secret, const char *user_id, const char *factor_id,
                               struct slice sealed, struct arena *arena, struct slice *secret) MUST_CHECK;

#endif

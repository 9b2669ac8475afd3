// The challenges that passkeys sign. One is sealed under the stored secret, for one purpose and one account, and kept
// nowhere before it is used: whoever uses it stores its hash, so that it works once.
#ifndef BULKHEAD_SERVICES_AUTH_PASSKEY_CHALLENGES_H
#define BULKHEAD_SERVICES_AUTH_PASSKEY_CHALLENGES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define PASSKEY_CHALLENGE_TTL_MS 300000
// How long the hash of a used one is kept.
#define PASSKEY_CHALLENGE_KEEP_MS (2 * PASSKEY_CHALLENGE_TTL_MS)

struct challenge_scope {
  const char *secret;   // the stored one
  const char *purpose;  // one of PASSKEY_FOR_...
  const char *user_id;  // "" where the account is not known yet
  int64_t now_ms;       // by the database's clock
};
#define PASSKEY_FOR_REGISTRATION "passkey registration"
#define PASSKEY_FOR_SIGN_IN "passkey sign-in"

// Makes a challenge: base64url in `arena`.
enum status passkey_challenge_issue(const struct challenge_scope *scope, struct arena *arena, char **text) MUST_CHECK;
// Tells whether a challenge was made for the same scope within the last five minutes.
bool passkey_challenge_is_good(const struct challenge_scope *scope, struct slice challenge, struct arena *arena);
// Returns what is stored of a used one.
struct slice passkey_challenge_hash(struct slice challenge, struct arena *arena);

#endif

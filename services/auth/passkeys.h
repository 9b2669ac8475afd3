// Passkeys of accounts: what a browser has made or signed is checked (common/security/webauthn.h), stored, found, used.
#ifndef BULKHEAD_SERVICES_AUTH_PASSKEYS_H
#define BULKHEAD_SERVICES_AUTH_PASSKEYS_H

#include <stddef.h>
#include <stdint.h>

#include "auth/v1/passkeys.pb-c.h"
#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct auth_state;
struct call;

// How many passkeys an account may have.
#define PASSKEYS_PER_ACCOUNT 20

// Reads the settings. INVALID_ARGUMENT where they cannot be used; without them no passkey is taken.
enum status passkeys_start(struct auth_state *state, struct error *error) MUST_CHECK;

// Fails the call with UNIMPLEMENTED where no passkey is taken.
enum status passkeys_check_enabled(struct call *call) MUST_CHECK;

// Makes a challenge for a purpose (passkey_challenges.h) and an account, "" for any.
enum status passkeys_make_challenge(struct call *call, const char *purpose, const char *user_id,
                                    char **challenge) MUST_CHECK;

// Returns an account's id as bytes, base64url: what authenticators keep as the user's handle.
char *passkeys_user_handle(const char *user_id, struct arena *arena);

// Checks and stores a passkey of the caller, and tells him by mail, at once or not at all. May wait.
enum status passkeys_register(struct call *call, const Auth__V1__FinishPasskeyRegistrationRequest *request,
                              Auth__V1__Passkey *response) MUST_CHECK;

// An account that a passkey has proven.
struct passkey_account {
  const char *user_id;
  int64_t password_set_us;    // which password the account had then
  int64_t factor_generation;  // which factors it had
};
// What a browser sends of a passkey that has signed.
struct passkey_answer {
  const char *id;
  const char *raw_id;
  const Auth__V1__PasskeyAssertionResponse *response;
  const char *user_id;  // the account that it must belong to; NULL: any
};
// Checks what a passkey has signed for a sign-in, and notes its use. Fails the call with UNAUTHENTICATED or
// FAILED_PRECONDITION. May wait.
enum status passkeys_prove(struct call *call, const struct passkey_answer *answer,
                           struct passkey_account *account) MUST_CHECK;

#endif

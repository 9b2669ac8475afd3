// What follows once somebody has proven who he is, by a password or otherwise: a session with its tokens.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_SIGN_IN_H
#define BULKHEAD_SERVICES_AUTH_AUTH_SIGN_IN_H

#include "auth/v1/auth.pb-c.h"
#include "common/base/status.h"

struct call;
struct device;

// A user who has proven who he is. All texts must outlive the call.
struct sign_in {
  const char *user_id;
  int64_t password_set_us;      // which password the account had then (get_password_hash)
  const char *account;          // auth_devices_account of its address
  const struct device *device;  // NULL for an unknown one
  const char *device_name;      // session_name_is_plain; "": named by the user agent
  const char *user_agent;       // any text
};

// Answers a first proof. NOT_FOUND where the account has no credential any more, or another password. May wait.
enum status auth_sign_in_proven(struct call *call, const struct sign_in *sign_in,
                                Auth__V1__LoginResponse *response) MUST_CHECK;
// Begins the session of somebody who has proven all that he must, and answers its tokens and the token of his device.
// NOT_FOUND as above. May wait.
enum status auth_sign_in_complete(struct call *call, const struct sign_in *sign_in,
                                  Auth__V1__TokenResponse *response) MUST_CHECK;

// Waits until tokens can be signed, and fails the call with UNAVAILABLE where they cannot. Comes before anything is
// changed, so that nothing is spent in vain.
enum status auth_sign_in_wait(struct call *call) MUST_CHECK;
// Fails the call with UNAVAILABLE because the signing keys cannot be read.
enum status auth_sign_in_fail_without_keys(struct call *call);
// Returns the client's address, terminated, in the call's arena.
const char *auth_sign_in_address(struct call *call);

#endif

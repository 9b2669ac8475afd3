// What follows once somebody has proven who he is, by a password or otherwise: a session with its tokens, or, where the
// account has a second factor, a challenge to prove that (auth_challenges.h).
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_SIGN_IN_H
#define BULKHEAD_SERVICES_AUTH_AUTH_SIGN_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/v1/auth.pb-c.h"
#include "common/base/status.h"
#include "common/service/query.h"

struct call;
struct device;

// A user who has proven who he is. All texts must outlive the call.
struct sign_in {
  const char *user_id;
  int64_t password_set_us;      // which password the account had then (get_password_hash)
  int64_t factor_generation;    // which factors it had (get_password_hash)
  bool needs_second;            // another proof is asked for, unless the device is remembered
  const char *account;          // auth_devices_account of its address
  const struct device *device;  // NULL for an unknown one
  const char *device_name;      // by session_check_name; "": named by the user agent
  const char *user_agent;       // any text
};

// Answers a first proof. NOT_FOUND where the account has no credential any more, another password or other factors.
// Fails the call with PERMISSION_DENIED where the account's address must be confirmed first. May wait.
enum status auth_sign_in_proven(struct call *call, const struct sign_in *sign_in,
                                Auth__V1__LoginResponse *response) MUST_CHECK;
// Begins the session of somebody who has proven all that he must, and answers its tokens and the token of his device.
// `db` is a transaction; auth_sign_in_wait and auth_sign_in_refuse_suspended come before. NOT_FOUND as above, and where
// the account was suspended since. May wait.
enum status auth_sign_in_complete(struct call *call, struct query_db db, const struct sign_in *sign_in,
                                  Auth__V1__TokenResponse *response) MUST_CHECK;
// The same in a transaction of its own (auth_transact).
enum status auth_sign_in_complete_at_once(struct call *call, const struct sign_in *sign_in,
                                          Auth__V1__TokenResponse *response) MUST_CHECK;
// Fails the call with PERMISSION_DENIED where the account is suspended, and notes it in the audit log. Comes once its
// user has proven who he is, so that nobody else learns of it, and outside of transactions.
enum status auth_sign_in_refuse_suspended(struct call *call, const char *user_id) MUST_CHECK;
// Returns what the session of a sign-in is called.
const char *auth_sign_in_device_name(struct call *call, const struct sign_in *sign_in);

// Waits until tokens can be signed, and fails the call with UNAVAILABLE where they cannot. Comes before anything is
// changed, so that nothing is spent in vain.
enum status auth_sign_in_wait(struct call *call) MUST_CHECK;
// Fails the call with UNAVAILABLE because the signing keys cannot be read.
enum status auth_sign_in_fail_without_keys(struct call *call);
// Returns the client's address, terminated, in the call's arena.
const char *auth_sign_in_address(struct call *call);

#endif

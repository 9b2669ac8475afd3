// Runs the auth and user services as two processes that know each other, on a database of the test's own, and RPC
// clients that speak to them as the gateway does.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_ACCOUNTS_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_ACCOUNTS_H

#include "auth/v1/auth.pb-c.h"
#include "tests/support/service/database.h"
#include "tests/support/service/driver.h"
#include "user/v1/user.pb-c.h"

#define ACCOUNTS_KEY_SECRET "0123456789abcdef0123456789abcdef"
#define ACCOUNTS_PASSWORD "correct horse battery"

struct accounts {
  struct database database;
  struct process auth;
  struct process user;
  struct driver to_auth;
  struct driver to_user;
};

// Starts both services; `environment` is for both. Passwords cost the least that argon2id allows.
void accounts_open(struct accounts *accounts, const char *const *environment);
// Stops both services and expects that they end in good order. Their outputs stay until accounts_free.
void accounts_stop(struct accounts *accounts);
void accounts_free(struct accounts *accounts);
// Stops both services and frees everything.
void accounts_close(struct accounts *accounts);
// Stops and starts the auth service alone, at the same address.
void accounts_stop_auth(struct accounts *accounts);
void accounts_start_auth(struct accounts *accounts, const char *const *environment);
// Ends the auth service's process at once, as a crash does. accounts_start_auth starts it again.
void accounts_kill_auth(struct accounts *accounts);
// Stops and starts the user service alone. It need not find the auth service when it starts.
void accounts_stop_user(struct accounts *accounts);
void accounts_start_user(struct accounts *accounts, const char *const *environment);
// Ends the user service's process at once, as a crash does. accounts_start_user starts it again.
void accounts_kill_user(struct accounts *accounts);

struct outcome accounts_sign_up(struct accounts *accounts, const char *email, const char *password);
struct outcome accounts_login(struct accounts *accounts, const char *email, const char *password);
struct outcome accounts_refresh(struct accounts *accounts, const char *refresh_token);
// Sign up and log in with ACCOUNTS_PASSWORD; both assert success.
const User__V1__User *accounts_new_user(struct accounts *accounts, const char *email);
const Auth__V1__TokenResponse *accounts_tokens(struct accounts *accounts, const char *email);
const Auth__V1__TokenResponse *accounts_tokens_of(const struct outcome *outcome);
// Makes an access token, which the services of a test take (service_keys.h), of the account's newest session, in which
// its user has proven who he is so long ago.
struct slice accounts_access_token(struct accounts *accounts, const char *user_id, int64_t age_s);
// Makes one of an account that has just logged in and has a role.
struct slice accounts_role_token(struct accounts *accounts, const char *user_id, const char *role);
// Makes one that stands for an API key of the account with one scope.
struct slice accounts_key_token(struct accounts *accounts, const char *user_id, const char *key_id,
                                const char *permission);
// Stores a session with the id of its user, for calls that name it as caller_session; and a credential, where the user
// has none.
void accounts_plant_session(struct accounts *accounts, const char *user_id);
// Signs up an admin with a planted session, and returns the id, which lives as long as the database.
const char *accounts_new_admin(struct accounts *accounts, const char *email);
// Returns the context of a call of that admin, who has logged in so long ago.
struct rpc_context accounts_admin_context(const char *user_id, int64_t age_s);

// A link as a mail would carry it, which a test stores itself, because it cannot read mails.
struct planted_link {
  const char *token;
  const char *purpose;  // of auth.account_tokens
  const char *user_id;
  const char *email;        // where its mail has gone
  const char *other_email;  // NULL for none
  int email_version;
};
void accounts_plant_link(struct accounts *accounts, const struct planted_link *link);

// Runs the command `auth <first> <second> <third>` to its end and returns its exit code. The caller frees the process.
int accounts_command(struct accounts *accounts, struct process *process, char *first, char *second, char *third);

#endif

#include "tests/support/service/accounts.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/security/token.h"
#include "tests/support/common/service_keys.h"

#define MAX_ENVIRONMENT 12

static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};

// The environment of both services: what each test needs, followed by the strings of the caller.
struct environment {
  const char *values[MAX_ENVIRONMENT + 1];
};

static struct environment with_defaults(const char *const *environment)
{
  struct environment all = {{
      "AUTH_KEY_SECRET=" ACCOUNTS_KEY_SECRET,
      "AUTH_ARGON2_PASSES=1",
      "AUTH_ARGON2_MEMORY=8k",
      "MIGRATE_ON_START=true",
  }};
  size_t count = 4;
  for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
    cr_assert_lt(count, MAX_ENVIRONMENT);
    all.values[count++] = environment[i];
  }
  return all;
}

static const char *peer_at(struct accounts *accounts, const char *name, const struct process *process)
{
  return arena_printf(&accounts->database.arena, "%s=%s", name, process->url);
}

static void launch_auth(struct accounts *accounts, const char *const *environment)
{
  struct environment all = with_defaults(environment);
  service_launch(&accounts->auth, &accounts->database, "auth", peer_at(accounts, "user", &accounts->user), NULL,
                 all.values);
}

static void launch_user(struct accounts *accounts, const char *const *environment)
{
  struct environment all = with_defaults(environment);
  service_launch(&accounts->user, &accounts->database, "user", peer_at(accounts, "auth", &accounts->auth), NULL,
                 all.values);
}

// Waits until the process is ready and connected to its peer.
static void wait_connected(struct process *process)
{
  process_wait_ready(process);
  process_wait_output(process, "connected to an endpoint");
}

void accounts_open(struct accounts *accounts, const char *const *environment)
{
  database_create(&accounts->database, (const char *const[]){"auth", "user", NULL});
  process_prepare(&accounts->auth);
  process_prepare(&accounts->user);
  launch_auth(accounts, environment);
  launch_user(accounts, environment);
  wait_connected(&accounts->auth);
  wait_connected(&accounts->user);
  driver_open(&accounts->to_auth, accounts->auth.url, "gateway");
  driver_open(&accounts->to_user, accounts->user.url, "gateway");
}

static void expect_good_end(struct process *process)
{
  int code = process_stop(process);
  cr_expect_eq(code, 0, "it ended with %d: %s", code, strbuf_cstring(&process->output));
}

void accounts_stop(struct accounts *accounts)
{
  driver_close(&accounts->to_user);
  driver_close(&accounts->to_auth);
  expect_good_end(&accounts->user);
  expect_good_end(&accounts->auth);
}

void accounts_free(struct accounts *accounts)
{
  process_free(&accounts->user);
  process_free(&accounts->auth);
  database_drop(&accounts->database);
}

void accounts_close(struct accounts *accounts)
{
  accounts_stop(accounts);
  accounts_free(accounts);
}

void accounts_stop_auth(struct accounts *accounts)
{
  driver_close(&accounts->to_auth);
  expect_good_end(&accounts->auth);
  process_free(&accounts->auth);
}

void accounts_kill_auth(struct accounts *accounts)
{
  driver_close(&accounts->to_auth);
  cr_assert_eq(kill(accounts->auth.pid, SIGKILL), 0);
  cr_expect_eq(process_end(&accounts->auth), -1);
  process_free(&accounts->auth);
}

// Waits until the user service has so many connections to the auth service.
static void wait_user_connections(struct accounts *accounts, const char *count)
{
  char line[64];
  snprintf(line, sizeof(line), "bulkhead_rpc_endpoints{service=\"auth\"} %s\n", count);
  process_wait_http(&accounts->user, "/metrics", line);
}

void accounts_start_auth(struct accounts *accounts, const char *const *environment)
{
  // The auth service gets the same socket as before, because the user service looks for it there.
  process_prepare_again(&accounts->auth);
  wait_user_connections(accounts, "0");
  launch_auth(accounts, environment);
  wait_connected(&accounts->auth);
  wait_user_connections(accounts, "1");
  driver_open(&accounts->to_auth, accounts->auth.url, "gateway");
}

void accounts_stop_user(struct accounts *accounts)
{
  driver_close(&accounts->to_user);
  expect_good_end(&accounts->user);
  process_free(&accounts->user);
}

void accounts_start_user(struct accounts *accounts, const char *const *environment)
{
  process_prepare_again(&accounts->user);
  launch_user(accounts, environment);
  process_wait_admin(&accounts->user);
  driver_open(&accounts->to_user, accounts->user.url, "gateway");
}

void accounts_kill_user(struct accounts *accounts)
{
  driver_close(&accounts->to_user);
  cr_assert_eq(kill(accounts->user.pid, SIGKILL), 0);
  cr_expect_eq(process_end(&accounts->user), -1);
  process_free(&accounts->user);
}

// ---- calls ----

static char *changeable(const char *text)
{
  return (char *)(uintptr_t)text;
}

struct outcome accounts_sign_up(struct accounts *accounts, const char *email, const char *password)
{
  User__V1__CreateUserRequest request = USER__V1__CREATE_USER_REQUEST__INIT;
  request.email = changeable(email);
  request.password = changeable(password);
  request.display_name = "Ada Lovelace";
  return driver_call(&accounts->to_user, "user.v1.UserService/CreateUser", &request.base, &anonymous);
}

struct outcome accounts_login(struct accounts *accounts, const char *email, const char *password)
{
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = changeable(email);
  request.password = changeable(password);
  return driver_call(&accounts->to_auth, "auth.v1.AuthService/Login", &request.base, &anonymous);
}

struct outcome accounts_refresh(struct accounts *accounts, const char *refresh_token)
{
  Auth__V1__RefreshRequest request = AUTH__V1__REFRESH_REQUEST__INIT;
  request.refresh_token = changeable(refresh_token);
  return driver_call(&accounts->to_auth, "auth.v1.AuthService/Refresh", &request.base, &anonymous);
}

const User__V1__User *accounts_new_user(struct accounts *accounts, const char *email)
{
  struct outcome outcome = accounts_sign_up(accounts, email, ACCOUNTS_PASSWORD);
  return (const User__V1__User *)(const void *)driver_reply(&outcome, &user__v1__user__descriptor);
}

const Auth__V1__TokenResponse *accounts_tokens_of(const struct outcome *outcome)
{
  return (const Auth__V1__TokenResponse *)(const void *)driver_reply(outcome, &auth__v1__token_response__descriptor);
}

const Auth__V1__TokenResponse *accounts_tokens(struct accounts *accounts, const char *email)
{
  struct outcome outcome = accounts_login(accounts, email, ACCOUNTS_PASSWORD);
  return accounts_tokens_of(&outcome);
}

// Signs a token of an account for a quarter of an hour, with the other claims as they are given.
static struct slice sign_token(struct accounts *accounts, const char *user_id, struct token_claims claims)
{
  const char *generation =
      database_sql(&accounts->database, "SELECT token_generation FROM auth.credentials WHERE user_id = '%s'", user_id);
  const struct token_signing_key key = {.kid = "auth", .private_pem = service_keys_private()};
  struct slice token;
  claims.subject = slice_from_string(user_id);
  claims.id = SLICE("token-1");
  claims.issued_at = clock_wall_us() / 1000000;
  claims.expires_at = claims.issued_at + 900;
  claims.generation = strtoll(generation, NULL, 10);
  cr_assert_eq(token_sign(&key, "bulkhead", "bulkhead", &claims, &accounts->to_auth.arena, &token), STATUS_OK);
  return token;
}

static struct slice sign_session_token(struct accounts *accounts, const char *user_id, int64_t age_s, struct slice role)
{
  const char *session = database_sql(
      &accounts->database, "SELECT id FROM auth.sessions WHERE user_id = '%s' ORDER BY id DESC LIMIT 1", user_id);
  const struct token_claims claims = {.roles = &role,
                                      .role_count = 1,
                                      .session = slice_from_string(session),
                                      .auth_time = clock_wall_us() / 1000000 - age_s};
  return sign_token(accounts, user_id, claims);
}

struct slice accounts_access_token(struct accounts *accounts, const char *user_id, int64_t age_s)
{
  return sign_session_token(accounts, user_id, age_s, SLICE("user"));
}

struct slice accounts_role_token(struct accounts *accounts, const char *user_id, const char *role)
{
  return sign_session_token(accounts, user_id, 0, slice_from_string(role));
}

struct slice accounts_key_token(struct accounts *accounts, const char *user_id, const char *key_id,
                                const char *permission)
{
  static const struct slice role = SLICE_INIT("user");
  const struct slice permissions[] = {slice_from_string(permission)};
  const struct token_claims claims = {.roles = &role,
                                      .role_count = 1,
                                      .permissions = permissions,
                                      .permission_count = 1,
                                      .is_limited = true,
                                      .session = slice_from_string(key_id)};
  return sign_token(accounts, user_id, claims);
}

void accounts_plant_session(struct accounts *accounts, const char *user_id)
{
  database_sql(&accounts->database,
               "INSERT INTO auth.credentials (user_id, password_hash) VALUES ('%s', '') ON CONFLICT DO NOTHING",
               user_id);
  database_sql(&accounts->database,
               "INSERT INTO auth.sessions (id, user_id, token_hash, factor_generation, expire_time)"
               " VALUES ('%s', '%s', sha256('%s'), 0, now() + interval '1 hour')",
               user_id, user_id, user_id);
}

const char *accounts_new_admin(struct accounts *accounts, const char *email)
{
  const char *id = arena_string(&accounts->database.arena, slice_from_string(accounts_new_user(accounts, email)->id));
  (void)database_sql(&accounts->database, "INSERT INTO auth.roles VALUES ('%s', 'admin')", id);
  accounts_plant_session(accounts, id);
  return id;
}

struct rpc_context accounts_admin_context(const char *user_id, int64_t age_s)
{
  static const struct slice roles[] = {SLICE_INIT("admin")};
  return (struct rpc_context){.caller_id = slice_from_string(user_id),
                              .caller_session = slice_from_string(user_id),
                              .caller_roles = roles,
                              .caller_role_count = 1,
                              .caller_auth_time = clock_wall_us() / 1000000 - age_s};
}

void accounts_plant_link(struct accounts *accounts, const struct planted_link *link)
{
  database_sql(&accounts->database,
               "INSERT INTO auth.account_tokens (token_hash, purpose, user_id, email, other_email, email_version,"
               " expire_time) VALUES (sha256('%s'), '%s', '%s', '%s', '%s', %d, now() + interval '1 hour')",
               link->token, link->purpose, link->user_id, link->email,
               link->other_email == NULL ? "" : link->other_email, link->email_version);
}

int accounts_command(struct accounts *accounts, struct process *process, char *first, char *second, char *third)
{
  struct environment all = with_defaults(NULL);
  char *arguments[] = {"auth", first, second, third, NULL};
  return service_run(process, &accounts->database, "auth", peer_at(accounts, "user", &accounts->user), arguments,
                     all.values);
}

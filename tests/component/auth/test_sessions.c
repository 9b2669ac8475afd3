// Passwords and sessions, with the user service beside.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/codec.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

#define LOGOUT "auth.v1.AuthService/Logout"
#define REFRESH "auth.v1.AuthService/Refresh"

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};

static void setup(void)
{
  accounts_open(&accounts, (const char *const[]){"LOG_LEVEL=debug", NULL});
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_sessions, .init = setup, .fini = teardown);

static const char *stored_hash(void)
{
  return database_sql(&accounts.database, "SELECT password_hash FROM auth.credentials");
}

Test(auth_sessions, a_password_is_hashed_anew_once_the_cost_was_raised)
{
  accounts_new_user(&accounts, ADA);
  accounts_tokens(&accounts, ADA);
  const char *cheap = stored_hash();
  cr_expect_not_null(strstr(cheap, "$argon2id$v=19$m=8,t=1,p=1$"), "%s", cheap);

  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts, (const char *const[]){"AUTH_ARGON2_PASSES=2", "AUTH_ARGON2_MEMORY=64k", NULL});
  cr_expect_eq(accounts_login(&accounts, ADA, "a wrong password").status, STATUS_UNAUTHENTICATED);
  cr_expect_str_eq(stored_hash(), cheap);
  accounts_tokens(&accounts, ADA);
  const char *dear = stored_hash();
  cr_expect_not_null(strstr(dear, "$argon2id$v=19$m=64,t=2,p=1$"), "%s", dear);
  // The new hash is of the same password, so the login works again.
  accounts_tokens(&accounts, ADA);
  cr_expect_str_eq(stored_hash(), dear);
  cr_expect_eq(accounts_login(&accounts, ADA, "a wrong password").status, STATUS_UNAUTHENTICATED);
}

// Returns the claims of an access token: its middle part, decoded.
static const char *claims_of(const Auth__V1__TokenResponse *tokens)
{
  struct slice token = slice_from_string(tokens->access_token);
  size_t start = slice_find(token, '.', 0) + 1;
  struct slice payload = slice_make(token.data + start, slice_find(token, '.', start) - start);
  struct strbuf out;
  strbuf_init(&out, 0);
  cr_assert(base64_decode(payload, &out));
  const char *text = arena_string(&accounts.to_auth.arena, strbuf_slice(&out));
  strbuf_free(&out);
  return text;
}

static void expect_claim(const Auth__V1__TokenResponse *tokens, const char *name, const char *value)
{
  const char *claims = claims_of(tokens);
  const char *claim = arena_printf(&accounts.to_auth.arena, "\"%s\":%s", name, value);
  cr_expect_not_null(strstr(claims, claim), "%s in %s", claim, claims);
}

Test(auth_sessions, access_tokens_name_their_session_its_login_and_the_generation)
{
  accounts_new_user(&accounts, ADA);
  const Auth__V1__TokenResponse *tokens = accounts_tokens(&accounts, ADA);
  // The login was a while ago.
  database_sql(&accounts.database, "UPDATE auth.sessions SET create_time = create_time - interval '1 day'");
  database_sql(&accounts.database, "UPDATE auth.credentials SET token_generation = 7");
  const char *id =
      arena_printf(&accounts.to_auth.arena, "\"%s\"", database_sql(&accounts.database, "SELECT id FROM auth.sessions"));
  expect_claim(tokens, "sid", id);
  expect_claim(tokens, "gen", "1");
  struct outcome outcome = accounts_refresh(&accounts, tokens->refresh_token);
  cr_assert_eq(outcome.status, STATUS_OK);
  expect_claim(accounts_tokens_of(&outcome), "sid", id);
  expect_claim(
      accounts_tokens_of(&outcome), "auth_time",
      database_sql(&accounts.database, "SELECT floor(extract(epoch FROM create_time))::bigint FROM auth.sessions"));
  expect_claim(accounts_tokens_of(&outcome), "gen", "7");
}

// Refreshes that come together are one statement, in which each must find its own row again.
Test(auth_sessions, refreshes_at_once_give_each_session_its_own_token)
{
  enum { SESSIONS = 40, FIRST_ADMIN = 20 };
  static const char *const emails[] = {ADA, "bob@example.com"};
  struct driver *driver = &accounts.to_auth;
  const char *ids[2], *old[SESSIONS];
  struct outcome outcomes[SESSIONS + 1];
  for (size_t i = 0; i < 2; i++)
    ids[i] = arena_printf(&driver->arena, "\"%s\"", accounts_new_user(&accounts, emails[i])->id);
  database_sql(&accounts.database, "INSERT INTO auth.roles (user_id, role) VALUES ('%.36s', 'admin')", ids[1] + 1);
  for (size_t i = 0; i < SESSIONS; i++)
    old[i] = accounts_tokens(&accounts, emails[i / FIRST_ADMIN])->refresh_token;

  Auth__V1__RefreshRequest request = AUTH__V1__REFRESH_REQUEST__INIT;
  // The last one is made up, and must not hold the others up.
  char made_up[81];
  snprintf(made_up, sizeof(made_up), "%080d", 0);
  for (size_t i = 0; i <= SESSIONS; i++) {
    request.refresh_token = i < SESSIONS ? (char *)(uintptr_t)old[i] : made_up;
    driver_begin(driver, REFRESH, driver_pack(driver, &request.base), &anonymous, 60000, &outcomes[i]);
  }
  for (size_t i = 0; i <= SESSIONS; i++)
    driver_finish(driver, &outcomes[i]);
  cr_expect_eq(outcomes[SESSIONS].status, STATUS_UNAUTHENTICATED);
  for (size_t i = 0; i < SESSIONS; i++) {
    cr_assert_eq(outcomes[i].status, STATUS_OK, "%zu: " SLICE_FMT, i, SLICE_ARG(outcomes[i].message));
    const Auth__V1__TokenResponse *tokens = accounts_tokens_of(&outcomes[i]);
    // A refresh token begins with its session, and is none of those that were sent.
    cr_expect_eq(memcmp(tokens->refresh_token, old[i], 20), 0);
    cr_expect_str_neq(tokens->refresh_token, old[i]);
    expect_claim(tokens, "sub", ids[i / FIRST_ADMIN]);
    expect_claim(tokens, "roles", i < FIRST_ADMIN ? "[\"user\"]" : "[\"user\",\"admin\"]");
    cr_expect_eq(accounts_refresh(&accounts, tokens->refresh_token).status, STATUS_OK);
  }
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.endings"), "0");
}

Test(auth_sessions, an_expired_session_is_not_refreshed)
{
  accounts_new_user(&accounts, ADA);
  const Auth__V1__TokenResponse *tokens = accounts_tokens(&accounts, ADA);
  database_sql(&accounts.database, "UPDATE auth.sessions SET expire_time = now() - interval '1 microsecond'");
  cr_expect_eq(accounts_refresh(&accounts, tokens->refresh_token).status, STATUS_UNAUTHENTICATED);
}

Test(auth_sessions, logout_ends_one_session_and_no_other)
{
  accounts_new_user(&accounts, ADA);
  const Auth__V1__TokenResponse *here = accounts_tokens(&accounts, ADA);
  const Auth__V1__TokenResponse *there = accounts_tokens(&accounts, ADA);
  Auth__V1__LogoutRequest request = AUTH__V1__LOGOUT_REQUEST__INIT;
  request.refresh_token = here->refresh_token;
  cr_expect_eq(driver_call(&accounts.to_auth, LOGOUT, &request.base, &anonymous).status, STATUS_OK);
  cr_expect_eq(driver_call(&accounts.to_auth, LOGOUT, &request.base, &anonymous).status, STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, here->refresh_token).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_refresh(&accounts, there->refresh_token).status, STATUS_OK);
}

Test(auth_sessions, only_the_hash_of_a_refresh_token_is_stored)
{
  accounts_new_user(&accounts, ADA);
  const Auth__V1__TokenResponse *tokens = accounts_tokens(&accounts, ADA);
  cr_expect_str_eq(database_sql(&accounts.database,
                                "SELECT count(*) FROM auth.sessions WHERE token_hash = sha256('%s'::bytea)",
                                tokens->refresh_token),
                   "1");
}

// Both failures get the same answer, so that nobody learns which addresses have accounts.
Test(auth_sessions, an_unknown_address_and_a_wrong_password_look_alike)
{
  accounts_new_user(&accounts, ADA);
  struct outcome wrong = accounts_login(&accounts, ADA, "a wrong password");
  struct outcome unknown = accounts_login(&accounts, "eve@example.com", "a wrong password");
  cr_expect_eq(wrong.status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(unknown.status, wrong.status);
  cr_expect(slice_equal(unknown.message, wrong.message));
  cr_expect(slice_equal(unknown.reason, wrong.reason));
}

// Counts the argon2id hashes that the auth service has computed since its start.
static long password_hashes(void)
{
  static const char name[] = "\nbulkhead_password_hashes_total ";
  struct strbuf page;
  strbuf_init(&page, 0);
  const char *line = strstr(process_http(&accounts.auth, "GET /metrics HTTP/1.0\r\n\r\n", &page), name);
  cr_assert_not_null(line, "%s", strbuf_cstring(&page));
  long count = strtol(line + strlen(name), NULL, 10);
  strbuf_free(&page);
  return count;
}

// The time of a login is that of one hash: an unknown address must cost the same, or time tells which addresses exist.
Test(auth_sessions, an_unknown_address_costs_as_many_hashes_as_a_wrong_password)
{
  accounts_new_user(&accounts, ADA);
  long before = password_hashes();
  accounts_login(&accounts, ADA, "a wrong password");
  long wrong = password_hashes() - before;
  accounts_login(&accounts, "eve@example.com", "a wrong password");
  long unknown = password_hashes() - before - wrong;
  cr_expect_eq(wrong, 1);
  cr_expect_eq(unknown, 1);
}

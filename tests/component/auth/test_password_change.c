// Changing one's password with the access token of a session.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "auth/v1/password.pb-c.h"
#include "tests/support/service/accounts.h"
#include "tests/support/service/gate.h"

#define ADA "ada@example.com"
#define CHANGE "auth.v1.PasswordService/ChangePassword"
#define NEXT_PASSWORD "kolibri tunnel saturn"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, NULL);
  accounts_new_user(&accounts, ADA);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_password_change, .init = setup, .fini = teardown);

static struct slice log_in(int64_t age_s)
{
  accounts_tokens(&accounts, ADA);
  return accounts_access_token(&accounts, database_sql(&accounts.database, "SELECT user_id FROM auth.credentials"),
                               age_s);
}

struct change {
  struct slice token;
  const char *from;  // an address
  const char *current;
  const char *next;
  const char *key;  // an Idempotency-Key
};

static struct prepared_call change_call(const struct change *change)
{
  Auth__V1__ChangePasswordRequest request = AUTH__V1__CHANGE_PASSWORD_REQUEST__INIT;
  request.current_password = (char *)(uintptr_t)change->current;
  request.new_password = (char *)(uintptr_t)change->next;
  const struct rpc_context context = {.access_token = change->token,
                                      .client_address =
                                          slice_from_string(change->from == NULL ? "192.0.2.7" : change->from),
                                      .idempotency_key = slice_from_string(change->key == NULL ? "" : change->key)};
  return driver_prepare(&accounts.to_auth, CHANGE, &request.base, &context);
}

static void begin_change(const struct change *change, struct outcome *outcome)
{
  const struct prepared_call call = change_call(change);
  driver_begin_prepared(&call, outcome);
}

static struct outcome change_password(const struct change *change)
{
  struct outcome outcome;
  begin_change(change, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  return outcome;
}

static void expect(const struct outcome *outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome->status, status, "%s", status_name(outcome->status));
  cr_expect(slice_equal_string(outcome->reason, reason), SLICE_FMT, SLICE_ARG(outcome->reason));
}

static const char *count_sessions(void)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.sessions");
}

Test(auth_password_change, the_new_password_holds_and_other_sessions_end)
{
  const char *elsewhere = accounts_tokens(&accounts, ADA)->refresh_token;
  struct slice here = log_in(0);
  cr_assert_str_eq(count_sessions(), "2");
  struct outcome outcome =
      change_password(&(struct change){.token = here, .current = ACCOUNTS_PASSWORD, .next = NEXT_PASSWORD});
  expect(&outcome, STATUS_OK, "");
  cr_expect_str_eq(count_sessions(), "1");
  cr_expect_eq(accounts_refresh(&accounts, elsewhere).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_login(&accounts, ADA, NEXT_PASSWORD).status, STATUS_OK);
}

Test(auth_password_change, a_refused_password_changes_nothing)
{
  struct slice token = log_in(0);
  accounts_tokens(&accounts, ADA);
  static const struct {
    const char *next, *reason;
  } cases[] = {
      {"short", "PASSWORD_TOO_SHORT"},
      {"fourteen words", "PASSWORD_TOO_SHORT"},
      {"Ada Lovelace Ada", "PASSWORD_FROM_ACCOUNT"},
      {"passwordpassword", "PASSWORD_COMMON"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct outcome outcome =
        change_password(&(struct change){.token = token, .current = ACCOUNTS_PASSWORD, .next = cases[i].next});
    expect(&outcome, STATUS_INVALID_ARGUMENT, cases[i].reason);
    cr_expect(slice_equal_string(outcome.violation_field, "newPassword"));
  }
  cr_expect_str_eq(count_sessions(), "2");
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
}

Test(auth_password_change, a_login_long_ago_is_not_enough)
{
  struct outcome outcome =
      change_password(&(struct change){.token = log_in(3600), .current = ACCOUNTS_PASSWORD, .next = NEXT_PASSWORD});
  expect(&outcome, STATUS_UNAUTHENTICATED, "LOGIN_TOO_OLD");
}

// Whoever has stolen a token must not learn the password with it: guesses end as those at the login do, and both share
// one limit.
Test(auth_password_change, wrong_passwords_count_as_failed_logins)
{
  struct slice token = log_in(0);
  struct change guess = {.token = token, .current = "a wrong password", .next = NEXT_PASSWORD};
  struct outcome outcome;
  int tried = 0;
  while ((outcome = change_password(&guess)).status == STATUS_PERMISSION_DENIED && tried < 100) {
    expect(&outcome, STATUS_PERMISSION_DENIED, "WRONG_PASSWORD");
    tried++;
  }
  // Five of the address, and the twenty that unknown sources share, which come back one a minute.
  cr_expect_geq(tried, 25);
  cr_expect_leq(tried, 27);
  expect(&outcome, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_FAILURES");
  guess.current = ACCOUNTS_PASSWORD;
  outcome = change_password(&guess);
  expect(&outcome, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_FAILURES");
  // The owner's address has tries of its own.
  guess.from = "203.0.113.9";
  outcome = change_password(&guess);
  expect(&outcome, STATUS_OK, "");
}

Test(auth_password_change, of_many_at_once_one_wins)
{
  enum { CALLS = 8 };
  struct slice token = log_in(0);
  struct outcome outcomes[CALLS];
  const char *next[CALLS];
  for (size_t i = 0; i < CALLS; i++) {
    next[i] = arena_printf(&accounts.to_auth.arena, "kolibri tunnel saturn %zu", i);
    begin_change(&(struct change){.token = token, .current = ACCOUNTS_PASSWORD, .next = next[i]}, &outcomes[i]);
  }
  const char *winner = NULL;
  for (size_t i = 0; i < CALLS; i++) {
    driver_finish(&accounts.to_auth, &outcomes[i]);
    if (outcomes[i].status != STATUS_OK)
      continue;
    cr_expect_null(winner, "two have won");
    winner = next[i];
  }
  cr_assert_not_null(winner);
  cr_expect_eq(accounts_login(&accounts, ADA, winner).status, STATUS_OK);
}

Test(auth_password_change, a_repeat_with_the_same_key_gets_the_first_answer)
{
  const struct change change = {
      .token = log_in(0), .current = ACCOUNTS_PASSWORD, .next = NEXT_PASSWORD, .key = "f2f0a0c4-change"};
  struct outcome first = change_password(&change), repeat = change_password(&change);
  expect(&first, STATUS_OK, "");
  expect(&repeat, STATUS_OK, "");
  cr_expect_eq(accounts_login(&accounts, ADA, NEXT_PASSWORD).status, STATUS_OK);
}

// ---- a login and a change at the same time ----

static struct prepared_call login_call(void)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = ADA;
  request.password = ACCOUNTS_PASSWORD;
  return driver_prepare(&accounts.to_auth, "auth.v1.AuthService/Login", &request.base, &anonymous);
}

Test(auth_password_change, a_login_that_is_about_to_end_has_its_session_ended)
{
  const struct change change = {.token = log_in(0), .current = ACCOUNTS_PASSWORD, .next = NEXT_PASSWORD};
  const struct prepared_call login = login_call(), changing = change_call(&change);
  struct outcome outcomes[2];
  gate_race(&accounts.database, "INSERT ON auth.sessions FOR EACH ROW", &login, &changing, outcomes);
  expect(&outcomes[0], STATUS_OK, "");
  expect(&outcomes[1], STATUS_OK, "");
  cr_expect_eq(accounts_refresh(&accounts, accounts_tokens_of(&outcomes[0])->refresh_token).status,
               STATUS_UNAUTHENTICATED);
  cr_expect_str_eq(count_sessions(), "1");
}

Test(auth_password_change, a_login_with_the_password_before_gets_no_session)
{
  const struct change change = {.token = log_in(0), .current = ACCOUNTS_PASSWORD, .next = NEXT_PASSWORD};
  const struct prepared_call call = login_call();
  struct outcome login;
  gate_close(&accounts.database, "INSERT ON auth.sessions FOR EACH STATEMENT");
  driver_begin_prepared(&call, &login);
  gate_wait_one(&accounts.database);
  struct outcome changed = change_password(&change);
  expect(&changed, STATUS_OK, "");
  gate_open(&accounts.database);
  driver_finish(&accounts.to_auth, &login);
  expect(&login, STATUS_UNAUTHENTICATED, "WRONG_CREDENTIALS");
  cr_expect_str_eq(count_sessions(), "1");
}

// Refresh tokens: who may go on with a token that was spent, and when it ends the session.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define REFRESH "auth.v1.AuthService/Refresh"
#define LOGOUT "auth.v1.AuthService/Logout"
// What releases before made: 256 random bits.
#define LEGACY_1 "0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e0hT9mJ4yXq2"
#define LEGACY_2 "1hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e0hT9mJ4yXq2"

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};

// The longest grace, so that a slow machine does not end it.
static void setup(void)
{
  accounts_open(&accounts, (const char *const[]){"AUTH_REFRESH_GRACE=60s", "AUTH_SESSIONS_PER_ACCOUNT=3", NULL});
  accounts_new_user(&accounts, ADA);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_session_families, .init = setup, .fini = teardown, .timeout = 300);

static const char *log_in(void)
{
  return accounts_tokens(&accounts, ADA)->refresh_token;
}

static const char *refresh(const char *token)
{
  struct outcome outcome = accounts_refresh(&accounts, token);
  cr_assert_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  return accounts_tokens_of(&outcome)->refresh_token;
}

static void expect_refused(const char *token)
{
  struct outcome outcome = accounts_refresh(&accounts, token);
  cr_expect_eq(outcome.status, STATUS_UNAUTHENTICATED, "%s", status_name(outcome.status));
  cr_expect(slice_equal_string(outcome.reason, "INVALID_REFRESH_TOKEN"));
}

static long count(const char *what)
{
  return strtol(database_sql(&accounts.database, "SELECT count(*) FROM %s", what), NULL, 10);
}

static void let_the_grace_pass(void)
{
  database_sql(&accounts.database, "UPDATE auth.sessions SET spend_time = spend_time - interval '1 hour', "
                                   "use_time = use_time - interval '1 hour'");
  database_sql(&accounts.database, "UPDATE auth.session_branches SET use_time = use_time - interval '1 hour'");
}

Test(auth_session_families, a_hundred_concurrent_refreshes_log_nobody_out)
{
  enum { CALLS = 100 };
  Auth__V1__RefreshRequest request = AUTH__V1__REFRESH_REQUEST__INIT;
  request.refresh_token = (char *)(uintptr_t)log_in();
  struct outcome outcomes[CALLS];
  const char *next[CALLS];
  struct driver *driver = &accounts.to_auth;
  for (size_t i = 0; i < CALLS; i++)
    driver_begin(driver, REFRESH, driver_pack(driver, &request.base), &anonymous, 60000, &outcomes[i]);
  for (size_t i = 0; i < CALLS; i++) {
    driver_finish(driver, &outcomes[i]);
    cr_assert_eq(outcomes[i].status, STATUS_OK, "%zu: " SLICE_FMT, i, SLICE_ARG(outcomes[i].message));
    next[i] = accounts_tokens_of(&outcomes[i])->refresh_token;
    for (size_t j = 0; j < i; j++)
      cr_assert_str_neq(next[i], next[j]);
  }
  cr_expect_eq(count("auth.sessions"), 1, "one family");
  // Each of them goes on by itself, also long after the grace.
  let_the_grace_pass();
  for (size_t i = 0; i < CALLS; i++)
    next[i] = refresh(next[i]);
  let_the_grace_pass();
  for (size_t i = 0; i < CALLS; i++)
    refresh(next[i]);
  cr_expect_eq(count("auth.sessions"), 1);
  cr_expect_eq(count("auth.endings"), 0);
}

Test(auth_session_families, a_lost_answer_may_be_asked_for_again)
{
  const char *first = log_in();
  refresh(first);
  const char *second = refresh(first);
  // The answer to a retry may be lost, too, on any branch.
  refresh(second);
  const char *third = refresh(second);
  let_the_grace_pass();
  refresh(third);
}

static void expect_family_ended(const char *current)
{
  expect_refused(current);
  cr_expect_eq(count("auth.sessions"), 0);
  cr_expect_eq(count("auth.endings WHERE session_id IS NOT NULL"), 1);
}

Test(auth_session_families, an_older_spent_token_ends_the_session)
{
  const char *first = log_in();
  const char *second = refresh(first);
  const char *third = refresh(second);
  expect_refused(first);
  process_wait_output(&accounts.auth, "a spent refresh token was used again");
  cr_expect_null(strstr(strbuf_cstring(&accounts.auth.output), first), "the token is in the log");
  expect_family_ended(third);
}

Test(auth_session_families, the_latest_spent_token_ends_the_session_after_the_grace)
{
  const char *first = log_in();
  const char *second = refresh(first);
  let_the_grace_pass();
  expect_refused(first);
  expect_family_ended(second);
}

Test(auth_session_families, a_spent_token_of_any_branch_ends_the_session)
{
  const char *first = log_in();
  const char *here = refresh(first);
  const char *there = refresh(first);
  const char *next = refresh(there);
  refresh(next);
  expect_refused(there);
  expect_family_ended(here);
}

Test(auth_session_families, a_made_up_token_ends_nothing)
{
  const char *token = log_in();
  char made_up[128];
  snprintf(made_up, sizeof(made_up), "%s", token);
  // The first 22 of its 80 characters are the session, then come five of the branch and 22 of the secret.
  made_up[35] = made_up[35] == 'A' ? 'B' : 'A';
  expect_refused(made_up);
  refresh(token);
}

Test(auth_session_families, branches_beyond_the_bound_are_refused_and_end_nothing)
{
  const char *first = log_in();
  const char *main_branch = refresh(first);
  const char *oldest = refresh(first);
  database_sql(&accounts.database, "UPDATE auth.session_branches SET use_time = use_time - interval '1 minute'");
  const char *kept = NULL;
  for (int i = 0; i < 128; i++)
    kept = refresh(first);
  cr_expect_eq(count("auth.session_branches"), 128);
  expect_refused(oldest);
  refresh(kept);
  refresh(main_branch);
}

// ---- beside the release before ----

static void pretend_release_before(const char *token)
{
  database_sql(&accounts.database,
               "UPDATE auth.sessions SET token_hash = sha256('%s'::bytea), use_time = now(), expire_time = now() + "
               "interval '1 day'",
               token);
}

Test(auth_session_families, a_session_of_the_release_before_goes_on)
{
  log_in();
  pretend_release_before(LEGACY_1);
  database_sql(&accounts.database, "UPDATE auth.sessions SET family_hash = NULL, current_hash = NULL");
  const char *here = refresh(LEGACY_1);
  const char *there = refresh(LEGACY_1);
  let_the_grace_pass();
  refresh(refresh(here));
  there = refresh(there);
  expect_refused(LEGACY_1);
  expect_family_ended(there);
}

Test(auth_session_families, a_refresh_by_the_release_before_is_no_theft)
{
  const char *first = log_in();
  const char *second = refresh(first);
  pretend_release_before(LEGACY_2);
  const char *here = refresh(second);
  const char *there = refresh(LEGACY_2);
  let_the_grace_pass();
  refresh(here);
  refresh(there);
}

Test(auth_session_families, the_release_before_logs_out_by_the_token_that_it_knows)
{
  const char *token = refresh(log_in());
  cr_expect_str_eq(database_sql(&accounts.database,
                                "SELECT count(*) FROM auth.sessions WHERE token_hash = sha256('%s'::bytea)", token),
                   "1");
}

// ---- bounds ----

Test(auth_session_families, an_account_keeps_its_latest_sessions)
{
  const char *tokens[5];
  for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
    tokens[i] = log_in();
    // A test does not wait for the clock; the sessions before are older.
    database_sql(&accounts.database, "UPDATE auth.sessions SET use_time = use_time - interval '1 minute'");
  }
  expect_refused(tokens[0]);
  expect_refused(tokens[1]);
  for (size_t i = 2; i < ARRAY_LEN(tokens); i++)
    refresh(tokens[i]);
  cr_expect_eq(count("auth.endings WHERE session_id IS NOT NULL"), 2);
}

Test(auth_session_families, use_does_not_prolong_a_session_for_ever)
{
  const char *token = refresh(log_in());
  database_sql(&accounts.database, "UPDATE auth.sessions SET create_time = now() - interval '2159 hours'");
  token = refresh(token);
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT expire_time = create_time + interval '2160 hours' FROM "
                                                    "auth.sessions"),
                   "t");
  database_sql(&accounts.database, "UPDATE auth.sessions SET create_time = now() - interval '2161 hours'");
  expect_refused(token);
}

Test(auth_session_families, any_token_of_a_session_logs_out)
{
  const char *first = log_in();
  const char *second = refresh(first);
  Auth__V1__LogoutRequest request = AUTH__V1__LOGOUT_REQUEST__INIT;
  request.refresh_token = (char *)(uintptr_t)first;
  cr_expect_eq(driver_call(&accounts.to_auth, LOGOUT, &request.base, &anonymous).status, STATUS_OK);
  expect_family_ended(second);
}

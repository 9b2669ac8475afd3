// Logins and refreshes that are repeated with the same Idempotency-Key: the replies of logins hold tokens, which are
// not kept.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0"), .idempotency_key = SLICE_INIT("key-1")};

static void setup(void)
{
  accounts_open(&accounts, NULL);
  accounts_new_user(&accounts, ADA);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_idempotency, .init = setup, .fini = teardown);

static struct outcome login(char *password)
{
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = ADA;
  request.password = password;
  return driver_call(&accounts.to_auth, "auth.v1.AuthService/Login", &request.base, &anonymous);
}

static struct outcome refresh(char *token)
{
  Auth__V1__RefreshRequest request = AUTH__V1__REFRESH_REQUEST__INIT;
  request.refresh_token = token;
  return driver_call(&accounts.to_auth, "auth.v1.AuthService/Refresh", &request.base, &anonymous);
}

static void expect_not_kept(const struct outcome *repeat)
{
  cr_expect_eq(repeat->status, STATUS_ALREADY_EXISTS, "%s", status_name(repeat->status));
  cr_expect(slice_equal_string(repeat->reason, "IDEMPOTENCY_REPLY_NOT_KEPT"), SLICE_FMT, SLICE_ARG(repeat->reason));
  cr_expect_eq(repeat->payload.size, 0);
  cr_expect_str_eq(
      database_sql(&accounts.database, "SELECT count(*) || ' ' || count(reply) FROM auth.idempotency_keys"), "1 0");
}

Test(auth_idempotency, a_repeated_login_makes_no_second_session_and_gets_no_tokens)
{
  cr_assert_eq(login(ACCOUNTS_PASSWORD).status, STATUS_OK);
  struct outcome repeat = login(ACCOUNTS_PASSWORD);
  expect_not_kept(&repeat);
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.sessions"), "1");
}

// A refresh needs no key: its repeat gets tokens of its own within the grace, and both go on.
Test(auth_idempotency, a_repeated_refresh_gets_tokens_with_a_key_as_without)
{
  const Auth__V1__TokenResponse *tokens = accounts_tokens(&accounts, ADA);
  struct outcome first = refresh(tokens->refresh_token);
  cr_assert_eq(first.status, STATUS_OK);
  struct outcome repeat = refresh(tokens->refresh_token);
  cr_assert_eq(repeat.status, STATUS_OK, "%s", status_name(repeat.status));
  cr_expect_eq(accounts_refresh(&accounts, accounts_tokens_of(&first)->refresh_token).status, STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, accounts_tokens_of(&repeat)->refresh_token).status, STATUS_OK);
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.idempotency_keys"), "0");
}

// What was spent is judged on one connection, so made-up tokens, of which anybody has as many as he likes, do not hold
// two of the pool each.
Test(auth_idempotency, a_pool_of_one_connection_refuses_made_up_tokens)
{
  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts, (const char *const[]){"PG_POOL_SIZE=1", NULL});
  const char *token = accounts_tokens(&accounts, ADA)->refresh_token;
  char made_up[256];
  snprintf(made_up, sizeof(made_up), "%s", token);
  char *last = made_up + strlen(made_up) - 2;
  *last = *last == 'A' ? 'B' : 'A';
  cr_expect_eq(refresh(made_up).status, STATUS_UNAUTHENTICATED);
}

Test(auth_idempotency, a_failed_login_is_not_kept)
{
  cr_expect_eq(login("a wrong password").status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(login(ACCOUNTS_PASSWORD).status, STATUS_OK);
  struct outcome wrong = login("a wrong password");
  cr_expect_eq(wrong.status, STATUS_FAILED_PRECONDITION, "%s", status_name(wrong.status));
}

// What an instance tells the gateways of what has ended.
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "auth/v1/endings.pb-c.h"
#include "common/base/clock.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define LOGOUT "auth.v1.AuthService/Logout"

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_endings, .init = setup, .fini = teardown);

static const Auth__V1__ListEndingsResponse *list_from(const Auth__V1__EndingsPosition *position)
{
  Auth__V1__EndingsPosition *positions[] = {(Auth__V1__EndingsPosition *)(uintptr_t)position};
  Auth__V1__ListEndingsRequest request = AUTH__V1__LIST_ENDINGS_REQUEST__INIT;
  request.positions = positions;
  request.n_positions = position == NULL ? 0 : 1;
  struct outcome outcome =
      driver_call(&accounts.to_auth, "auth.v1.EndingService/ListEndings", &request.base, &anonymous);
  return (const void *)driver_reply(&outcome, &auth__v1__list_endings_response__descriptor);
}

// Asks until there are as many entries from a position on.
static const Auth__V1__ListEndingsResponse *await(const Auth__V1__EndingsPosition *position, size_t count)
{
  uint64_t end_us = patience_end_us();
  const Auth__V1__ListEndingsResponse *list = list_from(position);
  while (list->n_endings < count) {
    cr_assert_lt(clock_now_us(), end_us, "%zu of %zu have come", list->n_endings, count);
    poll(NULL, 0, 20);
    list = list_from(position);
  }
  cr_assert_eq(list->n_endings, count);
  return list;
}

static void log_out(void)
{
  Auth__V1__LogoutRequest request = AUTH__V1__LOGOUT_REQUEST__INIT;
  request.refresh_token = accounts_tokens(&accounts, ADA)->refresh_token;
  cr_assert_eq(driver_call(&accounts.to_auth, LOGOUT, &request.base, &anonymous).status, STATUS_OK);
}

Test(auth_endings, are_told_once_for_each_position)
{
  const char *user = accounts_new_user(&accounts, ADA)->id;
  cr_expect_eq(list_from(NULL)->n_endings, 0);
  log_out();
  const Auth__V1__ListEndingsResponse *first = await(NULL, 1);
  cr_expect_str_eq(first->endings[0]->user_id, user);
  cr_expect_eq(strlen(first->endings[0]->session_id), 36);
  cr_expect_gt(first->endings[0]->expire_s, clock_wall_us() / 1000000 + 900, "as long as an access token lives");
  cr_expect_not(first->more);
  cr_expect_eq(list_from(first->position)->n_endings, 0);
  log_out();
  const Auth__V1__ListEndingsResponse *second = await(first->position, 1);
  cr_expect_str_neq(second->endings[0]->session_id, first->endings[0]->session_id);
  await(NULL, 2);
}

Test(auth_endings, an_instance_that_starts_knows_what_has_ended_before)
{
  accounts_new_user(&accounts, ADA);
  log_out();
  char before[64];
  snprintf(before, sizeof(before), "%s", await(NULL, 1)->position->instance);
  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts, NULL);
  const Auth__V1__ListEndingsResponse *after = list_from(NULL);
  cr_expect_eq(after->n_endings, 1);
  cr_expect_str_neq(after->position->instance, before);
}

Test(auth_endings, a_deleted_account_ends_with_all_of_its_tokens)
{
  const char *user = accounts_new_user(&accounts, ADA)->id;
  accounts_tokens(&accounts, ADA);
  Auth__V1__DeleteCredentialRequest request = AUTH__V1__DELETE_CREDENTIAL_REQUEST__INIT;
  request.user_id = (char *)(uintptr_t)user;
  struct driver as_user;
  driver_open(&as_user, accounts.auth.url, "user");
  cr_assert_eq(driver_call(&as_user, "auth.v1.AuthService/DeleteCredential", &request.base, &anonymous).status,
               STATUS_OK);
  driver_close(&as_user);
  const Auth__V1__ListEndingsResponse *list = await(NULL, 1);
  cr_expect_str_eq(list->endings[0]->session_id, "");
  cr_expect_str_eq(list->endings[0]->user_id, user);
  cr_expect_eq(list->endings[0]->generation, INT64_C(1) << 53, "no generation is good");
}

Test(auth_endings, are_kept_as_long_as_the_longest_token_of_any_instance)
{
  accounts_new_user(&accounts, ADA);
  // As where AUTH_ACCESS_TTL was two hours once, or is at another instance.
  database_sql(&accounts.database, "UPDATE auth.signing_keys SET longest_ttl_ms = 7200000");
  log_out();
  cr_expect_gt(await(NULL, 1)->endings[0]->expire_s, clock_wall_us() / 1000000 + 7200);
}

static enum status ask_status(void)
{
  Auth__V1__ListEndingsRequest request = AUTH__V1__LIST_ENDINGS_REQUEST__INIT;
  return driver_call(&accounts.to_auth, "auth.v1.EndingService/ListEndings", &request.base, &anonymous).status;
}

static void await_status(enum status status)
{
  uint64_t end_us = patience_end_us();
  while (ask_status() != status) {
    cr_assert_lt(clock_now_us(), end_us, "the answer is never %s", status_name(status));
    poll(NULL, 0, 50);
  }
}

Test(auth_endings, an_instance_that_cannot_read_them_sends_gateways_to_another)
{
  cr_expect_eq(ask_status(), STATUS_OK);
  database_sql(&accounts.database, "ALTER TABLE auth.endings RENAME TO endings_away");
  await_status(STATUS_UNAVAILABLE);
  database_sql(&accounts.database, "ALTER TABLE auth.endings_away RENAME TO endings");
  await_status(STATUS_OK);
}

// What admins do to somebody's access: suspending, resuming, signing out.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/account_access.pb-c.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define SERVICE "auth.v1.AccountAccessService/"
#define UNKNOWN "01936b5e-7c1a-7d3e-9f00-00000000ad02"
#define ADMIN "01936b5e-7c1a-7d3e-9f00-00000000ad01"

static struct accounts accounts;
static const struct slice admin_roles[] = {SLICE_INIT("admin")};
static const struct rpc_context admin = {.caller_id = SLICE_INIT(ADMIN),
                                         .caller_session = SLICE_INIT(ADMIN),
                                         .caller_roles = admin_roles,
                                         .caller_role_count = 1};

static void setup(void)
{
  accounts_open(&accounts, NULL);
  accounts_plant_session(&accounts, ADMIN);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_account_access, .init = setup, .fini = teardown);

static const char *new_user(void)
{
  return arena_string(&accounts.database.arena, slice_from_string(accounts_new_user(&accounts, ADA)->id));
}

// The three requests have the same fields.
static struct outcome act(const char *method, const char *id, const struct rpc_context *as)
{
  Auth__V1__SuspendUserRequest request = AUTH__V1__SUSPEND_USER_REQUEST__INIT;
  request.id = (char *)(uintptr_t)id;
  return driver_call(&accounts.to_auth, arena_printf(&accounts.database.arena, SERVICE "%s", method), &request.base,
                     as);
}

static const char *refresh_token(void)
{
  return arena_string(&accounts.database.arena, slice_from_string(accounts_tokens(&accounts, ADA)->refresh_token));
}

static const char *count_events(const char *condition)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_events WHERE %s", condition);
}

Test(auth_account_access, a_suspended_account_is_closed_until_it_is_resumed)
{
  const char *id = new_user();
  const char *token = refresh_token();
  cr_assert_eq(act("SuspendUser", id, &admin).status, STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, token).status, STATUS_UNAUTHENTICATED);
  struct outcome login = accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD);
  cr_expect_eq(login.status, STATUS_PERMISSION_DENIED);
  cr_expect(slice_equal_string(login.reason, "ACCOUNT_SUSPENDED"));
  cr_expect_eq(accounts_login(&accounts, ADA, "something else entirely").status, STATUS_UNAUTHENTICATED,
               "only who knows the password learns of it");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.sessions WHERE user_id = '%s'", id),
                   "0");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT max(generation) FROM auth.endings"), "2");
  cr_assert_eq(act("SuspendUser", id, &admin).status, STATUS_OK, "a repeat changes nothing");
  cr_assert_eq(act("ResumeUser", id, &admin).status, STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, token).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
  cr_expect_str_eq(count_events("action = 'account.suspend' AND actor_id = '" ADMIN "'"), "2");
  cr_expect_str_eq(count_events("action = 'account.resume' AND result = 'success'"), "1");
  cr_expect_str_eq(count_events("reason = 'ACCOUNT_SUSPENDED' AND result = 'failure'"), "1");
}

Test(auth_account_access, a_signed_out_user_signs_in_again)
{
  const char *id = new_user();
  const char *tokens[] = {refresh_token(), refresh_token()};
  cr_assert_eq(act("SignOutUser", id, &admin).status, STATUS_OK);
  for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
    cr_expect_eq(accounts_refresh(&accounts, tokens[i]).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
  cr_expect_str_eq(count_events("action = 'account.sign_out'"), "1");
}

Test(auth_account_access, is_for_admins_and_not_for_their_own_account)
{
  static const char *const methods[] = {"SuspendUser", "ResumeUser", "SignOutUser"};
  const char *id = new_user();
  const struct rpc_context ada = {.caller_id = slice_from_string(id)};
  for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
    cr_expect_eq(act(methods[i], id, &ada).status, STATUS_PERMISSION_DENIED, "%s", methods[i]);
    cr_expect_eq(act(methods[i], UNKNOWN, &admin).status, STATUS_NOT_FOUND, "%s", methods[i]);
  }
  cr_expect_eq(act("SuspendUser", ADMIN, &admin).status, STATUS_FAILED_PRECONDITION);
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
}

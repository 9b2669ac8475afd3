// Service accounts in the database: no password by any way, no admin who could sign in, and nothing left of a deleted
// one.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/roles.pb-c.h"
#include "auth/v1/service_accounts.pb-c.h"
#include "tests/support/service/accounts.h"
#include "user/v1/removals.pb-c.h"

#define ADA "ada@example.com"
#define SERVICE "auth.v1.ServiceAccountService/"

static struct accounts accounts;
static const char *ada;

static void setup(void)
{
  accounts_open(&accounts, NULL);
  ada = accounts_new_admin(&accounts, ADA);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_service_accounts, .init = setup, .fini = teardown);

static void begin_as_admin(const char *method, const ProtobufCMessage *request, struct outcome *outcome)
{
  const struct rpc_context context = accounts_admin_context(ada, 0);
  driver_begin(&accounts.to_auth, method, driver_pack(&accounts.to_auth, request), &context, 30000, outcome);
}

static struct outcome call_as_admin(const char *method, const ProtobufCMessage *request)
{
  struct outcome outcome;
  begin_as_admin(method, request, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  return outcome;
}

static void expect(const struct outcome *outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome->status, status, SLICE_FMT, SLICE_ARG(outcome->message));
  cr_expect(reason == NULL || slice_equal_string(outcome->reason, reason), SLICE_FMT, SLICE_ARG(outcome->reason));
}

static char *create(void)
{
  Auth__V1__CreateServiceAccountRequest request = AUTH__V1__CREATE_SERVICE_ACCOUNT_REQUEST__INIT;
  request.name = "robot";
  struct outcome outcome = call_as_admin(SERVICE "CreateServiceAccount", &request.base);
  expect(&outcome, STATUS_OK, NULL);
  return ((Auth__V1__ServiceAccount *)(void *)driver_reply(&outcome, &auth__v1__service_account__descriptor))->id;
}

static struct outcome set_roles(char *id, char **roles, size_t count)
{
  Auth__V1__SetUserRolesRequest request = AUTH__V1__SET_USER_ROLES_REQUEST__INIT;
  request.id = id;
  request.roles = roles;
  request.n_roles = count;
  return call_as_admin("auth.v1.RoleService/SetUserRoles", &request.base);
}

static const char *count_of(const char *what)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.%s", what);
}

Test(auth_service_accounts, no_statement_gives_one_a_password)
{
  (void)create();
  const char *refusal =
      database_refusal(&accounts.database, "auth", "UPDATE auth.credentials SET password_hash = 'x' WHERE is_service");
  cr_expect_not_null(strstr(refusal, "credentials_password_check"), "%s", refusal);
  refusal = database_refusal(&accounts.database, "auth",
                             "UPDATE auth.credentials SET password_hash = NULL WHERE NOT is_service");
  cr_expect_not_null(strstr(refusal, "credentials_password_check"), "%s", refusal);
}

Test(auth_service_accounts, nothing_is_left_of_a_deleted_one_but_its_events)
{
  char *robot = create();
  char *admin[] = {"admin"};
  struct outcome outcome = set_roles(robot, admin, 1);
  expect(&outcome, STATUS_OK, NULL);
  (void)database_sql(&accounts.database,
                     "INSERT INTO auth.api_keys (id, user_id, creator_id, name, key_hash, key_prefix) "
                     "VALUES (gen_random_uuid(), '%s', '%s', 'key', 'hash', 'bhk_01234567')",
                     robot, ada);
  cr_expect_str_eq(count_of("api_keys"), "1");
  Auth__V1__DeleteServiceAccountRequest request = AUTH__V1__DELETE_SERVICE_ACCOUNT_REQUEST__INIT;
  request.id = robot;
  outcome = call_as_admin(SERVICE "DeleteServiceAccount", &request.base);
  expect(&outcome, STATUS_OK, NULL);
  cr_expect_str_eq(count_of("credentials WHERE is_service"), "0");
  cr_expect_str_eq(count_of("service_accounts"), "0");
  cr_expect_str_eq(count_of("api_keys"), "0");
  cr_expect_str_eq(count_of("roles"), "1");
  cr_expect_str_eq(count_of("endings WHERE generation > 1000000"), "1");
  cr_expect_str_eq(database_sql(&accounts.database,
                                "SELECT string_agg(action || ' ' || (actor_id = '%s'), ', ' ORDER BY create_time, id) "
                                "FROM auth.audit_events WHERE user_id = '%s'",
                                ada, robot),
                   "account.create true, role.grant true, account.delete true");
  // Its job has reached the user service, whose own job removes what other services have.
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.jobs WHERE kind = 'remove_data'", "0");
  cr_expect_str_eq(database_sql(&accounts.database,
                                "SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_data' AND key = '%s'", robot),
                   "1");
  outcome = call_as_admin(SERVICE "DeleteServiceAccount", &request.base);
  expect(&outcome, STATUS_NOT_FOUND, "SERVICE_ACCOUNT_NOT_FOUND");
}

// The last place goes to one of two calls at once.
Test(auth_service_accounts, there_are_a_thousand_at_most)
{
  Auth__V1__CreateServiceAccountRequest request = AUTH__V1__CREATE_SERVICE_ACCOUNT_REQUEST__INIT;
  request.name = "robot";
  (void)database_sql(&accounts.database,
                     "WITH c AS (INSERT INTO auth.credentials (user_id, is_service)"
                     " SELECT gen_random_uuid(), true FROM generate_series(1, 999) RETURNING user_id)"
                     " INSERT INTO auth.service_accounts (id, name) SELECT user_id, 'robot' FROM c");
  struct outcome outcomes[2];
  for (size_t i = 0; i < 2; i++)
    begin_as_admin(SERVICE "CreateServiceAccount", &request.base, &outcomes[i]);
  for (size_t i = 0; i < 2; i++)
    driver_finish(&accounts.to_auth, &outcomes[i]);
  size_t refused = outcomes[0].status == STATUS_OK ? 1 : 0;
  expect(&outcomes[1 - refused], STATUS_OK, NULL);
  expect(&outcomes[refused], STATUS_FAILED_PRECONDITION, "TOO_MANY_SERVICE_ACCOUNTS");
  cr_expect_str_eq(count_of("service_accounts"), "1000");
}

// Nobody could sign in any more to make another one.
Test(auth_service_accounts, a_program_is_no_other_admin)
{
  char *robot = create();
  char *admin[] = {"admin"};
  struct outcome outcome = set_roles(robot, admin, 1);
  expect(&outcome, STATUS_OK, NULL);
  outcome = set_roles((char *)(uintptr_t)ada, NULL, 0);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "LAST_ADMIN");
  outcome = set_roles(robot, NULL, 0);
  expect(&outcome, STATUS_OK, NULL);
}

Test(auth_service_accounts, an_account_of_a_person_is_none)
{
  Auth__V1__DeleteServiceAccountRequest delete = AUTH__V1__DELETE_SERVICE_ACCOUNT_REQUEST__INIT;
  delete.id = (char *)(uintptr_t)ada;
  struct outcome outcome = call_as_admin(SERVICE "DeleteServiceAccount", &delete.base);
  expect(&outcome, STATUS_NOT_FOUND, "SERVICE_ACCOUNT_NOT_FOUND");
  Auth__V1__GetServiceAccountRequest get = AUTH__V1__GET_SERVICE_ACCOUNT_REQUEST__INIT;
  get.id = (char *)(uintptr_t)ada;
  outcome = call_as_admin(SERVICE "GetServiceAccount", &get.base);
  expect(&outcome, STATUS_NOT_FOUND, "SERVICE_ACCOUNT_NOT_FOUND");
  Auth__V1__ServiceAccount changed = AUTH__V1__SERVICE_ACCOUNT__INIT;
  Auth__V1__UpdateServiceAccountRequest update = AUTH__V1__UPDATE_SERVICE_ACCOUNT_REQUEST__INIT;
  changed.id = (char *)(uintptr_t)ada;
  changed.name = "not hers";
  update.service_account = &changed;
  outcome = call_as_admin(SERVICE "UpdateServiceAccount", &update.base);
  expect(&outcome, STATUS_NOT_FOUND, "SERVICE_ACCOUNT_NOT_FOUND");
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
}

// Whatever auth asks for: what belongs to a person who is there stays.
Test(auth_service_accounts, the_data_of_a_person_who_is_there_stay)
{
  struct driver as_auth;
  driver_open(&as_auth, accounts.user.url, "auth");
  User__V1__RemoveAccountDataRequest request = USER__V1__REMOVE_ACCOUNT_DATA_REQUEST__INIT;
  request.user_id = (char *)(uintptr_t)ada;
  struct outcome outcome =
      driver_call(&as_auth, "user.v1.RemovalService/RemoveAccountData", &request.base, &(struct rpc_context){0});
  expect(&outcome, STATUS_FAILED_PRECONDITION, "ACCOUNT_EXISTS");
  driver_close(&as_auth);
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_data'"),
                   "0");
}

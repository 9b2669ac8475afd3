// The role API: who may not be taken a role from, and what becomes of many holders' tokens.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/account_access.pb-c.h"
#include "auth/v1/roles.pb-c.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define SET "auth.v1.RoleService/SetUserRoles"

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

TestSuite(auth_role_api, .init = setup, .fini = teardown);

// Calls as somebody who has logged in so long ago.
static struct outcome call_late(int64_t age_s, const char *method, const ProtobufCMessage *request)
{
  const struct rpc_context context = accounts_admin_context(ada, age_s);
  return driver_call(&accounts.to_auth, method, request, &context);
}

static struct outcome call_admin(const char *method, const ProtobufCMessage *request)
{
  return call_late(0, method, request);
}

static struct outcome set_roles(const char *id, char **roles, size_t count)
{
  Auth__V1__SetUserRolesRequest request = AUTH__V1__SET_USER_ROLES_REQUEST__INIT;
  request.id = (char *)(uintptr_t)id;
  request.roles = roles;
  request.n_roles = count;
  return call_admin(SET, &request.base);
}

static void expect(const struct outcome *outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome->status, status, SLICE_FMT, SLICE_ARG(outcome->message));
  cr_expect(reason == NULL || slice_equal_string(outcome->reason, reason), SLICE_FMT, SLICE_ARG(outcome->reason));
}

static const char *count_of(const char *what)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.%s", what);
}

// What is taken from ada ends her token; she takes a new one. Here it names the role all the same.
static void take_new_token(void)
{
  (void)database_sql(&accounts.database, "UPDATE auth.credentials SET token_generation = 1 WHERE user_id = '%s'", ada);
}

// A role that was given outlives the token that was stolen for it.
Test(auth_role_api, changes_need_a_recent_login)
{
  Auth__V1__CreateRoleRequest create = AUTH__V1__CREATE_ROLE_REQUEST__INIT;
  Auth__V1__UpdateRoleRequest update = AUTH__V1__UPDATE_ROLE_REQUEST__INIT;
  Auth__V1__DeleteRoleRequest delete = AUTH__V1__DELETE_ROLE_REQUEST__INIT;
  Auth__V1__SetUserRolesRequest set = AUTH__V1__SET_USER_ROLES_REQUEST__INIT;
  Auth__V1__Role role = AUTH__V1__ROLE__INIT;
  create.name = role.name = delete.name = "editor";
  update.role = &role;
  set.id = (char *)(uintptr_t)ada;
  const struct {
    const char *method;
    const ProtobufCMessage *request;
  } changes[] = {{"CreateRole", &create.base},
                 {"UpdateRole", &update.base},
                 {"DeleteRole", &delete.base},
                 {"SetUserRoles", &set.base}};
  for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
    const char *method = arena_printf(&accounts.database.arena, "auth.v1.RoleService/%s", changes[i].method);
    struct outcome outcome = call_late(3600, method, changes[i].request);
    expect(&outcome, STATUS_UNAUTHENTICATED, "LOGIN_TOO_OLD");
  }
  cr_expect_str_eq(count_of("role_definitions WHERE name = 'editor'"), "0");
}

Test(auth_role_api, the_last_admin_stays_one)
{
  char *admin[] = {"admin"};
  struct outcome outcome = set_roles(ada, NULL, 0);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "LAST_ADMIN");
  cr_expect_str_eq(count_of("roles WHERE role = 'admin'"), "1");
  const char *bob = accounts_new_user(&accounts, "bob@example.com")->id;
  outcome = set_roles(bob, admin, 1);
  expect(&outcome, STATUS_OK, NULL);
  outcome = set_roles(ada, NULL, 0);
  expect(&outcome, STATUS_OK, NULL);
  outcome = set_roles(bob, NULL, 0);
  expect(&outcome, STATUS_UNAUTHENTICATED, "TOKEN_REVOKED");
  take_new_token();
  outcome = set_roles(bob, NULL, 0);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "LAST_ADMIN");
}

Test(auth_role_api, a_suspended_admin_is_no_other_admin)
{
  char *admin[] = {"admin"};
  const char *bob =
      arena_string(&accounts.database.arena, slice_from_string(accounts_new_user(&accounts, "bob@example.com")->id));
  struct outcome outcome = set_roles(bob, admin, 1);
  expect(&outcome, STATUS_OK, NULL);
  Auth__V1__SuspendUserRequest request = AUTH__V1__SUSPEND_USER_REQUEST__INIT;
  request.id = (char *)(uintptr_t)bob;
  outcome = call_admin("auth.v1.AccountAccessService/SuspendUser", &request.base);
  expect(&outcome, STATUS_OK, NULL);
  outcome = set_roles(ada, NULL, 0);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "LAST_ADMIN");
  // The caller's own role was taken a moment ago, and bob is the only admin now.
  (void)database_sql(&accounts.database, "UPDATE auth.credentials SET suspend_time = NULL");
  (void)database_sql(&accounts.database, "DELETE FROM auth.roles WHERE user_id = '%s'", ada);
  outcome = call_admin("auth.v1.AccountAccessService/SuspendUser", &request.base);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "LAST_ADMIN");
}

Test(auth_role_api, giving_ends_no_token_and_taking_ends_all)
{
  const char *bob = accounts_new_user(&accounts, "bob@example.com")->id;
  char *admin[] = {"admin"};
  struct outcome outcome = set_roles(bob, admin, 1);
  expect(&outcome, STATUS_OK, NULL);
  cr_expect_str_eq(count_of("endings"), "0");
  outcome = set_roles(bob, NULL, 0);
  expect(&outcome, STATUS_OK, NULL);
  cr_expect_str_eq(count_of("endings WHERE generation = 2"), "1");
}

static void create_role(const char *name, char **permissions, size_t count)
{
  Auth__V1__CreateRoleRequest request = AUTH__V1__CREATE_ROLE_REQUEST__INIT;
  request.name = (char *)(uintptr_t)name;
  request.permissions = permissions;
  request.n_permissions = count;
  struct outcome outcome = call_admin("auth.v1.RoleService/CreateRole", &request.base);
  expect(&outcome, STATUS_OK, NULL);
}

// Accounts that hold a role, more than end in one statement.
static void make_holders(const char *role)
{
  (void)database_sql(&accounts.database,
                     "INSERT INTO auth.credentials (user_id, password_hash) SELECT gen_random_uuid(), 'x' "
                     "FROM generate_series(1, 1200)");
  (void)database_sql(&accounts.database, "INSERT INTO auth.roles SELECT user_id, '%s' FROM auth.credentials", role);
}

Test(auth_role_api, a_role_that_is_deleted_is_taken_from_all_its_holders)
{
  char *permissions[] = {"items:write:any"};
  create_role("editor", permissions, 1);
  make_holders("editor");
  Auth__V1__DeleteRoleRequest request = AUTH__V1__DELETE_ROLE_REQUEST__INIT;
  request.name = "editor";
  struct outcome outcome = call_admin("auth.v1.RoleService/DeleteRole", &request.base);
  expect(&outcome, STATUS_OK, NULL);
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.role_definitions WHERE name = 'editor'", "0");
  cr_expect_str_eq(count_of("roles WHERE role = 'editor'"), "0");
  cr_expect_str_eq(count_of("endings WHERE generation = 2"), "1201");
}

Test(auth_role_api, a_role_that_loses_something_ends_the_tokens_of_its_holders)
{
  char *permissions[] = {"items:write:any", "users:read:any"};
  create_role("editor", permissions, 2);
  make_holders("editor");
  Auth__V1__Role role = AUTH__V1__ROLE__INIT;
  Auth__V1__UpdateRoleRequest request = AUTH__V1__UPDATE_ROLE_REQUEST__INIT;
  role.name = "editor";
  role.permissions = permissions;
  role.n_permissions = 1;
  request.role = &role;
  struct outcome outcome = call_admin("auth.v1.RoleService/UpdateRole", &request.base);
  expect(&outcome, STATUS_OK, NULL);
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.endings WHERE generation = 2", "1201");
  cr_expect_str_eq(count_of("roles WHERE role = 'editor'"), "1201");
  take_new_token();
  // To get it back ends nothing.
  role.n_permissions = 2;
  outcome = call_admin("auth.v1.RoleService/UpdateRole", &request.base);
  expect(&outcome, STATUS_OK, NULL);
  cr_expect_str_eq(count_of("jobs WHERE kind = 'role'"), "0");
}

Test(auth_role_api, an_account_holds_no_more_than_a_token_can_carry)
{
  // What the contracts have fits many times; these are of a release with more.
  (void)database_sql(&accounts.database,
                     "INSERT INTO auth.role_definitions (name, permissions) SELECT 'r' || r, "
                     "array_agg('things' || r || ':write' || i) FROM generate_series(1, 2) r, generate_series(1, 40) i "
                     "GROUP BY r");
  char *roles[] = {"r1", "r2"};
  struct outcome outcome = set_roles(ada, roles, 2);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "LAST_ADMIN");
  const char *bob = accounts_new_user(&accounts, "bob@example.com")->id;
  outcome = set_roles(bob, roles, 2);
  expect(&outcome, STATUS_INVALID_ARGUMENT, "TOO_MANY_PERMISSIONS");
  outcome = set_roles(bob, roles, 1);
  expect(&outcome, STATUS_OK, NULL);
  // A role that has grown since holds nobody up: the token carries what fits.
  (void)database_sql(&accounts.database, "INSERT INTO auth.roles VALUES ('%s', 'r2')", bob);
  cr_expect_not_null(accounts_tokens(&accounts, "bob@example.com"));
}

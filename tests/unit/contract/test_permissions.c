// Who may call which method on what: every role x method x ownership of the contracts, beside a table of what is meant.
// A method that the table does not have fails the test, so that nobody forgets to think about it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/contract/contract.h"
#include "tests/support/contract/fixture.h"

// What kinds of methods there are.
enum kind {
  OPEN,      // for everybody
  INSIDE,    // for other programs of the suite
  PERSON,    // for people who have logged in, and not for API keys
  EVERYONE,  // with a permission that every account holds
  OWNED,     // the same for what is one's own; for what belongs to others with ":any"
  GIVEN,     // with a permission that admins have, and give
};

struct meant {
  const char *method;
  enum kind kind;
  const char *permission;
};

static const struct meant TABLE[] = {
    {"auth.v1.AuthService/Login", OPEN, NULL},
    {"auth.v1.AuthService/Refresh", OPEN, NULL},
    {"auth.v1.AuthService/Logout", OPEN, NULL},
    {"auth.v1.AuthService/GetJwks", OPEN, NULL},
    {"auth.v1.AuthService/CreateCredential", INSIDE, NULL},
    {"auth.v1.AuthService/DeleteCredential", INSIDE, NULL},
    {"auth.v1.RateLimitService/TakeShare", INSIDE, NULL},
    {"auth.v1.RateLimitService/BeginAttempt", INSIDE, NULL},
    {"auth.v1.RateLimitService/ForgiveAttempt", INSIDE, NULL},
    {"auth.v1.EndingService/ListEndings", INSIDE, NULL},
    {"auth.v1.ApiKeyService/CreateApiKey", PERSON, NULL},
    {"auth.v1.ApiKeyService/ListApiKeys", PERSON, NULL},
    {"auth.v1.ApiKeyService/DeleteApiKey", PERSON, NULL},
    {"auth.v1.ApiKeyService/ExchangeApiKey", INSIDE, NULL},
    {"auth.v1.ServiceAccountService/CreateServiceAccount", GIVEN, "service_accounts:write"},
    {"auth.v1.ServiceAccountService/GetServiceAccount", GIVEN, "service_accounts:read"},
    {"auth.v1.ServiceAccountService/ListServiceAccounts", GIVEN, "service_accounts:read"},
    {"auth.v1.ServiceAccountService/UpdateServiceAccount", GIVEN, "service_accounts:write"},
    {"auth.v1.ServiceAccountService/DeleteServiceAccount", GIVEN, "service_accounts:write"},
    {"auth.v1.AccountAccessService/SuspendUser", GIVEN, "users:write:any"},
    {"auth.v1.AccountAccessService/ResumeUser", GIVEN, "users:write:any"},
    {"auth.v1.AccountAccessService/SignOutUser", GIVEN, "users:write:any"},
    {"auth.v1.AuditService/ListAuditEvents", GIVEN, "audit:read"},
    {"auth.v1.AuditService/ListOwnAuditEvents", PERSON, NULL},
    {"auth.v1.EmailService/VerifyEmail", OPEN, NULL},
    {"auth.v1.EmailService/ChangeEmail", PERSON, NULL},
    {"auth.v1.EmailService/UndoEmailChange", OPEN, NULL},
    {"auth.v1.EmailService/ResendVerification", OPEN, NULL},
    {"auth.v1.AccountMailService/SendVerification", INSIDE, NULL},
    {"auth.v1.AccountMailService/TellSignUp", INSIDE, NULL},
    {"auth.v1.AccountMailService/SettleAddress", INSIDE, NULL},
    {"user.v1.AddressService/GetAddress", INSIDE, NULL},
    {"user.v1.RemovalService/RemoveAccountData", INSIDE, NULL},
    {"user.v1.ExportService/ExportCurrentUser", PERSON, NULL},
    {"auth.v1.AccountAccessService/ListUserSessions", INSIDE, NULL},
    {"auth.v1.AccountAccessService/CheckReach", INSIDE, NULL},
    {"auth.v1.AccountAccessService/BeginDeletion", INSIDE, NULL},
    {"auth.v1.AccountAccessService/ListSuspensions", INSIDE, NULL},
    {"item.v1.OwnerService/ListOwnerItems", INSIDE, NULL},
    {"user.v1.AddressService/ConfirmAddress", INSIDE, NULL},
    {"user.v1.AddressService/ChangeAddress", INSIDE, NULL},
    {"auth.v1.FactorService/VerifyLogin", OPEN, NULL},
    {"auth.v1.FactorService/AddTotp", PERSON, NULL},
    {"auth.v1.FactorService/ConfirmTotp", PERSON, NULL},
    {"auth.v1.FactorService/ListFactors", PERSON, NULL},
    {"auth.v1.FactorService/DeleteFactor", PERSON, NULL},
    {"auth.v1.FactorService/ResetFactors", GIVEN, "users:write:any"},
    {"auth.v1.PasskeyService/BeginPasskeyRegistration", PERSON, NULL},
    {"auth.v1.PasskeyService/FinishPasskeyRegistration", PERSON, NULL},
    {"auth.v1.PasskeyService/BeginPasskeyLogin", OPEN, NULL},
    {"auth.v1.PasskeyService/FinishPasskeyLogin", OPEN, NULL},
    {"auth.v1.PasswordService/ChangePassword", PERSON, NULL},
    {"auth.v1.RecoveryService/ForgotPassword", OPEN, NULL},
    {"auth.v1.RecoveryService/ResetPassword", OPEN, NULL},
    {"auth.v1.SessionService/ListSessions", PERSON, NULL},
    {"auth.v1.SessionService/UpdateSession", PERSON, NULL},
    {"auth.v1.SessionService/DeleteSession", PERSON, NULL},
    {"auth.v1.SessionService/RevokeOtherSessions", PERSON, NULL},
    {"auth.v1.SessionService/RevokeAllSessions", PERSON, NULL},
    {"auth.v1.RoleService/ListRoles", GIVEN, "roles:read"},
    {"auth.v1.RoleService/CreateRole", GIVEN, "roles:write"},
    {"auth.v1.RoleService/UpdateRole", GIVEN, "roles:write"},
    {"auth.v1.RoleService/DeleteRole", GIVEN, "roles:write"},
    {"auth.v1.RoleService/GetUserRoles", GIVEN, "roles:read"},
    {"auth.v1.RoleService/SetUserRoles", GIVEN, "roles:write"},
    {"item.v1.ItemService/CreateItem", EVERYONE, "items:write"},
    {"item.v1.ItemService/GetItem", EVERYONE, "items:read"},
    {"item.v1.ItemService/ListItems", EVERYONE, "items:read"},
    {"item.v1.ItemService/UpdateItem", OWNED, "items:write"},
    {"item.v1.ItemService/DeleteItem", OWNED, "items:write"},
    {"item.v1.ItemService/BatchCreateItems", EVERYONE, "items:write"},
    {"item.v1.ItemService/ImportItems", EVERYONE, "items:write"},
    {"item.v1.ItemService/WatchItems", EVERYONE, "items:read"},
    {"item.v1.OwnerService/DeleteOwnerItems", INSIDE, NULL},
    {"user.v1.UserService/CreateUser", OPEN, NULL},
    {"user.v1.UserService/GetCurrentUser", EVERYONE, "users:read"},
    {"user.v1.UserService/UpdateCurrentUser", EVERYONE, "users:write"},
    {"user.v1.UserService/DeleteCurrentUser", EVERYONE, "users:write"},
    {"user.v1.UserService/GetUser", OWNED, "users:read"},
    {"user.v1.UserService/ListUsers", GIVEN, "users:read:any"},
    {"user.v1.UserService/UpdateUser", OWNED, "users:write"},
    {"user.v1.UserService/DeleteUser", OWNED, "users:write"},
    {"user.v1.UserService/FindUserByEmail", INSIDE, NULL},
    {"user.v1.UserService/FindUserById", INSIDE, NULL},
    // Above this line `make new` adds the methods of a new service.
};

#define OWN "01936b5e-7c1a-7d3e-9f00-000000000001"
#define OTHER "01936b5e-7c1a-7d3e-9f00-000000000002"

// Who calls. Tokens hold a permission of the method, the one with ":any", another one, or none.
enum held { NOTHING, THE_PERMISSION, THE_ONE_FOR_ALL, ANOTHER };

static const struct {
  const char *name;
  const char *role;  // NULL: none
  enum held held;
  bool is_limited;
} CALLERS[] = {
    {"anonymous", NULL, NOTHING, false},
    {"a role that gives nothing", "guest", NOTHING, false},
    {"user", "user", NOTHING, false},
    {"admin", "admin", NOTHING, false},
    {"user, given the permission", "user", THE_PERMISSION, false},
    {"user, given it for all", "user", THE_ONE_FOR_ALL, false},
    {"a key with the permission", NULL, THE_PERMISSION, true},
    {"a key with it for all", NULL, THE_ONE_FOR_ALL, true},
    {"a key with another one", NULL, ANOTHER, true},
    {"an admin's key with another one", "admin", ANOTHER, true},
};

// For each kind and caller: '2' may do it to everybody's, '1' to his own only, '0' not at all. A method without an
// ownership rule knows 2 and 0.
static const char *const MATRIX[] = {
    [OPEN] = "2222222222",  [PERSON] = "0222220000", [EVERYONE] = "0022222000",
    [OWNED] = "0012121200", [GIVEN] = "0002202000",
};

static struct policy_caller make_caller(size_t index, struct slice *role, struct slice *permission, char *text,
                                        const char *named)
{
  bool is_known = CALLERS[index].role != NULL || CALLERS[index].is_limited;
  snprintf(text, 128, "%s%s", CALLERS[index].held == ANOTHER || named == NULL ? "others:read" : named,
           CALLERS[index].held == THE_ONE_FOR_ALL ? POLICY_ANY_SUFFIX : "");
  *permission = slice_from_string(text);
  *role = slice_from_string(CALLERS[index].role);
  return (struct policy_caller){
      .id = is_known ? SLICE(OWN) : (struct slice){0},
      .roles = role,
      .role_count = CALLERS[index].role == NULL ? 0 : 1,
      .permissions = permission,
      .permission_count = CALLERS[index].held == NOTHING ? 0 : 1,
      .is_limited = CALLERS[index].is_limited,
      .peer_service = SLICE(POLICY_GATEWAY),
      .auth_time = 1700000000,
      .now = 1700000000,
  };
}

static bool may(const struct policy *policy, const struct policy_caller *caller, const char *owner)
{
  const char *message = NULL;
  return policy_check(policy, caller, &message) == STATUS_OK &&
         policy_check_owner(policy, caller, slice_from_string(owner)) == STATUS_OK;
}

static void check_callers(const struct contract_method *method, const struct meant *meant)
{
  for (size_t i = 0; i < ARRAY_LEN(CALLERS); i++) {
    char text[128];
    struct slice role, permission;
    const struct policy_caller caller = make_caller(i, &role, &permission, text, meant->permission);
    // No key does what needs a recent login.
    char wanted = CALLERS[i].is_limited && method->policy.max_auth_age_s > 0 ? '0' : MATRIX[meant->kind][i];
    cr_expect_eq(may(&method->policy, &caller, OWN), wanted != '0', "%s, %s, his own", meant->method, CALLERS[i].name);
    cr_expect_eq(may(&method->policy, &caller, OTHER), wanted == '2', "%s, %s, another's", meant->method,
                 CALLERS[i].name);
  }
}

static const struct meant *find_meant(struct slice method)
{
  for (size_t i = 0; i < ARRAY_LEN(TABLE); i++)
    if (slice_equal_string(method, TABLE[i].method))
      return &TABLE[i];
  return NULL;
}

// The contracts that every program serves (grpc.health.v1 and the like) are for the inside.
static bool is_of_a_service(const struct contract_method *method)
{
  return strcmp(method->service, "grpc") != 0 && strcmp(method->service, "process") != 0;
}

Test(permissions, every_role_method_and_ownership)
{
  const struct contract *contract = fixture_bulkhead();
  for (size_t i = 0; i < contract_method_count(contract); i++) {
    const struct contract_method *method = contract_method(contract, i);
    if (!is_of_a_service(method))
      continue;
    const struct meant *meant = find_meant(method->full_name);
    cr_expect_not_null(meant, SLICE_FMT " is not in the table: say here who is meant to call it, on what",
                       SLICE_ARG(method->full_name));
    if (meant == NULL)
      continue;
    if (meant->kind == INSIDE) {
      cr_expect_eq(method->policy.access, ACCESS_INTERNAL, "%s", meant->method);
      continue;
    }
    const char *permission = method->policy.permission;
    cr_expect(permission == meant->permission || strcmp(permission, meant->permission) == 0, "%s needs %s",
              meant->method, permission);
    check_callers(method, meant);
  }
}

Test(permissions, the_table_has_no_method_that_is_gone)
{
  for (size_t i = 0; i < ARRAY_LEN(TABLE); i++)
    cr_expect_not_null(contract_method_by_name(fixture_bulkhead(), slice_from_string(TABLE[i].method)), "%s",
                       TABLE[i].method);
}

Test(permissions, roles_and_keys_can_be_given_what_the_methods_need)
{
  const struct contract *contract = fixture_bulkhead();
  for (size_t i = 0; i < contract_permission_count(contract); i++) {
    const struct contract_permission *permission = contract_permission(contract, i);
    cr_expect(permission->is_used || permission->is_any_used, "%s", permission->name);
    cr_expect_gt(strlen(permission->description), 0);
  }
}

// Who may call what: the decision that the gateway and every service make.
#include <criterion/criterion.h>

#include "common/contract/policy.h"

static const char *const staff_roles[] = {"admin", "support"};
static const char *const user_only[] = {"user"};

static enum status check(enum access access, const struct policy_caller *caller)
{
  const struct policy policy = {.access = access,
                                .roles = staff_roles,
                                .role_count = ARRAY_LEN(staff_roles),
                                .callers = user_only,
                                .caller_count = ARRAY_LEN(user_only)};
  const char *message = NULL;
  enum status status = policy_check(&policy, caller, &message);
  cr_expect_eq(message != NULL, status != STATUS_OK, "a refusal, and only a refusal, says why");
  return status;
}

static enum status check_role(const char *role)
{
  const struct slice roles[] = {slice_from_string(role)};
  const struct policy_caller caller = {
      .peer_service = SLICE(POLICY_GATEWAY), .id = SLICE("u1"), .roles = roles, .role_count = 1};
  return check(ACCESS_ROLE, &caller);
}

static const struct slice staff[] = {SLICE_INIT("user"), SLICE_INIT("support")};

static const struct policy_caller anonymous = {.peer_service = SLICE_INIT(POLICY_GATEWAY)};
static const struct policy_caller supporter = {
    .peer_service = SLICE_INIT(POLICY_GATEWAY), .id = SLICE_INIT("u2"), .roles = staff, .role_count = 2};
static const struct policy_caller roles_without_subject = {
    .peer_service = SLICE_INIT(POLICY_GATEWAY), .roles = staff, .role_count = 2};
static const struct policy_caller service = {.peer_service = SLICE_INIT("user")};
static const struct policy_caller other_service = {.peer_service = SLICE_INIT("item")};
static const struct policy_caller unknown_peer = {.id = SLICE_INIT("u2"), .roles = staff, .role_count = 2};

Test(policy, public_methods_are_open)
{
  cr_expect_eq(check(ACCESS_PUBLIC, &anonymous), STATUS_OK);
  cr_expect_eq(check(ACCESS_PUBLIC, &service), STATUS_OK);
}

Test(policy, authenticated_methods_need_a_caller_and_no_role)
{
  const struct policy_caller someone = {.peer_service = SLICE(POLICY_GATEWAY), .id = SLICE("u1")};
  cr_expect_eq(check(ACCESS_AUTHENTICATED, &anonymous), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(ACCESS_AUTHENTICATED, &roles_without_subject), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(ACCESS_AUTHENTICATED, &someone), STATUS_OK);
}

Test(policy, role_methods_need_a_caller_with_any_one_of_the_roles)
{
  cr_expect_eq(check(ACCESS_ROLE, &anonymous), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(ACCESS_ROLE, &roles_without_subject), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(ACCESS_ROLE, &supporter), STATUS_OK);
  cr_expect_eq(check_role("admin"), STATUS_OK);
  cr_expect_eq(check_role("support"), STATUS_OK);
}

Test(policy, a_role_is_its_whole_name)
{
  static const char *const OTHERS[] = {"",        "a",       "admi",          "dmin",  "administrator", "admin ",
                                       " admin",  "Admin",   "ADMIN",         "admix", "nimda",         "bdmin",
                                       "suppord", "xupport", "admin,support", "user"};
  for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
    cr_expect_eq(check_role(OTHERS[i]), STATUS_PERMISSION_DENIED, "\"%s\"", OTHERS[i]);
}

// The lists are views: what stands behind them in memory belongs to somebody else.
Test(policy, roles_behind_the_lists_do_not_count)
{
  const struct policy admins = {.access = ACCESS_ROLE, .roles = staff_roles, .role_count = 1};
  const struct policy_caller user = {
      .peer_service = SLICE(POLICY_GATEWAY), .id = SLICE("u2"), .roles = staff, .role_count = 1};
  const char *message = NULL;
  cr_expect_eq(policy_check(&admins, &supporter, &message), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check(ACCESS_ROLE, &user), STATUS_PERMISSION_DENIED);
  cr_expect_not(policy_caller_has_role(&user, "support"));
  cr_expect(policy_caller_has_role(&supporter, "support"));
}

Test(policy, a_role_method_without_roles_lets_nobody_in)
{
  const struct policy policy = {.access = ACCESS_ROLE};
  const char *message = NULL;
  cr_expect_eq(policy_check(&policy, &supporter, &message), STATUS_PERMISSION_DENIED);
}

static enum status check_callers(enum access access, const char *caller, const char *peer)
{
  const struct policy policy = {.access = access, .callers = &caller, .caller_count = caller == NULL ? 0 : 1};
  const struct policy_caller from = {.peer_service = slice_from_string(peer), .id = SLICE("u1")};
  const char *message = NULL;
  return policy_check(&policy, &from, &message);
}

Test(policy, an_unproven_peer_may_call_nothing)
{
  for (int access = ACCESS_PUBLIC; access <= ACCESS_INTERNAL; access++) {
    cr_expect_eq(check((enum access)access, &unknown_peer), STATUS_UNAUTHENTICATED);
    cr_expect_eq(check_callers((enum access)access, POLICY_ANY_SERVICE, ""), STATUS_UNAUTHENTICATED);
    cr_expect_eq(check_callers((enum access)access, "", ""), STATUS_UNAUTHENTICATED);
  }
}

Test(policy, internal_methods_are_for_the_services_that_callers_names)
{
  cr_expect_eq(check(ACCESS_INTERNAL, &service), STATUS_OK);
  cr_expect_eq(check(ACCESS_INTERNAL, &other_service), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check(ACCESS_INTERNAL, &supporter), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_INTERNAL, NULL, "user"), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_INTERNAL, "user", "users"), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_INTERNAL, "user", "use"), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_INTERNAL, "user", "*"), STATUS_PERMISSION_DENIED);
}

Test(policy, the_gateway_may_call_internal_methods_only_by_its_name)
{
  cr_expect_eq(check_callers(ACCESS_INTERNAL, POLICY_ANY_SERVICE, POLICY_GATEWAY), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_INTERNAL, POLICY_ANY_SERVICE, "item"), STATUS_OK);
  cr_expect_eq(check_callers(ACCESS_INTERNAL, POLICY_GATEWAY, POLICY_GATEWAY), STATUS_OK);
}

Test(policy, other_methods_are_for_the_gateway_and_the_services_that_callers_names)
{
  cr_expect_eq(check_callers(ACCESS_AUTHENTICATED, NULL, POLICY_GATEWAY), STATUS_OK);
  cr_expect_eq(check_callers(ACCESS_AUTHENTICATED, NULL, "item"), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_AUTHENTICATED, "item", "item"), STATUS_OK);
  cr_expect_eq(check_callers(ACCESS_PUBLIC, NULL, "item"), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check_callers(ACCESS_PUBLIC, POLICY_ANY_SERVICE, "item"), STATUS_OK);
}

Test(policy, the_user_counts_whichever_service_calls)
{
  cr_expect_eq(check(ACCESS_AUTHENTICATED, &service), STATUS_UNAUTHENTICATED);
}

static enum status check_age(enum access access, int64_t auth_time, bool *wants_newer)
{
  const struct policy policy = {
      .access = access, .roles = staff_roles, .role_count = ARRAY_LEN(staff_roles), .max_auth_age_s = 600};
  const char *message = NULL;
  struct policy_caller caller = supporter;
  caller.auth_time = auth_time;
  caller.now = 1700000000;
  *wants_newer = policy_wants_newer_login(&policy, &caller);
  return policy_check(&policy, &caller, &message);
}

Test(policy, a_login_may_be_as_old_as_the_method_says)
{
  bool wants_newer;
  for (int access = ACCESS_AUTHENTICATED; access <= ACCESS_ROLE; access++) {
    cr_expect_eq(check_age((enum access)access, 1700000000 - 600, &wants_newer), STATUS_OK);
    cr_expect_not(wants_newer);
    cr_expect_eq(check_age((enum access)access, 1700000000 - 601, &wants_newer), STATUS_UNAUTHENTICATED);
    cr_expect(wants_newer);
    cr_expect_eq(check_age((enum access)access, 0, &wants_newer), STATUS_UNAUTHENTICATED, "an older release's token");
    // The clock of the service that has signed the token may be ahead.
    cr_expect_eq(check_age((enum access)access, 1700000000 + 30, &wants_newer), STATUS_OK);
  }
}

Test(policy, a_role_that_is_missing_is_told_before_an_old_login)
{
  const struct policy policy = {.access = ACCESS_ROLE, .roles = staff_roles, .role_count = 1, .max_auth_age_s = 600};
  struct policy_caller caller = supporter;
  const char *message = NULL;
  caller.now = 1700000000;
  cr_expect_eq(policy_check(&policy, &caller, &message), STATUS_PERMISSION_DENIED);
}

Test(policy, an_unknown_access_lets_nobody_in)
{
  cr_expect_eq(check((enum access)0, &supporter), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check((enum access)9, &service), STATUS_PERMISSION_DENIED);
}

Test(policy, only_public_methods_need_no_token)
{
  for (int access = 0; access <= ACCESS_INTERNAL + 1; access++) {
    const struct policy policy = {.access = (enum access)access};
    cr_expect_eq(policy_needs_token(&policy), access != ACCESS_PUBLIC);
  }
}

// ---- permissions ----

static const struct policy free_write = {
    .access = ACCESS_AUTHENTICATED, .permission = "items:write", .every_user = true};
static const struct policy owned_write = {.access = ACCESS_AUTHENTICATED,
                                          .permission = "items:write",
                                          .permission_any = "items:write:any",
                                          .every_user = true,
                                          .owner = POLICY_OWNER_STORED,
                                          .owner_reason = "NOT_THE_OWNER",
                                          .owner_message = "it is not yours"};
static const struct policy audit = {.access = ACCESS_AUTHENTICATED, .permission = "audit:read"};
static const struct policy no_permission = {.access = ACCESS_AUTHENTICATED};

static struct policy_caller caller_with(const struct slice *role, const struct slice *permission, bool is_limited)
{
  return (struct policy_caller){.id = SLICE("u1"),
                                .roles = role,
                                .role_count = role == NULL ? 0 : 1,
                                .permissions = permission,
                                .permission_count = permission == NULL ? 0 : 1,
                                .is_limited = is_limited,
                                .peer_service = SLICE(POLICY_GATEWAY)};
}

static bool lets_in(const struct policy *policy, const struct policy_caller *caller)
{
  const char *message = NULL;
  return policy_check(policy, caller, &message) == STATUS_OK;
}

static const struct slice user_role = SLICE_INIT("user");
static const struct slice admin_role = SLICE_INIT("admin");
static const struct slice clerk_role = SLICE_INIT("clerk");
static const struct slice write_any = SLICE_INIT("items:write:any");
static const struct slice read_audit = SLICE_INIT("audit:read");

Test(policy, built_in_roles_hold_what_the_contract_says)
{
  const struct policy_caller user = caller_with(&user_role, NULL, false);
  const struct policy_caller admin = caller_with(&admin_role, NULL, false);
  const struct policy_caller clerk = caller_with(&clerk_role, NULL, false);
  cr_expect(lets_in(&free_write, &user));
  cr_expect(lets_in(&free_write, &admin));
  cr_expect_not(lets_in(&free_write, &clerk), "a role that gives nothing");
  cr_expect_not(lets_in(&audit, &user));
  cr_expect(lets_in(&audit, &admin));
  cr_expect(lets_in(&no_permission, &clerk));
}

Test(policy, permissions_of_the_token_count_beside_the_roles)
{
  const struct policy_caller auditor = caller_with(&user_role, &read_audit, false);
  cr_expect(lets_in(&audit, &auditor));
  cr_expect(lets_in(&free_write, &auditor));
  cr_expect_str_eq(policy_refusal_reason(&free_write, &(struct policy_caller){.id = SLICE("u1")}),
                   POLICY_PERMISSION_REQUIRED);
}

Test(policy, a_limited_token_holds_only_its_permissions)
{
  const struct policy_caller key = caller_with(&admin_role, &read_audit, true);
  cr_expect(lets_in(&audit, &key));
  cr_expect_not(lets_in(&free_write, &key));
  cr_expect_not(lets_in(&no_permission, &key), "what has no permission is for people");
  cr_expect_str_eq(policy_refusal_reason(&no_permission, &key), POLICY_LOGIN_REQUIRED);
}

static bool may(const struct policy *policy, const struct policy_caller *caller, const char *owner)
{
  return policy_check_owner(policy, caller, slice_from_string(owner)) == STATUS_OK;
}

Test(policy, the_ownership_rule_asks_whose_it_is)
{
  const struct policy_caller user = caller_with(&user_role, NULL, false);
  const struct policy_caller clerk = caller_with(&user_role, &write_any, false);
  const struct policy_caller admin = caller_with(&admin_role, NULL, false);
  cr_expect(may(&owned_write, &user, "u1"));
  cr_expect(may(&owned_write, &user, "U1"), "an id is compared without regard to case");
  cr_expect_not(may(&owned_write, &user, "u2"));
  cr_expect_not(may(&owned_write, &user, "u"));
  cr_expect_not(may(&owned_write, &user, ""));
  cr_expect(may(&owned_write, &clerk, "u2"));
  cr_expect(may(&owned_write, &admin, "u2"));
  cr_expect(may(&free_write, &user, "u2"), "there is no rule");
}

Test(policy, who_may_do_it_everywhere_may_do_it_at_home)
{
  const struct policy_caller key = caller_with(NULL, &write_any, true);
  cr_expect(lets_in(&owned_write, &key));
  cr_expect(may(&owned_write, &key, "u1"));
  cr_expect(may(&owned_write, &key, "u2"));
  cr_expect_not(lets_in(&free_write, &key), "the method without a rule needs the other permission");
}

Test(policy, nobody_owns_nothing)
{
  const struct policy_caller anonymous_user = {.roles = &user_role, .role_count = 1};
  cr_expect_not(may(&owned_write, &anonymous_user, ""));
}

Test(policy, a_missing_permission_is_told_before_an_old_login)
{
  const struct policy policy = {.access = ACCESS_AUTHENTICATED, .permission = "audit:read", .max_auth_age_s = 600};
  struct policy_caller user = caller_with(&user_role, NULL, false);
  const char *message = NULL;
  user.now = 1700000000;
  cr_expect_eq(policy_check(&policy, &user, &message), STATUS_PERMISSION_DENIED);
}

Test(policy, names_of_permissions)
{
  static const char *const GOOD[] = {"items:read", "items:read:any", "api_keys:write", "a:b", "x2:y3"};
  static const char *const BAD[] = {"",
                                    "items",
                                    ":read",
                                    "items:",
                                    "Items:read",
                                    "items:Read",
                                    "items:read:",
                                    "items:read:all",
                                    "items:any:read",
                                    "items read",
                                    "*",
                                    "items:*",
                                    "a-b:c",
                                    "items:read:any:any",
                                    "a123456789a123456789a123456789a123456789:abcdefghi"};
  for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
    cr_expect(policy_permission_valid(slice_from_string(GOOD[i])), "%s", GOOD[i]);
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_expect_not(policy_permission_valid(slice_from_string(BAD[i])), "%s", BAD[i]);
}

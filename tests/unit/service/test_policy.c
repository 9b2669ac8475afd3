// Who may call what, whatever the gateway has let through.
#include <criterion/criterion.h>

#include "common/service/policy_internal.h"

static const char *const staff_roles[] = {"admin", "support"};

static enum status check(enum call_access access, const struct rpc_context *context)
{
  const struct rpc_method method = {.access = access, .roles = staff_roles, .role_count = 2};
  const char *message = NULL;
  enum status status = policy_check(&method, context, &message);
  if (status != STATUS_OK)
    cr_expect_not_null(message, "a refusal says why");
  return status;
}

static const struct slice no_staff[] = {SLICE_INIT("user"), SLICE_INIT("administrator"), SLICE_INIT("")};
static const struct slice staff[] = {SLICE_INIT("user"), SLICE_INIT("support")};

static const struct rpc_context anonymous = {.peer_service = SLICE_INIT("gateway")};
static const struct rpc_context someone = {.peer_service = SLICE_INIT("gateway"),
                                           .caller_id = SLICE_INIT("u1"),
                                           .caller_roles = no_staff,
                                           .caller_role_count = 3};
static const struct rpc_context supporter = {.peer_service = SLICE_INIT("gateway"),
                                             .caller_id = SLICE_INIT("u2"),
                                             .caller_roles = staff,
                                             .caller_role_count = 2};
// Roles without a subject are nobody's.
static const struct rpc_context nobody = {
    .peer_service = SLICE_INIT("gateway"), .caller_roles = staff, .caller_role_count = 2};
static const struct rpc_context service = {.peer_service = SLICE_INIT("user")};
static const struct rpc_context nameless = {.caller_id = SLICE_INIT("u1")};

Test(policy, public_methods_are_open)
{
  cr_expect_eq(check(CALL_PUBLIC, &anonymous), STATUS_OK);
  cr_expect_eq(check(CALL_PUBLIC, &nameless), STATUS_OK);
}

Test(policy, authenticated_methods_need_a_caller)
{
  cr_expect_eq(check(CALL_AUTHENTICATED, &anonymous), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(CALL_AUTHENTICATED, &someone), STATUS_OK);
}

Test(policy, role_methods_need_one_of_the_roles_whole)
{
  cr_expect_eq(check(CALL_ROLE, &anonymous), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(CALL_ROLE, &nobody), STATUS_UNAUTHENTICATED);
  cr_expect_eq(check(CALL_ROLE, &someone), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check(CALL_ROLE, &supporter), STATUS_OK);
}

Test(policy, internal_methods_are_for_named_services_but_the_gateway)
{
  cr_expect_eq(check(CALL_INTERNAL, &service), STATUS_OK);
  cr_expect_eq(check(CALL_INTERNAL, &supporter), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check(CALL_INTERNAL, &nameless), STATUS_PERMISSION_DENIED);
}

Test(policy, an_unknown_policy_lets_nobody_in)
{
  cr_expect_eq(check((enum call_access)0, &supporter), STATUS_PERMISSION_DENIED);
  cr_expect_eq(check((enum call_access)9, &service), STATUS_PERMISSION_DENIED);
}

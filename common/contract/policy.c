#include "common/contract/policy.h"

bool policy_caller_has_role(const struct policy_caller *caller, const char *role)
{
  for (size_t i = 0; i < caller->role_count; i++)
    if (slice_equal_string(caller->roles[i], role))
      return true;
  return false;
}

static bool has_one_role(const struct policy *policy, const struct policy_caller *caller)
{
  for (size_t i = 0; i < policy->role_count; i++)
    if (policy_caller_has_role(caller, policy->roles[i]))
      return true;
  return false;
}

static bool is_service(const struct policy_caller *caller)
{
  return caller->peer_service.size > 0 && !slice_equal_string(caller->peer_service, POLICY_GATEWAY);
}

enum status policy_check(const struct policy *policy, const struct policy_caller *caller, const char **message)
{
  switch (policy->access) {
  case ACCESS_PUBLIC:
    return STATUS_OK;
  case ACCESS_AUTHENTICATED:
  case ACCESS_ROLE:
    if (caller->id.size == 0) {
      *message = "this needs a valid access token";
      return STATUS_UNAUTHENTICATED;
    }
    if (policy->access == ACCESS_AUTHENTICATED || has_one_role(policy, caller))
      return STATUS_OK;
    *message = "the caller lacks the role that this needs";
    return STATUS_PERMISSION_DENIED;
  case ACCESS_INTERNAL:
    if (is_service(caller))
      return STATUS_OK;
    break;
  }
  // An unknown access lets nobody in.
  *message = "this is for other services only";
  return STATUS_PERMISSION_DENIED;
}

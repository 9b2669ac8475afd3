#include "common/contract/policy.h"

#include <string.h>

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

bool policy_admits_peer(const struct policy *policy, struct slice peer)
{
  // The gateway is no service, so POLICY_ANY_SERVICE does not name it.
  bool is_gateway = slice_equal_string(peer, POLICY_GATEWAY);
  if (is_gateway && policy->access != ACCESS_INTERNAL)
    return true;
  for (size_t i = 0; peer.size != 0 && i < policy->caller_count; i++)
    if (slice_equal_string(peer, policy->callers[i]) ||
        (!is_gateway && strcmp(policy->callers[i], POLICY_ANY_SERVICE) == 0))
      return true;
  return false;
}

static enum status check_peer(const struct policy *policy, const struct policy_caller *caller, const char **message)
{
  if (caller->peer_service.size == 0) {
    *message = "the calling service has not proven its name";
    return STATUS_UNAUTHENTICATED;
  }
  if (policy_admits_peer(policy, caller->peer_service))
    return STATUS_OK;
  *message = "the contract does not name the calling service as one that may call this";
  return STATUS_PERMISSION_DENIED;
}

bool policy_wants_newer_login(const struct policy *policy, const struct policy_caller *caller)
{
  return policy->max_auth_age_s > 0 && caller->now - caller->auth_time > (int64_t)policy->max_auth_age_s;
}

// Decides on a caller who has the access that the method needs.
static enum status check_login(const struct policy *policy, const struct policy_caller *caller, const char **message)
{
  if (!policy_wants_newer_login(policy, caller))
    return STATUS_OK;
  *message = "this needs a recent login; log in again and repeat the request with the new access token";
  return STATUS_UNAUTHENTICATED;
}

static enum status check_user(const struct policy *policy, const struct policy_caller *caller, const char **message)
{
  switch (policy->access) {
  case ACCESS_PUBLIC:
  case ACCESS_INTERNAL:
    return STATUS_OK;
  case ACCESS_AUTHENTICATED:
  case ACCESS_ROLE:
    if (caller->id.size == 0) {
      *message = "this needs a valid access token";
      return STATUS_UNAUTHENTICATED;
    }
    if (policy->access == ACCESS_AUTHENTICATED || has_one_role(policy, caller))
      return check_login(policy, caller, message);
    *message = "the caller lacks the role that this needs";
    return STATUS_PERMISSION_DENIED;
  }
  // An unknown access lets nobody in.
  *message = "the method has an unknown access";
  return STATUS_PERMISSION_DENIED;
}

enum status policy_check(const struct policy *policy, const struct policy_caller *caller, const char **message)
{
  enum status status = check_peer(policy, caller, message);
  return status == STATUS_OK ? check_user(policy, caller, message) : status;
}

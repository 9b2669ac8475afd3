#include "common/contract/policy.h"

#include <string.h>

static bool has_role(const struct policy_caller *caller, struct slice role)
{
  for (size_t i = 0; i < caller->role_count; i++)
    if (slice_equal(caller->roles[i], role))
      return true;
  return false;
}

bool policy_caller_has_role(const struct policy_caller *caller, const char *role)
{
  return has_role(caller, slice_from_string(role));
}

bool policy_caller_holds(const struct policy_caller *caller, const char *permission, bool every_user)
{
  for (size_t i = 0; i < caller->permission_count; i++)
    if (slice_equal_string(caller->permissions[i], permission))
      return true;
  if (caller->is_limited)
    return false;
  return (every_user && has_role(caller, SLICE(POLICY_ROLE_USER))) || has_role(caller, SLICE(POLICY_ROLE_ADMIN));
}

// Tells whether the method is for people who have logged in, and the caller is a program with a key.
static bool lacks_login(const struct policy *policy, const struct policy_caller *caller)
{
  return caller->is_limited && (policy->permission == NULL || policy->max_auth_age_s > 0);
}

bool policy_lacks_permission(const struct policy *policy, const struct policy_caller *caller)
{
  if (lacks_login(policy, caller))
    return true;
  if (policy->permission == NULL)
    return false;
  if (policy_caller_holds(caller, policy->permission, policy->every_user))
    return false;
  return policy->permission_any == NULL || !policy_caller_holds(caller, policy->permission_any, false);
}

const char *policy_refusal_reason(const struct policy *policy, const struct policy_caller *caller)
{
  if (!policy_lacks_permission(policy, caller))
    return "ROLE_REQUIRED";
  return lacks_login(policy, caller) ? POLICY_LOGIN_REQUIRED : POLICY_PERMISSION_REQUIRED;
}

enum status policy_check_owner(const struct policy *policy, const struct policy_caller *caller, struct slice owner_id)
{
  if (policy->owner == POLICY_OWNER_NONE)
    return STATUS_OK;
  // Both permissions count: one that is for everything says nothing less about what is one's own.
  if (caller->id.size > 0 && slice_equal_ignore_case(caller->id, owner_id))
    return STATUS_OK;
  if (policy->permission_any != NULL && policy_caller_holds(caller, policy->permission_any, false))
    return STATUS_OK;
  return STATUS_PERMISSION_DENIED;
}

// Reads a word of a permission's name. False where there is none.
static bool skip_word(struct slice name, size_t *at)
{
  size_t from = *at;
  while (*at < name.size && ((name.data[*at] >= 'a' && name.data[*at] <= 'z') ||
                             (name.data[*at] >= '0' && name.data[*at] <= '9') || name.data[*at] == '_'))
    (*at)++;
  return *at > from;
}

bool policy_permission_valid(struct slice name)
{
  size_t at = 0;
  if (name.size > POLICY_MAX_PERMISSION_BYTES || !skip_word(name, &at) || at == name.size || name.data[at] != ':')
    return false;
  at++;
  return skip_word(name, &at) && (at == name.size || slice_equal_string(slice_skip(name, at), POLICY_ANY_SUFFIX));
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

// Decides on a user whose token is valid.
static enum status check_rights(const struct policy *policy, const struct policy_caller *caller, const char **message)
{
  if (policy_lacks_permission(policy, caller)) {
    *message = lacks_login(policy, caller) ? "this is for people who have logged in; an API key cannot do it"
                                           : "the caller lacks the permission that this needs";
    return STATUS_PERMISSION_DENIED;
  }
  if (policy->access == ACCESS_AUTHENTICATED || has_one_role(policy, caller))
    return check_login(policy, caller, message);
  *message = "the caller lacks the role that this needs";
  return STATUS_PERMISSION_DENIED;
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
    return check_rights(policy, caller, message);
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

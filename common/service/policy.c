#include "common/service/policy_internal.h"

static bool has_one_role(const struct rpc_method *method, const struct rpc_context *context)
{
  for (size_t i = 0; i < context->caller_role_count; i++) {
    for (size_t k = 0; k < method->role_count; k++) {
      if (slice_equal_string(context->caller_roles[i], method->roles[k]))
        return true;
    }
  }
  return false;
}

enum status policy_check(const struct rpc_method *method, const struct rpc_context *context, const char **message)
{
  switch (method->access) {
  case CALL_PUBLIC:
    return STATUS_OK;
  case CALL_AUTHENTICATED:
  case CALL_ROLE:
    if (context->caller_id.size == 0) {
      *message = "this needs a valid access token";
      return STATUS_UNAUTHENTICATED;
    }
    if (method->access == CALL_AUTHENTICATED || has_one_role(method, context))
      return STATUS_OK;
    *message = "the caller lacks the role for this";
    return STATUS_PERMISSION_DENIED;
  case CALL_INTERNAL:
    if (context->peer_service.size > 0 && !slice_equal_string(context->peer_service, POLICY_GATEWAY))
      return STATUS_OK;
    break;
  }
  // A policy that is not known here lets nobody in.
  *message = "this is for other services only";
  return STATUS_PERMISSION_DENIED;
}

// The steps that judge what the caller may do, by the contract's policy (common/contract/policy.h): with his token
// alone, and once the request is there with whose it is.
#include <string.h>

#include "common/base/wire.h"
#include "gateway/exchange_internal.h"

// ---- authorise ----

// Answers that the user must log in again (RFC 9470).
static enum step_result refuse_old_login(struct exchange *exchange, const char *message)
{
  const char *challenge = arena_printf(
      &exchange->arena, CHALLENGE ", error=\"insufficient_user_authentication\", error_description=\"%s\", max_age=%u",
      message, exchange_method(exchange)->policy.max_auth_age_s);
  reply_add_header(exchange, AUTHENTICATE, slice_from_string(challenge));
  return exchange_fail(exchange, &(struct failure){.code = STATUS_UNAUTHENTICATED,
                                                   .reason = POLICY_LOGIN_TOO_OLD,
                                                   .detail = slice_from_string(message)});
}

static struct policy_caller policy_caller_of(const struct exchange *exchange)
{
  bool needs_time = exchange_method(exchange)->policy.max_auth_age_s != 0;
  return (struct policy_caller){
      .id = exchange->caller_id,
      .roles = exchange->caller_roles,
      .role_count = exchange->caller_role_count,
      .permissions = exchange->caller_permissions,
      .permission_count = exchange->caller_permission_count,
      .is_limited = exchange->caller_is_limited,
      .peer_service = SLICE(POLICY_GATEWAY),
      .auth_time = exchange->caller_auth_time,
      .now = needs_time ? exchange->gateway->clock.wall_us() / 1000000 : 0,
  };
}

// Answers that the caller lacks the permission, or the role. The challenge names the permission (RFC 6750, section 3).
static enum step_result refuse_rights(struct exchange *exchange, const struct policy_caller *caller,
                                      const char *message)
{
  const struct policy *policy = &exchange_method(exchange)->policy;
  const char *reason = policy_refusal_reason(policy, caller);
  const char *challenge = CHALLENGE ", error=\"insufficient_scope\"";
  if (strcmp(reason, POLICY_PERMISSION_REQUIRED) == 0) {
    challenge = arena_printf(&exchange->arena, "%s, scope=\"%s\"", challenge, policy->permission);
    message = arena_printf(&exchange->arena, "this needs the permission %s, which the caller does not have",
                           policy->permission);
  }
  reply_add_header(exchange, AUTHENTICATE, slice_from_string(challenge));
  return exchange_fail(
      exchange,
      &(struct failure){.code = STATUS_PERMISSION_DENIED, .reason = reason, .detail = slice_from_string(message)});
}

enum step_result step_authorise(struct exchange *exchange)
{
  const struct policy *policy = &exchange_method(exchange)->policy;
  const struct policy_caller caller = policy_caller_of(exchange);
  const char *message = NULL;
  enum status status = policy_check(policy, &caller, &message);
  if (status == STATUS_OK)
    return STEP_NEXT;
  // The caller is known here, because step_authenticate lets only public methods pass without one. So what is missing
  // is a recent login, the permission or the role.
  if (status == STATUS_UNAUTHENTICATED)
    return refuse_old_login(exchange, message);
  return refuse_rights(exchange, &caller, message);
}

// ---- own ----

// Returns the text of a field in the bytes of a message; empty where it is not there. The fields on the way are
// messages.
static struct slice find_text(struct slice message, const uint32_t *path, size_t depth)
{
  struct slice found = {0};
  struct wire_reader reader = wire_reader_make(message);
  struct wire_field field;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == path[0] && field.type == WIRE_BYTES)
      found = depth == 1 ? field.bytes : find_text(field.bytes, path + 1, depth - 1);
  return found;
}

// Refuses what belongs to another account, where the request names whose it is.
enum step_result step_own(struct exchange *exchange)
{
  const struct policy *policy = &exchange_method(exchange)->policy;
  if (policy->owner != POLICY_OWNER_REQUEST)
    return STEP_NEXT;
  const struct policy_caller caller = policy_caller_of(exchange);
  struct slice owner = find_text(exchange->message, policy->owner_path, policy->owner_depth);
  if (policy_check_owner(policy, &caller, owner) == STATUS_OK)
    return STEP_NEXT;
  return exchange_fail(exchange, &(struct failure){.code = STATUS_PERMISSION_DENIED,
                                                   .reason = policy->owner_reason,
                                                   .detail = slice_from_string(policy->owner_message)});
}

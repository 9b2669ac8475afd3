// A call as its handler sees it: its accessors, and the details of a failure that it collects.
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/service/call_internal.h"
#include "common/service/callers_internal.h"
#include "common/service/service_internal.h"

// Retry hint for transient failures; the gateway sends it as Retry-After.
#define RETRY_AFTER_MS 1000

void call_init(struct call *call, struct service *service, struct arena *arena, const struct rpc_context *context)
{
  *call = (struct call){.service = service, .arena = arena, .context = context};
  list_init(&call->node);
  list_init(&call->streams);
  call->verified = *context;
  call->context = &call->verified;
  violations_init(&call->violations, arena);
  call->log_context = (struct log_context){
      .request_id = context->request_id,
      .trace_id = trace_id_of(context->traceparent),
  };
}

void *call_state(const struct call *call)
{
  return service_state(call->service);
}

struct arena *call_arena(struct call *call)
{
  return call->arena;
}

struct service *call_service(const struct call *call)
{
  return call->service;
}

struct slice call_caller_id(const struct call *call)
{
  return call->context->caller_id;
}

struct slice call_caller_session(const struct call *call)
{
  return call->context->caller_session;
}

int64_t call_caller_generation(const struct call *call)
{
  return call->context->caller_generation;
}

bool call_caller_is_limited(const struct call *call)
{
  return call->context->caller_is_limited;
}

int64_t call_caller_auth_time(const struct call *call)
{
  return call->context->caller_auth_time;
}

struct slice call_client_address(const struct call *call)
{
  return call->context->client_address;
}

struct slice call_user_agent(const struct call *call)
{
  return call->context->user_agent;
}

struct slice call_trace_id(const struct call *call)
{
  return call->log_context.trace_id;
}

struct policy_caller call_policy_caller(const struct call *call)
{
  return (struct policy_caller){
      .id = call->context->caller_id,
      .roles = call->context->caller_roles,
      .role_count = call->context->caller_role_count,
      .permissions = call->context->caller_permissions,
      .permission_count = call->context->caller_permission_count,
      .is_limited = call->context->caller_is_limited,
      .peer_service = call->context->peer_service,
      .auth_time = call->context->caller_auth_time,
      .now = clock_wall_us() / 1000000 - CALLERS_EXTRA_LEEWAY_S,
  };
}

bool call_caller_has_role(const struct call *call, const char *role)
{
  const struct policy_caller caller = call_policy_caller(call);
  return policy_caller_has_role(&caller, role);
}

bool call_caller_holds(const struct call *call, const char *permission, bool every_user)
{
  const struct policy_caller caller = call_policy_caller(call);
  return policy_caller_holds(&caller, permission, every_user);
}

bool call_owns(struct call *call, const char *owner_id)
{
  const struct policy_caller caller = call_policy_caller(call);
  const struct policy *policy = &call->method->policy;
  call->asked_for_owner = true;
  // A method without a rule lets nobody in by owning something.
  return policy->owner != POLICY_OWNER_NONE &&
         policy_check_owner(policy, &caller, slice_from_string(owner_id)) == STATUS_OK;
}

enum status call_may(struct call *call, const char *owner_id)
{
  const struct policy *policy = &call->method->policy;
  if (call_owns(call, owner_id))
    return STATUS_OK;
  if (policy->owner == POLICY_OWNER_NONE)
    return call_fail(call, STATUS_INTERNAL, "INTERNAL",
                     "the contract of %s has no ownership rule; add owner_stored: true to its policy",
                     call->method->full_name);
  return call_fail(call, STATUS_PERMISSION_DENIED, policy->owner_reason, "%s", policy->owner_message);
}

// Returns the text that the path of the method's owner_field leads to; empty where the request leaves it out.
static struct slice find_owner(const struct call *call)
{
  const struct policy *policy = &call->method->policy;
  const ProtobufCMessage *message = call->input;
  for (size_t i = 0; i < policy->owner_depth && message != NULL; i++) {
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, policy->owner_path[i]);
    CHECK(field != NULL);
    const void *place = (const char *)message + field->offset;
    if (field->type == PROTOBUF_C_TYPE_STRING)
      return slice_from_string(*(const char *const *)place);
    message = *(const ProtobufCMessage *const *)place;
  }
  return (struct slice){0};
}

enum status call_check_owner(struct call *call)
{
  const struct policy *policy = &call->method->policy;
  if (policy->owner != POLICY_OWNER_REQUEST)
    return STATUS_OK;
  const struct policy_caller caller = call_policy_caller(call);
  if (policy_check_owner(policy, &caller, find_owner(call)) == STATUS_OK)
    return STATUS_OK;
  return call_fail(call, STATUS_PERMISSION_DENIED, policy->owner_reason, "%s", policy->owner_message);
}

enum status call_fail(struct call *call, enum status status, const char *reason, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  call->message = slice_from_string(arena_vprintf(call->arena, format, args));
  va_end(args);
  call->reason = slice_from_string(reason);
  return status;
}

void call_when_done(struct call *call, void (*run)(struct call *call))
{
  call->when_done = run;
}

void call_retry_after(struct call *call, uint32_t retry_after_ms)
{
  call->retry_after_ms = retry_after_ms;
}

void call_violation(struct call *call, const char *field, const char *description)
{
  violations_add(&call->violations, slice_from_string(field), slice_from_string(description));
}

enum status call_check_message(struct call *call, const ProtobufCMessage *message)
{
  if (message == NULL)
    return call_fail(call, STATUS_INVALID_ARGUMENT, "MALFORMED_REQUEST", "the request is no %s",
                     call->method->input->name);
  if (call->method->input_rules == NULL)
    return STATUS_OK;
  validate_message(call->method->input_rules, message, &call->violations);
  if (call->violations.count == 0)
    return STATUS_OK;
  const struct violation *first = &call->violations.items[0];
  size_t others = call->violations.count + call->violations.more - 1;
  if (others == 0)
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST", SLICE_FMT " " SLICE_FMT, SLICE_ARG(first->field),
                     SLICE_ARG(first->description));
  return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST", SLICE_FMT " " SLICE_FMT ", and %zu more",
                   SLICE_ARG(first->field), SLICE_ARG(first->description), others);
}

struct stream *call_stream(struct call *call)
{
  return &call->stream;
}

bool call_is_draining(const struct call *call)
{
  return call->service->phase == PHASE_DRAINING;
}

void call_reply_bytes(struct call *call, struct slice wire)
{
  call->has_reply_bytes = true;
  call->reply_bytes = wire;
  call->reply_buffer = NULL;
}

void call_reply_buffer(struct call *call, struct strbuf *wire)
{
  call_reply_bytes(call, strbuf_slice(wire));
  call->reply_buffer = wire;
}

// The message for clients when the handler gave none. It tells nothing about the inside.
static const char *default_message(enum status status)
{
  switch (status) {
  case STATUS_CANCELLED:
    return "the call was cancelled";
  case STATUS_INVALID_ARGUMENT:
    return "the request is not valid";
  case STATUS_DEADLINE_EXCEEDED:
    return "the call took longer than it may";
  case STATUS_NOT_FOUND:
    return "there is no such thing";
  case STATUS_ALREADY_EXISTS:
    return "it exists already";
  case STATUS_PERMISSION_DENIED:
    return "the caller may not do this";
  case STATUS_UNAUTHENTICATED:
    return "a valid access token is needed";
  case STATUS_RESOURCE_EXHAUSTED:
    return "too much is going on; try again later";
  case STATUS_FAILED_PRECONDITION:
    return "the state of things does not allow this";
  case STATUS_ABORTED:
    return "another change came in between; try again";
  case STATUS_UNAVAILABLE:
    return "the service cannot answer now; try again later";
  case STATUS_UNIMPLEMENTED:
    return "this is not implemented";
  default:
    return "an internal error; the service has logged it under the request id";
  }
}

// Returns how a failure that says nothing about its effect by itself is told: whether the call may be repeated. NULL
// for other failures.
static const char *find_outcome_reason(const struct call *call, enum status status)
{
  if (status != STATUS_UNAVAILABLE && status != STATUS_DEADLINE_EXCEEDED && status != STATUS_CANCELLED)
    return NULL;
  bool only_reads = call->method != NULL && call->method->no_side_effects;
  return only_reads || call->effect == TASK_NO_EFFECT ? RPC_NOT_APPLIED : RPC_OUTCOME_UNKNOWN;
}

// Says what was too much, and what helps, where the handler has not.
static void describe_exhaustion(const struct call *call, struct rpc_status *outcome)
{
  if (outcome->reason.size != 0)
    return;
  if (call->found_unwanted) {
    outcome->reason = SLICE(RPC_TOO_MANY_UNREAD_BYTES);
    outcome->message = SLICE(RPC_UNREAD_BYTES_MESSAGE);
  } else if (call->found_full) {
    outcome->reason = SLICE(RPC_INSTANCE_FULL);
  }
}

struct rpc_status call_outcome(struct call *call, enum status status)
{
  const char *outcome_reason = find_outcome_reason(call, status);
  struct rpc_status outcome = {
      .code = status,
      .message = call->message,
      .reason = call->reason,
      .violations = call->violations.items,
      .violation_count = call->violations.count,
      .retry_after_ms = call->retry_after_ms,
  };
  if (status == STATUS_RESOURCE_EXHAUSTED)
    describe_exhaustion(call, &outcome);
  if (outcome.message.size == 0)
    outcome.message = slice_from_string(default_message(status));
  if (outcome_reason != NULL)
    outcome.reason = slice_from_string(outcome_reason);
  if (outcome.reason.size == 0)
    outcome.reason = slice_from_string(status_name(status));
  if ((status == STATUS_UNAVAILABLE || status == STATUS_RESOURCE_EXHAUSTED) && outcome.retry_after_ms == 0)
    outcome.retry_after_ms = RETRY_AFTER_MS;
  return outcome;
}

void call_keep_peer_status(struct call *call, const struct rpc_status *status)
{
  call->peer_status = (struct rpc_status){
      .code = status->code,
      .message = arena_copy(call->arena, status->message),
      .reason = arena_copy(call->arena, status->reason),
      .violation_count = status->violation_count,
      .retry_after_ms = status->retry_after_ms,
  };
  struct violation *violations = arena_array(call->arena, status->violation_count, sizeof(*violations));
  for (size_t i = 0; i < status->violation_count; i++) {
    violations[i].field = arena_copy(call->arena, status->violations[i].field);
    violations[i].description = arena_copy(call->arena, status->violations[i].description);
  }
  call->peer_status.violations = violations;
}

enum status call_fail_as_peer(struct call *call, enum status status)
{
  const struct rpc_status *peer = &call->peer_status;
  if (peer->code == STATUS_OK)
    return status;
  call->message = peer->message;
  call->reason = peer->reason;
  call->retry_after_ms = peer->retry_after_ms;
  for (size_t i = 0; i < peer->violation_count; i++)
    violations_add(&call->violations, peer->violations[i].field, peer->violations[i].description);
  return status;
}

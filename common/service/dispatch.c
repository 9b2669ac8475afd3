// One request's way through a service: dispatch_request finds the method and runs the gates, then a task runs the
// handler, and finish_call replies. The call lies in the request's arena, which is freed after the reply.
#include "common/service/dispatch_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"
#include "common/service/call_internal.h"
#include "common/service/health_internal.h"
#include "common/service/idempotency_internal.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/service_internal.h"

// A cancellation that comes less than this before the deadline of a call is that deadline on another clock.
#define LATE_CANCEL_MS 50

// True if the table of handlers has one for the method; `handlers` NULL is a missing table.
static bool has_handler(const void *handlers, const struct rpc_method *method)
{
  void (*handler)(void) = NULL;
  if (handlers != NULL)
    memcpy(&handler, (const char *)handlers + method->handler_offset, sizeof(handler));
  return handler != NULL;
}

enum status dispatch_check_handlers(const struct rpc_binding *bindings, size_t binding_count, struct error *error)
{
  struct strbuf missing;
  strbuf_init(&missing, sizeof(error->message) / 2);
  for (size_t i = 0; i < binding_count; i++)
    for (size_t m = 0; m < bindings[i].service->method_count; m++) {
      const struct rpc_method *method = &bindings[i].service->methods[m];
      if (has_handler(bindings[i].handlers, method))
        continue;
      strbuf_add_string(&missing, missing.size == 0 ? "" : ", ");
      strbuf_add_string(&missing, method->full_name);
    }
  enum status status = STATUS_OK;
  if (missing.size > 0 || missing.failed)
    status = error_set(error, STATUS_UNIMPLEMENTED,
                       "these methods have no handler: %s; set them in the handler struct that main.c binds",
                       strbuf_cstring(&missing));
  strbuf_free(&missing);
  return status;
}

static bool is_stream(const struct rpc_method *method)
{
  return method->client_streams || method->server_streams;
}

uint32_t dispatch_longest_ms(const struct rpc_binding *bindings, size_t binding_count)
{
  uint32_t longest_ms = 0;
  for (size_t i = 0; i < binding_count; i++)
    for (size_t m = 0; m < bindings[i].service->method_count; m++)
      if (!is_stream(&bindings[i].service->methods[m]) && bindings[i].service->methods[m].timeout_ms > longest_ms)
        longest_ms = bindings[i].service->methods[m].timeout_ms;
  return longest_ms;
}

static void add_method(struct dispatch *dispatch, struct served_method *served, const struct rpc_method *method,
                       const void *handlers)
{
  CHECK(method->policy.access >= ACCESS_PUBLIC && method->policy.access <= ACCESS_INTERNAL);
  CHECK(method->policy.access != ACCESS_ROLE || method->policy.role_count > 0);
  CHECK(method->timeout_ms > 0 && method->invoke != NULL);
  *served = (struct served_method){.method = method, .handlers = handlers};
  CHECK(strmap_add(&dispatch->methods, slice_from_string(method->full_name), served));
}

void dispatch_init(struct dispatch *dispatch, struct service *service, const struct rpc_binding *bindings,
                   size_t binding_count)
{
  *dispatch = (struct dispatch){.service = service, .loop = service_loop(service)};
  list_init(&dispatch->calls);
  size_t count = 0;
  for (size_t i = 0; i < binding_count; i++)
    count += bindings[i].service->method_count;
  dispatch->served = calloc(count + 1, sizeof(*dispatch->served));
  CHECK(dispatch->served != NULL);
  struct served_method *next = dispatch->served;
  for (size_t i = 0; i < binding_count; i++) {
    for (size_t m = 0; m < bindings[i].service->method_count; m++)
      add_method(dispatch, next++, &bindings[i].service->methods[m], bindings[i].handlers);
  }
}

void dispatch_free(struct dispatch *dispatch)
{
  strmap_free(&dispatch->methods);
  free(dispatch->served);
  dispatch->served = NULL;
}

bool dispatch_is_vital(void *arg, struct slice method)
{
  const struct dispatch *dispatch = arg;
  const struct served_method *served = strmap_get(&dispatch->methods, method);
  if (served == NULL || is_stream(served->method))
    return false;
  // Without answers of the others nothing cached is served while PostgreSQL is away, which is when calls pile up.
  return served->handlers == &health_handlers || served->handlers == &cache_instances_handlers;
}

// ---- the end of a call ----

static bool is_our_fault(enum status status)
{
  return status == STATUS_INTERNAL || status == STATUS_UNKNOWN || status == STATUS_DATA_LOSS;
}

static void log_end(const struct call *call, enum status status, const struct rpc_status *outcome)
{
  struct slice method = rpc_request_method(call->request);
  struct slice message = outcome->message;
  if (call->method != NULL)
    failure_log_write(&call->dispatch->failures, call->method->full_name, outcome, &call->cause,
                      loop_now_us(call->dispatch->loop));
  if (is_our_fault(status))
    log_error("rpc", "a call failed", LOG_SLICE("method", method), LOG_STATUS(status), LOG_SLICE("reason", message));
  else
    log_debug("rpc", "a call ended", LOG_SLICE("method", method), LOG_STATUS(status), LOG_SLICE("reason", message),
              LOG_INT("durationUs", clock_now_us() - call->began_us));
}

static void send_success(struct call *call)
{
  if (call->method->server_streams)
    rpc_request_reply(call->request, NULL, (struct slice){0});
  else if (call->has_reply_bytes && call->reply_buffer != NULL)
    rpc_request_reply_buffer(call->request, call->reply_buffer);
  else if (call->has_reply_bytes)
    rpc_request_reply(call->request, NULL, call->reply_bytes);
  else
    rpc_request_reply(call->request, NULL, proto_pack_arena(call->output, call->arena));
}

// Replies and frees the call.
static void finish_call(struct call *call, enum status status)
{
  // Maps a status that is no canonical code, which a faulty handler may return, to UNKNOWN.
  status = status_from_code((int)status);
  list_remove(&call->node);
  struct rpc_status outcome = {.code = STATUS_OK};
  if (status != STATUS_OK)
    outcome = call_outcome(call, status);
  log_set_context(&call->log_context);
  log_end(call, status, &outcome);
  stream_release(&call->stream);
  // The texts of the context are freed with the request.
  log_set_context(NULL);
  if (status == STATUS_OK)
    send_success(call);
  else
    rpc_request_reply(call->request, &outcome, (struct slice){0});
}

static enum status invoke_handler(struct call *call)
{
  enum status status = call->method->invoke(call->handlers, call, call->input, call->output);
  bool must_ask = call->method->policy.owner == POLICY_OWNER_STORED;
  if (status != STATUS_OK || !must_ask || call->asked_for_owner)
    return status;
  return call_fail(call, STATUS_INTERNAL, "INTERNAL",
                   "the handler of %s has not asked for the ownership rule of its contract; call call_may before it "
                   "changes or shows anything",
                   call->method->full_name);
}

static bool is_reply_wanted(void *arg)
{
  const struct call *call = arg;
  return rpc_request_is_wanted(call->request);
}

static void run_call(void *arg)
{
  struct call *call = arg;
  struct slice caller = call_caller_id(call);
  task_set_caller(caller.size == 0 ? 0 : hash_bytes(caller));
  task_set_wanted(is_reply_wanted, call);
  // A call that was cancelled, or whose deadline has passed, before its task ran must not begin.
  enum status status = task_check();
  if (status == STATUS_OK)
    status = idempotency_applies(call) ? idempotency_run(call, invoke_handler) : invoke_handler(call);
  if (call->when_done != NULL)
    call->when_done(call);
  call->effect = task_effect();
  call->found_full = task_found_full();
  call->found_unwanted = task_found_unwanted();
  call->cause = task_find_cause(status);
  finish_call(call, status);
}

// ---- the gates before the handler ----

static enum status find_method(struct call *call)
{
  struct slice name = rpc_request_method(call->request);
  const struct served_method *served = strmap_get(&call->dispatch->methods, name);
  if (served == NULL)
    return call_fail(call, STATUS_UNIMPLEMENTED, "UNKNOWN_METHOD", "there is no such method here");
  call->method = served->method;
  call->stream.method = served->method;
  call->stream.ignores_messages = !served->method->client_streams;
  call->handlers = served->handlers;
  call->log_context.method = slice_from_string(served->method->full_name);
  return STATUS_OK;
}

// Tells the operator, because it is a mistake of the suite that no user can mend: the contract or the calling service
// must change.
static void log_unadmitted_peer(const struct call *call, struct slice peer)
{
  static struct log_limit limit;
  uint64_t suppressed;
  if (log_limit_pass(&limit, clock_now_us(), &suppressed))
    log_warn("calls",
             "a service was refused, because the contract does not name it as a caller of the method; add callers: to "
             "the method's policy if it may call",
             LOG_SLICE("peer", peer), LOG_STRING("method", call->method->full_name),
             LOG_INT("refusedSinceLastLine", suppressed + 1));
}

static enum status check_policy(struct call *call)
{
  const char *message = NULL;
  const struct policy_caller caller = call_policy_caller(call);
  enum status status = policy_check(&call->method->policy, &caller, &message);
  if (status == STATUS_OK)
    return STATUS_OK;
  bool is_proven = caller.peer_service.size != 0;
  if (is_proven && !policy_admits_peer(&call->method->policy, caller.peer_service)) {
    log_unadmitted_peer(call, caller.peer_service);
    return call_fail(call, status, "SERVICE_NOT_ADMITTED", "%s", message);
  }
  if (status == STATUS_UNAUTHENTICATED && is_proven && caller.id.size > 0)
    return call_fail(call, status, POLICY_LOGIN_TOO_OLD, "%s", message);
  if (status == STATUS_PERMISSION_DENIED && is_proven)
    return call_fail(call, status, policy_refusal_reason(&call->method->policy, &caller), "%s", message);
  return call_fail(call, status, status_name(status), "%s", message);
}

static enum status check_kind(struct call *call)
{
  if (rpc_request_is_stream(call->request) == is_stream(call->method))
    return STATUS_OK;
  return call_fail(call, STATUS_UNIMPLEMENTED, "WRONG_KIND_OF_CALL",
                   "the method is %s; is the caller's contract older?",
                   is_stream(call->method) ? "one with a stream" : "one without a stream");
}

static enum status read_request(struct call *call)
{
  call->output = proto_new(call->method->output, call->arena);
  if (call->method->client_streams)
    return STATUS_OK;
  call->input = proto_unpack(call->method->input, rpc_request_payload(call->request), call->arena);
  return call_check_message(call, call->input);
}

// The gates run in this order once the caller is known; the first that refuses ends the call.
static enum status (*const gates[])(struct call *call) = {check_policy, check_kind, read_request, call_check_owner};

static enum status pass_gates(struct call *call)
{
  enum status status = STATUS_OK;
  for (size_t i = 0; i < ARRAY_LEN(gates) && status == STATUS_OK; i++)
    status = gates[i](call);
  return status;
}

// Begins a call whose caller could not be known at once.
static void run_unidentified_call(void *arg)
{
  struct call *call = arg;
  struct callers *callers = &call->service->callers;
  struct key_wait wait;
  enum status status = callers_wait(callers, &wait);
  if (status == STATUS_OK && callers_identify(callers, call, &wait) != CALLERS_OK)
    status = call->refusal;
  if (status == STATUS_OK)
    status = pass_gates(call);
  if (status == STATUS_OK)
    run_call(call);
  else
    finish_call(call, status);
}

static void start_call(struct call *call, void (*body)(void *arg))
{
  struct dispatch *dispatch = call->dispatch;
  uint64_t deadline_us =
      deadline_min(rpc_request_deadline_us(call->request), deadline_after_ms(call->began_us, call->method->timeout_ms));
  list_append(&dispatch->calls, &call->node);
  call->task = task_start(dispatch->loop, body, call, deadline_us, &call->log_context);
}

void dispatch_request(void *arg, struct rpc_request *request)
{
  struct dispatch *dispatch = arg;
  struct arena *arena = rpc_request_arena(request);
  struct call *call = arena_alloc(arena, sizeof(*call));
  call_init(call, dispatch->service, arena, rpc_request_context(request));
  call->dispatch = dispatch;
  call->request = request;
  call->began_us = loop_now_us(dispatch->loop);
  stream_init(&call->stream, call, request);
  rpc_request_set_data(request, call);
  log_set_context(&call->log_context);
  enum status status = find_method(call);
  enum callers_result identified = CALLERS_OK;
  if (status == STATUS_OK)
    identified = callers_identify(&dispatch->service->callers, call, NULL);
  if (identified == CALLERS_REFUSED)
    status = call->refusal;
  if (status == STATUS_OK && identified == CALLERS_OK)
    status = pass_gates(call);
  if (status != STATUS_OK) {
    finish_call(call, status);
    return;
  }
  log_set_context(NULL);
  start_call(call, identified == CALLERS_WAIT ? run_unidentified_call : run_call);
}

// A client cancels a call whose time is over, too, and by its clock that may be a moment earlier than here. Such a call
// is left to its deadline, so that the log says why it was late.
static bool is_about_over(const struct call *call)
{
  return deadline_left_ms(rpc_request_deadline_us(call->request), clock_now_us()) <= LATE_CANCEL_MS;
}

void dispatch_cancel(void *arg, struct rpc_request *request)
{
  (void)arg;
  struct call *call = rpc_request_data(request);
  if (call == NULL || is_about_over(call))
    return;
  stream_fail(&call->stream, STATUS_CANCELLED);
  if (call->task != NULL)
    task_cancel(call->task);
}

void dispatch_message(void *arg, struct rpc_request *request, struct slice payload)
{
  (void)arg;
  struct call *call = rpc_request_data(request);
  stream_add(&call->stream, payload);
}

void dispatch_half_close(void *arg, struct rpc_request *request)
{
  (void)arg;
  struct call *call = rpc_request_data(request);
  stream_note_all(&call->stream);
}

void dispatch_writable(void *arg, struct rpc_request *request)
{
  (void)arg;
  struct call *call = rpc_request_data(request);
  stream_wake_writer(&call->stream);
}

static void end_idle_streams(const struct call *call, uint64_t now_us, uint64_t idle_us)
{
  for (struct list *node = call->streams.next; node != &call->streams; node = node->next)
    stream_end_if_idle(CONTAINER_OF(node, struct stream, node), now_us, idle_us);
}

void dispatch_end_idle_streams(struct dispatch *dispatch, uint64_t now_us, uint64_t idle_us)
{
  for (struct list *node = dispatch->calls.next; node != &dispatch->calls; node = node->next) {
    const struct call *call = CONTAINER_OF(node, struct call, node);
    if (is_stream(call->method))
      end_idle_streams(call, now_us, idle_us);
  }
}

void dispatch_cancel_all(struct dispatch *dispatch)
{
  for (struct list *node = dispatch->calls.next; node != &dispatch->calls; node = node->next) {
    struct call *call = CONTAINER_OF(node, struct call, node);
    // Its client may open the stream again at another instance.
    stream_fail(&call->stream, STATUS_UNAVAILABLE);
    task_cancel(call->task);
  }
}

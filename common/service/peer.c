// Calls to other services. A task waits with its completion on its own stack, so a task that leaves early (deadline,
// cancellation) cancels the call: a late reply must not finish a completion that is gone.
#include "common/base/check.h"
#include "common/runtime/task.h"
#include "common/service/call_internal.h"
#include "common/service/peer_internal.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/service_internal.h"

// A task that waits for a peer's reply.
struct waiting {
  struct completion done;
  struct call *call;  // the request that the task works on; NULL for background work
  struct arena *arena;
  enum status status;
  bool not_applied;  // the failure says that nothing has happened
  struct slice payload;
};

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct waiting *waiting = arg;
  waiting->status = status->code;
  waiting->not_applied = slice_equal_string(status->reason, RPC_NOT_APPLIED);
  if (status->code == STATUS_OK)
    waiting->payload = arena_copy(waiting->arena, payload);
  else if (waiting->call != NULL)
    call_keep_peer_status(waiting->call, status);
  completion_finish(&waiting->done, STATUS_OK);
}

// The request of a call, which stays until the call has ended.
struct outgoing {
  struct strbuf payload;
  struct peer_context context;
};

void peer_make_context(struct peer_context *out, const struct call *call)
{
  struct trace_context parent;
  struct trace_context span;
  out->context = call == NULL ? (struct rpc_context){0} : *call->context;
  if (trace_parse(out->context.traceparent, &parent))
    trace_child(&parent, &span);
  else
    trace_start(&span);
  trace_format(&span, out->traceparent);
  out->context.traceparent = slice_from_string(out->traceparent);
  // The RPC client sets the name of this service itself.
  out->context.peer_service = (struct slice){0};
  // The key names the client's request, not the calls that serve it.
  out->context.idempotency_key = (struct slice){0};
  if (out->context.request_id.size > 0)
    return;
  uuid_v7(out->request_id);
  out->context.request_id = slice_from_string(out->request_id);
}

static struct rpc_call *send_call(struct service *service, const struct rpc_method *method,
                                  const struct outgoing *outgoing, struct waiting *waiting)
{
  const struct rpc_call_options options = {
      .service = method->service,
      .method = slice_from_string(method->full_name),
      .payload = strbuf_slice(&outgoing->payload),
      .deadline_us =
          deadline_min(task_deadline_us(), deadline_after_ms(loop_now_us(service->loop), method->timeout_ms)),
      .context = &outgoing->context.context,
      .keeps_request = true,
      .is_repeatable = method->no_side_effects,
      .hedge_after_ms = method->hedge_after_ms,
  };
  return rpc_client_call(service->client, &options, on_done, waiting);
}

enum status peer_set_failure(struct call *call, enum status status, const char *reason, const char *message)
{
  const struct rpc_status peer = {
      .code = status, .message = slice_from_string(message), .reason = slice_from_string(reason)};
  if (call != NULL)
    call_keep_peer_status(call, &peer);
  return status;
}

enum task_effect peer_find_effect(enum status status, bool not_applied)
{
  if (status == STATUS_OK)
    return TASK_EFFECT_DONE;
  return not_applied ? TASK_NO_EFFECT : TASK_EFFECT_UNKNOWN;
}

void peer_note_effect(const struct rpc_method *method, enum task_effect effect)
{
  if (!method->no_side_effects)
    task_note_effect(effect);
}

// Sends the call and waits until it has ended, or until the task may not wait any longer.
static enum status wait_for_reply(struct service *service, const struct rpc_method *method,
                                  const struct outgoing *outgoing, struct waiting *waiting)
{
  struct rpc_call *handle = send_call(service, method, outgoing, waiting);
  enum status status = completion_wait(&waiting->done);
  if (waiting->done.done) {
    peer_note_effect(method, peer_find_effect(waiting->status, waiting->not_applied));
    return waiting->status;
  }
  bool has_left = rpc_call_cancel(handle);
  peer_note_effect(method, has_left ? TASK_EFFECT_UNKNOWN : TASK_NO_EFFECT);
  return peer_set_failure(waiting->call, status, has_left ? RPC_OUTCOME_UNKNOWN : RPC_NOT_APPLIED, "");
}

// Notes why the call to the other service has failed, as far as it is known here.
static void note_cause(const struct rpc_method *method, enum status status)
{
  task_note_cause((struct task_cause){status,
                                      "a call to another service has failed; where that was reached, its log has a "
                                      "line with the same requestId",
                                      method->full_name});
}

enum status call_peer(struct service *service, struct call *call, const struct rpc_method *method,
                      const ProtobufCMessage *request, struct arena *arena, ProtobufCMessage **response)
{
  *response = NULL;
  if (call != NULL)
    call->peer_status = (struct rpc_status){.code = STATUS_OK};
  enum status status = task_check();
  if (status != STATUS_OK)
    return peer_set_failure(call, status, RPC_NOT_APPLIED, "");
  service_follow_peer(service, method->service);
  struct waiting waiting = {.done = {.what = method->full_name}, .call = call, .arena = arena};
  struct outgoing outgoing;
  peer_make_context(&outgoing.context, call);
  strbuf_init(&outgoing.payload, 0);
  proto_pack(request, &outgoing.payload);
  status = wait_for_reply(service, method, &outgoing, &waiting);
  strbuf_free(&outgoing.payload);
  if (status != STATUS_OK) {
    note_cause(method, status);
    return status;
  }
  *response = proto_unpack(method->output, waiting.payload, arena);
  if (*response == NULL)
    return peer_set_failure(call, STATUS_INTERNAL, "MALFORMED_REPLY",
                            "another service sent a reply that could not be read");
  return STATUS_OK;
}

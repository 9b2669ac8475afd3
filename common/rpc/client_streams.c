// The messages of streams at the client. The host keeps what it has not used yet; here is only the credit of both
// sides.
#include "common/base/compiler.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/packet_internal.h"

static void send_frame(struct rpc_call *call, struct rpc_frame *frame)
{
  frame->call_id = call->id;
  (void)sender_add(&call->attempt.endpoint->sender, frame);
}

// The call is not sent again, so what it would be sent from is not needed any more.
static void note_streamed(struct rpc_call *call)
{
  call->has_streamed = true;
  strbuf_free(&call->copy);
}

static void send_half_close(struct rpc_call *call)
{
  struct rpc_frame frame = {.kind = RPC_FRAME_HALF_CLOSE};
  send_frame(call, &frame);
}

void client_begin_stream(struct rpc_call *call)
{
  if (call->flow.sends_no_more)
    send_half_close(call);
  else
    list_append(&call->client->blocked, &call->backlog_node);
}

// ---- messages that come ----

static void handle_message(struct rpc_call *call, struct slice payload)
{
  note_streamed(call);
  if (stream_flow_count_received(&call->flow, payload.size)) {
    call->stream->on_message(call->arg, payload);
    return;
  }
  static struct log_limit limit;
  uint64_t suppressed;
  if (log_limit_pass(&limit, call->client->now_us, &suppressed))
    log_warn("rpc", "ended a stream, because its server has sent more than it may; look at the server's version",
             LOG_SLICE("method", call->method), LOG_STRING("endpoint", call->attempt.endpoint->id),
             LOG_INT("alsoBefore", suppressed));
  client_cancel_attempt(&call->attempt);
  client_fail_call(call, STATUS_INTERNAL, true, "the server has sent a message without credit for it");
}

bool client_handle_stream_frame(struct endpoint *endpoint, const struct rpc_frame *frame)
{
  if (frame->kind != RPC_FRAME_MESSAGE && frame->kind != RPC_FRAME_CREDIT)
    return false;
  struct rpc_call *call = call_table_find(&endpoint->channel->client->calls, frame->call_id);
  // A frame that has crossed with the end of its call is dropped.
  if (call == NULL || call->state != CALL_IN_FLIGHT || call->attempt.endpoint != endpoint || call->stream == NULL)
    return true;
  // The stream may last for days: its breaker need not wait for its end.
  client_note_answer(&call->attempt);
  if (frame->kind == RPC_FRAME_MESSAGE)
    handle_message(call, frame->payload);
  else if (stream_flow_add_credit(&call->flow, frame->credit) && rpc_call_may_write(call))
    call->stream->on_writable(call->arg);
  return true;
}

void rpc_call_take_messages(struct rpc_call *call, size_t count, size_t size)
{
  struct rpc_frame frame = {.kind = RPC_FRAME_CREDIT, .credit = stream_flow_take(&call->flow, count, size)};
  if (frame.credit != 0 && call->state == CALL_IN_FLIGHT)
    send_frame(call, &frame);
}

// ---- messages that leave ----

bool rpc_call_may_write(struct rpc_call *call)
{
  if (call->state != CALL_IN_FLIGHT || !stream_flow_may_send(&call->flow))
    return false;
  if (sender_unsent_bytes(&call->attempt.endpoint->sender) < stream_backlog(call->client->endpoints.max_message_bytes))
    return true;
  list_remove(&call->backlog_node);
  list_append(&call->client->blocked, &call->backlog_node);
  return false;
}

bool rpc_call_write(struct rpc_call *call, struct slice payload)
{
  struct rpc_frame frame = {.kind = RPC_FRAME_MESSAGE, .call_id = call->id, .payload = payload};
  if (rpc_frame_packed_size(&frame) + RPC_TAIL_MAX_BYTES > call->client->endpoints.max_message_bytes)
    return false;
  stream_flow_count_sent(&call->flow, payload.size);
  note_streamed(call);
  send_frame(call, &frame);
  return true;
}

void rpc_call_half_close(struct rpc_call *call)
{
  if (call->flow.sends_no_more)
    return;
  call->flow.sends_no_more = true;
  if (call->state == CALL_IN_FLIGHT)
    send_half_close(call);
}

void client_wake_writers(struct rpc_client *client)
{
  // A stream whose connection still has too much to send comes back into the list.
  struct list waiting;
  list_init(&waiting);
  (void)list_move_all(&client->blocked, &waiting);
  while (!list_empty(&waiting)) {
    struct rpc_call *call = CONTAINER_OF(waiting.next, struct rpc_call, backlog_node);
    list_remove(&call->backlog_node);
    if (rpc_call_may_write(call))
      call->stream->on_writable(call->arg);
  }
}

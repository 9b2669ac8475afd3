// The messages of streams at the server. The host keeps what it has not used yet; here is only the credit of both
// sides.
#include "common/base/compiler.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"
#include "common/rpc/server_internal.h"

// ---- messages that come ----

// Ends a stream because of what its client does.
static void end_stream(struct rpc_server *server, struct rpc_request *request, const struct rpc_status *status)
{
  static struct log_limit limit;
  uint64_t suppressed;
  const struct rpc_frame reply = {
      .call_id = request->frame.call_id, .kind = RPC_FRAME_RESPONSE, .has_status = true, .status = *status};
  if (log_limit_pass(&limit, server->now_us, &suppressed))
    log_warn("rpc", "ended a stream because of what its client sends; look at the client's version and its load",
             LOG_SLICE("reason", status->reason), LOG_SLICE("method", request->frame.method),
             LOG_SLICE("peer", request->frame.context.peer_service), LOG_INT("alsoBefore", suppressed));
  server_queue_frame(server, request->connection, &reply, request->owner);
  server_cancel_request(server, request, REQUEST_CANCELLED);
}

static void handle_message(struct rpc_server *server, struct rpc_request *request, struct slice payload)
{
  static const struct rpc_status no_credit = {
      .code = STATUS_INTERNAL,
      .message =
          SLICE_INIT("the client has sent a message without credit for it, or after its last one; a client waits "
                     "for a frame with credit, see packet.proto"),
      .reason = SLICE_INIT("NO_CREDIT")};
  static const struct rpc_status too_much = {
      .code = STATUS_RESOURCE_EXHAUSTED,
      .message =
          SLICE_INIT("too many bytes of messages over this connection wait in this instance; send fewer at a time"),
      .reason = SLICE_INIT("TOO_MANY_UNREAD_MESSAGES")};
  struct connection *connection = request->connection;
  if (!stream_flow_count_received(&request->flow, payload.size)) {
    end_stream(server, request, &no_credit);
    return;
  }
  connection->kept_bytes += stream_flow_cost(payload.size);
  if (connection->kept_bytes > SERVER_CONGESTED_MESSAGES * server->options.max_message_bytes)
    end_stream(server, request, &too_much);
  else
    server->options.on_message(server->options.arg, request, payload);
}

void server_forget_messages(struct rpc_request *request)
{
  if (request->connection != NULL)
    request->connection->kept_bytes -= (size_t)request->flow.kept;
  request->flow.kept = 0;
}

static void handle_half_close(struct rpc_server *server, struct rpc_request *request)
{
  if (request->flow.receives_no_more)
    return;
  request->flow.receives_no_more = true;
  server->options.on_half_close(server->options.arg, request);
}

bool server_handle_stream_frame(struct rpc_server *server, const struct connection *connection,
                                const struct rpc_frame *frame)
{
  if (frame->kind != RPC_FRAME_MESSAGE && frame->kind != RPC_FRAME_HALF_CLOSE && frame->kind != RPC_FRAME_CREDIT)
    return false;
  struct rpc_request *request = request_table_find(&server->requests, connection, frame->call_id);
  // A frame that has crossed with the end of its stream is dropped.
  if (request == NULL || !request->is_stream || request->state != REQUEST_RUNNING)
    return true;
  if (frame->kind == RPC_FRAME_MESSAGE)
    handle_message(server, request, frame->payload);
  else if (frame->kind == RPC_FRAME_HALF_CLOSE)
    handle_half_close(server, request);
  else if (stream_flow_add_credit(&request->flow, frame->credit) && rpc_request_may_write(request))
    server->options.on_writable(server->options.arg, request);
  return true;
}

bool rpc_request_is_stream(const struct rpc_request *request)
{
  return request->is_stream;
}

void rpc_request_take_message(struct rpc_request *request, size_t size)
{
  uint32_t credit = stream_flow_take(&request->flow, 1, size);
  if (request->connection != NULL)
    request->connection->kept_bytes -= stream_flow_cost(size);
  if (credit == 0 || request->state != REQUEST_RUNNING)
    return;
  const struct rpc_frame frame = {.call_id = request->frame.call_id, .kind = RPC_FRAME_CREDIT, .credit = credit};
  server_queue_frame(request->server, request->connection, &frame, 0);
}

// ---- messages that leave ----

bool rpc_request_may_write(struct rpc_request *request)
{
  if (request->state != REQUEST_RUNNING || !stream_flow_may_send(&request->flow))
    return false;
  if (sender_unsent_bytes(&request->connection->sender) < stream_backlog(request->server->options.max_message_bytes))
    return true;
  list_remove(&request->backlog_node);
  list_append(&request->server->blocked, &request->backlog_node);
  return false;
}

bool rpc_request_write(struct rpc_request *request, struct slice payload)
{
  struct rpc_server *server = request->server;
  const struct rpc_frame frame = {.call_id = request->frame.call_id, .kind = RPC_FRAME_MESSAGE, .payload = payload};
  if (rpc_frame_packed_size(&frame) + RPC_TAIL_MAX_BYTES > server->options.max_message_bytes)
    return false;
  stream_flow_count_sent(&request->flow, payload.size);
  server_queue_frame(server, request->connection, &frame, request->owner);
  return true;
}

void server_wake_writers(struct rpc_server *server)
{
  // A stream whose connection still has too much to send comes back into the list.
  struct list waiting;
  list_init(&waiting);
  (void)list_move_all(&server->blocked, &waiting);
  while (!list_empty(&waiting)) {
    struct rpc_request *request = CONTAINER_OF(waiting.next, struct rpc_request, backlog_node);
    list_remove(&request->backlog_node);
    if (rpc_request_may_write(request))
      server->options.on_writable(server->options.arg, request);
  }
}

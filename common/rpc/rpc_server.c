// Requests in, replies out. Everything runs on the host's thread; nng's threads only push connection events.
//
// The copy of a received packet lives until its last request has been replied to. Replies are encoded straight into the
// outbox of their connection, large ones without being copied, and leave with the flush, or as soon as they fill a
// packet.
#include "common/rpc/rpc_server.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/connection_internal.h"
#include "common/rpc/link_internal.h"
#include "common/rpc/method_metrics_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/request_internal.h"
#include "common/rpc/server_internal.h"
#include "common/rpc/transport_internal.h"
#include "common/security/tls.h"

#define DEFAULT_CALLS_IN_FLIGHT 4096
// The replies that may wait for a client, in messages of the largest size, before its connection is closed. More than
// SERVER_CONGESTED_MESSAGES, for the replies of requests that run already.
#define MAX_UNSENT_MESSAGES 16
#define DEFAULT_STREAMS 2048
// Requests to vital methods that are taken beyond max_calls_in_flight.
#define VITAL_CALLS 64
// A caller whose replies are more than this part of the largest message gets no new ones, so that others get theirs.
#define CALLER_MESSAGE_PART 2

// ---- replies ----

static bool has_unsent_messages(const struct rpc_server *server, const struct connection *connection, size_t count)
{
  return sender_unsent_bytes(&connection->sender) > count * server->options.max_message_bytes;
}

static struct rpc_frame make_reply(uint64_t call_id, const struct rpc_status *status, struct slice payload)
{
  struct rpc_frame frame = {.call_id = call_id, .kind = RPC_FRAME_RESPONSE, .payload = payload};
  if (status != NULL) {
    frame.has_status = true;
    frame.status = *status;
  }
  return frame;
}

static bool is_congested(const struct rpc_server *server, const struct connection *connection, uint8_t owner)
{
  size_t owned = owner == 0 ? 0 : connection->sender.outbox.owned_bytes[owner];
  return owned > server->options.max_message_bytes / CALLER_MESSAGE_PART ||
         has_unsent_messages(server, connection, SERVER_CONGESTED_MESSAGES);
}

void server_queue_frame(struct rpc_server *server, struct connection *connection, const struct rpc_frame *frame,
                        uint8_t owner)
{
  (void)sender_add_owned(&connection->sender, frame, owner);
  if (has_unsent_messages(server, connection, MAX_UNSENT_MESSAGES))
    server_abandon_client(server, connection);
}

static bool reply_fits(const struct rpc_server *server, const struct rpc_frame *reply)
{
  // The usual reply is decided without a look at the sizes of all fields.
  if (!reply->has_status && reply->payload.size < server->options.max_message_bytes / 2)
    return true;
  return rpc_frame_packed_size(reply) + RPC_TAIL_MAX_BYTES <= server->options.max_message_bytes;
}

static void count_reply(struct rpc_server *server, const struct rpc_request *request, enum status code)
{
  uint64_t now_us = clock_now_us();
  // Method names come from the network. One becomes a label only when a handler has known it.
  bool known = code != STATUS_UNIMPLEMENTED;
  method_metrics_count(&server->methods, request->frame.method, known, code,
                       now_us > request->arrived_us ? now_us - request->arrived_us : 0);
  metric_add(server->in_flight, -1);
}

static void free_request(struct rpc_request **request_pointer)
{
  struct rpc_request *request = *request_pointer;
  *request_pointer = NULL;
  if (request == NULL)
    return;
  list_remove(&request->node);
  list_remove(&request->backlog_node);
  if (request->message != NULL)
    shared_message_release(&request->message);
  arena_free(&request->arena);
  free(request);
}

static void send_reply(struct rpc_request *request, struct rpc_frame reply)
{
  static const struct rpc_status too_large = {.code = STATUS_INTERNAL,
                                              .message = SLICE_INIT("the reply is larger than a message may be")};
  struct rpc_server *server = request->server;
  if (!reply_fits(server, &reply))
    reply = make_reply(request->frame.call_id, &too_large, (struct slice){0});
  count_reply(server, request, reply.has_status ? reply.status.code : STATUS_OK);
  struct connection *connection = request->connection;
  if (connection != NULL && request->state == REQUEST_RUNNING)
    server_queue_frame(server, connection, &reply, request->owner);
  request_table_remove(&server->requests, request);
  if (request->is_stream) {
    server->streams--;
    server_forget_messages(request);
  }
  free_request(&request);
}

void rpc_request_reply(struct rpc_request *request, const struct rpc_status *status, struct slice payload)
{
  bool failed = status != NULL && status->code != STATUS_OK;
  send_reply(request, make_reply(request->frame.call_id, failed ? status : NULL, failed ? (struct slice){0} : payload));
}

void rpc_request_reply_buffer(struct rpc_request *request, struct strbuf *payload)
{
  // The struct may lie in the request's arena, which is freed with the reply.
  struct strbuf taken = *payload;
  strbuf_init(payload, 0);
  struct rpc_frame reply = make_reply(request->frame.call_id, NULL, strbuf_slice(&taken));
  reply.buffer = &taken;
  send_reply(request, reply);
  strbuf_free(&taken);
}

// ---- requests ----

static void count_malformed(const struct connection *connection)
{
  metric_add(metrics_single(METRIC_RPC_MALFORMED), 1);
  log_debug("rpc", "dropped a packet or frame that could not be read", LOG_INT("connection", connection->number));
}

void server_cancel_request(struct rpc_server *server, struct rpc_request *request, enum request_state state)
{
  bool first = request->state == REQUEST_RUNNING;
  request->state = state;
  list_remove(&request->backlog_node);
  if (first && server->options.on_cancel != NULL)
    server->options.on_cancel(server->options.arg, request);
}

static struct rpc_request *get_spare(struct rpc_server *server)
{
  if (server->spare == NULL) {
    server->spare = calloc(1, sizeof(*server->spare));
    CHECK(server->spare != NULL);
    list_init(&server->spare->node);
    list_init(&server->spare->backlog_node);
  }
  return server->spare;
}

// A stream may last for long, and does not keep the packet that it came in.
static void copy_frame(struct rpc_request *request)
{
  struct rpc_context *context = &request->frame.context;
  struct slice *const slices[] = {&request->frame.method,   &request->frame.payload, &context->request_id,
                                  &context->traceparent,    &context->access_token,  &context->idempotency_key,
                                  &context->client_address, &context->user_agent};
  for (size_t i = 0; i < ARRAY_LEN(slices); i++)
    *slices[i] = arena_copy(&request->arena, *slices[i]);
  shared_message_release(&request->message);
}

static void begin_stream(struct rpc_request *request)
{
  request->flow = stream_flow_make(request->frame.credit, 0);
  request->server->streams++;
  copy_frame(request);
}

// Makes the spare request a real one and gives it to the handler.
static void begin_request(struct rpc_server *server, struct connection *connection, struct shared_message *message)
{
  struct rpc_request *request = server->spare;
  server->spare = NULL;
  request->server = server;
  request->connection = connection;
  request->message = message;
  message->users++;
  request->arrived_us = server->now_us;
  request->frame.context.peer_service = (struct slice){0};
  if (connection->peer != NULL)
    request->frame.context.peer_service = arena_copy(&request->arena, slice_from_string(connection->peer));
  request->deadline_us = request_find_deadline(&request->frame, server->now_us);
  request->is_stream = request->frame.credit != 0;
  if (request->is_stream)
    begin_stream(request);
  list_append(&connection->requests, &request->node);
  request_table_add(&server->requests, request);
  metric_add(server->in_flight, 1);
  server->options.on_request(server->options.arg, request);
}

static size_t count_calls(const struct rpc_server *server)
{
  return request_table_count(&server->requests) - server->streams;
}

static bool is_vital(const struct rpc_server *server, const struct rpc_frame *frame)
{
  const struct rpc_server_options *options = &server->options;
  return frame->credit == 0 && options->is_vital != NULL &&
         count_calls(server) < options->max_calls_in_flight + VITAL_CALLS &&
         options->is_vital(options->arg, frame->method);
}

static enum request_room find_usual_room(const struct rpc_server *server, const struct connection *connection,
                                         uint8_t owner)
{
  bool opens_stream = server->spare->frame.credit != 0;
  if (opens_stream && server->streams >= server->options.max_streams)
    return REQUEST_TOO_MANY_STREAMS;
  if (!opens_stream && count_calls(server) >= server->options.max_calls_in_flight)
    return REQUEST_TOO_MANY_CALLS;
  return is_congested(server, connection, owner) ? REQUEST_TOO_MANY_BYTES : REQUEST_HAS_ROOM;
}

static enum request_room find_room(const struct rpc_server *server, const struct connection *connection, uint8_t owner)
{
  enum request_room room = find_usual_room(server, connection, owner);
  return room != REQUEST_HAS_ROOM && is_vital(server, &server->spare->frame) ? REQUEST_HAS_ROOM : room;
}

bool rpc_request_is_wanted(const struct rpc_request *request)
{
  return request->connection != NULL && request->state == REQUEST_RUNNING &&
         !is_congested(request->server, request->connection, request->owner);
}

static void handle_request(struct rpc_server *server, struct connection *connection, struct shared_message *message)
{
  static const struct rpc_status no_streams = {.code = STATUS_UNIMPLEMENTED,
                                               .message = SLICE_INIT("no streams are served here")};
  const struct rpc_frame *frame = &server->spare->frame;
  if (request_is_probe(frame)) {
    struct rpc_frame answer = make_reply(0, NULL, (struct slice){0});
    server_queue_frame(server, connection, &answer, 0);
    return;
  }
  uint8_t owner = request_find_owner(&frame->context);
  const struct rpc_status *refusal =
      request_find_refusal(connection->state, frame, server->now_us, find_room(server, connection, owner));
  if (refusal == NULL && frame->credit != 0 && server->options.on_message == NULL)
    refusal = &no_streams;
  if (refusal == NULL) {
    server->spare->owner = owner;
    begin_request(server, connection, message);
    return;
  }
  method_metrics_count(&server->methods, frame->method, false, refusal->code, 0);
  struct rpc_frame reply = make_reply(frame->call_id, refusal, (struct slice){0});
  server_queue_frame(server, connection, &reply, owner);
}

static void handle_cancel(struct rpc_server *server, const struct connection *connection, uint64_t call_id)
{
  struct rpc_request *request = request_table_find(&server->requests, connection, call_id);
  if (request != NULL)
    server_cancel_request(server, request, REQUEST_CANCELLED);
}

static void handle_frame(struct rpc_server *server, struct connection *connection, struct slice bytes,
                         struct shared_message *message)
{
  struct rpc_request *spare = get_spare(server);
  arena_reset(&spare->arena);
  bool readable = rpc_frame_decode(bytes, &spare->arena, &spare->frame);
  if (readable && spare->frame.kind == RPC_FRAME_REQUEST)
    handle_request(server, connection, message);
  else if (readable && spare->frame.kind == RPC_FRAME_CANCEL)
    handle_cancel(server, connection, spare->frame.call_id);
  else if (!readable || !server_handle_stream_frame(server, connection, &spare->frame))
    // Kinds of a later version are not an error here, but the counter shows that they come.
    count_malformed(connection);
  connection_count_unproven(connection);
}

// ---- connections ----

void server_close_connection(struct rpc_server *server, struct connection *connection)
{
  // A handler may reply from inside on_cancel, so each request leaves the list before it is cancelled.
  while (!list_empty(&connection->requests)) {
    struct rpc_request *request = CONTAINER_OF(connection->requests.next, struct rpc_request, node);
    list_remove(&request->node);
    request->connection = NULL;
    server_cancel_request(server, request, REQUEST_ORPHANED);
  }
  connection_close(&connection);
}

static void handle_hello(struct rpc_server *server, struct connection *connection, struct slice hello)
{
  if (hello.size == 0 || server->options.identity == NULL)
    return;
  connection_take_hello(connection, server->options.identity, hello);
  server_schedule_recheck(server);
  if (server->draining)
    connection_send_goaway(connection, SLICE(""));
}

static void handle_packet(struct rpc_server *server, struct connection *connection, struct shared_message *message)
{
  struct rpc_packet_reader reader = rpc_packet_reader_make(slice_make(message->bytes, message->size));
  struct slice frame;
  sender_begin_packet(&connection->sender);
  enum wire_result result = rpc_packet_next(&reader, &frame);
  handle_hello(server, connection, reader.hello);
  connection_count_unproven(connection);
  for (; result == WIRE_FIELD && connection->state != CONNECTION_REFUSED; result = rpc_packet_next(&reader, &frame))
    handle_frame(server, connection, frame, message);
  if (result == WIRE_MALFORMED)
    count_malformed(connection);
  bool advanced = sender_end_packet(&connection->sender, reader.acked);
  if (advanced && sender_is_acked(&connection->sender))
    connection_note_all_acked(connection);
  sender_queue_due_ack(&connection->sender);
}

// Requests that came before the end of the connection are still seen, and cancelled.
void server_receive_packets(void *arg)
{
  struct connection *connection = arg;
  struct slice packet;
  enum packet_stream_result result;
  while ((result = packet_stream_next(connection->stream, &packet)) == PACKET_STREAM_READ) {
    if (connection->state == CONNECTION_ABANDONED)
      continue;
    struct shared_message *message = shared_message_make(packet);
    handle_packet(connection->server, connection, message);
    shared_message_release(&message);
    if (connection->state == CONNECTION_REFUSED) {
      server_close_connection(connection->server, connection);
      return;
    }
  }
  if (result == PACKET_STREAM_OVER)
    server_close_connection(connection->server, connection);
}

static void open_connection(struct rpc_server *server, struct rpc_opened *opened)
{
  const struct connection_options options = {
      .server = server,
      .number = ++server->last_connection,
      .max_message_bytes = server->options.max_message_bytes,
      .transport = &server->transport,
      .on_readable = server_receive_packets,
      .packets = server->packets,
      .needs_proof = server->options.identity != NULL,
  };
  struct connection *connection = connection_open(opened, &options);
  list_append(&server->connections, &connection->node);
  connection->opened_us = server->now_us;
  if (server->draining)
    connection_send_goaway(connection, SLICE(""));
  server_watch_connection(server, connection);
}

static void handle_events(void *arg)
{
  struct rpc_server *server = arg;
  size_t count;
  struct pipe_event *events = transport_take_events(&server->transport, &count);
  for (size_t i = 0; i < count; i++)
    open_connection(server, &events[i].opened);
  free(events);
}

void rpc_server_process(struct rpc_server *server, uint64_t now_us)
{
  server->now_us = now_us;
  (void)transport_poll(&server->transport);
  server_run_watches(server);
}

uint64_t rpc_server_next_timeout_us(const struct rpc_server *server)
{
  return server_next_watch_us(server);
}

void rpc_server_flush(struct rpc_server *server)
{
  send_queue_flush(&server->transport.sends);
  // What the woken ones write leaves, too.
  server_wake_writers(server);
  send_queue_flush(&server->transport.sends);
}

int rpc_server_fd(const struct rpc_server *server)
{
  return server->transport.epoll_fd;
}

// ---- draining ----

void rpc_server_drain(struct rpc_server *server)
{
  server->draining = true;
  for (struct list *node = server->connections.next; node != &server->connections; node = node->next)
    connection_send_goaway(CONTAINER_OF(node, struct connection, node), SLICE(""));
}

size_t rpc_server_calls_in_flight(const struct rpc_server *server)
{
  return request_table_count(&server->requests);
}

bool rpc_server_idle(const struct rpc_server *server)
{
  for (const struct list *node = server->connections.next; node != &server->connections; node = node->next)
    if (!connection_is_idle(CONTAINER_OF(node, struct connection, node), server->draining))
      return false;
  return true;
}

// ---- life ----

static struct rpc_server *make_server(const struct rpc_server_options *options)
{
  struct rpc_server *server = calloc(1, sizeof(*server));
  CHECK(server != NULL);
  server->options = *options;
  server->options.listen_url = NULL;
  server->options.tls = (struct rpc_tls){0};
  if (options->max_message_bytes == 0)
    server->options.max_message_bytes = RPC_MAX_MESSAGE_BYTES;
  if (options->max_calls_in_flight == 0)
    server->options.max_calls_in_flight = DEFAULT_CALLS_IN_FLIGHT;
  if (options->max_streams == 0)
    server->options.max_streams = DEFAULT_STREAMS;
  transport_init(&server->transport);
  transport_watch_events(&server->transport, handle_events, server);
  list_init(&server->connections);
  list_init(&server->blocked);
  method_metrics_init(&server->methods, METRIC_RPC_SERVER_CALLS, METRIC_RPC_SERVER_DURATION);
  server->in_flight = metrics_single(METRIC_RPC_SERVER_IN_FLIGHT);
  server->packets = metrics_single(METRIC_RPC_SERVER_PACKETS);
  server->now_us = clock_now_us();
  server->unproven_until_us = DEADLINE_NONE;
  server->recheck_us = DEADLINE_NONE;
  server->look_us = DEADLINE_NONE;
  return server;
}

enum status rpc_server_create(const struct rpc_server_options *options, struct rpc_server **out, struct error *error)
{
  struct rpc_server *server = make_server(options);
  server->tls = rpc_tls_open(&options->tls);
  const struct rpc_link_options link = {
      .url = options->listen_url, .tls = server->tls, .events = &server->transport.events};
  enum status status = rpc_link_listen(&link, &server->link, &server->port, error);
  if (status != STATUS_OK) {
    rpc_server_free(&server);
    return status;
  }
  *out = server;
  return STATUS_OK;
}

void rpc_server_free(struct rpc_server **server_pointer)
{
  struct rpc_server *server = *server_pointer;
  if (server == NULL)
    return;
  *server_pointer = NULL;
  CHECK(request_table_count(&server->requests) == 0);
  while (!list_empty(&server->connections)) {
    struct connection *connection = CONTAINER_OF(server->connections.next, struct connection, node);
    connection_close(&connection);
  }
  rpc_link_close(&server->link);
  tls_context_free(&server->tls);
  transport_free(&server->transport);
  request_table_free(&server->requests);
  method_metrics_free(&server->methods);
  free_request(&server->spare);
  free(server);
}

int rpc_server_port(const struct rpc_server *server)
{
  return server->port;
}

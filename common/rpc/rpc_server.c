// Requests in, replies out. Everything runs on the host's thread; nng's threads only push connection events.
//
// The copy of a received packet lives until its last request has been replied to. Replies are encoded straight into the
// outbox of their connection and leave with the flush, or as soon as they fill a packet.
#include "common/rpc/rpc_server.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/connection_internal.h"
#include "common/rpc/greeting_internal.h"
#include "common/rpc/link_internal.h"
#include "common/rpc/method_metrics_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/request_internal.h"
#include "common/rpc/transport_internal.h"
#include "common/security/tls.h"

#define DEFAULT_CALLS_IN_FLIGHT 4096
// The replies that a client may leave unread before it is given up, in messages of the largest size.
#define MAX_UNSENT_MESSAGES 16
// The connections that may be open without a proof of the client's name: when another comes, the oldest is closed. A
// client of ours proves it with its first packet.
#define MAX_UNPROVEN_CONNECTIONS 256

struct rpc_server {
  struct rpc_server_options options;  // its strings are not kept
  struct transport transport;
  struct tls_context *tls;  // NULL without TLS
  struct rpc_link *link;
  int port;
  struct list connections;  // connection.node
  uint64_t last_connection;
  struct request_table requests;
  struct method_metrics methods;
  struct rpc_request *spare;  // a frame is decoded into it before it is known to be a request
  struct metric_series *in_flight;
  struct metric_series *packets;
  uint64_t now_us;
  // When the first connection without proof has had its time, or earlier; DEADLINE_NONE when there is none.
  uint64_t unproven_until_us;
  uint64_t recheck_us;  // when a client is looked at again, see trust_internal.h; DEADLINE_NONE when there is none
  bool draining;
};

// ---- replies ----

// Gives up a client that sends requests but does not read its replies, because they must not fill the memory. Its
// connection stays open: after a close the client would connect again and send more requests.
static void limit_unsent(const struct rpc_server *server, struct connection *connection)
{
  if (sender_unsent_bytes(&connection->sender) > MAX_UNSENT_MESSAGES * server->options.max_message_bytes)
    connection_abandon(connection);
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

static void queue_reply(const struct rpc_server *server, struct connection *connection, const struct rpc_frame *reply)
{
  (void)sender_add(&connection->sender, reply);
  limit_unsent(server, connection);
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
  if (request->message != NULL)
    shared_message_release(&request->message);
  arena_free(&request->arena);
  free(request);
}

void rpc_request_reply(struct rpc_request *request, const struct rpc_status *status, struct slice payload)
{
  static const struct rpc_status too_large = {.code = STATUS_INTERNAL,
                                              .message = SLICE_INIT("the reply is larger than a message may be")};
  struct rpc_server *server = request->server;
  bool failed = status != NULL && status->code != STATUS_OK;
  struct rpc_frame reply =
      make_reply(request->frame.call_id, failed ? status : NULL, failed ? (struct slice){0} : payload);
  if (!reply_fits(server, &reply))
    reply = make_reply(request->frame.call_id, &too_large, (struct slice){0});
  count_reply(server, request, reply.has_status ? reply.status.code : STATUS_OK);
  struct connection *connection = request->connection;
  if (connection != NULL && request->state == REQUEST_RUNNING)
    queue_reply(server, connection, &reply);
  request_table_remove(&server->requests, request);
  free_request(&request);
}

// ---- requests ----

static void count_malformed(const struct connection *connection)
{
  metric_add(metrics_single(METRIC_RPC_MALFORMED), 1);
  log_debug("rpc", "dropped a packet or frame that could not be read", LOG_INT("connection", connection->number));
}

// Changes the state of a request to cancelled or orphaned, and tells the handler the first time. Nothing else writes
// the state.
static void cancel_request(struct rpc_server *server, struct rpc_request *request, enum request_state state)
{
  bool first = request->state == REQUEST_RUNNING;
  request->state = state;
  if (first && server->options.on_cancel != NULL)
    server->options.on_cancel(server->options.arg, request);
}

static struct rpc_request *get_spare(struct rpc_server *server)
{
  if (server->spare == NULL) {
    server->spare = calloc(1, sizeof(*server->spare));
    CHECK(server->spare != NULL);
    list_init(&server->spare->node);
  }
  return server->spare;
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
  list_append(&connection->requests, &request->node);
  request_table_add(&server->requests, request);
  metric_add(server->in_flight, 1);
  server->options.on_request(server->options.arg, request);
}

static void handle_request(struct rpc_server *server, struct connection *connection, struct shared_message *message)
{
  const struct rpc_frame *frame = &server->spare->frame;
  if (request_is_probe(frame)) {
    struct rpc_frame answer = make_reply(0, NULL, (struct slice){0});
    queue_reply(server, connection, &answer);
    return;
  }
  bool is_full = request_table_count(&server->requests) >= server->options.max_calls_in_flight;
  const struct rpc_status *refusal = request_find_refusal(connection->state, frame, server->now_us, is_full);
  if (refusal == NULL) {
    begin_request(server, connection, message);
    return;
  }
  method_metrics_count(&server->methods, frame->method, false, refusal->code, 0);
  struct rpc_frame reply = make_reply(frame->call_id, refusal, (struct slice){0});
  queue_reply(server, connection, &reply);
}

static void handle_cancel(struct rpc_server *server, const struct connection *connection, uint64_t call_id)
{
  struct rpc_request *request = request_table_find(&server->requests, connection, call_id);
  if (request != NULL)
    cancel_request(server, request, REQUEST_CANCELLED);
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
  else
    // Kinds of a later version are not an error here, but the counter shows that they come.
    count_malformed(connection);
  connection_count_unproven(connection);
}

// ---- connections ----

static void close_connection(struct rpc_server *server, struct connection *connection)
{
  // A handler may reply from inside on_cancel, so each request leaves the list before it is cancelled.
  while (!list_empty(&connection->requests)) {
    struct rpc_request *request = CONTAINER_OF(connection->requests.next, struct rpc_request, node);
    list_remove(&request->node);
    request->connection = NULL;
    cancel_request(server, request, REQUEST_ORPHANED);
  }
  connection_close(&connection);
}

// Lets a client that has just proven its name be looked at in time.
static void schedule_recheck(struct rpc_server *server)
{
  server->recheck_us = deadline_min(server->recheck_us, deadline_after_ms(server->now_us, RPC_RECHECK_MS));
}

// Looks whether all clients would still be let in, and closes revoked connections that are finished.
static void recheck_clients(struct rpc_server *server)
{
  const struct rpc_trust trust = {.tls = server->tls, .identity = server->options.identity};
  struct list *next;
  server->recheck_us = DEADLINE_NONE;
  for (struct list *node = server->connections.next; node != &server->connections; node = next) {
    next = node->next;
    struct connection *connection = CONTAINER_OF(node, struct connection, node);
    uint64_t due_us = connection_recheck(connection, &trust, server->now_us);
    if (due_us == 0)
      close_connection(server, connection);
    else
      server->recheck_us = deadline_min(server->recheck_us, due_us);
  }
}

static void handle_hello(struct rpc_server *server, struct connection *connection, struct slice hello)
{
  if (hello.size == 0 || server->options.identity == NULL)
    return;
  connection_take_hello(connection, server->options.identity, hello);
  schedule_recheck(server);
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

// Handles the packets that have come over a connection, and closes it if it has ended. Requests that came before the
// end are still seen, and cancelled.
static void receive_packets(void *arg)
{
  struct connection *connection = arg;
  struct slice packet;
  enum stream_result result;
  while ((result = rpc_stream_next(connection->stream, &packet)) == STREAM_PACKET) {
    if (connection->state == CONNECTION_ABANDONED)
      continue;
    struct shared_message *message = shared_message_make(packet);
    handle_packet(connection->server, connection, message);
    shared_message_release(&message);
    if (connection->state == CONNECTION_REFUSED) {
      close_connection(connection->server, connection);
      return;
    }
  }
  if (result == STREAM_OVER)
    close_connection(connection->server, connection);
}

// Closes the oldest connection without proof when there are too many. It is read first, because its hello may have come
// in this turn; after that it may be proven or closed.
static void limit_unproven(struct rpc_server *server)
{
  size_t count;
  struct connection *oldest = connection_find_unproven(&server->connections, &count);
  if (count <= MAX_UNPROVEN_CONNECTIONS)
    return;
  oldest->stream->readable = true;
  receive_packets(oldest);
  oldest = connection_find_unproven(&server->connections, &count);
  if (count <= MAX_UNPROVEN_CONNECTIONS)
    return;
  connection_refuse(oldest, "too many connections come without a hello");
  close_connection(server, oldest);
}

// Closes the connections that have not proven their clients' names in time, and notes when the next one is due.
static void expire_unproven(struct rpc_server *server)
{
  size_t count;
  struct connection *oldest;
  server->unproven_until_us = DEADLINE_NONE;
  while ((oldest = connection_find_unproven(&server->connections, &count)) != NULL) {
    uint64_t until_us = deadline_after_ms(oldest->opened_us, RPC_GREETING_TIMEOUT_MS);
    if (until_us > server->now_us) {
      server->unproven_until_us = until_us;
      return;
    }
    connection_refuse(oldest, "it has not shown a hello in time");
    close_connection(server, oldest);
  }
}

static void open_connection(struct rpc_server *server, struct rpc_opened *opened)
{
  const struct connection_options options = {
      .server = server,
      .number = ++server->last_connection,
      .max_message_bytes = server->options.max_message_bytes,
      .transport = &server->transport,
      .on_readable = receive_packets,
      .packets = server->packets,
      .needs_proof = server->options.identity != NULL,
  };
  struct connection *connection = connection_open(opened, &options);
  list_append(&server->connections, &connection->node);
  connection->opened_us = server->now_us;
  if (connection->peer != NULL)
    schedule_recheck(server);
  if (connection->state == CONNECTION_UNPROVEN)
    server->unproven_until_us =
        deadline_min(server->unproven_until_us, deadline_after_ms(server->now_us, RPC_GREETING_TIMEOUT_MS));
  if (server->draining)
    connection_send_goaway(connection, SLICE(""));
  limit_unproven(server);
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
  if (now_us >= server->unproven_until_us)
    expire_unproven(server);
  if (now_us >= server->recheck_us)
    recheck_clients(server);
}

uint64_t rpc_server_next_timeout_us(const struct rpc_server *server)
{
  return deadline_min(server->unproven_until_us, server->recheck_us);
}

void rpc_server_flush(struct rpc_server *server)
{
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
  transport_init(&server->transport);
  transport_watch_events(&server->transport, handle_events, server);
  list_init(&server->connections);
  method_metrics_init(&server->methods, METRIC_RPC_SERVER_CALLS, METRIC_RPC_SERVER_DURATION);
  server->in_flight = metrics_single(METRIC_RPC_SERVER_IN_FLIGHT);
  server->packets = metrics_single(METRIC_RPC_SERVER_PACKETS);
  server->now_us = clock_now_us();
  server->unproven_until_us = DEADLINE_NONE;
  server->recheck_us = DEADLINE_NONE;
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

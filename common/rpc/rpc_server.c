// Requests in, replies out, all on the host's thread; nng's threads only push connection events.
//
// A packet that came in lives until the last request of it has been replied to. Replies are encoded straight into the
// outbox of their connection and leave with the flush, or as soon as they fill a packet.
#include "common/rpc/rpc_server.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/connection_internal.h"
#include "common/rpc/method_metrics_internal.h"
#include "common/rpc/nng_threads_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/pipe_events_internal.h"
#include "common/rpc/reaper_internal.h"
#include "common/rpc/request_internal.h"
#include "common/rpc/socket_internal.h"

#define DEFAULT_CALLS_IN_FLIGHT 4096
// Packets taken in one turn; then the replies get their chance.
#define PACKETS_PER_TURN 256
// What a refused client is told to wait.
#define RETRY_AFTER_MS 100
// Replies that a connection may leave lying here, in full messages, before it is taken for dead.
#define MAX_UNSENT_MESSAGES 16

struct rpc_server {
  struct rpc_server_options options;  // the strings are not kept
  struct rpc_link *link;
  int port;
  int epoll_fd;  // nests the socket's fd and the event queue's
  int send_fd;   // -1 while nng has room
  struct rpc_io io;
  struct reaper *reaper;  // closes the socket at the end; has the event queue
  struct connection_table connections;
  struct list dirty;    // connection.dirty
  struct list holding;  // connection.flow: holds frames back
  struct request_table requests;
  struct method_metrics methods;
  struct rpc_request *spare;  // a frame is decoded into it before we know whether it is a request
  struct metric_series *in_flight;
  struct metric_series *packets;
  uint64_t now_us;
  bool draining;
};

// ---- life ----

// On a thread of nng's. ADD_PRE comes before the first packet can, so a packet never finds its connection missing.
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
  enum pipe_event_kind kind = event == NNG_PIPE_EV_ADD_PRE ? PIPE_OPENED : PIPE_CLOSED;
  pipe_events_push(arg, (struct pipe_event){.kind = kind, .pipe = (uint32_t)pipe.id});
}

static void watch(struct rpc_server *server, int fd)
{
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  CHECK(epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

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
  server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  CHECK(server->epoll_fd >= 0);
  server->send_fd = -1;
  rpc_io_init(&server->io);
  server->reaper = reaper_start();
  connection_table_init(&server->connections);
  list_init(&server->dirty);
  list_init(&server->holding);
  request_table_init(&server->requests, server->options.max_calls_in_flight);
  method_metrics_init(&server->methods, METRIC_RPC_SERVER_CALLS, METRIC_RPC_SERVER_DURATION);
  server->in_flight = metrics_single(METRIC_RPC_SERVER_IN_FLIGHT);
  server->packets = metrics_single(METRIC_RPC_SERVER_PACKETS);
  server->now_us = clock_now_us();
  return server;
}

static void open_socket(struct rpc_server *server)
{
  server->link = calloc(1, sizeof(*server->link));
  CHECK(server->link != NULL);
  CHECK(nng_rep0_open_raw(&server->link->socket) == 0);
  nng_threads_park();
  rpc_socket_prepare(server->link->socket, server->options.max_message_bytes);
  CHECK(nng_pipe_notify(server->link->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, &server->reaper->events) == 0);
  CHECK(nng_pipe_notify(server->link->socket, NNG_PIPE_EV_REM_POST, on_pipe, &server->reaper->events) == 0);
  watch(server, server->reaper->events.fd);
  watch(server, rpc_socket_fd(server->link->socket, NNG_OPT_RECVFD));
}

enum status rpc_server_create(const struct rpc_server_options *options, struct rpc_server **out, struct error *error)
{
  struct rpc_server *server = make_server(options);
  open_socket(server);
  enum status status =
      rpc_socket_listen(server->link->socket, options->listen_url, &options->tls, &server->port, error);
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
  CHECK(server->requests.count == 0);
  reaper_close(server->reaper, server->link);
  reaper_stop(&server->reaper);
  while (!list_empty(&server->connections.all))
    connection_remove(&server->connections, CONTAINER_OF(server->connections.all.next, struct connection, node));
  request_table_free(&server->requests);
  method_metrics_free(&server->methods);
  rpc_io_free(&server->io);
  close(server->epoll_fd);
  if (server->spare != NULL)
    arena_free(&server->spare->arena);
  free(server->spare);
  free(server);
}

int rpc_server_port(const struct rpc_server *server)
{
  return server->port;
}

int rpc_server_fd(const struct rpc_server *server)
{
  return server->epoll_fd;
}

// ---- sending ----

static bool send_packet(struct rpc_server *server, struct connection *connection, struct slice frames)
{
  nng_msg *message = rpc_message_make(frames, connection->flow.received);
  CHECK(nng_msg_header_append_u32(message, connection->pipe) == 0);
  CHECK(nng_msg_header_append_u32(message, RPC_HEADER_WORD) == 0);
  if (!rpc_io_send(&server->io, server->link->socket, message)) {
    nng_msg_free(message);
    server->send_fd = rpc_socket_fd(server->link->socket, NNG_OPT_SENDFD);
    watch(server, server->send_fd);
    return false;
  }
  flow_sent(&connection->flow);
  metric_add(server->packets, 1);
  return true;
}

// False when nng has no room for anybody.
static bool flush_connection(struct rpc_server *server, struct connection *connection)
{
  struct outbox *outbox = &connection->outbox;
  while (outbox_bytes(outbox) != 0 && connection_may_send(connection) &&
         !flow_holds_back(&connection->flow, outbox_is_full(outbox))) {
    struct outbox_packet packet = outbox_peek(outbox);
    if (!send_packet(server, connection, packet.bytes))
      return false;
    outbox_remove(outbox, packet);
  }
  // Where the window is closed, it is the client's news that opens it.
  if (!connection_may_send(connection))
    return true;
  if (outbox_bytes(outbox) != 0)
    flow_hold(&connection->flow, &server->holding);
  else if (connection->flow.tell_now)
    return send_packet(server, connection, (struct slice){0});
  return true;
}

// ---- replies ----

static void mark_dirty(struct rpc_server *server, struct connection *connection)
{
  if (list_empty(&connection->dirty))
    list_append(&server->dirty, &connection->dirty);
}

// A client that asks but does not take its answers must not fill our memory.
static void check_unsent(struct rpc_server *server, struct connection *connection)
{
  if (outbox_bytes(&connection->outbox) <= MAX_UNSENT_MESSAGES * server->options.max_message_bytes)
    return;
  log_warn("rpc", "gave up a connection whose client does not take its replies",
           LOG_INT("unsentBytes", outbox_bytes(&connection->outbox)));
  outbox_clear(&connection->outbox);
  // Not closed from here, for the client may be sending: see reaper.h.
  connection->dead = true;
}

static void queue_reply(struct rpc_server *server, struct connection *connection, uint64_t call_id,
                        const struct rpc_status *status, struct slice payload)
{
  struct rpc_frame frame = {.call_id = call_id, .kind = RPC_FRAME_RESPONSE, .payload = payload};
  if (status != NULL) {
    frame.has_status = true;
    frame.status = *status;
  }
  if (connection->dead)
    return;
  outbox_add(&connection->outbox, &frame);
  mark_dirty(server, connection);
  if (outbox_is_full(&connection->outbox) && server->send_fd < 0)
    (void)flush_connection(server, connection);
  check_unsent(server, connection);
}

static bool reply_fits(const struct rpc_server *server, const struct rpc_status *status, struct slice payload)
{
  // The usual case without a look at the sizes of all fields.
  if (status == NULL && payload.size < server->options.max_message_bytes / 2)
    return true;
  struct rpc_frame frame = {.call_id = UINT64_MAX, .kind = RPC_FRAME_RESPONSE, .payload = payload};
  if (status != NULL) {
    frame.has_status = true;
    frame.status = *status;
  }
  return rpc_frame_packed_size(&frame) + RPC_RECEIVED_MAX_BYTES <= server->options.max_message_bytes;
}

static void count_reply(struct rpc_server *server, const struct rpc_request *request, enum status code)
{
  uint64_t now_us = clock_now_us();
  // Names come from the wire; one becomes a label only when a handler has known it.
  bool known = code != STATUS_UNIMPLEMENTED;
  method_metrics_count(&server->methods, request->frame.method, known, code,
                       now_us > request->arrived_us ? now_us - request->arrived_us : 0);
  metric_add(server->in_flight, -1);
}

void rpc_request_reply(struct rpc_request *request, const struct rpc_status *status, struct slice payload)
{
  static const struct rpc_status too_large = {.code = STATUS_INTERNAL,
                                              .message = SLICE_INIT("the reply is larger than a message may be")};
  struct rpc_server *server = request->server;
  if (status != NULL && status->code == STATUS_OK)
    status = NULL;
  if (status != NULL)
    payload = (struct slice){0};
  if (!reply_fits(server, status, payload)) {
    status = &too_large;
    payload = (struct slice){0};
  }
  count_reply(server, request, status == NULL ? STATUS_OK : status->code);
  if (request->connection != NULL && !request->cancelled)
    queue_reply(server, request->connection, request->frame.call_id, status, payload);
  list_remove(&request->node);
  request_table_remove(&server->requests, request);
  shared_message_release(request->message);
  arena_free(&request->arena);
  free(request);
}

// ---- requests ----

static void count_malformed(uint32_t pipe)
{
  metric_add(metrics_single(METRIC_RPC_MALFORMED), 1);
  log_debug("rpc", "dropped a malformed packet or frame", LOG_INT("pipe", pipe));
}

static struct rpc_request *spare_request(struct rpc_server *server)
{
  if (server->spare == NULL) {
    server->spare = calloc(1, sizeof(*server->spare));
    CHECK(server->spare != NULL);
    list_init(&server->spare->node);
  }
  return server->spare;
}

static void cancel_request(struct rpc_server *server, struct rpc_request *request)
{
  if (request->cancelled)
    return;
  request->cancelled = true;
  if (server->options.on_cancel != NULL)
    server->options.on_cancel(server->options.arg, request);
}

// Whether the call may begin; if not, its answer is queued.
static bool admit(struct rpc_server *server, struct connection *connection, const struct rpc_frame *frame)
{
  static const struct rpc_status draining = {.code = STATUS_UNAVAILABLE,
                                             .message = SLICE_INIT("this instance is shutting down")};
  static const struct rpc_status full = {.code = STATUS_RESOURCE_EXHAUSTED,
                                         .message = SLICE_INIT("too many calls in flight in this instance"),
                                         .retry_after_ms = RETRY_AFTER_MS};
  static const struct rpc_status nameless = {.code = STATUS_INVALID_ARGUMENT,
                                             .message = SLICE_INIT("the request names no method")};
  const struct rpc_status *refusal = NULL;
  // What was on its way when the drain began is still served.
  if (connection->knows_goaway)
    refusal = &draining;
  else if (server->requests.count >= server->options.max_calls_in_flight)
    refusal = &full;
  else if (frame->method.size == 0)
    refusal = &nameless;
  if (refusal == NULL)
    return true;
  method_metrics_count(&server->methods, frame->method, false, refusal->code, 0);
  queue_reply(server, connection, frame->call_id, refusal, (struct slice){0});
  return false;
}

// The spare request has become a real one.
static void begin_request(struct rpc_server *server, struct connection *connection, struct shared_message *message)
{
  struct rpc_request *request = server->spare;
  server->spare = NULL;
  request->server = server;
  request->connection = connection;
  request->message = message;
  message->users++;
  request->arrived_us = server->now_us;
  request->deadline_us =
      request->frame.timeout_ms == 0 ? DEADLINE_NONE : deadline_after_ms(server->now_us, request->frame.timeout_ms);
  list_append(&connection->requests, &request->node);
  request_table_add(&server->requests, request);
  metric_add(server->in_flight, 1);
  server->options.on_request(server->options.arg, request);
}

static void handle_frame(struct rpc_server *server, struct connection *connection, struct slice bytes,
                         struct shared_message *message)
{
  struct rpc_request *spare = spare_request(server);
  arena_reset(&spare->arena);
  const struct rpc_frame *frame = &spare->frame;
  bool readable = rpc_frame_decode(bytes, &spare->arena, &spare->frame);
  if (readable && frame->kind == RPC_FRAME_REQUEST) {
    if (admit(server, connection, frame))
      begin_request(server, connection, message);
  } else if (readable && frame->kind == RPC_FRAME_CANCEL) {
    struct rpc_request *request = request_table_find(&server->requests, connection, frame->call_id);
    if (request != NULL)
      cancel_request(server, request);
  } else {
    // Kinds of a later version land here too: ignored, but seen.
    count_malformed(connection->pipe);
  }
}

static void take_news(struct rpc_server *server, struct connection *connection, uint64_t arrived_packets)
{
  if (!flow_learn(&connection->flow, arrived_packets))
    return;
  if (server->draining && connection_idle(connection, true))
    connection->knows_goaway = true;
  if (outbox_bytes(&connection->outbox) != 0)
    mark_dirty(server, connection);
}

// ---- connections ----

static void say_goaway(struct rpc_server *server, struct connection *connection)
{
  if (connection->dead)
    return;
  struct rpc_frame frame = {.kind = RPC_FRAME_GOAWAY};
  outbox_add(&connection->outbox, &frame);
  mark_dirty(server, connection);
}

static void drop_connection(struct rpc_server *server, struct connection *connection)
{
  // Handlers may reply from inside on_cancel, so each request leaves the list before it is told.
  while (!list_empty(&connection->requests)) {
    struct rpc_request *request = CONTAINER_OF(connection->requests.next, struct rpc_request, node);
    list_remove(&request->node);
    request->connection = NULL;
    cancel_request(server, request);
  }
  connection_remove(&server->connections, connection);
}

static void handle_events(struct rpc_server *server)
{
  size_t count;
  struct pipe_event *events = pipe_events_take(&server->reaper->events, &count);
  for (size_t i = 0; i < count; i++) {
    struct connection *connection = connection_find(&server->connections, events[i].pipe);
    if (events[i].kind == PIPE_CLOSED && connection != NULL) {
      drop_connection(server, connection);
    } else if (events[i].kind == PIPE_OPENED && connection == NULL) {
      connection = connection_add(&server->connections, events[i].pipe);
      if (server->draining)
        say_goaway(server, connection);
    }
  }
  free(events);
}

// The connection of a packet. One whose opening has not been seen yet is in the event queue; one that is not even there
// has closed already, and the packet is dropped.
static struct connection *connection_of(struct rpc_server *server, nng_msg *message)
{
  uint32_t pipe = (uint32_t)nng_msg_get_pipe(message).id;
  struct connection *connection = connection_find(&server->connections, pipe);
  if (connection != NULL)
    return connection;
  handle_events(server);
  return connection_find(&server->connections, pipe);
}

static void handle_packet(struct rpc_server *server, struct connection *connection, struct shared_message *message)
{
  struct rpc_packet_reader reader = rpc_packet_reader_make(rpc_message_body(message->message));
  struct slice frame;
  enum wire_result result;
  flow_received(&connection->flow);
  size_t frames = 0;
  for (; (result = rpc_packet_next(&reader, &frame)) == WIRE_FIELD; frames++)
    handle_frame(server, connection, frame, message);
  flow_took_frames(&connection->flow, frames);
  if (result == WIRE_MALFORMED)
    count_malformed(connection->pipe);
  take_news(server, connection, reader.received);
  if (connection->flow.tell_now)
    mark_dirty(server, connection);
}

static void receive(struct rpc_server *server)
{
  nng_msg *message;
  for (size_t i = 0; i < PACKETS_PER_TURN && (message = rpc_io_receive(&server->io, server->link->socket)) != NULL;
       i++) {
    struct connection *connection = connection_of(server, message);
    struct shared_message *shared = shared_message_make(message);
    if (connection != NULL && !connection->dead)
      handle_packet(server, connection, shared);
    shared_message_release(shared);
  }
}

static void stop_waiting_for_room(struct rpc_server *server)
{
  if (server->send_fd >= 0)
    epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, server->send_fd, NULL);
  server->send_fd = -1;
}

void rpc_server_process(struct rpc_server *server, uint64_t now_us)
{
  server->now_us = now_us;
  struct epoll_event events[4];
  int count = epoll_wait(server->epoll_fd, events, ARRAY_LEN(events), 0);
  for (int i = 0; i < count; i++)
    if (events[i].data.fd == server->send_fd)
      stop_waiting_for_room(server);
  struct packet_flow *flow;
  while ((flow = flow_take_due(&server->holding, now_us)) != NULL)
    mark_dirty(server, CONTAINER_OF(flow, struct connection, flow));
  // Packets before events: what a client had sent before it went is still seen (and cancelled).
  receive(server);
  handle_events(server);
}

void rpc_server_flush(struct rpc_server *server)
{
  while (server->send_fd < 0 && !list_empty(&server->dirty)) {
    struct connection *connection = CONTAINER_OF(server->dirty.next, struct connection, dirty);
    if (!flush_connection(server, connection))
      return;
    // What is left waits for news of packets that have arrived, or for a moment: both mark the connection again.
    list_remove(&connection->dirty);
  }
}

uint64_t rpc_server_next_timeout_us(const struct rpc_server *server)
{
  return flow_next_due_us(&server->holding);
}

// ---- draining ----

void rpc_server_drain(struct rpc_server *server)
{
  if (server->draining)
    return;
  server->draining = true;
  for (struct list *node = server->connections.all.next; node != &server->connections.all; node = node->next)
    say_goaway(server, CONTAINER_OF(node, struct connection, node));
}

size_t rpc_server_calls_in_flight(const struct rpc_server *server)
{
  return server->requests.count;
}

bool rpc_server_idle(const struct rpc_server *server)
{
  for (const struct list *node = server->connections.all.next; node != &server->connections.all; node = node->next)
    if (!connection_idle(CONTAINER_OF(node, struct connection, node), server->draining))
      return false;
  return true;
}

// Calls, services and what becomes of frames. All on the host's thread; nng's threads only push to the event queue.
//
// A call is owned by the table from rpc_client_call until its `done`, and sits in exactly one list: waiting at its
// service, in flight at an endpoint, or refused. `done` runs from rpc_client_process after the call has left the table,
// so a callback may start calls, cancel others, or set endpoints.
#include "common/rpc/rpc_client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/call_table_internal.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/endpoint_internal.h"
#include "common/rpc/method_metrics_internal.h"
#include "common/rpc/packet_internal.h"

#define DEFAULT_CALLS_IN_FLIGHT 4096
// How long a call waits for a connected endpoint.
#define CONNECT_WAIT_MS 1000

struct rpc_client *rpc_client_create(const struct rpc_client_options *options)
{
  struct rpc_client *client = calloc(1, sizeof(*client));
  CHECK(client != NULL);
  if (options->peer_service != NULL) {
    client->peer_service = strdup(options->peer_service);
    CHECK(client->peer_service != NULL);
  }
  client->max_calls_in_flight =
      options->max_calls_in_flight == 0 ? DEFAULT_CALLS_IN_FLIGHT : options->max_calls_in_flight;
  size_t max_message_bytes = options->max_message_bytes == 0 ? RPC_MAX_MESSAGE_BYTES : options->max_message_bytes;
  endpoint_hub_init(&client->hub, max_message_bytes, &options->tls);
  list_init(&client->refused);
  list_init(&client->endpoints);
  method_metrics_init(&client->methods, METRIC_RPC_CLIENT_CALLS, METRIC_RPC_CLIENT_DURATION);
  client->now_us = clock_now_us();
  return client;
}

// ---- the end of a call ----

// Takes the call out of wherever it is; what it was to tell is the caller's matter.
static void call_detach(struct rpc_client *client, struct rpc_call *call)
{
  list_remove(&call->node);
  heap_remove(&client->timers, &call->timer);
  strbuf_free(&call->request);
  if (call->state == CALL_WAITING)
    call->service->waiting_count--;
  if (call->state == CALL_IN_FLIGHT)
    call->endpoint->load.calls_in_flight--;
  metric_add(call->service->in_flight, -1);
}

static void call_end(struct rpc_client *client, struct rpc_call *call, const struct rpc_status *status,
                     struct slice payload)
{
  call_detach(client, call);
  rpc_done_fn *done = call->done;
  void *arg = call->arg;
  // The time of the turn: a look at the clock for each call would cost more than it tells.
  uint64_t duration_us = client->now_us > call->started_us ? client->now_us - call->started_us : 0;
  method_metrics_count(&client->methods, call->method, true, status->code, duration_us);
  call_table_release(&client->calls, call);
  done(arg, status, payload);
}

static void call_fail(struct rpc_client *client, struct rpc_call *call, enum status code, const char *message)
{
  struct rpc_status status = {.code = code, .message = slice_from_string(message)};
  call_end(client, call, &status, (struct slice){0});
}

// `done` must not run inside rpc_client_call, so the end waits for the next process.
static void call_refuse(struct rpc_client *client, struct rpc_call *call, enum status code, const char *message)
{
  call->state = CALL_REFUSED;
  call->refusal = code;
  call->refusal_message = message;
  list_append(&client->refused, &call->node);
  pipe_events_wake(&client->hub.reaper->events);
}

static void send_cancel(struct rpc_client *client, const struct rpc_call *call)
{
  if (call->state != CALL_IN_FLIGHT || call->endpoint->state != ENDPOINT_CONNECTED)
    return;
  struct rpc_frame frame = {.call_id = call->id, .kind = RPC_FRAME_CANCEL};
  endpoint_queue(&client->hub, call->endpoint, &frame);
}

void rpc_call_cancel(struct rpc_call *call)
{
  struct rpc_client *client = call->client;
  CHECK(call->state != CALL_FREE);
  send_cancel(client, call);
  call_detach(client, call);
  call_table_release(&client->calls, call);
}

// ---- the beginning of a call ----

static void call_attach(struct rpc_client *client, struct rpc_call *call, struct endpoint *endpoint)
{
  call->state = CALL_IN_FLIGHT;
  call->endpoint = endpoint;
  endpoint->load.calls_in_flight++;
  list_append(&endpoint->calls, &call->node);
  heap_insert(&client->timers, &call->timer, call->deadline_us);
}

static void call_wait(struct rpc_client *client, struct rpc_call *call, const struct rpc_frame *frame)
{
  if (call->service->waiting_count >= client->max_calls_in_flight) {
    call_refuse(client, call, STATUS_RESOURCE_EXHAUSTED, "too many calls wait for the service");
    return;
  }
  call->state = CALL_WAITING;
  call->service->waiting_count++;
  strbuf_init(&call->request, 0);
  rpc_frame_append_body(&call->request, frame);
  list_append(&call->service->waiting, &call->node);
  uint64_t patience_us = deadline_after_ms(call->started_us, CONNECT_WAIT_MS);
  heap_insert(&client->timers, &call->timer, deadline_min(call->deadline_us, patience_us));
}

// NULL when no endpoint is ready. One that has all the calls it may have comes back only when all have.
static struct balancer_candidate *pick_endpoint(const struct rpc_client *client, struct rpc_service *service)
{
  struct balancer_candidate *pick = balancer_pick(&service->balancer, service->candidates, service->candidate_count);
  if (pick == NULL || pick->calls_in_flight < client->max_calls_in_flight)
    return pick;
  balancer_choose_anew(&service->balancer);
  return balancer_pick(&service->balancer, service->candidates, service->candidate_count);
}

static void call_start(struct rpc_client *client, struct rpc_call *call, struct rpc_frame *frame)
{
  uint32_t timeout_ms = deadline_left_ms(call->deadline_us, call->started_us);
  if (rpc_frame_packed_size(frame) + RPC_RECEIVED_MAX_BYTES + wire_varint_size(UINT32_MAX) + 1 >
      client->hub.max_message_bytes) {
    call_refuse(client, call, STATUS_INVALID_ARGUMENT, "the request is larger than a message may be");
    return;
  }
  if (timeout_ms == 0 || client->closing) {
    call_refuse(client, call, client->closing ? STATUS_CANCELLED : STATUS_DEADLINE_EXCEEDED,
                client->closing ? "the client is closing" : "the deadline had passed before the call");
    return;
  }
  struct rpc_service *service = call->service;
  struct balancer_candidate *pick = pick_endpoint(client, service);
  if (pick == NULL) {
    call_wait(client, call, frame);
    return;
  }
  if (pick->calls_in_flight >= client->max_calls_in_flight) {
    call_refuse(client, call, STATUS_RESOURCE_EXHAUSTED, "too many calls in flight to the service");
    return;
  }
  frame->timeout_ms = timeout_ms;
  endpoint_queue(&client->hub, endpoint_of(pick), frame);
  call_attach(client, call, endpoint_of(pick));
}

struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options, rpc_done_fn *done,
                                 void *arg)
{
  CHECK(options->deadline_us != DEADLINE_NONE);
  struct rpc_call *call = call_table_take(&client->calls);
  call->client = client;
  call->started_us = clock_now_us();
  call->deadline_us = options->deadline_us;
  call->service = client_service(client, options->service);
  call->method = options->method;
  call->done = done;
  call->arg = arg;
  metric_add(call->service->in_flight, 1);
  struct rpc_frame frame = {
      .call_id = call->id,
      .kind = RPC_FRAME_REQUEST,
      .method = options->method,
      .payload = options->payload,
      .has_context = options->context != NULL || client->peer_service != NULL,
  };
  if (options->context != NULL)
    frame.context = *options->context;
  if (client->peer_service != NULL)
    frame.context.peer_service = slice_from_string(client->peer_service);
  call_start(client, call, &frame);
  return call;
}

// A service has an endpoint again: its calls leave in the order in which they came.
static void dispatch_waiting(struct rpc_client *client, struct rpc_service *service)
{
  while (!list_empty(&service->waiting)) {
    struct balancer_candidate *pick = pick_endpoint(client, service);
    if (pick == NULL || pick->calls_in_flight >= client->max_calls_in_flight)
      return;
    struct rpc_call *call = CONTAINER_OF(service->waiting.next, struct rpc_call, node);
    uint32_t timeout_ms = deadline_left_ms(call->deadline_us, client->now_us);
    list_remove(&call->node);
    heap_remove(&client->timers, &call->timer);
    service->waiting_count--;
    // 0 would mean no deadline at all; an overdue call ends at the next look at the timers.
    endpoint_queue_with_timeout(&client->hub, endpoint_of(pick), strbuf_slice(&call->request),
                                timeout_ms == 0 ? 1 : timeout_ms);
    strbuf_free(&call->request);
    call_attach(client, call, endpoint_of(pick));
  }
}

// ---- what comes in ----

static void count_malformed(const struct endpoint *endpoint)
{
  metric_add(metrics_single(METRIC_RPC_MALFORMED), 1);
  log_debug("rpc", "dropped a malformed packet", LOG_STRING("endpoint", endpoint->id));
}

static void handle_frame(struct rpc_client *client, struct endpoint *endpoint, const struct rpc_frame *frame)
{
  if (frame->kind == RPC_FRAME_GOAWAY && !endpoint->draining)
    endpoint_set_draining(endpoint);
  if (frame->kind != RPC_FRAME_RESPONSE) {
    // Kinds of a later version are no error of ours, but somebody should see that they come.
    if (frame->kind != RPC_FRAME_GOAWAY)
      count_malformed(endpoint);
    return;
  }
  struct rpc_call *call = call_table_find(&client->calls, frame->call_id);
  // A late reply, or one to a call of another endpoint.
  if (call == NULL || call->state != CALL_IN_FLIGHT || call->endpoint != endpoint)
    return;
  call_end(client, call, &frame->status, frame->payload);
}

static void handle_packet(struct rpc_client *client, struct endpoint *endpoint, struct slice body)
{
  struct rpc_packet_reader reader = rpc_packet_reader_make(body);
  struct slice bytes;
  enum wire_result result;
  size_t frames = 0;
  for (; (result = rpc_packet_next(&reader, &bytes)) == WIRE_FIELD; frames++) {
    struct rpc_frame frame;
    if (rpc_frame_decode(bytes, &client->scratch, &frame))
      handle_frame(client, endpoint, &frame);
    else
      count_malformed(endpoint);
  }
  if (result == WIRE_MALFORMED)
    count_malformed(endpoint);
  endpoint_took_packet(&client->hub, endpoint, frames, reader.received);
  arena_reset(&client->scratch);
}

static void receive_all(struct rpc_client *client, struct endpoint *endpoint)
{
  nng_msg *message;
  while ((message = endpoint_receive(&client->hub, endpoint)) != NULL) {
    handle_packet(client, endpoint, rpc_message_body(message));
    nng_msg_free(message);
  }
}

static struct endpoint *endpoint_with_link(const struct rpc_client *client, uint64_t link_id)
{
  for (struct list *node = client->endpoints.next; node != &client->endpoints; node = node->next) {
    struct endpoint *endpoint = CONTAINER_OF(node, struct endpoint, node);
    if (endpoint->link != NULL && endpoint->link->id == link_id)
      return endpoint;
  }
  return NULL;
}

static void lose_endpoint(struct rpc_client *client, struct endpoint *endpoint)
{
  // Answers that came before the end still count.
  receive_all(client, endpoint);
  endpoint_lost(&client->hub, endpoint, client->now_us);
  while (!list_empty(&endpoint->calls)) {
    struct rpc_call *call = CONTAINER_OF(endpoint->calls.next, struct rpc_call, node);
    call_fail(client, call, STATUS_UNAVAILABLE, "the connection to the service broke");
  }
}

static void handle_events(struct rpc_client *client)
{
  size_t count;
  struct pipe_event *events = pipe_events_take(&client->hub.reaper->events, &count);
  for (size_t i = 0; i < count; i++) {
    struct endpoint *endpoint = endpoint_with_link(client, events[i].link_id);
    if (endpoint == NULL)
      continue;
    if (events[i].kind == PIPE_CLOSED) {
      lose_endpoint(client, endpoint);
    } else if (endpoint->state == ENDPOINT_CONNECTING) {
      endpoint_connected(endpoint);
      dispatch_waiting(client, endpoint->service);
    }
  }
  free(events);
}

static void handle_watch(struct rpc_client *client, struct endpoint_watch *watched)
{
  if (watched == NULL)
    handle_events(client);
  // An endpoint may have lost its socket earlier in the same batch.
  else if (watched->fd >= 0 && watched == &watched->endpoint->receive_watch)
    receive_all(client, watched->endpoint);
  else if (watched->fd >= 0)
    endpoint_sendable(&client->hub, watched->endpoint);
}

// ---- time ----

static void expire_calls(struct rpc_client *client)
{
  struct heap_node *first;
  while ((first = heap_first(&client->timers)) != NULL && first->key <= client->now_us) {
    struct rpc_call *call = CONTAINER_OF(first, struct rpc_call, timer);
    bool overdue = call->deadline_us <= client->now_us;
    send_cancel(client, call);
    if (overdue)
      call_fail(client, call, STATUS_DEADLINE_EXCEEDED, "the deadline of the call has passed");
    else
      call_fail(client, call, STATUS_UNAVAILABLE, "no endpoint of the service is connected");
  }
}

static void end_refused(struct rpc_client *client)
{
  while (!list_empty(&client->refused)) {
    struct rpc_call *call = CONTAINER_OF(client->refused.next, struct rpc_call, node);
    call_fail(client, call, call->refusal, call->refusal_message);
  }
}

static void free_endpoint(struct rpc_client *client, struct endpoint *endpoint)
{
  client->removed_endpoints--;
  endpoint_free(&client->hub, endpoint);
}

static void run_endpoint_timers(struct rpc_client *client)
{
  struct heap_node *first;
  while ((first = heap_first(&client->hub.timers)) != NULL && first->key <= client->now_us) {
    struct endpoint *endpoint = CONTAINER_OF(first, struct endpoint, timer);
    if (!endpoint_timer_due(&client->hub, endpoint, client->now_us))
      free_endpoint(client, endpoint);
  }
}

// Endpoints that discovery has dropped go when their calls have ended and the server has closed the connection.
static void sweep_removed(struct rpc_client *client)
{
  struct list *next;
  for (struct list *node = client->endpoints.next; client->removed_endpoints != 0 && node != &client->endpoints;
       node = next) {
    next = node->next;
    struct endpoint *endpoint = CONTAINER_OF(node, struct endpoint, node);
    if (endpoint_is_finished(endpoint))
      free_endpoint(client, endpoint);
  }
}

void rpc_client_process(struct rpc_client *client, uint64_t now_us)
{
  client->now_us = now_us;
  struct epoll_event events[32];
  int count;
  while ((count = epoll_wait(client->hub.epoll_fd, events, ARRAY_LEN(events), 0)) > 0)
    for (int i = 0; i < count; i++)
      handle_watch(client, events[i].data.ptr);
  endpoint_release_held(&client->hub, now_us);
  end_refused(client);
  expire_calls(client);
  run_endpoint_timers(client);
  // Calls that found every endpoint full may find room now.
  for (struct rpc_service *service = client->services; service != NULL; service = service->next)
    dispatch_waiting(client, service);
  sweep_removed(client);
}

void rpc_client_flush(struct rpc_client *client)
{
  for (struct rpc_service *service = client->services; service != NULL; service = service->next)
    balancer_choose_anew(&service->balancer);
  while (!list_empty(&client->hub.dirty))
    endpoint_flush(&client->hub, CONTAINER_OF(client->hub.dirty.next, struct endpoint, dirty));
  sweep_removed(client);
}

int rpc_client_fd(const struct rpc_client *client)
{
  return client->hub.epoll_fd;
}

uint64_t rpc_client_next_timeout_us(const struct rpc_client *client)
{
  if (!list_empty(&client->refused))
    return 0;
  const struct heap_node *call = heap_first(&client->timers);
  const struct heap_node *endpoint = heap_first(&client->hub.timers);
  uint64_t next_us = flow_next_due_us(&client->hub.holding);
  next_us = deadline_min(next_us, call == NULL ? DEADLINE_NONE : call->key);
  return deadline_min(next_us, endpoint == NULL ? DEADLINE_NONE : endpoint->key);
}

// ---- the end ----

void rpc_client_free(struct rpc_client **client_pointer)
{
  struct rpc_client *client = *client_pointer;
  if (client == NULL)
    return;
  *client_pointer = NULL;
  client->closing = true;
  struct rpc_call *call;
  // The servers need no word of it: a connection that closes cancels its requests. And nng 1.5.2 leaks a message that
  // is on its way when its socket closes.
  while ((call = call_table_any(&client->calls)) != NULL)
    call_fail(client, call, STATUS_CANCELLED, "the client is closing");
  while (!list_empty(&client->endpoints))
    endpoint_free(&client->hub, CONTAINER_OF(client->endpoints.next, struct endpoint, node));
  endpoint_hub_free(&client->hub);
  client_free_services(client);
  call_table_free(&client->calls);
  heap_free(&client->timers);
  method_metrics_free(&client->methods);
  arena_free(&client->scratch);
  free(client->peer_service);
  free(client);
}

// Calls from their start to their end, and what becomes of received frames. Everything runs on the host's thread; nng's
// threads only push connection events.
//
// A call is owned by the call table until its `done`. `done` runs from rpc_client_process, after the call has left the
// table, so a callback may start calls, cancel others, or set endpoints.
#include "common/rpc/rpc_client.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/security/tls.h"

#define DEFAULT_CALLS_IN_FLIGHT 4096
// The longest time that a call waits for a connected endpoint.
#define CONNECT_WAIT_MS 1000

// ---- the state of a call ----

// Changes the state of a call: moves it between the lists, timers and counts of the states. Nothing else writes the
// state.
static void set_call_state(struct rpc_call *call, enum call_state state)
{
  struct rpc_client *client = call->client;
  list_remove(&call->node);
  heap_remove(&client->timers, &call->timer);
  if (call->state == CALL_WAITING) {
    strbuf_free(&call->request);
    call->channel->waiting_count--;
  } else if (call->state == CALL_IN_FLIGHT) {
    call->endpoint->load.calls_in_flight--;
  }
  call->state = state;
  if (state == CALL_WAITING) {
    call->channel->waiting_count++;
    list_append(&call->channel->waiting, &call->node);
    uint64_t give_up_us = deadline_after_ms(call->started_us, CONNECT_WAIT_MS);
    heap_insert(&client->timers, &call->timer, deadline_min(call->deadline_us, give_up_us));
  } else if (state == CALL_IN_FLIGHT) {
    call->endpoint->load.calls_in_flight++;
    list_append(&call->endpoint->calls, &call->node);
    heap_insert(&client->timers, &call->timer, call->deadline_us);
  } else if (state == CALL_REFUSED) {
    list_append(&client->refused, &call->node);
  }
}

// Takes the call out of the table without calling its callback, which the caller does where it is due.
static void release_call(struct rpc_call *call)
{
  set_call_state(call, CALL_DETACHED);
  metric_add(call->channel->in_flight, -1);
  call_table_release(&call->client->calls, call);
}

// ---- the end of a call ----

static void end_call(struct rpc_call *call, const struct rpc_status *status, struct slice payload)
{
  struct rpc_client *client = call->client;
  // The turn's time is near enough, and spares a look at the clock for each call.
  uint64_t duration_us = client->now_us > call->started_us ? client->now_us - call->started_us : 0;
  method_metrics_count(&client->methods, call->method, true, status->code, duration_us);
  rpc_done_fn *done = call->done;
  void *arg = call->arg;
  release_call(call);
  done(arg, status, payload);
}

// Takes the request of a call back. False when it has left, so that the server may have begun the call.
static bool withdraw_request(struct rpc_call *call)
{
  return call->state != CALL_IN_FLIGHT || sender_drop(&call->endpoint->sender, call->frame_number);
}

// Ends a call that no server has answered. `has_left` says whether its request has left.
static void fail_call(struct rpc_call *call, enum status code, bool has_left, const char *message)
{
  struct rpc_status status = {.code = code,
                              .message = slice_from_string(message),
                              .reason = has_left ? SLICE(RPC_OUTCOME_UNKNOWN) : SLICE(RPC_NOT_APPLIED)};
  end_call(call, &status, (struct slice){0});
}

// Lets the call end with the next rpc_client_process, because `done` must not run inside rpc_client_call.
static void refuse_call(struct rpc_call *call, enum status code, const char *message)
{
  call->refusal = code;
  call->refusal_message = message;
  set_call_state(call, CALL_REFUSED);
  transport_wake(&call->client->transport);
}

static void send_cancel(const struct rpc_call *call)
{
  struct rpc_frame frame = {.call_id = call->id, .kind = RPC_FRAME_CANCEL};
  (void)sender_add(&call->endpoint->sender, &frame);
}

bool rpc_call_cancel(struct rpc_call *call)
{
  CHECK(call->state != CALL_FREE);
  bool has_left = !withdraw_request(call);
  if (has_left)
    send_cancel(call);
  release_call(call);
  return has_left;
}

// ---- the start of a call ----

static void wait_for_endpoint(struct rpc_call *call, const struct rpc_frame *frame)
{
  if (call->channel->waiting_count >= call->client->max_calls_in_flight) {
    refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls wait for the service");
    return;
  }
  strbuf_init(&call->request, 0);
  rpc_frame_append_body(&call->request, frame);
  set_call_state(call, CALL_WAITING);
}

static bool request_fits(const struct rpc_client *client, const struct rpc_frame *frame)
{
  // The time limits are not in the frame yet: for each, one byte of tag and the number.
  size_t limit_bytes = 1 + wire_varint_size(UINT32_MAX) + 1 + wire_varint_size(UINT64_MAX);
  return rpc_frame_packed_size(frame) + RPC_TAIL_MAX_BYTES + limit_bytes <= client->endpoints.max_message_bytes;
}

static void start_call(struct rpc_call *call, struct rpc_frame *frame)
{
  struct rpc_client *client = call->client;
  uint32_t timeout_ms = deadline_left_ms(call->deadline_us, call->started_us);
  if (!request_fits(client, frame)) {
    refuse_call(call, STATUS_INVALID_ARGUMENT, "the request is larger than a message may be");
    return;
  }
  if (timeout_ms == 0) {
    refuse_call(call, STATUS_DEADLINE_EXCEEDED, "the deadline had passed before the call");
    return;
  }
  struct balancer_candidate *pick = channel_pick(call->channel);
  if (pick == NULL) {
    wait_for_endpoint(call, frame);
    return;
  }
  if (pick->calls_in_flight >= client->max_calls_in_flight) {
    refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls in flight to the service");
    return;
  }
  call->endpoint = endpoint_of(pick);
  frame->timeout_ms = timeout_ms;
  frame->expires_at_us = peer_clock_turn(&call->endpoint->clock, call->deadline_us);
  call->frame_number = sender_add(&call->endpoint->sender, frame);
  set_call_state(call, CALL_IN_FLIGHT);
}

static struct rpc_call *make_call(struct rpc_client *client, const struct rpc_call_options *options, rpc_done_fn *done,
                                  void *arg)
{
  struct rpc_call *call = call_table_take(&client->calls);
  call->client = client;
  call->started_us = clock_now_us();
  call->deadline_us = options->deadline_us;
  call->give_up_us = deadline_after_ms(options->deadline_us, options->reply_wait_ms);
  call->channel = client_channel(client, options->service);
  call->method = options->method;
  call->done = done;
  call->arg = arg;
  metric_add(call->channel->in_flight, 1);
  return call;
}

struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options, rpc_done_fn *done,
                                 void *arg)
{
  CHECK(options->deadline_us != DEADLINE_NONE);
  struct rpc_call *call = make_call(client, options, done, arg);
  struct rpc_frame frame = {
      .call_id = call->id,
      .kind = RPC_FRAME_REQUEST,
      .method = options->method,
      .payload = options->payload,
      .has_context = options->context != NULL,
  };
  if (options->context != NULL)
    frame.context = *options->context;
  start_call(call, &frame);
  return call;
}

// Sends the calls of the channel that wait for an endpoint, oldest first, as far as there is room.
static void dispatch_waiting(struct rpc_channel *channel)
{
  struct rpc_client *client = channel->client;
  while (!list_empty(&channel->waiting)) {
    struct balancer_candidate *pick = channel_pick(channel);
    if (pick == NULL || pick->calls_in_flight >= client->max_calls_in_flight)
      return;
    struct rpc_call *call = CONTAINER_OF(channel->waiting.next, struct rpc_call, node);
    uint32_t timeout_ms = deadline_left_ms(call->deadline_us, client->now_us);
    call->endpoint = endpoint_of(pick);
    // A timeout of 0 would mean none. A call whose deadline has passed expires with the next look at the timers.
    call->frame_number =
        sender_add_with_timeout(&call->endpoint->sender, strbuf_slice(&call->request), timeout_ms == 0 ? 1 : timeout_ms,
                                peer_clock_turn(&call->endpoint->clock, call->deadline_us));
    set_call_state(call, CALL_IN_FLIGHT);
  }
}

// ---- received packets ----

static void count_malformed(const struct endpoint *endpoint)
{
  metric_add(metrics_single(METRIC_RPC_MALFORMED), 1);
  log_debug("rpc", "dropped a packet or frame that could not be read", LOG_STRING("endpoint", endpoint->id));
}

static void handle_response(struct endpoint *endpoint, const struct rpc_frame *frame)
{
  struct rpc_call *call = call_table_find(&endpoint->channel->client->calls, frame->call_id);
  // A reply that came too late, or to a call that went to another endpoint, finds no call.
  if (call != NULL && call->state == CALL_IN_FLIGHT && call->endpoint == endpoint)
    end_call(call, &frame->status, frame->payload);
}

static void handle_frame(struct endpoint *endpoint, const struct rpc_frame *frame)
{
  if (frame->kind == RPC_FRAME_RESPONSE)
    handle_response(endpoint, frame);
  else if (frame->kind == RPC_FRAME_GOAWAY && slice_equal_string(frame->status.reason, RPC_RECONNECT))
    channel_reconnect_endpoint(endpoint);
  else if (frame->kind == RPC_FRAME_GOAWAY)
    endpoint_set_draining(endpoint);
  else
    // Kinds of a later version are not an error here, but the counter shows that they come.
    count_malformed(endpoint);
}

// Handles a packet. False when its hello does not prove that the server is the service that was dialled; then `error`
// says why, and nothing of the packet was handled.
static bool handle_packet(struct endpoint *endpoint, struct slice body, struct error *error)
{
  // Taken before the callbacks of the packet's calls run, because they are no part of its way.
  uint64_t received_us = clock_now_us();
  struct arena *scratch = &endpoint->channel->client->scratch;
  struct rpc_packet_reader reader = rpc_packet_reader_make(body);
  struct slice bytes;
  enum wire_result result = rpc_packet_next(&reader, &bytes);
  if (endpoint_check_hello(endpoint, reader.hello, error) != STATUS_OK)
    return false;
  for (; result == WIRE_FIELD; result = rpc_packet_next(&reader, &bytes)) {
    struct rpc_frame frame;
    if (rpc_frame_decode(bytes, scratch, &frame))
      handle_frame(endpoint, &frame);
    else
      count_malformed(endpoint);
  }
  if (result == WIRE_MALFORMED)
    count_malformed(endpoint);
  (void)sender_end_packet(&endpoint->sender, reader.acked);
  if (reader.sent_at_us != 0)
    peer_clock_note(&endpoint->clock, reader.sent_at_us, received_us);
  arena_reset(scratch);
  return true;
}

// ---- connections ----

// Refuses the calls of an endpoint whose requests have not left, while its sender still knows which these are.
static void refuse_unsent_calls(struct endpoint *endpoint)
{
  struct list *next;
  for (struct list *node = endpoint->calls.next; node != &endpoint->calls; node = next) {
    next = node->next;
    struct rpc_call *call = CONTAINER_OF(node, struct rpc_call, node);
    if (withdraw_request(call))
      refuse_call(call, STATUS_UNAVAILABLE, "the connection to the service broke before the request was sent");
  }
}

static void lose_endpoint(struct rpc_client *client, struct endpoint *endpoint, const char *reason)
{
  refuse_unsent_calls(endpoint);
  endpoint_set_lost(endpoint, client->now_us, reason);
  while (!list_empty(&endpoint->calls)) {
    struct rpc_call *call = CONTAINER_OF(endpoint->calls.next, struct rpc_call, node);
    fail_call(call, STATUS_UNAVAILABLE, true, "the connection to the service broke");
  }
}

// Gives up a connection whose server is not the service that was dialled. It is dialled again with back-off.
static void refuse_server(struct endpoint *endpoint, const char *reason)
{
  metric_add_from_any_thread(metrics_series(METRIC_RPC_REFUSED, (struct slice[]){SLICE("hello")}, 1), 1);
  lose_endpoint(endpoint->channel->client, endpoint, reason);
}

static void handle_opened(struct endpoint *endpoint, struct rpc_opened *opened)
{
  struct error error;
  if (endpoint_set_connected(endpoint, opened, &error) != STATUS_OK)
    refuse_server(endpoint, error.message);
}

static void handle_events(void *arg)
{
  struct rpc_client *client = arg;
  size_t count;
  struct pipe_event *events = transport_take_events(&client->transport, &count);
  for (size_t i = 0; i < count; i++) {
    struct endpoint *endpoint = endpoint_find(&client->endpoints, events[i].link_id);
    if (endpoint != NULL && events[i].kind == PIPE_FAILED)
      lose_endpoint(client, endpoint, events[i].reason);
    else if (endpoint != NULL)
      handle_opened(endpoint, &events[i].opened);
    // A connection of a dial that was given up meanwhile belongs to no endpoint.
    rpc_opened_discard(&events[i].opened);
  }
  free(events);
}

// Handles the packets that have come over an endpoint's connection. Replies that came before its end still count.
static void receive_packets(void *arg)
{
  struct endpoint *endpoint = arg;
  struct slice packet;
  enum stream_result result;
  struct error error;
  while ((result = endpoint_receive(endpoint, &packet)) == STREAM_PACKET) {
    if (handle_packet(endpoint, packet, &error))
      continue;
    refuse_server(endpoint, error.message);
    return;
  }
  if (result == STREAM_OVER)
    lose_endpoint(endpoint->channel->client, endpoint, "the connection broke");
}

// ---- time ----

// Ends a call whose timer has fired, or lets it wait on for the server's last word.
static void expire_call(struct rpc_client *client, struct rpc_call *call)
{
  if (call->deadline_us > client->now_us) {
    fail_call(call, STATUS_UNAVAILABLE, false, "no endpoint of the service is connected");
    return;
  }
  bool has_left = !withdraw_request(call);
  if (has_left && call->give_up_us > client->now_us) {
    heap_remove(&client->timers, &call->timer);
    heap_insert(&client->timers, &call->timer, call->give_up_us);
    return;
  }
  if (has_left)
    send_cancel(call);
  fail_call(call, STATUS_DEADLINE_EXCEEDED, has_left, "the deadline of the call has passed");
}

static void expire_calls(struct rpc_client *client)
{
  struct heap_node *first;
  while ((first = heap_first(&client->timers)) != NULL && first->key <= client->now_us)
    expire_call(client, CONTAINER_OF(first, struct rpc_call, timer));
}

static void end_refused(struct rpc_client *client)
{
  while (!list_empty(&client->refused)) {
    struct rpc_call *call = CONTAINER_OF(client->refused.next, struct rpc_call, node);
    fail_call(call, call->refusal, false, call->refusal_message);
  }
}

void rpc_client_process(struct rpc_client *client, uint64_t now_us)
{
  client->now_us = now_us;
  (void)transport_poll(&client->transport);
  end_refused(client);
  expire_calls(client);
  client_run_endpoint_timers(client);
  if (now_us >= client->recheck_us)
    client_recheck_servers(client);
  // An endpoint may have become ready, or have room again.
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next)
    dispatch_waiting(channel);
  client_free_finished_endpoints(client);
}

void rpc_client_flush(struct rpc_client *client)
{
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next)
    balancer_end_batch(&channel->balancer);
  send_queue_flush(&client->transport.sends);
  client_free_finished_endpoints(client);
}

int rpc_client_fd(const struct rpc_client *client)
{
  return client->transport.epoll_fd;
}

static uint64_t find_first_due_us(const struct heap *timers)
{
  const struct heap_node *first = heap_first(timers);
  return first == NULL ? DEADLINE_NONE : first->key;
}

uint64_t rpc_client_next_timeout_us(const struct rpc_client *client)
{
  if (!list_empty(&client->refused))
    return 0;
  uint64_t due_us = deadline_min(find_first_due_us(&client->timers), find_first_due_us(&client->endpoints.timers));
  return deadline_min(due_us, client->recheck_us);
}

// ---- life ----

struct rpc_client *rpc_client_create(const struct rpc_client_options *options)
{
  struct rpc_client *client = calloc(1, sizeof(*client));
  CHECK(client != NULL);
  client->max_calls_in_flight =
      options->max_calls_in_flight == 0 ? DEFAULT_CALLS_IN_FLIGHT : options->max_calls_in_flight;
  transport_init(&client->transport);
  transport_watch_events(&client->transport, handle_events, client);
  client->endpoints = (struct endpoint_group){
      .transport = &client->transport,
      .max_message_bytes = options->max_message_bytes == 0 ? RPC_MAX_MESSAGE_BYTES : options->max_message_bytes,
      .trust = {.tls = rpc_tls_open(&options->tls), .identity = options->identity},
      .on_readable = receive_packets,
  };
  list_init(&client->endpoints.members);
  list_init(&client->refused);
  method_metrics_init(&client->methods, METRIC_RPC_CLIENT_CALLS, METRIC_RPC_CLIENT_DURATION);
  client->now_us = clock_now_us();
  bool proves_names = client->endpoints.trust.tls != NULL || options->identity != NULL;
  client->recheck_us = proves_names ? deadline_after_ms(client->now_us, RPC_RECHECK_MS) : DEADLINE_NONE;
  return client;
}

// Ends all calls, also those that a callback starts meanwhile. No CANCEL frames are sent, because a server cancels the
// requests of a connection that closes.
static void end_all_calls(struct rpc_client *client)
{
  struct rpc_call *call;
  while ((call = call_table_any(&client->calls)) != NULL)
    fail_call(call, STATUS_CANCELLED, !withdraw_request(call), "the client is closing");
}

void rpc_client_free(struct rpc_client **client_pointer)
{
  struct rpc_client *client = *client_pointer;
  if (client == NULL)
    return;
  *client_pointer = NULL;
  end_all_calls(client);
  while (!list_empty(&client->endpoints.members)) {
    struct endpoint *endpoint = CONTAINER_OF(client->endpoints.members.next, struct endpoint, node);
    endpoint_free(&endpoint);
  }
  tls_context_free(&client->endpoints.trust.tls);
  transport_free(&client->transport);
  client_free_channels(client);
  call_table_free(&client->calls);
  heap_free(&client->timers);
  heap_free(&client->endpoints.timers);
  method_metrics_free(&client->methods);
  arena_free(&client->scratch);
  free(client);
}

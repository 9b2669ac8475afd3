// Calls from their start to their end. A call is owned by the call table until its `done`. `done` runs from
// rpc_client_process, after the call has left the table, so a callback may start calls, cancel others, or set
// endpoints.
#include "common/base/check.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/rpc_client.h"

#define NO_ENDPOINT "no instance of the service can be reached"
// What a caller is told to wait when no endpoint can be reached.
#define RETRY_AFTER_MS 1000

// ---- the state of a call ----

static void set_timer(struct rpc_call *call, uint64_t due_us)
{
  heap_remove(&call->client->timers, &call->timer);
  heap_insert(&call->client->timers, &call->timer, due_us);
}

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
    uint64_t give_up_us = channel_hope_until_us(call->channel);
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

void client_end_call(struct rpc_call *call, const struct rpc_status *status, struct slice payload)
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

bool client_withdraw_request(struct rpc_call *call)
{
  return call->state != CALL_IN_FLIGHT || sender_drop(&call->endpoint->sender, call->frame_number);
}

void client_fail_call(struct rpc_call *call, enum status code, bool has_left, const char *message)
{
  struct rpc_status status = {.code = code,
                              .message = slice_from_string(message),
                              .reason = has_left ? SLICE(RPC_OUTCOME_UNKNOWN) : SLICE(RPC_NOT_APPLIED),
                              .retry_after_ms = code == STATUS_UNAVAILABLE ? RETRY_AFTER_MS : 0};
  client_end_call(call, &status, (struct slice){0});
}

void client_refuse_call(struct rpc_call *call, enum status code, const char *message)
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
  bool has_left = !client_withdraw_request(call);
  if (has_left)
    send_cancel(call);
  release_call(call);
  return has_left;
}

// ---- the start of a call ----

static void wait_for_endpoint(struct rpc_call *call, const struct rpc_frame *frame)
{
  if (channel_hope_until_us(call->channel) <= call->started_us) {
    client_refuse_call(call, STATUS_UNAVAILABLE, NO_ENDPOINT);
    return;
  }
  if (call->channel->waiting_count >= call->client->max_calls_in_flight) {
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls wait for the service");
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
    client_refuse_call(call, STATUS_INVALID_ARGUMENT, "the request is larger than a message may be");
    return;
  }
  if (timeout_ms == 0) {
    client_refuse_call(call, STATUS_DEADLINE_EXCEEDED, "the deadline had passed before the call");
    return;
  }
  struct balancer_candidate *pick = channel_pick(call->channel);
  if (pick == NULL) {
    wait_for_endpoint(call, frame);
    return;
  }
  if (pick->calls_in_flight >= client->max_calls_in_flight) {
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls in flight to the service");
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

void channel_dispatch_waiting(struct rpc_channel *channel)
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

// ---- hope and time ----

void channel_end_hopeless_calls(struct rpc_channel *channel)
{
  struct rpc_client *client = channel->client;
  while (!list_empty(&channel->waiting) && channel_hope_until_us(channel) <= client->now_us &&
         !channel_is_ready(channel))
    client_fail_call(CONTAINER_OF(channel->waiting.next, struct rpc_call, node), STATUS_UNAVAILABLE, false,
                     NO_ENDPOINT);
}

// Ends a call that has waited for an endpoint for as long as there was hope, unless hope has come again.
static void stop_waiting(struct rpc_call *call)
{
  uint64_t hope_until_us = channel_hope_until_us(call->channel);
  if (hope_until_us <= call->client->now_us)
    client_fail_call(call, STATUS_UNAVAILABLE, false, NO_ENDPOINT);
  else
    set_timer(call, deadline_min(call->deadline_us, hope_until_us));
}

void client_expire_call(struct rpc_client *client, struct rpc_call *call)
{
  if (call->deadline_us > client->now_us) {
    stop_waiting(call);
    return;
  }
  bool has_left = !client_withdraw_request(call);
  if (has_left && call->give_up_us > client->now_us) {
    set_timer(call, call->give_up_us);
    return;
  }
  if (has_left)
    send_cancel(call);
  client_fail_call(call, STATUS_DEADLINE_EXCEEDED, has_left, "the deadline of the call has passed");
}

void client_end_refused(struct rpc_client *client)
{
  // A callback may call again and be refused again, which is told in the next turn.
  struct list refused;
  list_init(&refused);
  (void)list_move_all(&client->refused, &refused);
  while (!list_empty(&refused)) {
    struct rpc_call *call = CONTAINER_OF(refused.next, struct rpc_call, node);
    client_fail_call(call, call->refusal, false, call->refusal_message);
  }
}

// Calls from their start to their end. A call is owned by the call table until its `done`. `done` runs from
// rpc_client_process, after the call has left the table, so a callback may start calls, cancel others, or set
// endpoints.
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/rpc_client.h"

#define NO_ENDPOINT "no instance of the service can be reached"
// What a caller is told to wait when no endpoint can be reached or takes the call.
#define RETRY_AFTER_MS 1000
// How many calls that had waited end in one turn. An answer to a client costs up to a tenth of a millisecond, and what
// else the turn has to do waits for it, such as calls whose deadlines pass.
#define GIVEN_UP_A_TURN 16

// ---- the state of a call ----

static void set_timer(struct rpc_call *call, uint64_t due_us)
{
  heap_remove(&call->client->timers, &call->timer);
  heap_insert(&call->client->timers, &call->timer, due_us);
}

// Returns when the timer of a call in flight fires first: when it should be hedged, or at its deadline.
static uint64_t find_flight_end(const struct rpc_call *call)
{
  if (!client_may_hedge(call))
    return call->deadline_us;
  return deadline_min(call->deadline_us, deadline_after_ms(call->attempt.sent_us, call->hedge_after_ms));
}

static void queue_refused(struct rpc_call *call)
{
  struct rpc_client *client = call->client;
  bool has_waited = call->started_us < client->now_us;
  list_append(has_waited ? &client->given_up : &client->refused, &call->node);
  // Not in this turn, because a callback that calls again and is refused again could keep it from ending.
  if (has_waited)
    heap_insert(&client->timers, &call->timer,
                call->deadline_us > client->now_us ? call->deadline_us : client->now_us + 1);
}

// Nothing else writes the state.
void client_set_call_state(struct rpc_call *call, enum call_state state)
{
  struct rpc_client *client = call->client;
  list_remove(&call->node);
  list_remove(&call->backlog_node);
  heap_remove(&client->timers, &call->timer);
  if (call->state == CALL_WAITING) {
    call->channel->waiting_count--;
  } else if (call->state == CALL_IN_FLIGHT) {
    client_end_attempt(&call->attempt);
    if (call->hedge != NULL)
      client_end_hedge(call);
  }
  call->state = state;
  if (state == CALL_WAITING) {
    call->channel->waiting_count++;
    list_append(&call->channel->waiting, &call->node);
    uint64_t give_up_us = channel_hope_until_us(call->channel);
    heap_insert(&client->timers, &call->timer, deadline_min(call->deadline_us, give_up_us));
  } else if (state == CALL_IN_FLIGHT) {
    heap_insert(&client->timers, &call->timer, find_flight_end(call));
  } else if (state == CALL_REFUSED) {
    queue_refused(call);
  }
}

// Takes the call out of the table without calling its callback, which the caller does where it is due.
static void release_call(struct rpc_call *call)
{
  client_set_call_state(call, CALL_DETACHED);
  metric_add(call->channel->in_flight, -1);
  strbuf_free(&call->copy);
  call_table_release(&call->client->calls, call);
}

// ---- the end of a call ----

struct slice rpc_call_instance(const struct rpc_call *call)
{
  return call->state == CALL_IN_FLIGHT ? slice_from_string(call->attempt.endpoint->id) : (struct slice){0};
}

void client_end_call(struct rpc_call *call, const struct rpc_status *status, struct slice payload)
{
  struct rpc_client *client = call->client;
  // The turn's time is near enough, and spares a look at the clock for each call.
  uint64_t duration_us = client->now_us > call->started_us ? client->now_us - call->started_us : 0;
  method_entry_count(&client->methods, call->entry, status->code, duration_us);
  rpc_done_fn *done = call->done;
  void *arg = call->arg;
  struct rpc_status told = *status;
  // What the last server says of itself does not hold for an earlier attempt.
  if (call->may_have_begun && slice_equal(status->reason, SLICE(RPC_NOT_APPLIED)))
    told.reason = SLICE(RPC_OUTCOME_UNKNOWN);
  told.instance = rpc_call_instance(call);
  release_call(call);
  done(arg, &told, payload);
}

bool client_withdraw_request(struct rpc_call *call)
{
  return call->state != CALL_IN_FLIGHT || client_withdraw_attempt(&call->attempt);
}

// Takes a request back whose caller has gone, or cancels it if it has left. Returns whether it has.
static bool cancel_request(const struct rpc_attempt *attempt)
{
  if (client_withdraw_attempt(attempt))
    return false;
  client_cancel_attempt(attempt);
  client_note_unanswered(attempt);
  return true;
}

void client_fail_call(struct rpc_call *call, enum status code, bool has_left, const char *message)
{
  has_left = has_left || call->may_have_begun;
  bool is_transient = code == STATUS_UNAVAILABLE || code == STATUS_RESOURCE_EXHAUSTED;
  struct rpc_status status = {.code = code,
                              .message = slice_from_string(message),
                              .reason = has_left ? SLICE(RPC_OUTCOME_UNKNOWN) : SLICE(RPC_NOT_APPLIED),
                              .retry_after_ms = is_transient ? RETRY_AFTER_MS : 0};
  client_end_call(call, &status, (struct slice){0});
}

void client_refuse_call(struct rpc_call *call, enum status code, const char *message)
{
  call->refusal = code;
  call->refusal_message = message;
  client_set_call_state(call, CALL_REFUSED);
  transport_wake(&call->client->transport);
}

bool rpc_call_cancel(struct rpc_call *call)
{
  CHECK(call->state != CALL_FREE);
  bool has_left = call->may_have_begun;
  if (call->state == CALL_IN_FLIGHT && cancel_request(&call->attempt))
    has_left = true;
  if (call->hedge != NULL && cancel_request(call->hedge))
    has_left = true;
  release_call(call);
  return has_left;
}

// ---- the start of a call ----

static struct rpc_frame make_request(const struct rpc_call *call)
{
  struct rpc_frame frame = {.call_id = call->id,
                            .kind = RPC_FRAME_REQUEST,
                            .method = call->method,
                            .payload = call->payload,
                            .has_context = call->context != NULL,
                            .credit = call->stream == NULL ? 0 : call->flow.credit};
  if (call->context != NULL)
    frame.context = *call->context;
  return frame;
}

// Queues the request at the endpoint, and returns its number there.
static uint64_t queue_request(const struct rpc_call *call, struct endpoint *endpoint, struct rpc_frame *frame,
                              uint64_t now_us)
{
  // A timeout of 0 would mean none. A call whose deadline has passed expires with the next look at the timers.
  uint32_t left_ms = deadline_left_ms(call->deadline_us, now_us);
  uint32_t timeout_ms = left_ms == 0 ? 1 : left_ms;
  uint64_t expires_at_us = peer_clock_turn(&endpoint->clock, call->deadline_us);
  if (call->copy.size != 0)
    return sender_add_with_timeout(&endpoint->sender, strbuf_slice(&call->copy), timeout_ms, expires_at_us);
  struct rpc_frame made;
  if (frame == NULL) {
    made = make_request(call);
    frame = &made;
  }
  frame->timeout_ms = timeout_ms;
  frame->expires_at_us = expires_at_us;
  return sender_add(&endpoint->sender, frame);
}

void client_begin_attempt(struct rpc_attempt *attempt, struct endpoint *endpoint, struct rpc_frame *frame,
                          uint64_t now_us)
{
  struct rpc_call *call = attempt->call;
  attempt->endpoint = endpoint;
  attempt->cost_us = method_cost_us(&call->entry->cost);
  attempt->sent_us = now_us;
  attempt->is_answered = false;
  attempt->frame_number = queue_request(call, endpoint, frame, now_us);
  // A stream may be idle for long: it does not say how much its endpoint has to do, nor that it owes an answer.
  if (call->stream == NULL)
    balancer_count_sent(&endpoint->load, attempt->cost_us, now_us);
  list_append(&endpoint->attempts, &attempt->node);
  if (endpoint->is_elsewhere)
    metric_add(call->channel->left_zone, 1);
  channel_note_unsent(endpoint);
}

static bool request_fits(const struct rpc_client *client, const struct rpc_frame *frame)
{
  // The time limits are not in the frame yet: for each, one byte of tag and the number.
  size_t limit_bytes = 1 + wire_varint_size(UINT32_MAX) + 1 + wire_varint_size(UINT64_MAX);
  return rpc_frame_packed_size(frame) + RPC_TAIL_MAX_BYTES + limit_bytes <= client->endpoints.max_message_bytes;
}

void client_send_request(struct rpc_call *call, struct endpoint *endpoint, struct rpc_frame *frame, uint64_t now_us)
{
  client_begin_attempt(&call->attempt, endpoint, frame, now_us);
  client_set_call_state(call, CALL_IN_FLIGHT);
  if (call->stream != NULL)
    client_begin_stream(call);
}

static void wait_for_endpoint(struct rpc_call *call, uint64_t now_us)
{
  if (channel_hope_until_us(call->channel) <= now_us)
    client_refuse_call(call, STATUS_UNAVAILABLE, NO_ENDPOINT);
  else if (call->channel->waiting_count >= call->client->max_calls_in_flight)
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls wait for the service");
  else
    client_set_call_state(call, CALL_WAITING);
}

// Refuses a call whose method fails or is refused everywhere, if it should not be tried. False if it should.
static bool shed_call(struct rpc_call *call, struct balancer_candidate *pick, uint64_t now_us)
{
  enum status status = channel_shed(call, pick, now_us);
  if (status != STATUS_OK)
    client_refuse_call(call, status,
                       status == STATUS_UNAVAILABLE ? "all instances of the service fail this method"
                                                    : "all instances of the service have too much to do");
  return status != STATUS_OK;
}

void client_place_call(struct rpc_call *call, struct rpc_frame *frame, uint64_t now_us)
{
  if (deadline_left_ms(call->deadline_us, now_us) == 0) {
    client_refuse_call(call, STATUS_DEADLINE_EXCEEDED, "the deadline had passed before the call");
    return;
  }
  struct balancer_candidate *pick = channel_pick(call, now_us);
  if (pick == NULL)
    wait_for_endpoint(call, now_us);
  else if (pick->full)
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many bytes wait to be sent to the service");
  else if (!balancer_has_room(&call->channel->balancer, pick))
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls in flight to the service");
  else if (!pick->avoided || !shed_call(call, pick, now_us))
    client_send_request(call, endpoint_of(pick), frame, now_us);
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
  call->entry = method_metrics_find(&client->methods, options->method);
  call->payload = options->payload;
  call->context = options->context;
  call->is_repeatable = options->is_repeatable;
  call->hedge_after_ms = options->hedge_after_ms;
  call->stream = options->stream;
  call->flow = stream_flow_make(STREAM_CREDIT_BYTES, options->credit_bytes);
  call->flow.sends_no_more = !options->writes_messages;
  list_init(&call->backlog_node);
  list_init(&call->attempt.node);
  call->attempt.call = call;
  call->done = done;
  call->arg = arg;
  metric_add(call->channel->in_flight, 1);
  retry_budget_note_call(&call->channel->retries, call->started_us);
  return call;
}

// Copies the request of a call without its time limits.
static void copy_request(struct rpc_call *call, struct rpc_frame *frame)
{
  frame->timeout_ms = 0;
  frame->expires_at_us = 0;
  rpc_frame_append_body(&call->copy, frame);
  call->payload = (struct slice){0};
  call->context = NULL;
}

struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options, rpc_done_fn *done,
                                 void *arg)
{
  CHECK(options->deadline_us != DEADLINE_NONE);
  CHECK(!options->writes_messages || options->stream->on_writable != NULL);
  CHECK(options->hedge_after_ms == 0 ||
        (options->is_repeatable && options->stream == NULL && options->reply_wait_ms == 0));
  struct rpc_call *call = make_call(client, options, done, arg);
  struct rpc_frame frame = make_request(call);
  if (!request_fits(client, &frame)) {
    client_refuse_call(call, STATUS_INVALID_ARGUMENT, "the request is larger than a message may be");
    return call;
  }
  client_place_call(call, &frame, call->started_us);
  if (!options->keeps_request)
    copy_request(call, &frame);
  return call;
}

void channel_dispatch_waiting(struct rpc_channel *channel)
{
  struct rpc_client *client = channel->client;
  while (!list_empty(&channel->waiting)) {
    struct rpc_call *call = CONTAINER_OF(channel->waiting.next, struct rpc_call, node);
    struct balancer_candidate *pick = channel_pick(call, client->now_us);
    if (pick == NULL || !balancer_has_room(&channel->balancer, pick))
      return;
    client_send_request(call, endpoint_of(pick), NULL, client->now_us);
  }
}

// ---- hope and time ----

void channel_end_hopeless_calls(struct rpc_channel *channel)
{
  struct rpc_client *client = channel->client;
  while (!list_empty(&channel->waiting) && channel_hope_until_us(channel) <= client->now_us &&
         !channel_is_ready(channel))
    client_refuse_call(CONTAINER_OF(channel->waiting.next, struct rpc_call, node), STATUS_UNAVAILABLE, NO_ENDPOINT);
}

// Ends a call that has waited for an endpoint for as long as there was hope, unless hope has come again.
static void stop_waiting(struct rpc_call *call)
{
  uint64_t hope_until_us = channel_hope_until_us(call->channel);
  if (hope_until_us <= call->client->now_us)
    client_refuse_call(call, STATUS_UNAVAILABLE, NO_ENDPOINT);
  else
    set_timer(call, deadline_min(call->deadline_us, hope_until_us));
}

static void stop_late_attempt(struct rpc_attempt *attempt)
{
  client_judge_attempt(attempt, &(struct rpc_status){.code = STATUS_DEADLINE_EXCEEDED});
  client_cancel_attempt(attempt);
}

// Ends a call whose deadline has passed, or lets it wait for the server's last word.
static void end_late_call(struct rpc_call *call)
{
  struct rpc_client *client = call->client;
  bool has_left = !client_withdraw_request(call);
  if (has_left && call->give_up_us > client->now_us) {
    set_timer(call, call->give_up_us);
    return;
  }
  if (has_left)
    stop_late_attempt(&call->attempt);
  if (call->hedge != NULL && !client_withdraw_attempt(call->hedge)) {
    stop_late_attempt(call->hedge);
    has_left = true;
  }
  client_fail_call(call, STATUS_DEADLINE_EXCEEDED, has_left, "the deadline of the call has passed");
}

static void end_refused_call(struct rpc_call *call)
{
  client_fail_call(call, call->refusal, false, call->refusal_message);
}

void client_expire_call(struct rpc_client *client, struct rpc_call *call)
{
  if (call->state == CALL_REFUSED) {
    end_refused_call(call);
  } else if (call->deadline_us <= client->now_us) {
    end_late_call(call);
  } else if (call->state == CALL_IN_FLIGHT) {
    set_timer(call, call->deadline_us);
    client_hedge_call(call);
  } else {
    stop_waiting(call);
  }
}

void client_end_refused(struct rpc_client *client)
{
  // A callback may call again and be refused again, which is told in the next turn.
  struct list refused;
  list_init(&refused);
  (void)list_move_all(&client->refused, &refused);
  for (size_t i = 0; i < GIVEN_UP_A_TURN && !list_empty(&client->given_up); i++) {
    struct list *node = client->given_up.next;
    list_remove(node);
    list_append(&refused, node);
  }
  while (!list_empty(&refused))
    end_refused_call(CONTAINER_OF(refused.next, struct rpc_call, node));
  if (!list_empty(&client->given_up))
    transport_wake(&client->transport);
}

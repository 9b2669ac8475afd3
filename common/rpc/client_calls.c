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
// What a caller is told to wait when no endpoint can be reached.
#define RETRY_AFTER_MS 1000

// A call whose deadline passes sooner than this says more of the caller, who may choose it, than of the instance.
#define FAIR_TIME_US UINT64_C(1000000)

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
  list_remove(&call->backlog_node);
  heap_remove(&client->timers, &call->timer);
  if (call->state == CALL_WAITING) {
    call->channel->waiting_count--;
  } else if (call->state == CALL_IN_FLIGHT && call->stream == NULL) {
    balancer_count_ended(&call->endpoint->load, call->cost_us);
  }
  call->state = state;
  if (state == CALL_WAITING) {
    call->channel->waiting_count++;
    list_append(&call->channel->waiting, &call->node);
    uint64_t give_up_us = channel_hope_until_us(call->channel);
    heap_insert(&client->timers, &call->timer, deadline_min(call->deadline_us, give_up_us));
  } else if (state == CALL_IN_FLIGHT) {
    // A stream may be idle for long: it does not say how much its endpoint has to do, nor that it owes an answer.
    if (call->stream == NULL)
      balancer_count_sent(&call->endpoint->load, call->cost_us, call->sent_us);
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
  strbuf_free(&call->copy);
  call_table_release(&call->client->calls, call);
}

// ---- the end of a call ----

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
  release_call(call);
  done(arg, &told, payload);
}

bool client_withdraw_request(struct rpc_call *call)
{
  return call->state != CALL_IN_FLIGHT || sender_drop(&call->endpoint->sender, call->frame_number);
}

void client_fail_call(struct rpc_call *call, enum status code, bool has_left, const char *message)
{
  has_left = has_left || call->may_have_begun;
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

void client_send_cancel(const struct rpc_call *call)
{
  struct rpc_frame frame = {.call_id = call->id, .kind = RPC_FRAME_CANCEL};
  (void)sender_add(&call->endpoint->sender, &frame);
}

bool rpc_call_cancel(struct rpc_call *call)
{
  CHECK(call->state != CALL_FREE);
  bool has_left = !client_withdraw_request(call);
  if (has_left)
    client_send_cancel(call);
  has_left = has_left || call->may_have_begun;
  release_call(call);
  return has_left;
}

// ---- what a call tells of its endpoint ----

// Tells whether an instance has more to do than it can. It should get fewer calls, but it must not be ejected: others
// would get all of its calls, and the many calls of a single caller would take one instance after the other away.
static bool is_overload(const struct rpc_status *status)
{
  return status->code == STATUS_RESOURCE_EXHAUSTED &&
         (slice_equal_string(status->reason, status_name(STATUS_RESOURCE_EXHAUSTED)) ||
          slice_equal(status->reason, SLICE(RPC_NOT_APPLIED)));
}

// Tells whether a status says something of the instance that has sent it, and not of the request.
static bool is_instance_failure(const struct rpc_status *status)
{
  switch (status->code) {
  case STATUS_UNAVAILABLE:
  case STATUS_DEADLINE_EXCEEDED:
  case STATUS_INTERNAL:
  case STATUS_UNKNOWN:
  case STATUS_DATA_LOSS:
    return true;
  case STATUS_RESOURCE_EXHAUSTED:
    // The reason of a limit that its caller has exceeded is another.
    return is_overload(status);
  default:
    return false;
  }
}

void client_judge_endpoint(struct rpc_call *call, const struct rpc_status *status)
{
  uint64_t now_us = call->client->now_us;
  uint64_t duration_us = now_us > call->sent_us ? now_us - call->sent_us : 0;
  // How long a stream lasts is up to the hosts of both sides.
  bool is_stream = call->stream != NULL;
  if (status->code == STATUS_DEADLINE_EXCEEDED && (duration_us < FAIR_TIME_US || (is_stream && call->has_streamed)))
    return;
  const struct balancer_reply reply = {
      .duration_us = duration_us,
      .cost_us = call->cost_us,
      .failed = status->code != STATUS_OK && is_instance_failure(status),
      .is_overload = is_overload(status),
      .is_untimed = is_stream,
  };
  if (!reply.failed && !is_stream)
    method_cost_note(&call->entry->cost, reply.duration_us, now_us);
  if (balancer_note_reply(&call->endpoint->load, &reply, now_us))
    channel_eject_failing(call->endpoint);
}

// ---- the start of a call ----

static struct rpc_frame make_request(const struct rpc_call *call)
{
  struct rpc_frame frame = {.call_id = call->id,
                            .kind = RPC_FRAME_REQUEST,
                            .method = call->method,
                            .payload = call->payload,
                            .has_context = call->context != NULL,
                            .credit = call->stream == NULL ? 0 : STREAM_CREDIT_BYTES};
  if (call->context != NULL)
    frame.context = *call->context;
  return frame;
}

static bool request_fits(const struct rpc_client *client, const struct rpc_frame *frame)
{
  // The time limits are not in the frame yet: for each, one byte of tag and the number.
  size_t limit_bytes = 1 + wire_varint_size(UINT32_MAX) + 1 + wire_varint_size(UINT64_MAX);
  return rpc_frame_packed_size(frame) + RPC_TAIL_MAX_BYTES + limit_bytes <= client->endpoints.max_message_bytes;
}

// Sends the request of a call to an endpoint. `frame` is what make_request has made of the call before, or NULL.
static void send_request(struct rpc_call *call, struct endpoint *endpoint, struct rpc_frame *frame, uint64_t now_us)
{
  // A timeout of 0 would mean none. A call whose deadline has passed expires with the next look at the timers.
  uint32_t left_ms = deadline_left_ms(call->deadline_us, now_us);
  uint32_t timeout_ms = left_ms == 0 ? 1 : left_ms;
  uint64_t expires_at_us = peer_clock_turn(&endpoint->clock, call->deadline_us);
  call->endpoint = endpoint;
  call->cost_us = method_cost_us(&call->entry->cost);
  call->sent_us = now_us;
  if (call->copy.size != 0) {
    call->frame_number =
        sender_add_with_timeout(&endpoint->sender, strbuf_slice(&call->copy), timeout_ms, expires_at_us);
  } else {
    struct rpc_frame made;
    if (frame == NULL) {
      made = make_request(call);
      frame = &made;
    }
    frame->timeout_ms = timeout_ms;
    frame->expires_at_us = expires_at_us;
    call->frame_number = sender_add(&endpoint->sender, frame);
  }
  set_call_state(call, CALL_IN_FLIGHT);
  channel_note_unsent(endpoint);
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
    set_call_state(call, CALL_WAITING);
}

// Sends a call that is in no list to an endpoint, or lets it wait for one.
static void place_call(struct rpc_call *call, struct rpc_frame *frame, uint64_t now_us)
{
  struct balancer_candidate *pick = channel_pick(call, now_us);
  if (deadline_left_ms(call->deadline_us, now_us) == 0)
    client_refuse_call(call, STATUS_DEADLINE_EXCEEDED, "the deadline had passed before the call");
  else if (pick == NULL)
    wait_for_endpoint(call, now_us);
  else if (pick->full)
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many bytes wait to be sent to the service");
  else if (!balancer_has_room(&call->channel->balancer, pick))
    client_refuse_call(call, STATUS_RESOURCE_EXHAUSTED, "too many calls in flight to the service");
  else
    send_request(call, endpoint_of(pick), frame, now_us);
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
  call->stream = options->stream;
  call->flow = stream_flow_make(STREAM_CREDIT_BYTES);
  call->flow.sends_no_more = !options->writes_messages;
  list_init(&call->backlog_node);
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
  struct rpc_call *call = make_call(client, options, done, arg);
  struct rpc_frame frame = make_request(call);
  if (!request_fits(client, &frame)) {
    client_refuse_call(call, STATUS_INVALID_ARGUMENT, "the request is larger than a message may be");
    return call;
  }
  place_call(call, &frame, call->started_us);
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
    send_request(call, endpoint_of(pick), NULL, client->now_us);
  }
}

// ---- retries ----

// The most times that the request of a call leaves.
#define MAX_ATTEMPTS 3

static bool take_from_budget(struct rpc_call *call)
{
  struct rpc_channel *channel = call->channel;
  uint64_t now_us = call->client->now_us;
  if (retry_budget_take(&channel->retries, now_us))
    return true;
  uint64_t suppressed = 0;
  metric_add(channel->not_retried, 1);
  if (log_limit_pass(&channel->budget_log, now_us, &suppressed))
    log_warn("rpc",
             "a call that could be sent to another instance fails, because a fifth of the recent calls were sent again "
             "already; look what is wrong with the service",
             LOG_STRING("service", channel->service), LOG_INT("alsoBefore", suppressed));
  return false;
}

// Takes a call back from its endpoint, to be sent again.
static void take_back(struct rpc_call *call, enum retry_reason reason)
{
  metric_add(call->channel->retried[reason], 1);
  if (reason != RETRY_UNSENT)
    call->attempts++;
  set_call_state(call, CALL_DETACHED);
}

// Tells whether the server says that it has not begun the call.
static bool is_refusal(const struct rpc_status *status)
{
  return (status->code == STATUS_UNAVAILABLE || status->code == STATUS_RESOURCE_EXHAUSTED) &&
         slice_equal(status->reason, SLICE(RPC_NOT_APPLIED));
}

bool client_retry_refused(struct rpc_call *call, const struct rpc_status *status)
{
  if (!is_refusal(status) || call->has_streamed || call->attempts + 1 >= MAX_ATTEMPTS ||
      call->deadline_us <= call->client->now_us)
    return false;
  // A server that shuts down refuses what has crossed with its goodbye, however much that is.
  if (call->endpoint->state != ENDPOINT_READY) {
    take_back(call, RETRY_REFUSED);
    place_call(call, NULL, call->client->now_us);
    return true;
  }
  struct balancer_candidate *other = channel_pick_other(call->channel, call->endpoint);
  if (other == NULL || !take_from_budget(call))
    return false;
  take_back(call, RETRY_REFUSED);
  send_request(call, endpoint_of(other), NULL, call->client->now_us);
  return true;
}

// Tells whether a call may be sent again although its server may have begun it. A stream may not, because messages of
// the earlier attempt may still come, and would be taken for those of the next.
static bool is_repeatable(const struct rpc_call *call)
{
  return call->is_repeatable && call->stream == NULL && call->attempts + 1 < MAX_ATTEMPTS;
}

// Sends a call again whose connection broke. False where that must not be done.
static bool retry_broken(struct rpc_call *call)
{
  if (call->has_streamed || (call->has_left && !(is_repeatable(call) && take_from_budget(call))))
    return false;
  call->may_have_begun = call->may_have_begun || call->has_left;
  take_back(call, call->has_left ? RETRY_BROKEN : RETRY_UNSENT);
  place_call(call, NULL, call->client->now_us);
  return true;
}

void client_leave_silent(struct endpoint *endpoint)
{
  struct list *next;
  for (struct list *node = endpoint->calls.next; node != &endpoint->calls; node = next) {
    next = node->next;
    struct rpc_call *call = CONTAINER_OF(node, struct rpc_call, node);
    struct balancer_candidate *other = channel_pick_other(call->channel, endpoint);
    if (other == NULL)
      return;
    // The messages behind the request of a stream would go without it.
    if (call->has_streamed)
      continue;
    bool has_left = !client_withdraw_request(call);
    if (has_left && !is_repeatable(call))
      continue;
    // The others are tried at the next look.
    if (has_left && !take_from_budget(call))
      return;
    if (has_left)
      client_send_cancel(call);
    call->may_have_begun = call->may_have_begun || has_left;
    take_back(call, has_left ? RETRY_SILENT : RETRY_UNSENT);
    send_request(call, endpoint_of(other), NULL, call->client->now_us);
  }
}

void client_move_calls(struct endpoint *endpoint)
{
  size_t moved = 0, failed = 0;
  while (!list_empty(&endpoint->calls)) {
    struct rpc_call *call = CONTAINER_OF(endpoint->calls.next, struct rpc_call, node);
    if (retry_broken(call)) {
      moved++;
      continue;
    }
    failed++;
    client_fail_call(call, STATUS_UNAVAILABLE, call->has_left, "the connection to the service broke");
  }
  if (moved + failed > 0)
    log_warn("rpc", "calls were in flight on a connection that broke; those that may be are sent again",
             LOG_STRING("endpoint", endpoint->id), LOG_INT("sentAgain", moved), LOG_INT("failed", failed));
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
  if (has_left) {
    client_judge_endpoint(call, &(struct rpc_status){.code = STATUS_DEADLINE_EXCEEDED});
    client_send_cancel(call);
  }
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

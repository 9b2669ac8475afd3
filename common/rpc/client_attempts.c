// How the request of a call at one endpoint ends: it is taken back, cancelled or answered, and tells of the endpoint.
#include "common/rpc/client_internal.h"
#include "common/rpc/packet_internal.h"

// A call whose deadline passes sooner than this says more of the caller, who may choose it, than of the instance.
#define FAIR_TIME_US UINT64_C(1000000)

bool client_withdraw_attempt(const struct rpc_attempt *attempt)
{
  return sender_drop(&attempt->endpoint->sender, attempt->frame_number);
}

void client_cancel_attempt(const struct rpc_attempt *attempt)
{
  struct rpc_frame frame = {.call_id = attempt->call->id, .kind = RPC_FRAME_CANCEL};
  (void)sender_add(&attempt->endpoint->sender, &frame);
}

// ---- what an attempt tells of its endpoint ----

// Tells whether an instance has more to do than it can. It should get fewer calls, but it must not be ejected: others
// would get all of its calls, and the many calls of a single caller would take one instance after the other away.
static bool is_overload(const struct rpc_status *status)
{
  return status->code == STATUS_RESOURCE_EXHAUSTED &&
         (slice_equal(status->reason, SLICE(RPC_INSTANCE_FULL)) || slice_equal(status->reason, SLICE(RPC_NOT_APPLIED)));
}

// Tells whether a caller was refused because of what it wants itself. That says nothing of the instance: neither that
// it has too much to do nor, were it taken for an answer, that it answers soon.
static bool is_own_limit(const struct rpc_status *status)
{
  return status->code == STATUS_RESOURCE_EXHAUSTED && !is_overload(status);
}

bool client_is_instance_failure(const struct rpc_status *status)
{
  switch (status->code) {
  case STATUS_UNAVAILABLE:
  case STATUS_DEADLINE_EXCEEDED:
  case STATUS_INTERNAL:
  case STATUS_UNKNOWN:
  case STATUS_DATA_LOSS:
    return true;
  case STATUS_RESOURCE_EXHAUSTED:
    return is_overload(status);
  default:
    return false;
  }
}

static uint64_t find_duration_us(const struct rpc_attempt *attempt)
{
  uint64_t now_us = attempt->call->client->now_us;
  return now_us > attempt->sent_us ? now_us - attempt->sent_us : 0;
}

void client_note_unanswered(const struct rpc_attempt *attempt)
{
  if (attempt->call->stream == NULL)
    balancer_note_unanswered(&attempt->endpoint->load, find_duration_us(attempt), attempt->cost_us,
                             attempt->call->client->now_us);
}

static enum breaker_outcome find_failure(const struct rpc_status *status)
{
  if (is_overload(status))
    return BREAKER_REFUSED;
  bool is_unable = status->code == STATUS_UNAVAILABLE && slice_equal(status->reason, SLICE(RPC_NOT_APPLIED));
  return is_unable ? BREAKER_UNABLE : BREAKER_FAILED;
}

// Tells the breaker of the method. Returns whether that is all that the reply should change: a failure at an endpoint
// whose breaker is open was expected, and must neither eject the endpoint nor drive the calls of other methods away.
static bool note_outcome(struct rpc_attempt *attempt, const struct rpc_status *status, bool has_failed)
{
  bool was_open = breaker_set_is_open(&attempt->endpoint->breakers, attempt->call->entry->index);
  if (has_failed)
    channel_note_outcome(attempt, find_failure(status));
  else
    client_note_answer(attempt);
  return was_open && has_failed;
}

void client_note_answer(struct rpc_attempt *attempt)
{
  if (attempt->is_answered)
    return;
  attempt->is_answered = true;
  if (attempt->endpoint->breakers.count != 0)
    channel_note_outcome(attempt, attempt->is_try ? BREAKER_TRY_ANSWERED : BREAKER_ANSWERED);
}

void client_judge_attempt(struct rpc_attempt *attempt, const struct rpc_status *status)
{
  const struct rpc_call *call = attempt->call;
  uint64_t now_us = call->client->now_us;
  uint64_t duration_us = find_duration_us(attempt);
  // How long a stream lasts is up to the hosts of both sides.
  bool is_stream = call->stream != NULL;
  if (is_own_limit(status))
    return;
  if (status->code == STATUS_DEADLINE_EXCEEDED && (duration_us < FAIR_TIME_US || (is_stream && call->has_streamed))) {
    client_note_unanswered(attempt);
    return;
  }
  const struct balancer_reply reply = {
      .duration_us = duration_us,
      .cost_us = attempt->cost_us,
      .failed = status->code != STATUS_OK && client_is_instance_failure(status),
      .is_overload = is_overload(status),
      .is_untimed = is_stream,
  };
  if (!reply.failed && !is_stream)
    method_cost_note(&call->entry->cost, reply.duration_us, now_us);
  if ((reply.failed || attempt->endpoint->breakers.count != 0) && note_outcome(attempt, status, reply.failed))
    return;
  if (balancer_note_reply(&attempt->endpoint->load, &reply, now_us))
    channel_eject_failing(attempt->endpoint);
}

// Calls that are sent again: their server has refused them, their connection broke, or their instance is silent.
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"

// Takes a retry of the call out of its service's budget.
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

void client_take_back(struct rpc_call *call, enum retry_reason reason)
{
  metric_add(call->channel->retried[reason], 1);
  if (reason != RETRY_UNSENT)
    call->attempts++;
  client_set_call_state(call, CALL_DETACHED);
}

bool client_is_refusal(const struct rpc_status *status)
{
  return (status->code == STATUS_UNAVAILABLE || status->code == STATUS_RESOURCE_EXHAUSTED) &&
         slice_equal(status->reason, SLICE(RPC_NOT_APPLIED));
}

bool client_retry_refused(struct rpc_call *call, const struct rpc_status *status)
{
  if (!client_is_refusal(status) || call->has_streamed || call->attempts + 1 >= RPC_MAX_ATTEMPTS ||
      call->deadline_us <= call->client->now_us)
    return false;
  // A server that shuts down refuses what has crossed with its goodbye, however much that is.
  if (call->attempt.endpoint->state != ENDPOINT_READY) {
    client_take_back(call, RETRY_REFUSED);
    client_place_call(call, NULL, call->client->now_us);
    return true;
  }
  struct balancer_candidate *other = channel_pick_other(call, call->client->now_us);
  if (other == NULL || other->avoided || !take_from_budget(call))
    return false;
  client_take_back(call, RETRY_REFUSED);
  client_send_request(call, endpoint_of(other), NULL, call->client->now_us);
  return true;
}

// Tells whether a call may be sent again although its server may have begun it. A stream may not, because messages of
// the earlier attempt may still come, and would be taken for those of the next.
static bool is_repeatable(const struct rpc_call *call)
{
  return call->is_repeatable && call->stream == NULL && call->attempts + 1 < RPC_MAX_ATTEMPTS;
}

// Sends a call again whose connection broke. False where that must not be done.
static bool retry_broken(struct rpc_call *call)
{
  bool has_left = call->attempt.has_left;
  if (call->has_streamed || (has_left && !(is_repeatable(call) && take_from_budget(call))))
    return false;
  call->may_have_begun = call->may_have_begun || has_left;
  client_take_back(call, has_left ? RETRY_BROKEN : RETRY_UNSENT);
  client_place_call(call, NULL, call->client->now_us);
  return true;
}

// Sends a call of a silent endpoint to another one if it may be sent again. False when none of the endpoint's calls can
// go now: there is no other endpoint, or the budget is exhausted.
static bool leave_silent(struct rpc_call *call)
{
  struct balancer_candidate *other = channel_pick_other(call, call->client->now_us);
  if (other == NULL)
    return false;
  // The messages behind the request of a stream would go without it.
  if (call->has_streamed)
    return true;
  bool has_left = !client_withdraw_request(call);
  if (has_left && !is_repeatable(call))
    return true;
  if (has_left && !take_from_budget(call))
    return false;
  if (has_left)
    client_cancel_attempt(&call->attempt);
  call->may_have_begun = call->may_have_begun || has_left;
  client_take_back(call, has_left ? RETRY_SILENT : RETRY_UNSENT);
  client_send_request(call, endpoint_of(other), NULL, call->client->now_us);
  return true;
}

void client_leave_silent(struct endpoint *endpoint)
{
  struct list *next;
  for (struct list *node = endpoint->attempts.next; node != &endpoint->attempts; node = next) {
    next = node->next;
    struct rpc_attempt *attempt = CONTAINER_OF(node, struct rpc_attempt, node);
    // The rest is tried at the next look.
    if (attempt->call->hedge != NULL)
      client_leave_hedged(attempt);
    else if (!leave_silent(attempt->call))
      return;
  }
}

void client_move_calls(struct endpoint *endpoint)
{
  size_t moved = 0, failed = 0;
  while (!list_empty(&endpoint->attempts)) {
    struct rpc_attempt *attempt = CONTAINER_OF(endpoint->attempts.next, struct rpc_attempt, node);
    struct rpc_call *call = attempt->call;
    if (call->hedge != NULL) {
      client_drop_attempt(attempt, attempt->has_left);
      moved++;
    } else if (retry_broken(call)) {
      moved++;
    } else {
      failed++;
      call->may_have_begun = call->may_have_begun || call->attempt.has_left;
      client_refuse_call(call, STATUS_UNAVAILABLE, "the connection to the service broke");
    }
  }
  if (moved + failed > 0)
    log_warn("rpc", "calls were in flight on a connection that broke; those that may be are sent again",
             LOG_STRING("endpoint", endpoint->id), LOG_INT("sentAgain", moved), LOG_INT("failed", failed));
}

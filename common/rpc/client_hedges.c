// Hedging: a call of a method that may be repeated, and whose server takes longer than usual, is sent to a second
// instance. The first good answer ends the call, and the other request is cancelled. Where one of the two fails, the
// call waits for the other as if there had been no more.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"

static void send_hedge(struct rpc_call *call, struct endpoint *endpoint)
{
  call->hedge = calloc(1, sizeof(*call->hedge));
  CHECK(call->hedge != NULL);
  list_init(&call->hedge->node);
  call->hedge->call = call;
  client_begin_attempt(call->hedge, endpoint, NULL, call->client->now_us);
  metric_add(call->channel->hedges[HEDGE_SENT], 1);
}

void client_hedge_call(struct rpc_call *call)
{
  struct rpc_channel *channel = call->channel;
  uint64_t now_us = call->client->now_us;
  if (!client_may_hedge(call))
    return;
  struct balancer_candidate *other = channel_pick_hedge(call, now_us);
  if (other == NULL)
    return;
  // One that has not left goes to the other instance instead.
  if (client_withdraw_request(call)) {
    client_take_back(call, RETRY_UNSENT);
    client_send_request(call, endpoint_of(other), NULL, now_us);
    return;
  }
  call->is_hedged = true;
  if (retry_budget_take_hedge(&channel->retries, now_us))
    send_hedge(call, endpoint_of(other));
  else
    metric_add(channel->hedges[HEDGE_OVER_BUDGET], 1);
}

void client_end_hedge(struct rpc_call *call)
{
  client_end_attempt(call->hedge);
  free(call->hedge);
  call->hedge = NULL;
}

// Makes the hedge of a call its only request.
static void promote_hedge(struct rpc_call *call)
{
  struct rpc_attempt *hedge = call->hedge;
  client_end_attempt(&call->attempt);
  list_remove(&hedge->node);
  call->attempt = *hedge;
  list_init(&call->attempt.node);
  list_append(&call->attempt.endpoint->attempts, &call->attempt.node);
  call->hedge = NULL;
  free(hedge);
}

// Ends one of the two requests of a call, which goes on with the other.
static void end_attempt(struct rpc_attempt *attempt)
{
  struct rpc_call *call = attempt->call;
  if (attempt == call->hedge)
    client_end_hedge(call);
  else
    promote_hedge(call);
}

void client_drop_attempt(struct rpc_attempt *attempt, bool may_have_begun)
{
  struct rpc_call *call = attempt->call;
  call->attempts++;
  call->may_have_begun = call->may_have_begun || may_have_begun;
  end_attempt(attempt);
}

// Takes the request back whose answer is needed no more, or cancels it. That says nothing bad of its instance, but that
// it has taken so long.
static void abandon_attempt(struct rpc_attempt *attempt)
{
  if (!client_withdraw_attempt(attempt)) {
    client_cancel_attempt(attempt);
    client_note_unanswered(attempt);
    metric_add(attempt->call->channel->hedges[HEDGE_CANCELLED], 1);
  }
  end_attempt(attempt);
}

// Tells whether an instance will not have to do with the call, where one of another version or with other keys may.
static bool is_foreign(const struct rpc_status *status)
{
  return status->code == STATUS_UNIMPLEMENTED ||
         (status->code == STATUS_UNAUTHENTICATED && slice_equal(status->reason, SLICE(RPC_UNPROVEN_CALLER)));
}

// Tells whether a status ends its call: it is no failure that another instance may not have.
static bool is_final(const struct rpc_status *status)
{
  return status->code == STATUS_OK ||
         (!client_is_instance_failure(status) && !is_foreign(status) && status->code != STATUS_RESOURCE_EXHAUSTED);
}

bool client_settle_hedge(struct rpc_attempt *attempt, const struct rpc_status *status)
{
  struct rpc_call *call = attempt->call;
  if (!is_final(status)) {
    client_drop_attempt(attempt, !client_is_refusal(status) && !is_foreign(status));
    return false;
  }
  if (attempt == call->hedge)
    metric_add(call->channel->hedges[HEDGE_WON], 1);
  abandon_attempt(attempt == call->hedge ? &call->attempt : call->hedge);
  return true;
}

void client_leave_hedged(struct rpc_attempt *attempt)
{
  struct rpc_call *call = attempt->call;
  const struct rpc_attempt *other = attempt == call->hedge ? &call->attempt : call->hedge;
  if (!other->endpoint->load.silent)
    return;
  bool has_left = !client_withdraw_attempt(attempt);
  if (has_left)
    client_cancel_attempt(attempt);
  client_drop_attempt(attempt, has_left);
}

// The circuit breakers of a channel's endpoints: which of them the calls of a method should go round.
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"

static void report_change(const struct rpc_attempt *attempt, const struct breaker *breaker)
{
  struct rpc_channel *channel = attempt->call->channel;
  bool is_open = breaker->state == BREAKER_OPEN;
  uint64_t suppressed = 0;
  metric_add(channel->breakers_opened, is_open ? 1 : 0);
  metric_add(attempt->endpoint->metrics->breakers_open, is_open ? 1 : -1);
  if (!log_limit_pass(&channel->breaker_log, channel->client->now_us, &suppressed))
    return;
  LOG_AT(is_open ? LOG_WARN : LOG_INFO, "rpc",
         is_open ? "an endpoint fails or refuses most calls of a method; these go to others that do not"
                 : "an endpoint does the calls of a method again",
         LOG_STRING("endpoint", attempt->endpoint->id), LOG_SLICE("method", attempt->call->entry->name),
         LOG_INT("failedPercent", (int)(100 * breaker->failed)),
         LOG_INT("refusedPercent", (int)(100 * breaker->refused)), LOG_INT("alsoBefore", suppressed));
}

void channel_note_outcome(struct rpc_attempt *attempt, enum breaker_outcome outcome)
{
  struct endpoint *endpoint = attempt->endpoint;
  size_t method = attempt->call->entry->index;
  attempt->is_try = false;
  // One that shuts down refuses what has crossed with its goodbye.
  if (endpoint->state != ENDPOINT_READY)
    return;
  if (!breaker_set_note(&endpoint->breakers, method, outcome, attempt->call->client->now_us))
    return;
  attempt->call->channel->has_open = true;
  report_change(attempt, breaker_set_find(&endpoint->breakers, method));
}

void channel_return_try(struct rpc_attempt *attempt)
{
  struct breaker *breaker = breaker_set_find(&attempt->endpoint->breakers, attempt->call->entry->index);
  attempt->is_try = false;
  if (breaker != NULL)
    breaker_return_try(breaker, attempt->call->client->now_us);
}

size_t channel_mark_open(struct rpc_channel *channel, size_t method)
{
  size_t open = 0;
  size_t marked = 0;
  for (size_t i = 0; channel->has_open && i < channel->candidate_count; i++) {
    const struct breaker_set *breakers = &endpoint_of(channel->candidates[i])->breakers;
    channel->candidates[i]->avoided = breaker_set_is_open(breakers, method);
    marked += channel->candidates[i]->avoided ? 1 : 0;
    open += breakers->open;
  }
  channel->has_open = open != 0;
  return marked;
}

struct balancer_candidate *channel_find_try(const struct rpc_channel *channel, size_t method, uint64_t now_us)
{
  for (size_t i = 0; i < channel->candidate_count; i++) {
    struct balancer_candidate *candidate = channel->candidates[i];
    if (!candidate->avoided || !balancer_is_usable(candidate, now_us) ||
        !balancer_has_room(&channel->balancer, candidate) ||
        !breaker_take_try(breaker_set_find(&endpoint_of(candidate)->breakers, method), now_us))
      continue;
    candidate->avoided = false;
    return candidate;
  }
  return NULL;
}

// Tells whether an instance whose breaker is not open takes calls of the method, though perhaps none now.
static bool has_closed(const struct rpc_channel *channel)
{
  for (size_t i = 0; i < channel->candidate_count; i++)
    if (channel->candidates[i]->ready && !channel->candidates[i]->avoided)
      return true;
  return false;
}

enum status channel_shed(const struct rpc_call *call, struct balancer_candidate *pick, uint64_t now_us)
{
  if (has_closed(call->channel))
    return STATUS_OK;
  struct breaker *breaker = breaker_set_find(&endpoint_of(pick)->breakers, call->entry->index);
  enum breaker_verdict verdict = breaker == NULL ? BREAKER_LETS : breaker_judge(breaker, now_us);
  if (verdict == BREAKER_LETS)
    return STATUS_OK;
  metric_add(call->channel->shed[verdict == BREAKER_SHEDS_FAILING ? 0 : 1], 1);
  return verdict == BREAKER_SHEDS_FAILING ? STATUS_UNAVAILABLE : STATUS_RESOURCE_EXHAUSTED;
}

// The channels of a client, and the lists of their endpoints.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/rpc_client.h"

// How long a call waits for an endpoint after the last sign that one will be ready.
#define HOPE_MS 1000

static struct rpc_channel *find_channel(const struct rpc_client *client, const char *service)
{
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next)
    if (strcmp(channel->service, service) == 0)
      return channel;
  return NULL;
}

static struct rpc_channel *add_channel(struct rpc_client *client, const char *service)
{
  struct rpc_channel *channel = calloc(1, sizeof(*channel));
  CHECK(channel != NULL);
  channel->client = client;
  channel->service = memory_copy_string(service);
  channel->hope_until_us = deadline_after_ms(clock_now_us(), HOPE_MS);
  channel->balancer.max_in_flight = client->max_calls_in_flight;
  channel->balancer.random = random_below(UINT32_MAX);
  list_init(&channel->waiting);
  channel_make_series(channel);
  channel->next = client->channels;
  client->channels = channel;
  return channel;
}

struct rpc_channel *client_channel(struct rpc_client *client, const char *service)
{
  struct rpc_channel *channel = find_channel(client, service);
  return channel != NULL ? channel : add_channel(client, service);
}

// ---- room ----

// Returns whether all endpoints of the client together have `max_unsent_bytes` to send, and this one at least its even
// part of them. An endpoint that takes what it is sent goes on while others do not, and the sum stays below twice the
// maximum: of what comes on top, each endpoint gets its part at most.
static bool is_full(const struct endpoint *endpoint)
{
  // The sum is made for those only who may have their part.
  enum { MANY_ENDPOINTS = 1024 };
  const struct rpc_client *client = endpoint->channel->client;
  size_t unsent = sender_unsent_bytes(&endpoint->sender);
  if (unsent < client->max_unsent_bytes / MANY_ENDPOINTS)
    return false;
  size_t sum = 0, count = 0;
  const struct list *members = &client->endpoints.members;
  for (const struct list *node = members->next; node != members; node = node->next) {
    sum += sender_unsent_bytes(&CONTAINER_OF(node, const struct endpoint, node)->sender);
    count++;
  }
  return sum >= client->max_unsent_bytes && unsent * count >= client->max_unsent_bytes;
}

void channel_note_unsent(struct endpoint *endpoint)
{
  struct rpc_channel *channel = endpoint->channel;
  bool full = is_full(endpoint);
  if (full == endpoint->load.full)
    return;
  endpoint->load.full = full;
  channel->has_full = channel->has_full || full;
  uint64_t suppressed = 0;
  if (full && log_limit_pass(&channel->full_log, clock_now_us(), &suppressed))
    log_warn("rpc",
             "an endpoint does not take what is sent to it; calls go to others, and are refused where all are so",
             LOG_STRING("endpoint", endpoint->id), LOG_STRING("url", endpoint->url),
             LOG_INT("unsentBytes", sender_unsent_bytes(&endpoint->sender)), LOG_INT("alsoBefore", suppressed));
}

// Looks which endpoints have room again.
static void look_for_room(struct rpc_channel *channel)
{
  channel->has_full = false;
  for (size_t i = 0; i < channel->candidate_count; i++) {
    struct endpoint *endpoint = endpoint_of(channel->candidates[i]);
    if (endpoint->load.full)
      channel_note_unsent(endpoint);
    channel->has_full = channel->has_full || endpoint->load.full;
  }
}

// ---- the choice ----

struct balancer_candidate *channel_pick(struct rpc_call *call, uint64_t now_us)
{
  struct rpc_channel *channel = call->channel;
  call->attempt.is_try = false;
  if (channel->has_full)
    look_for_room(channel);
  if (channel->has_open && channel_mark_open(channel, call->entry->index) != 0) {
    struct balancer_candidate *tried = channel_find_try(channel, call->entry->index, now_us);
    call->attempt.is_try = tried != NULL;
    if (tried != NULL)
      return tried;
  }
  return balancer_pick(&channel->balancer, channel->candidates, channel->candidate_count,
                       method_cost_us(&call->entry->cost), now_us);
}

struct balancer_candidate *channel_pick_other(const struct rpc_call *call, uint64_t now_us)
{
  struct rpc_channel *channel = call->channel;
  (void)channel_mark_open(channel, call->entry->index);
  return balancer_pick_other(&channel->balancer, channel->candidates, channel->candidate_count,
                             &call->attempt.endpoint->load, now_us);
}

struct balancer_candidate *channel_pick_hedge(const struct rpc_call *call, uint64_t now_us)
{
  struct rpc_channel *channel = call->channel;
  (void)channel_mark_open(channel, call->entry->index);
  return balancer_pick_hedge(&channel->balancer, channel->candidates, channel->candidate_count,
                             &call->attempt.endpoint->load, now_us);
}

// ---- ejection ----

void channel_count_ejected(struct rpc_channel *channel)
{
  size_t count = 0;
  for (size_t i = 0; i < channel->candidate_count; i++) {
    const struct balancer_candidate *candidate = channel->candidates[i];
    count += candidate->ready && ejection_is_active(&candidate->ejection, channel->client->now_us) ? 1 : 0;
  }
  metric_add(channel->ejected_now, (int64_t)count - (int64_t)channel->ejected_count);
  channel->ejected_count = count;
}

static void report_ejection(const struct endpoint *endpoint, bool is_slow)
{
  const struct rpc_channel *channel = endpoint->channel;
  metric_add(channel->ejected[is_slow ? 1 : 0], 1);
  channel->client->recount_us = channel->client->now_us;
  log_warn("rpc",
           is_slow ? "an endpoint is far slower than the others; for a while it gets no calls"
                   : "an endpoint fails more often than the others; for a while it gets no calls",
           LOG_STRING("endpoint", endpoint->id), LOG_STRING("url", endpoint->url),
           LOG_INT("pauseMs", (endpoint->load.ejection.until_us - channel->client->now_us) / 1000),
           LOG_INT("timesInARow", endpoint->load.ejection.rounds));
}

void channel_eject_failing(struct endpoint *endpoint)
{
  const struct rpc_channel *channel = endpoint->channel;
  if (endpoint->load.ready &&
      balancer_eject(channel->candidates, channel->candidate_count, &endpoint->load, channel->client->now_us))
    report_ejection(endpoint, false);
}

void channel_eject_slow(struct rpc_channel *channel)
{
  struct balancer_candidate *slow =
      balancer_find_slow(&channel->balancer, channel->candidates, channel->candidate_count, channel->client->now_us);
  if (slow != NULL)
    report_ejection(endpoint_of(slow), true);
}

// ---- hope ----

bool channel_is_ready(const struct rpc_channel *channel)
{
  for (size_t i = 0; i < channel->candidate_count; i++)
    if (channel->candidates[i]->ready)
      return true;
  return false;
}

uint64_t channel_hope_until_us(const struct rpc_channel *channel)
{
  uint64_t until_us = channel->hope_until_us;
  for (size_t i = 0; i < channel->candidate_count; i++) {
    uint64_t endpoint_until_us = endpoint_of(channel->candidates[i])->hope_until_us;
    until_us = endpoint_until_us > until_us ? endpoint_until_us : until_us;
  }
  return until_us;
}

void channel_note_lost(struct endpoint *endpoint)
{
  if (endpoint->state == ENDPOINT_READY) {
    endpoint->hope_until_us = deadline_after_ms(clock_now_us(), HOPE_MS);
    endpoint->may_come_up = false;
  } else if (!endpoint->may_come_up) {
    endpoint->hope_until_us = 0;
  }
}

void channel_drain_endpoint(struct endpoint *endpoint)
{
  if (endpoint->state == ENDPOINT_READY)
    endpoint->hope_until_us = deadline_after_ms(clock_now_us(), HOPE_MS);
  endpoint->may_come_up = true;
  endpoint_set_draining(endpoint);
}

// Lets calls wait for a successor of an endpoint that goes from the list.
static void hope_for_successor(struct endpoint *endpoint)
{
  uint64_t until_us = endpoint->hope_until_us;
  if (endpoint->state == ENDPOINT_READY)
    until_us = deadline_after_ms(clock_now_us(), HOPE_MS);
  if (until_us > endpoint->channel->hope_until_us)
    endpoint->channel->hope_until_us = until_us;
}

// ---- endpoints ----

static bool is_listed(const struct endpoint *endpoint, const struct rpc_endpoint *listed, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal_string(listed[i].id, endpoint->id) && slice_equal_string(listed[i].url, endpoint->url))
      return true;
  return false;
}

// NULL when the channel has no such endpoint.
static struct balancer_candidate *find_known(const struct rpc_channel *channel, const struct rpc_endpoint *address)
{
  for (size_t i = 0; i < channel->candidate_count; i++)
    if (is_listed(endpoint_of(channel->candidates[i]), address, 1))
      return channel->candidates[i];
  return NULL;
}

static void set_zone(const struct rpc_client *client, struct endpoint *endpoint, struct slice zone)
{
  bool are_known = zone.size != 0 && client->zone != NULL;
  endpoint->load.near = are_known && slice_equal_string(zone, client->zone);
  endpoint->is_elsewhere = are_known && !endpoint->load.near;
}

static void remove_unlisted(struct rpc_channel *channel, const struct rpc_endpoint *listed, size_t count)
{
  size_t kept = 0;
  for (size_t i = 0; i < channel->candidate_count; i++) {
    struct endpoint *endpoint = endpoint_of(channel->candidates[i]);
    if (is_listed(endpoint, listed, count)) {
      channel->candidates[kept++] = channel->candidates[i];
      continue;
    }
    hope_for_successor(endpoint);
    endpoint_set_unlisted(endpoint, clock_now_us());
    channel->client->unlisted_count++;
  }
  channel->candidate_count = kept;
  balancer_end_batch(&channel->balancer);
}

static struct balancer_candidate *make_endpoint(struct rpc_channel *channel, const struct rpc_endpoint *address)
{
  uint64_t now_us = clock_now_us();
  struct endpoint *endpoint =
      endpoint_create(&channel->client->endpoints, address, channel, &channel->endpoint_metrics, now_us);
  endpoint->hope_until_us = deadline_after_ms(now_us, HOPE_MS);
  endpoint->may_come_up = true;
  return &endpoint->load;
}

void rpc_client_set_endpoints(struct rpc_client *client, const char *service, const struct rpc_endpoint *endpoints,
                              size_t count)
{
  struct rpc_channel *channel = client_channel(client, service);
  // What was waited for has come, and is hoped for by itself now.
  if (count > 0 && channel->candidate_count == 0)
    channel->hope_until_us = 0;
  remove_unlisted(channel, endpoints, count);
  channel->candidates = realloc(channel->candidates, (channel->candidate_count + count + 1) * sizeof(void *));
  CHECK(channel->candidates != NULL);
  for (size_t i = 0; i < count; i++) {
    struct balancer_candidate *candidate = find_known(channel, &endpoints[i]);
    if (candidate == NULL)
      candidate = channel->candidates[channel->candidate_count++] = make_endpoint(channel, &endpoints[i]);
    set_zone(client, endpoint_of(candidate), endpoints[i].zone);
  }
  channel->balancer.next_zone_look_us = 0;
  // The next rpc_client_process frees those that went, because this function may run inside a callback.
  transport_wake(&client->transport);
}

size_t rpc_client_ready_endpoints(const struct rpc_client *client, const char *service)
{
  const struct rpc_channel *channel = find_channel(client, service);
  size_t ready = 0;
  for (size_t i = 0; channel != NULL && i < channel->candidate_count; i++)
    ready += channel->candidates[i]->ready ? 1 : 0;
  return ready;
}

// ---- endpoints that are replaced ----

// Dials the endpoint's server again, and sends new calls over the new connection only.
static void replace_endpoint(struct endpoint *endpoint)
{
  struct rpc_channel *channel = endpoint->channel;
  const struct rpc_endpoint address = {.id = slice_from_string(endpoint->id), .url = slice_from_string(endpoint->url)};
  for (size_t i = 0; i < channel->candidate_count; i++) {
    if (channel->candidates[i] != &endpoint->load)
      continue;
    endpoint_set_replaced(endpoint, clock_now_us());
    channel->client->unlisted_count++;
    channel->candidates[i] = make_endpoint(channel, &address);
    channel->candidates[i]->near = endpoint->load.near;
    endpoint_of(channel->candidates[i])->is_elsewhere = endpoint->is_elsewhere;
    balancer_end_batch(&channel->balancer);
    return;
  }
}

// Returns whether calls of an earlier connection to the same server are in flight.
static bool was_replaced_before(const struct endpoint *endpoint)
{
  const struct list *members = &endpoint->group->members;
  for (const struct list *node = members->next; node != members; node = node->next) {
    const struct endpoint *other = CONTAINER_OF(node, struct endpoint, node);
    if (other->is_replaced && strcmp(other->url, endpoint->url) == 0)
      return true;
  }
  return false;
}

void channel_reconnect_endpoint(struct endpoint *endpoint)
{
  if (endpoint->state == ENDPOINT_READY && !was_replaced_before(endpoint))
    replace_endpoint(endpoint);
  else
    channel_drain_endpoint(endpoint);
}

static void recheck_channel(struct rpc_channel *channel)
{
  struct error error;
  for (size_t i = 0; i < channel->candidate_count; i++) {
    struct endpoint *endpoint = endpoint_of(channel->candidates[i]);
    if (endpoint_is_trusted(endpoint, &error))
      continue;
    rpc_trust_report_revoked(channel->service, &error);
    replace_endpoint(endpoint);
  }
}

void client_recheck_servers(struct rpc_client *client)
{
  client->recheck_us = deadline_after_ms(client->now_us, RPC_RECHECK_MS);
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next)
    recheck_channel(channel);
}

// ---- the endpoints of a client ----

void client_free_finished_endpoints(struct rpc_client *client)
{
  struct list *next;
  struct list *members = &client->endpoints.members;
  for (struct list *node = members->next; client->unlisted_count != 0 && node != members; node = next) {
    next = node->next;
    struct endpoint *endpoint = CONTAINER_OF(node, struct endpoint, node);
    if (!endpoint_is_finished(endpoint))
      continue;
    client->unlisted_count--;
    endpoint_free(&endpoint);
  }
}

void client_free_channels(struct rpc_client *client)
{
  while (client->channels != NULL) {
    struct rpc_channel *channel = client->channels;
    client->channels = channel->next;
    channel->candidate_count = 0;
    channel_count_ejected(channel);
    free(channel->candidates);
    free(channel->service);
    free(channel);
  }
}

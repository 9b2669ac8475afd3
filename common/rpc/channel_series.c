// The metric series of a channel.
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/rpc_client.h"

void channel_make_series(struct rpc_channel *channel)
{
  struct slice label = slice_from_string(channel->service);
  channel->in_flight = metrics_series(METRIC_RPC_CLIENT_IN_FLIGHT, &label, 1);
  channel->ejected[0] = metrics_series(METRIC_RPC_EJECTED, (struct slice[]){label, SLICE("failures")}, 2);
  channel->ejected[1] = metrics_series(METRIC_RPC_EJECTED, (struct slice[]){label, SLICE("slowness")}, 2);
  channel->ejected_now = metrics_series(METRIC_RPC_EJECTED_NOW, &label, 1);
  channel->not_retried = metrics_series(METRIC_RPC_NOT_RETRIED, &label, 1);
  static const char *const reasons[] = {
      [RETRY_UNSENT] = "unsent", [RETRY_REFUSED] = "refused", [RETRY_BROKEN] = "broken", [RETRY_SILENT] = "silent"};
  for (size_t i = 0; i < RETRY_REASON_COUNT; i++)
    channel->retried[i] = metrics_series(METRIC_RPC_RETRIES, (struct slice[]){label, slice_from_string(reasons[i])}, 2);
  static const char *const events[] = {
      [HEDGE_SENT] = "sent", [HEDGE_WON] = "won", [HEDGE_CANCELLED] = "cancelled", [HEDGE_OVER_BUDGET] = "over_budget"};
  for (size_t i = 0; i < HEDGE_EVENT_COUNT; i++)
    channel->hedges[i] = metrics_series(METRIC_RPC_HEDGES, (struct slice[]){label, slice_from_string(events[i])}, 2);
  channel->breakers_opened = metrics_series(METRIC_RPC_BREAKERS_OPENED, &label, 1);
  channel->shed[0] = metrics_series(METRIC_RPC_SHED, (struct slice[]){label, SLICE("failing")}, 2);
  channel->shed[1] = metrics_series(METRIC_RPC_SHED, (struct slice[]){label, SLICE("refusing")}, 2);
  channel->left_zone = metrics_series(METRIC_RPC_LEFT_ZONE, &label, 1);
  channel->endpoint_metrics = (struct endpoint_metrics){
      .connected = metrics_series(METRIC_RPC_ENDPOINTS, &label, 1),
      .service = channel->service,
      .lost = metrics_series(METRIC_RPC_ENDPOINT_LOST, &label, 1),
      .silent = metrics_series(METRIC_RPC_ENDPOINT_SILENT, &label, 1),
      .packets = metrics_series(METRIC_RPC_CLIENT_PACKETS, &label, 1),
      .frames = metrics_series(METRIC_RPC_CLIENT_FRAMES, &label, 1),
      .breakers_open = metrics_series(METRIC_RPC_BREAKERS_OPEN, &label, 1),
  };
}

void rpc_client_make_series(const char *service)
{
  // A char pointer that is not const is what a channel has; nothing is written through it.
  struct rpc_channel channel = {.service = (char *)(uintptr_t)service};
  channel_make_series(&channel);
}

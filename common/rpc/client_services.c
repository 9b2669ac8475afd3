// The services that a client knows, and the lists of their endpoints.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/rpc_client.h"

static struct rpc_service *service_find(const struct rpc_client *client, const char *name)
{
  for (struct rpc_service *service = client->services; service != NULL; service = service->next)
    if (strcmp(service->name, name) == 0)
      return service;
  return NULL;
}

struct rpc_service *client_service(struct rpc_client *client, const char *name)
{
  struct rpc_service *service = service_find(client, name);
  if (service != NULL)
    return service;
  service = calloc(1, sizeof(*service));
  CHECK(service != NULL);
  service->name = strdup(name);
  CHECK(service->name != NULL);
  list_init(&service->waiting);
  struct slice label = slice_from_string(service->name);
  service->in_flight = metrics_series(METRIC_RPC_CLIENT_IN_FLIGHT, &label, 1);
  service->endpoint_metrics = (struct endpoint_metrics){
      .connected = metrics_series(METRIC_RPC_ENDPOINTS, &label, 1),
      .lost = metrics_series(METRIC_RPC_ENDPOINT_LOST, &label, 1),
      .packets = metrics_series(METRIC_RPC_CLIENT_PACKETS, &label, 1),
      .frames = metrics_series(METRIC_RPC_CLIENT_FRAMES, &label, 1),
  };
  service->next = client->services;
  client->services = service;
  return service;
}

static bool is_listed(const struct endpoint *endpoint, const struct rpc_endpoint *listed, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal_string(listed[i].id, endpoint->id) && slice_equal_string(listed[i].url, endpoint->url))
      return true;
  return false;
}

static bool is_known(const struct rpc_service *service, const struct rpc_endpoint *place)
{
  for (size_t i = 0; i < service->candidate_count; i++)
    if (is_listed(endpoint_of(service->candidates[i]), place, 1))
      return true;
  return false;
}

static void remove_unlisted(struct rpc_client *client, struct rpc_service *service, const struct rpc_endpoint *listed,
                            size_t count)
{
  size_t kept = 0;
  for (size_t i = 0; i < service->candidate_count; i++) {
    struct endpoint *endpoint = endpoint_of(service->candidates[i]);
    if (is_listed(endpoint, listed, count)) {
      service->candidates[kept++] = service->candidates[i];
      continue;
    }
    endpoint_set_removed(&client->hub, endpoint, clock_now_us());
    client->removed_endpoints++;
  }
  service->candidate_count = kept;
  balancer_choose_anew(&service->balancer);
}

void rpc_client_set_endpoints(struct rpc_client *client, const char *service_name, const struct rpc_endpoint *endpoints,
                              size_t count)
{
  struct rpc_service *service = client_service(client, service_name);
  remove_unlisted(client, service, endpoints, count);
  service->candidates = realloc(service->candidates, (service->candidate_count + count + 1) * sizeof(void *));
  CHECK(service->candidates != NULL);
  for (size_t i = 0; i < count; i++) {
    if (is_known(service, &endpoints[i]))
      continue;
    struct endpoint *endpoint =
        endpoint_create(&client->hub, &endpoints[i], service, &service->endpoint_metrics, clock_now_us());
    list_append(&client->endpoints, &endpoint->node);
    service->candidates[service->candidate_count++] = &endpoint->load;
  }
  // Those that went are freed by the next process, not here: this may run inside a callback.
  pipe_events_wake(&client->hub.reaper->events);
}

size_t rpc_client_ready_endpoints(const struct rpc_client *client, const char *service_name)
{
  const struct rpc_service *service = service_find(client, service_name);
  size_t ready = 0;
  for (size_t i = 0; service != NULL && i < service->candidate_count; i++)
    ready += service->candidates[i]->ready ? 1 : 0;
  return ready;
}

void client_free_services(struct rpc_client *client)
{
  while (client->services != NULL) {
    struct rpc_service *service = client->services;
    client->services = service->next;
    free(service->candidates);
    free(service->name);
    free(service);
  }
}

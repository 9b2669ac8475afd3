// What the files of the client share: its state and that of a service.
#ifndef BULKHEAD_RPC_CLIENT_INTERNAL_H
#define BULKHEAD_RPC_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/rpc/balancer_internal.h"
#include "common/rpc/call_table_internal.h"
#include "common/rpc/endpoint_internal.h"
#include "common/rpc/method_metrics_internal.h"

struct rpc_service {
  struct rpc_service *next;
  char *name;
  struct balancer_candidate **candidates;  // endpoint.load of the listed ones
  size_t candidate_count;
  struct balancer balancer;
  struct list waiting;  // rpc_call.node
  size_t waiting_count;
  struct metric_series *in_flight;
  struct endpoint_metrics endpoint_metrics;
};

struct rpc_client {
  char *peer_service;
  size_t max_calls_in_flight;
  struct endpoint_hub hub;
  struct call_table calls;
  struct heap timers;     // rpc_call.timer
  struct list refused;    // rpc_call.node
  struct list endpoints;  // all, also those that are no longer listed
  size_t removed_endpoints;
  struct rpc_service *services;
  struct method_metrics methods;
  struct arena scratch;  // arrays of the packet at hand
  uint64_t now_us;
  bool closing;
};

static inline struct endpoint *endpoint_of(struct balancer_candidate *candidate)
{
  return CONTAINER_OF(candidate, struct endpoint, load);
}

// Made when it is first named.
struct rpc_service *client_service(struct rpc_client *client, const char *name);
void client_free_services(struct rpc_client *client);

#endif

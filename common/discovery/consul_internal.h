// The thread that talks to Consul: one blocking query for each watched service, and one registration.
#ifndef BULKHEAD_DISCOVERY_CONSUL_INTERNAL_H
#define BULKHEAD_DISCOVERY_CONSUL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/discovery/discovery.h"
#include "common/discovery/endpoint_list_internal.h"

struct consul;

struct consul_options {
  const char *url;
  const char *token;  // NULL for none
  uint32_t wait_ms;
  // Takes the endpoints of a service as Consul has them now, whether they have changed or not. It runs on the thread
  // after every answer, and owns the list.
  void (*on_list)(void *arg, const char *service, struct endpoint_list *list);
  void *arg;
};

// Starts the thread. INVALID_ARGUMENT unless the URL is one of http or https.
enum status consul_start(const struct consul_options *options, struct consul **out, struct error *error) MUST_CHECK;
// Ends the thread without deregistering and frees everything. Nulls the pointer and accepts NULL in it.
void consul_free(struct consul **consul);

// Starts asking for the endpoints of a service. Must be called once at most for each service. `saved` (NULL for none)
// is what the host knows until Consul answers, and also afterwards when Consul names nobody; it is copied.
void consul_watch(struct consul *consul, const char *service, const struct endpoint_list *saved);
// Sets the desired state to this registration; the thread registers it now, and again whenever Consul has lost it.
void consul_register(struct consul *consul, const struct discovery_registration *registration);
// Sets the desired state to no registration, and waits at most `timeout_ms` for Consul. Does nothing when nothing is
// registered, but for the wait where an earlier call had no time for it.
void consul_deregister(struct consul *consul, uint32_t timeout_ms);
// Returns whether the last request to Consul worked.
bool consul_up(const struct consul *consul);

#endif

// The thread that talks to Consul: one blocking query per followed service, and one registration.
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
  // On the thread: the list of a service as Consul has it now, taken over by the callee. It comes after every answer,
  // changed or not.
  void (*on_list)(void *arg, const char *service, struct endpoint_list *list);
  void *arg;
};

// INVALID_ARGUMENT when the URL is none of http or https.
enum status consul_start(const struct consul_options *options, struct consul **out, struct error *error) MUST_CHECK;
void consul_stop(struct consul **consul);

// Once per service.
void consul_watch(struct consul *consul, const char *service);
void consul_register(struct consul *consul, const struct discovery_registration *registration);
// Does nothing when nothing is registered.
void consul_deregister(struct consul *consul, uint32_t timeout_ms);
bool consul_up(const struct consul *consul);

#endif

// The state of the item service while it runs.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_STATE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_STATE_H

#include "common/base/status.h"

struct service;
struct cache;

struct item_state {
  struct cache *cache;  // NULL when turned off
};

enum status item_start(struct service *service, void **state_out, struct error *error) MUST_CHECK;
void item_stop(struct service *service, void *state_opaque);

#endif

// The state of the item service while it runs.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_STATE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_STATE_H

#include "common/base/status.h"

struct call;
struct service;
struct cache;
struct item_hub;

struct item_state {
  struct cache *cache;  // NULL when turned off
  struct item_hub *hub;
};

enum status item_start(struct service *service, void **state_out, struct error *error) MUST_CHECK;
void item_stop(struct service *service, void *state_opaque);

// Has those who watch items told of what the call changes, once its outcome is final.
void item_tell_when_done(struct call *call);
// The same for what the call has changed by now, where nothing of it can be undone.
void item_tell_now(struct call *call);

#endif

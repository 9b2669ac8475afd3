// Recalls the instances of a service while a Consul that has lost its memory does not know all of them again. Each
// instance registers again by itself, but only when it looks for its registration; until then calls would find nobody.
#ifndef BULKHEAD_DISCOVERY_CONSUL_RECALL_INTERNAL_H
#define BULKHEAD_DISCOVERY_CONSUL_RECALL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/discovery/endpoint_list_internal.h"

// A zeroed one is ready and recalls nothing.
struct consul_recall {
  struct endpoint_list known;  // the list of the last answer, completed
  uint64_t index;              // X-Consul-Index of the last answer
  uint64_t until_us;           // Consul may not know all instances until then
};

// Completes the list of an answer. An index below that of the answer before shows a Consul that has lost its memory:
// for 20 seconds the known instances that it does not name are added. Returns whether this is so now. The caller must
// ask again soon then, because the end of that time changes the list.
bool consul_recall_complete(struct consul_recall *recall, uint64_t index, uint64_t now_us, struct endpoint_list *list);
void consul_recall_free(struct consul_recall *recall);

#endif

// Decides which instances of a service are listed. Consul is believed about what it knows, and not about what it may
// have forgotten: an instance registers again by itself, but until it does calls would find nobody.
#ifndef BULKHEAD_DISCOVERY_CONSUL_RECALL_INTERNAL_H
#define BULKHEAD_DISCOVERY_CONSUL_RECALL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/discovery/consul_format_internal.h"
#include "common/discovery/endpoint_list_internal.h"

// A zeroed one is ready and recalls nothing.
struct consul_recall {
  struct endpoint_list known;  // the list of the last answer, completed; at the start the one that was saved
  struct endpoint_list named;  // the list of the last answer as it came
  uint64_t index;              // X-Consul-Index of the last answer
  uint64_t until_us;           // Consul may not know all instances until then
  bool was_empty;              // the last answer named no instance
};

// Makes the list from an answer. The instances that pass their checks are listed; where none passes, those that are
// registered, because a Consul that reaches nobody says little about who can be called.
//
// Known instances that Consul does not name are added for two minutes once it may have lost its memory: after an
// outage, after an index below that of the answer before, and when it suddenly names nobody. Whoever is not named in
// that time is gone at its end, also when Consul loses its memory again and again. Returns whether this is so now. The
// end of that time changes the list, so the caller must ask again by consul_recall_left_ms.
bool consul_recall_complete(struct consul_recall *recall, const struct consul_answer *answer, uint64_t now_us,
                            struct endpoint_list *out);
// Returns how long known instances will be added to answers; 0 when they are not.
uint32_t consul_recall_left_ms(const struct consul_recall *recall, uint64_t now_us);
void consul_recall_free(struct consul_recall *recall);

#endif

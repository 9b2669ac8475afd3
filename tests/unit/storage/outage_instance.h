// What outage_instance.c and outage_channel.c share: an instance in the world of outage_world.h.
#ifndef BULKHEAD_TESTS_UNIT_STORAGE_OUTAGE_INSTANCE_H
#define BULKHEAD_TESTS_UNIT_STORAGE_OUTAGE_INSTANCE_H

#include "tests/unit/storage/outage_world.h"

// ---- outage_instance.c: what is served ----

bool instance_may_serve(const struct world *world, size_t instance);
// Tells whether what is loaded from now on may be kept.
bool instance_is_current(const struct world *world, size_t instance);
void instance_enter_state(struct world *world, size_t instance, enum instance_state state);
void instance_drop_key(struct instance *instance, size_t key);
void instance_drop_all(struct instance *instance, bool loads_only);
// Announces again what is under way, if the enrolment has ended by this call.
void instance_join(struct world *world, size_t instance);

// ---- outage_channel.c: changes ----

// How long another instance is remembered that is not heard.
uint64_t instance_memory_us(void);
void instance_begin_change(struct world *world, size_t instance, size_t key);
struct change *instance_find_change(struct instance *instance, uint64_t sequence);
void instance_end_change(struct instance *instance, struct change *change);
// Lets the changes go on that are confirmed, and ends those whose time is over.
void instance_wake_changes(struct world *world, size_t instance);
void instance_forget_publications(struct instance *instance);
void instance_queue_line(struct instance *instance, struct note_line line);
void instance_queue_own(struct instance *instance);
// Sends what is queued, unless something is on its way.
void instance_flush(struct world *world, size_t instance);

static inline uint64_t later(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

#endif

// Private to cache_outage.c and cache_outage_steps.c: the times of the protocol, and what holds of another instance.
#ifndef BULKHEAD_STORAGE_CACHE_OUTAGE_RULES_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_OUTAGE_RULES_INTERNAL_H

#include "common/storage/cache_host_internal.h"
#include "common/storage/cache_outage_internal.h"

enum {
  // The channel is silent when no message was reported as sent for so long. A server that is slow is not away.
  OUTAGE_SILENT_CHANNEL_MS = 250,
  // Whoever is asked promises sooner than it would ask, because the others may have heard nothing for longer.
  OUTAGE_SILENT_FOR_PROMISE_MS = 175,
  // Between the beginnings of two rounds, and of two readings of the rows.
  OUTAGE_ROUND_EVERY_MS = 50,
  OUTAGE_READ_EVERY_MS = 500,
  // How long an instance may take to come back to the channel by itself before it is told.
  OUTAGE_TELL_AFTER_MS = 1000,
  // A member that was not heard for so long has no lease, and enrols again: longer than CACHE_GAP_MS, as clocks differ.
  OUTAGE_SILENT_MEMBER_MS = 2000,
  // How often a member must be heard until it must have heard this instance: it sends its second message after its
  // first one was sent, and has heard then all that came before that one.
  OUTAGE_HEARD_ENOUGH = 2,
};

static inline uint64_t outage_ms(uint64_t value)
{
  return value * 1000;
}

static inline uint64_t outage_later(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static inline struct outage_member *outage_member_at(const struct list *node)
{
  return CONTAINER_OF(node, struct outage_member, node);
}

// Tells whether the member was not heard for so long that its lease is over. Measured against the last message of this
// instance that was sent, because what others sent before it has arrived here.
static inline bool outage_is_member_silent(const struct outage *o, const struct outage_member *member)
{
  return o->lease_began_us > member->heard_us + outage_ms(OUTAGE_SILENT_MEMBER_MS);
}

// Tells whether the member was heard shortly before the lease that promises follow.
static inline bool outage_is_heard_of(const struct outage *o, const struct outage_member *member)
{
  return member->heard_us != 0 && o->right_began_us <= member->heard_us + outage_ms(OUTAGE_SILENT_MEMBER_MS);
}

// Tells whether the member may change something unheard unless it promises not to.
static inline bool outage_is_asked(const struct outage *o, const struct outage_member *member)
{
  return outage_is_heard_of(o, member) && !member->gone && !member->dead;
}

static inline bool outage_is_outdated(const struct outage_member *member, uint64_t now_us)
{
  return now_us >=
         outage_later(member->row_since_us, member->heard_us) + outage_ms(OUTAGE_MAX_MS + OUTAGE_MAX_MARGIN_MS);
}

static inline bool outage_is_cleared(const struct outage_member *member, uint64_t now_us)
{
  return member->read_us == 0 || member->heard >= OUTAGE_HEARD_ENOUGH || member->told || member->dead || member->gone ||
         member->asking_generation >= member->generation || outage_is_outdated(member, now_us);
}

static inline bool outage_is_silent_for(const struct outage *o, uint64_t now_us, uint64_t silent_ms)
{
  return !o->connected || now_us > o->reported_us + outage_ms(silent_ms);
}

static inline bool outage_is_channel_silent(const struct outage *o, uint64_t now_us)
{
  return outage_is_silent_for(o, now_us, OUTAGE_SILENT_CHANNEL_MS);
}

// Tells whether only one living process can have the member's address.
static inline bool outage_is_address_unique(const struct outage_member *member)
{
  return member->is_on_this_host || cache_host_is_number(member->address);
}

// Forgets the member.
void outage_free_member(struct outage_member *member);
// Ends the round that is under way if nobody has to promise any more.
void outage_try_to_end_round(struct outage *outage, uint64_t now_us);

#endif

#include "common/storage/cache_outage_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/storage/cache_host_internal.h"

enum {
  // The channel is silent when no message was reported as sent for so long. A server that is slow is not away.
  SILENT_CHANNEL_MS = 250,
  // Whoever is asked promises sooner than it would ask, because the others may have heard nothing for longer.
  SILENT_FOR_PROMISE_MS = 175,
  // Between the beginnings of two rounds, and of two readings of the rows.
  ROUND_EVERY_MS = 50,
  READ_EVERY_MS = 500,
  // How long an instance may take to come back to the channel by itself before it is told.
  TELL_AFTER_MS = 1000,
  // A member that was not heard for so long has no lease, and enrols again: longer than CACHE_GAP_MS, as clocks differ.
  SILENT_MEMBER_MS = 2000,
  // How often a member must be heard until it must have heard this instance: it sends its second message after its
  // first one was sent, and has heard then all that came before that one.
  HEARD_ENOUGH = 2,
};

static uint64_t ms(uint64_t value)
{
  return value * 1000;
}

void outage_init(struct outage *o, const char *name, const char *host)
{
  *o = (struct outage){.name = name, .host = host};
  list_init(&o->members);
}

static struct outage_member *member_at(const struct list *node)
{
  return CONTAINER_OF(node, struct outage_member, node);
}

static void free_member(struct outage_member *member)
{
  list_remove(&member->node);
  free(member);
}

void outage_clear(struct outage *o)
{
  while (!list_empty(&o->members))
    free_member(member_at(o->members.next));
}

void outage_set_address(struct outage *o, const char *address)
{
  CHECK(strlen(address) < OUTAGE_MAX_ADDRESS_BYTES);
  o->address = address;
}

// ---- members ----

static struct outage_member *find_member(const struct outage *o, struct slice name)
{
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (slice_equal_string(name, member_at(node)->name))
      return member_at(node);
  return NULL;
}

// Returns NULL for what is no name of another instance.
static struct outage_member *meet_member(struct outage *o, struct slice name)
{
  if (name.size != CACHE_INSTANCE_SIZE - 1 || slice_equal_string(name, o->name))
    return NULL;
  struct outage_member *member = find_member(o, name);
  if (member != NULL)
    return member;
  member = calloc(1, sizeof(*member));
  CHECK(member != NULL);
  memcpy(member->name, name.data, name.size);
  list_append(&o->members, &member->node);
  return member;
}

static uint64_t later(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

// Tells whether the member was not heard for so long that its lease is over. Measured against the last message of this
// instance that was sent, because what others sent before it has arrived here.
static bool is_silent(const struct outage *o, const struct outage_member *member)
{
  return o->lease_began_us > member->heard_us + ms(SILENT_MEMBER_MS);
}

// Tells whether the member may change something unheard unless it promises not to: it was heard shortly before the
// lease that the promises follow.
static bool is_asked(const struct outage *o, const struct outage_member *member)
{
  return member->heard_us != 0 && o->right_began_us <= member->heard_us + ms(SILENT_MEMBER_MS);
}

static bool is_outdated(const struct outage_member *member, uint64_t now_us)
{
  return now_us >= later(member->row_since_us, member->heard_us) + ms(OUTAGE_MAX_MS + OUTAGE_MAX_MARGIN_MS);
}

static bool is_cleared(const struct outage_member *member, uint64_t now_us)
{
  return member->read_us == 0 || member->heard >= HEARD_ENOUGH || member->told || member->dead ||
         member->asking_generation >= member->generation || is_outdated(member, now_us);
}

// ---- enrolment ----

static void begin_enrolment(struct outage *o, uint64_t now_us)
{
  o->connected_us = now_us;
  o->generation++;
  o->first_sent_us = 0;
  o->stored = false;
  o->busy = false;
  o->failed = false;
  o->read_us = 0;
  o->joined = false;
  o->round_us = 0;
  for (struct list *node = o->members.next; node != &o->members; node = node->next) {
    struct outage_member *member = member_at(node);
    member->read_us = 0;
    member->row_since_us = 0;
    member->heard = 0;
    member->told = false;
    member->dead = false;
  }
}

bool outage_join(struct outage *o, uint64_t now_us)
{
  if (o->joined || !o->connected || o->first_sent_us == 0 || !o->stored || o->read_us == 0)
    return false;
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (!is_cleared(member_at(node), now_us))
      return false;
  o->joined = true;
  o->enrolled = true;
  return true;
}

bool outage_may_change(const struct outage *o, uint64_t now_us)
{
  return o->joined && now_us >= o->promised_until_us && now_us < o->lease_began_us + ms(CACHE_GAP_MS) &&
         now_us >= o->connected_us + ms(CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS);
}

// ---- what has happened ----

void outage_connected(struct outage *o, uint64_t now_us)
{
  o->connected = true;
  // The others may have removed the row of an instance that has not served for long.
  o->enrolled &= outage_may_serve(o, now_us);
  begin_enrolment(o, now_us);
}

void outage_lost(struct outage *o)
{
  o->connected = false;
  o->joined = false;
}

void outage_sent(struct outage *o, uint64_t began_us, uint64_t now_us, bool is_settled)
{
  if (o->first_sent_us != 0 && now_us > o->lease_began_us + ms(CACHE_GAP_MS)) {
    o->enrolled = false;
    begin_enrolment(o, now_us);
  }
  if (o->first_sent_us == 0)
    o->first_sent_us = now_us;
  o->lease_began_us = began_us;
  o->reported_us = now_us;
  if (!is_settled)
    return;
  o->right_began_us = began_us;
  o->serves_until_us = later(o->serves_until_us, began_us + ms(CACHE_LEASE_MS));
}

void outage_heard(struct outage *o, struct slice name, uint64_t now_us)
{
  struct outage_member *member = meet_member(o, name);
  if (member == NULL)
    return;
  member->heard_us = now_us;
  member->dead = false;
  if (o->first_sent_us != 0 && member->heard < HEARD_ENOUGH)
    member->heard++;
}

void outage_left(struct outage *o, struct slice name)
{
  struct outage_member *member = find_member(o, name);
  if (member != NULL)
    free_member(member);
  // Perhaps the round waits for its answer alone. Another round follows.
  o->round_us = 0;
}

void outage_stored(struct outage *o, uint64_t generation, bool done)
{
  if (generation != o->generation)
    return;
  o->busy = false;
  o->failed = !done;
  o->stored |= done && o->connected;
}

static void take_row(struct outage *o, const struct outage_row *row, uint64_t began_us)
{
  struct outage_member *member = meet_member(o, row->name);
  if (member == NULL || row->address.size >= sizeof(member->address))
    return;
  if (member->row_since_us == 0 || member->generation != row->generation) {
    member->row_since_us = began_us;
    member->told = false;
    member->dead = false;
  }
  memcpy(member->address, row->address.data, row->address.size);
  member->address[row->address.size] = '\0';
  member->is_on_this_host = slice_equal_string(row->host, o->host);
  member->generation = row->generation;
  member->read_us = began_us;
}

void outage_rows(struct outage *o, const struct outage_row *rows, size_t count, uint64_t began_us)
{
  // What was read before may lack somebody who did not see this instance's row either.
  if (!o->stored || began_us < o->connected_us)
    return;
  o->busy = false;
  if ((o->failed = rows == NULL))
    return;
  for (struct list *node = o->members.next; node != &o->members; node = node->next)
    member_at(node)->read_us = 0;
  for (size_t i = 0; i < count; i++)
    take_row(o, &rows[i], began_us);
  o->read_us = began_us;
}

// Ends the round once all have promised. It counts from its beginning, and only where the right has not ended.
static void try_to_end_round(struct outage *o, uint64_t now_us)
{
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (is_asked(o, member_at(node)) && !member_at(node)->promised)
      return;
  uint64_t until_us = o->round_us + ms(CACHE_LEASE_MS);
  uint64_t last_us = o->right_began_us + ms(OUTAGE_MAX_MS);
  if (outage_may_serve(o, now_us))
    o->serves_until_us = later(o->serves_until_us, until_us < last_us ? until_us : last_us);
  o->round_us = 0;
}

// Tells whether only one living process can have the member's address.
static bool is_address_unique(const struct outage_member *member)
{
  return member->is_on_this_host || cache_host_is_number(member->address);
}

void outage_answered(struct outage *o, struct slice name, const struct outage_reply *reply, uint64_t now_us)
{
  struct outage_member *member = find_member(o, name);
  if (member == NULL || member->asked_us == 0)
    return;
  uint64_t asked_us = member->asked_us;
  member->asked_us = 0;
  bool is_other = reply->answered && !slice_equal_string(reply->name, member->name);
  // What came of a question of an earlier enrolment or round says nothing of this one.
  if (member->is_telling) {
    bool counts = asked_us >= o->connected_us;
    member->dead |= counts && is_other && is_address_unique(member);
    member->told |= counts && reply->agreed && !is_other;
    return;
  }
  if (o->round_us == 0 || asked_us < o->round_us)
    return;
  // Where another process answers for a member that has ended, its successor has promised.
  member->promised = reply->agreed && (!is_other || is_address_unique(member));
  if (member->promised)
    try_to_end_round(o, now_us);
  else
    o->round_us = 0;
}

static bool is_silent_for(const struct outage *o, uint64_t now_us, uint64_t silent_ms)
{
  return !o->connected || now_us > o->reported_us + ms(silent_ms);
}

static bool is_channel_silent(const struct outage *o, uint64_t now_us)
{
  return is_silent_for(o, now_us, SILENT_CHANNEL_MS);
}

bool outage_is_calm(const struct outage *o, uint64_t now_us)
{
  return o->joined && !is_silent_for(o, now_us, SILENT_FOR_PROMISE_MS);
}

uint64_t outage_asking_generation(const struct outage *o)
{
  return o->connected ? 0 : o->generation;
}

bool outage_promise(struct outage *o, struct slice name, uint64_t generation, uint64_t now_us)
{
  struct outage_member *member = meet_member(o, name);
  if (member != NULL)
    member->asking_generation = later(member->asking_generation, generation);
  if (outage_is_calm(o, now_us))
    return false;
  o->promised_until_us = later(o->promised_until_us, now_us + ms(CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS));
  return true;
}

static void give_up_promises(struct outage *o, uint64_t now_us)
{
  // With a lease over the channel an instance hears of every change.
  if (is_channel_silent(o, now_us))
    o->serves_until_us = 0;
  o->enrolled = false;
  o->round_us = 0;
}

void outage_stop_serving(struct outage *o)
{
  o->serves_until_us = 0;
  o->round_us = 0;
}

void outage_told(struct outage *o, uint64_t now_us)
{
  give_up_promises(o, now_us);
  if (o->connected)
    begin_enrolment(o, now_us);
}

void outage_retire(struct outage *o, uint64_t now_us)
{
  give_up_promises(o, now_us);
  o->retired = true;
}

// ---- what is to be done ----

// Tells whether a row is missing, older than what was heard of the member since, or still to be cleared.
static bool is_row_wanted(const struct outage *o, const struct outage_member *member, uint64_t now_us)
{
  bool lacks = is_asked(o, member) && member->read_us == 0;
  bool is_old = member->read_us != 0 && is_silent(o, member) && member->read_us < member->heard_us;
  return lacks || is_old || !is_cleared(member, now_us);
}

static bool is_reading_due(const struct outage *o, uint64_t now_us)
{
  if (o->read_us == 0)
    return true;
  if (now_us < o->read_us + ms(READ_EVERY_MS))
    return false;
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (is_row_wanted(o, member_at(node), now_us))
      return true;
  return false;
}

static bool is_address_taken_over(const struct outage *o, const struct outage_member *member,
                                  bool (*is_free)(const char *address))
{
  if (strcmp(member->address, o->address) == 0)
    return is_address_unique(member);
  return member->is_on_this_host && is_free(member->address);
}

// Tells whether the member's row may go: nobody has to clear it any more.
static bool is_removable(const struct outage *o, const struct outage_member *member, uint64_t now_us)
{
  if (member->read_us == 0)
    return false;
  if (member->dead || (is_outdated(member, now_us) && member->heard == 0))
    return true;
  // The member knows this instance, which works with the channel and has promised nothing for a while. What was read of
  // its row is not older than its silence.
  uint64_t since_us = later(member->heard_us, member->read_us) + ms(SILENT_MEMBER_MS);
  return member->heard >= HEARD_ENOUGH && o->lease_began_us > since_us && outage_may_change(o, now_us);
}

static struct outage_step step(enum outage_step_kind kind, const struct outage_member *member)
{
  return (struct outage_step){.kind = kind, .member = member};
}

static struct outage_step statement_step(struct outage *o, uint64_t now_us)
{
  if (!o->connected || o->address == NULL || o->busy)
    return step(OUTAGE_NOTHING, NULL);
  if (o->failed && now_us < o->statement_us + ms(READ_EVERY_MS))
    return step(OUTAGE_NOTHING, NULL);
  o->busy = true;
  o->statement_us = now_us;
  if (!o->stored)
    return step(OUTAGE_STORE, NULL);
  if (is_reading_due(o, now_us))
    return step(OUTAGE_READ, NULL);
  o->busy = false;
  for (struct list *node = o->members.next; node != &o->members; node = node->next) {
    struct outage_member *member = member_at(node);
    if (!is_removable(o, member, now_us))
      continue;
    member->read_us = 0;
    return step(OUTAGE_DELETE, member);
  }
  return step(OUTAGE_NOTHING, NULL);
}

static struct outage_step ask(struct outage_member *member, enum outage_step_kind kind, uint64_t now_us)
{
  member->asked_us = now_us;
  member->is_telling = kind == OUTAGE_TELL;
  return step(kind, member);
}

// Clears those who can be known to be dead, and tells the others.
static struct outage_step clearing_step(struct outage *o, uint64_t now_us, bool (*is_free)(const char *address))
{
  if (o->joined || !o->connected || o->read_us == 0)
    return step(OUTAGE_NOTHING, NULL);
  bool is_telling_due = now_us >= o->connected_us + ms(TELL_AFTER_MS);
  for (struct list *node = o->members.next; node != &o->members; node = node->next) {
    struct outage_member *member = member_at(node);
    if (is_cleared(member, now_us))
      continue;
    member->dead = is_address_taken_over(o, member, is_free);
    if (member->dead || !is_telling_due || member->asked_us != 0 || now_us < member->told_us + ms(ROUND_EVERY_MS))
      continue;
    member->told_us = now_us;
    return ask(member, OUTAGE_TELL, now_us);
  }
  return step(OUTAGE_NOTHING, NULL);
}

static bool is_round_due(const struct outage *o, uint64_t now_us)
{
  bool is_without = !o->joined || is_channel_silent(o, now_us);
  return o->enrolled && !o->retired && is_without && outage_may_serve(o, now_us) &&
         now_us >= o->last_round_us + ms(ROUND_EVERY_MS) && now_us < o->right_began_us + ms(OUTAGE_MAX_MS);
}

static void begin_round(struct outage *o, uint64_t now_us)
{
  o->round_us = now_us;
  o->last_round_us = now_us;
  for (struct list *node = o->members.next; node != &o->members; node = node->next)
    member_at(node)->promised = false;
  try_to_end_round(o, now_us);
}

static struct outage_step round_step(struct outage *o, uint64_t now_us)
{
  if (o->round_us == 0 && is_round_due(o, now_us))
    begin_round(o, now_us);
  for (struct list *node = o->members.next; o->round_us != 0 && node != &o->members; node = node->next) {
    struct outage_member *member = member_at(node);
    if (!is_asked(o, member) || member->promised || member->asked_us != 0)
      continue;
    if (member->address[0] != '\0')
      return ask(member, OUTAGE_ASK, now_us);
    o->round_us = 0;
  }
  return step(OUTAGE_NOTHING, NULL);
}

// Forgets those without a row that were not heard for long.
static void forget_members(struct outage *o, uint64_t now_us)
{
  for (struct list *node = o->members.next, *next = node->next; node != &o->members; node = next, next = node->next) {
    struct outage_member *member = member_at(node);
    if (o->read_us != 0 && member->read_us == 0 && member->asked_us == 0 && o->connected && is_silent(o, member) &&
        now_us > member->heard_us + ms(OUTAGE_MAX_MS))
      free_member(member);
  }
}

struct outage_step outage_next(struct outage *o, uint64_t now_us, bool (*is_free)(const char *address))
{
  if (o->retired)
    return step(OUTAGE_NOTHING, NULL);
  forget_members(o, now_us);
  struct outage_step next = round_step(o, now_us);
  if (next.kind == OUTAGE_NOTHING)
    next = statement_step(o, now_us);
  return next.kind == OUTAGE_NOTHING ? clearing_step(o, now_us, is_free) : next;
}

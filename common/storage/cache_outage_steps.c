// What is to be done next, so that an instance may serve while PostgreSQL is away: rounds of questions, statements
// about rows, and what others have to be told.
#include <string.h>

#include "common/storage/cache_outage_rules_internal.h"

// Tells whether a row of a member that has left was not taken away by itself, if the row was read at that time.
static bool is_end_read_late(const struct outage_member *member, uint64_t read_us)
{
  return member->gone && read_us >= member->gone_us + outage_ms(OUTAGE_SILENT_MEMBER_MS);
}

// Tells whether a row is missing, older than what was heard of the member since, or still to be cleared.
static bool is_row_wanted(const struct outage *o, const struct outage_member *member, uint64_t now_us)
{
  bool lacks = outage_is_asked(o, member) && member->read_us == 0;
  bool is_old = member->read_us != 0 && outage_is_member_silent(o, member) && member->read_us < member->heard_us;
  is_old |= member->read_us != 0 && is_end_read_late(member, now_us) && !is_end_read_late(member, member->read_us);
  return lacks || is_old || !outage_is_cleared(member, now_us);
}

static bool is_reading_due(const struct outage *o, uint64_t now_us)
{
  if (o->read_us == 0)
    return true;
  if (now_us < o->read_us + outage_ms(OUTAGE_READ_EVERY_MS))
    return false;
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (is_row_wanted(o, outage_member_at(node), now_us))
      return true;
  return false;
}

static bool is_address_taken_over(const struct outage *o, const struct outage_member *member,
                                  bool (*is_free)(const char *address))
{
  if (strcmp(member->address, o->address) == 0)
    return outage_is_address_unique(member);
  return member->is_on_this_host && is_free(member->address);
}

// Tells whether the member's row may go: nobody has to clear it any more.
static bool is_removable(const struct outage *o, const struct outage_member *member, uint64_t now_us)
{
  if (member->read_us == 0)
    return false;
  if (member->dead || is_end_read_late(member, member->read_us) ||
      (outage_is_outdated(member, now_us) && member->heard == 0))
    return true;
  // The member knows this instance, which works with the channel and has promised nothing for a while. What was read of
  // its row is not older than its silence.
  uint64_t since_us = outage_later(member->heard_us, member->read_us) + outage_ms(OUTAGE_SILENT_MEMBER_MS);
  return member->heard >= OUTAGE_HEARD_ENOUGH && o->lease_began_us > since_us && outage_may_change(o, now_us);
}

static struct outage_step step(enum outage_step_kind kind, const struct outage_member *member)
{
  return (struct outage_step){.kind = kind, .member = member};
}

static struct outage_step statement_step(struct outage *o, uint64_t now_us)
{
  if (!o->connected || o->address == NULL || o->busy)
    return step(OUTAGE_NOTHING, NULL);
  if (o->failed && now_us < o->statement_us + outage_ms(OUTAGE_READ_EVERY_MS))
    return step(OUTAGE_NOTHING, NULL);
  o->busy = true;
  o->statement_us = now_us;
  if (!o->stored)
    return step(OUTAGE_STORE, NULL);
  if (is_reading_due(o, now_us))
    return step(OUTAGE_READ, NULL);
  o->busy = false;
  for (struct list *node = o->members.next; node != &o->members; node = node->next) {
    struct outage_member *member = outage_member_at(node);
    if (!is_removable(o, member, now_us))
      continue;
    member->read_us = 0;
    return step(OUTAGE_DELETE, member);
  }
  return step(OUTAGE_NOTHING, NULL);
}

// Notes whether the member has died. Tells whether it may be told something now.
static bool can_be_told(const struct outage *o, struct outage_member *member, uint64_t now_us,
                        bool (*is_free)(const char *address))
{
  member->dead = is_address_taken_over(o, member, is_free);
  return !member->dead && member->asked_us == 0 && now_us >= member->told_us + outage_ms(OUTAGE_ROUND_EVERY_MS);
}

static struct outage_step ask(struct outage_member *member, enum outage_step_kind kind, uint64_t now_us)
{
  member->asked_us = now_us;
  member->question = kind;
  return step(kind, member);
}

// Tells whether the member may ask this instance for promises, or wait for it.
static bool is_farewell_due(const struct outage *o, const struct outage_member *member)
{
  bool is_known = member->read_us != 0 || outage_is_heard_of(o, member) || member->asking_us > o->right_began_us;
  return is_known && member->address[0] != '\0' && !member->gone && !member->dead && !member->knows_end;
}

bool outage_is_left_known(const struct outage *o)
{
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (is_farewell_due(o, outage_member_at(node)))
      return false;
  return o->left;
}

static struct outage_step leaving_step(struct outage *o, uint64_t now_us, bool (*is_free)(const char *address))
{
  for (struct list *node = o->members.next; o->left && node != &o->members; node = node->next) {
    struct outage_member *member = outage_member_at(node);
    if (!is_farewell_due(o, member) || !can_be_told(o, member, now_us, is_free))
      continue;
    member->told_us = now_us;
    return ask(member, OUTAGE_LEAVE, now_us);
  }
  return step(OUTAGE_NOTHING, NULL);
}

// Clears those who can be known to be dead, and tells the others.
static struct outage_step clearing_step(struct outage *o, uint64_t now_us, bool (*is_free)(const char *address))
{
  if (o->joined || !o->connected || o->read_us == 0)
    return step(OUTAGE_NOTHING, NULL);
  bool is_telling_due = now_us >= o->connected_us + outage_ms(OUTAGE_TELL_AFTER_MS);
  for (struct list *node = o->members.next; node != &o->members; node = node->next) {
    struct outage_member *member = outage_member_at(node);
    if (outage_is_cleared(member, now_us) || !can_be_told(o, member, now_us, is_free) || !is_telling_due)
      continue;
    member->told_us = now_us;
    return ask(member, OUTAGE_TELL, now_us);
  }
  return step(OUTAGE_NOTHING, NULL);
}

static bool is_round_due(const struct outage *o, uint64_t now_us)
{
  bool is_without = !o->joined || outage_is_channel_silent(o, now_us);
  return o->enrolled && !o->retired && is_without && outage_may_serve(o, now_us) &&
         now_us >= o->last_round_us + outage_ms(OUTAGE_ROUND_EVERY_MS) &&
         now_us < o->right_began_us + outage_ms(OUTAGE_MAX_MS);
}

static void begin_round(struct outage *o, uint64_t now_us)
{
  o->round_us = now_us;
  o->last_round_us = now_us;
  for (struct list *node = o->members.next; node != &o->members; node = node->next)
    outage_member_at(node)->promised = false;
  outage_try_to_end_round(o, now_us);
}

// Notes who has died on this host: those need not be asked.
static void find_dead(struct outage *o, bool (*is_free)(const char *address))
{
  for (struct list *node = o->members.next; node != &o->members; node = node->next)
    if (outage_is_asked(o, outage_member_at(node)))
      outage_member_at(node)->dead = is_address_taken_over(o, outage_member_at(node), is_free);
}

static struct outage_step round_step(struct outage *o, uint64_t now_us, bool (*is_free)(const char *address))
{
  if (o->round_us == 0 && is_round_due(o, now_us)) {
    find_dead(o, is_free);
    begin_round(o, now_us);
  }
  for (struct list *node = o->members.next; o->round_us != 0 && node != &o->members; node = node->next) {
    struct outage_member *member = outage_member_at(node);
    if (!outage_is_asked(o, member) || member->promised || member->asked_us != 0)
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
    struct outage_member *member = outage_member_at(node);
    if (o->read_us != 0 && member->read_us == 0 && member->asked_us == 0 && o->connected &&
        outage_is_member_silent(o, member) && now_us > member->heard_us + outage_ms(OUTAGE_MAX_MS))
      outage_free_member(member);
  }
}

struct outage_step outage_next(struct outage *o, uint64_t now_us, bool (*is_free)(const char *address))
{
  if (o->retired)
    return leaving_step(o, now_us, is_free);
  forget_members(o, now_us);
  struct outage_step next = round_step(o, now_us, is_free);
  if (next.kind == OUTAGE_NOTHING)
    next = statement_step(o, now_us);
  return next.kind == OUTAGE_NOTHING ? clearing_step(o, now_us, is_free) : next;
}

#include "common/storage/cache_outage_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/storage/cache_outage_rules_internal.h"

void outage_init(struct outage *o, const char *name, const char *host)
{
  *o = (struct outage){.name = name, .host = host};
  list_init(&o->members);
}

void outage_free_member(struct outage_member *member)
{
  list_remove(&member->node);
  free(member);
}

void outage_clear(struct outage *o)
{
  while (!list_empty(&o->members))
    outage_free_member(outage_member_at(o->members.next));
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
    if (slice_equal_string(name, outage_member_at(node)->name))
      return outage_member_at(node);
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
    struct outage_member *member = outage_member_at(node);
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
    if (!outage_is_cleared(outage_member_at(node), now_us))
      return false;
  o->joined = true;
  o->enrolled = true;
  return true;
}

bool outage_may_change(const struct outage *o, uint64_t now_us)
{
  return o->joined && !o->left && now_us >= o->promised_until_us &&
         now_us < o->lease_began_us + outage_ms(CACHE_GAP_MS) &&
         now_us >= o->connected_us + outage_ms(CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS);
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
  if (o->first_sent_us != 0 && now_us > o->lease_began_us + outage_ms(CACHE_GAP_MS)) {
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
  o->serves_until_us = outage_later(o->serves_until_us, began_us + outage_ms(CACHE_LEASE_MS));
}

void outage_heard(struct outage *o, struct slice name, uint64_t now_us)
{
  struct outage_member *member = meet_member(o, name);
  if (member == NULL)
    return;
  member->heard_us = now_us;
  member->dead = false;
  if (o->first_sent_us != 0 && member->heard < OUTAGE_HEARD_ENOUGH)
    member->heard++;
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
    outage_member_at(node)->read_us = 0;
  for (size_t i = 0; i < count; i++)
    take_row(o, &rows[i], began_us);
  o->read_us = began_us;
}

// Ends the round once all have promised. It counts from its beginning, and only where the right has not ended.
void outage_try_to_end_round(struct outage *o, uint64_t now_us)
{
  for (const struct list *node = o->members.next; node != &o->members; node = node->next)
    if (outage_is_asked(o, outage_member_at(node)) && !outage_member_at(node)->promised)
      return;
  uint64_t until_us = o->round_us + outage_ms(CACHE_LEASE_MS);
  uint64_t last_us = o->right_began_us + outage_ms(OUTAGE_MAX_MS);
  if (outage_may_serve(o, now_us))
    o->serves_until_us = outage_later(o->serves_until_us, until_us < last_us ? until_us : last_us);
  o->round_us = 0;
}

void outage_gone(struct outage *o, struct slice name, uint64_t now_us)
{
  struct outage_member *member = meet_member(o, name);
  if (member == NULL || member->gone)
    return;
  member->gone = true;
  member->gone_us = now_us;
  // Perhaps the round waits for its answer alone.
  if (o->round_us != 0)
    outage_try_to_end_round(o, now_us);
}

void outage_answered(struct outage *o, struct slice name, const struct outage_reply *reply, uint64_t now_us)
{
  struct outage_member *member = find_member(o, name);
  if (member == NULL || member->asked_us == 0)
    return;
  uint64_t asked_us = member->asked_us;
  member->asked_us = 0;
  bool is_other = reply->answered && !slice_equal_string(reply->name, member->name);
  if (member->question == OUTAGE_LEAVE) {
    // Another process answers at the address of a member that has died, or nobody knows which of several has answered.
    member->dead |= is_other && outage_is_address_unique(member);
    member->knows_end |= reply->answered && !is_other;
    return;
  }
  // What came of a question of an earlier enrolment or round says nothing of this one.
  if (member->question == OUTAGE_TELL) {
    bool counts = asked_us >= o->connected_us;
    member->dead |= counts && is_other && outage_is_address_unique(member);
    member->told |= counts && reply->agreed && !is_other;
    return;
  }
  if (member->question != OUTAGE_ASK || o->round_us == 0 || asked_us < o->round_us)
    return;
  // Where another process answers for a member that has ended, its successor has promised.
  member->promised = reply->agreed && (!is_other || outage_is_address_unique(member));
  if (member->promised)
    outage_try_to_end_round(o, now_us);
  else
    o->round_us = 0;
}

bool outage_is_calm(const struct outage *o, uint64_t now_us)
{
  return o->joined && !outage_is_silent_for(o, now_us, OUTAGE_SILENT_FOR_PROMISE_MS);
}

uint64_t outage_asking_generation(const struct outage *o)
{
  return o->connected ? 0 : o->generation;
}

bool outage_promise(struct outage *o, struct slice name, uint64_t generation, uint64_t now_us)
{
  struct outage_member *member = meet_member(o, name);
  if (member != NULL) {
    member->asking_generation = outage_later(member->asking_generation, generation);
    member->asking_us = now_us;
  }
  if (outage_is_calm(o, now_us))
    return false;
  o->promised_until_us = outage_later(o->promised_until_us, now_us + outage_ms(CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS));
  return true;
}

static void give_up_promises(struct outage *o, uint64_t now_us)
{
  // With a lease over the channel an instance hears of every change.
  if (outage_is_channel_silent(o, now_us))
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

void outage_leave(struct outage *o, uint64_t now_us)
{
  if (o->left)
    return;
  outage_retire(o, now_us);
  // The others do not wait for the end of what an earlier round has given.
  outage_stop_serving(o);
  o->left = true;
}

void outage_leave_if_cut_off(struct outage *o, bool has_waiting, uint64_t now_us)
{
  // A retired instance does not enrol again, so it confirms nothing once its channel was lost.
  bool is_lost = !o->connected || !o->joined;
  if (o->retired && (is_lost || (!has_waiting && outage_is_channel_silent(o, now_us))))
    outage_leave(o, now_us);
}

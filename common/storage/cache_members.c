// The other instances of a cache: what they are changing, what they have acknowledged, and whether they may serve.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/storage/cache_coherence_internal.h"

static struct cache_member *find_member(const struct cache_coherence *c, struct slice name)
{
  for (const struct list *node = c->members.next; node != &c->members; node = node->next) {
    struct cache_member *member = CONTAINER_OF(node, struct cache_member, node);
    if (slice_equal_string(name, member->name))
      return member;
  }
  return NULL;
}

// What was changed while a member could not use Redis is hidden nowhere, so the epoch ends with that time. Where the
// member has left, it ended then.
static void free_member(struct cache_coherence *c, struct cache_member *member)
{
  if (!member->uses_redis && !member->left)
    cache_coherence_start_epoch(c);
  cache_announcements_end(&c->changing, &member->announcements, 0, UINT64_MAX);
  list_remove(&member->node);
  free(member);
}

uint64_t cache_members_memory_us(const struct cache_coherence *c)
{
  uint64_t least_us = cache_ms_as_us(4 * CACHE_LEASE_MS);
  return c->hold_us > least_us ? c->hold_us : least_us;
}

// Tells whether the member may serve what was published at that time.
static bool is_awaited(const struct cache_member *member, const struct cache_announcement *announcement)
{
  return !member->left && member->acked < announcement->sequence &&
         member->first_heard_us <= announcement->published_us &&
         member->heard_us + cache_ms_as_us(CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS) > announcement->published_us;
}

bool cache_coherence_has_awaited(const struct cache_coherence *c, const struct cache_announcement *announcement)
{
  for (const struct list *node = c->members.next; node != &c->members; node = node->next)
    if (is_awaited(CONTAINER_OF(node, const struct cache_member, node), announcement))
      return true;
  return false;
}

uint64_t cache_coherence_confirmed_us(const struct cache_coherence *c, const struct cache_announcement *announcement)
{
  uint64_t since_us = announcement->published_us;
  // An instance that shows no sign of life after the members were forgotten got its lease before.
  if (!cache_coherence_has_awaited(c, announcement) && c->forgotten_us < since_us)
    since_us = c->forgotten_us;
  return since_us + cache_ms_as_us(CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS);
}

void cache_members_lose(struct cache_coherence *c)
{
  for (struct list *node = c->members.next; node != &c->members; node = node->next) {
    struct list *all = &CONTAINER_OF(node, struct cache_member, node)->announcements;
    for (struct list *old = all->next; old != all; old = old->next)
      CONTAINER_OF(old, struct cache_announcement, node)->is_old = true;
  }
}

void cache_members_end_lost(struct cache_coherence *c)
{
  for (struct list *node = c->members.next; node != &c->members; node = node->next)
    cache_announcements_end_old(&c->changing, &CONTAINER_OF(node, struct cache_member, node)->announcements);
}

void cache_members_forget(struct cache_coherence *c)
{
  while (!list_empty(&c->members))
    free_member(c, CONTAINER_OF(c->members.next, struct cache_member, node));
}

void cache_members_forget_silent(struct cache_coherence *c, uint64_t now_us)
{
  for (struct list *node = c->members.next, *next = node->next; node != &c->members; node = next, next = node->next) {
    struct cache_member *member = CONTAINER_OF(node, struct cache_member, node);
    uint64_t until_us = member->left ? now_us : cache_fence_until_us(&c->fence, now_us);
    if (member->heard_us + cache_members_memory_us(c) <= until_us)
      free_member(c, member);
  }
}

// ---- what was heard ----

static struct cache_member *meet_member(struct cache_coherence *c, struct slice name)
{
  struct cache_member *member = find_member(c, name);
  uint64_t now_us = clock_now_us();
  if (member == NULL) {
    member = calloc(1, sizeof(*member));
    CHECK(member != NULL);
    memcpy(member->name, name.data, CACHE_INSTANCE_SIZE - 1);
    member->first_heard_us = now_us;
    list_init(&member->announcements);
    list_append(&c->members, &member->node);
    cache_coherence_queue_own(c);  // it does not know what is changing now
  }
  member->heard_us = now_us;
  return member;
}

static bool take_change(struct cache_coherence *c, struct cache_member *member, const struct cache_line *line)
{
  char bytes[CACHE_MAX_KEY_BYTES];
  size_t size;
  struct slice keys = line->keys;
  member->to_ack = line->first > member->to_ack ? line->first : member->to_ack;
  c->acks_due = true;
  struct cache_announcement *announcement = cache_announcement_find(&member->announcements, line->first);
  if (announcement != NULL) {
    announcement->is_old = false;
    return true;  // announced again, for somebody else
  }
  announcement = cache_announcement_create(&member->announcements, line->first);
  while (cache_message_next_key(&keys, bytes, sizeof(bytes), &size)) {
    struct slice key = slice_make(bytes, size);
    cache_announcement_add(&c->changing, announcement, key);
    c->events.invalidated(c->events.arg, key);
  }
  return keys.size == 0;
}

static void take_ack(struct cache_coherence *c, struct cache_member *member, const struct cache_line *line)
{
  if (!slice_equal_string(line->instance, c->name) || line->first <= member->acked)
    return;
  member->acked = line->first;
  cache_coherence_wake_confirmed(c);
}

static bool take_line(struct cache_coherence *c, struct cache_member *member, const struct cache_line *line)
{
  switch (line->kind) {
  case CACHE_LINE_CHANGE:
    return take_change(c, member, line);
  case CACHE_LINE_ENDED:
    cache_announcements_end(&c->changing, &member->announcements, line->first, line->last);
    return true;
  case CACHE_LINE_ACK:
    take_ack(c, member, line);
    return true;
  case CACHE_LINE_QUIT:
    member->left = true;
    outage_gone(&c->outage, slice_from_string(member->name), clock_now_us());
    if (!member->uses_redis)
      cache_coherence_start_epoch(c);
    cache_coherence_wake_confirmed(c);
    return true;
  case CACHE_LINE_HEAD:
    break;
  }
  return false;
}

bool cache_members_take_message(struct cache_coherence *c, struct slice message)
{
  struct cache_line line;
  if (!cache_message_next(&message, &line) || line.kind != CACHE_LINE_HEAD)
    return false;
  if (slice_equal_string(line.instance, c->name))
    return true;
  struct cache_member *member = meet_member(c, line.instance);
  outage_heard(&c->outage, line.instance, member->heard_us);
  member->uses_redis = line.last == 1;
  cache_coherence_take_epoch(c, line.first, true);
  while (cache_message_next(&message, &line))
    if (!take_line(c, member, &line))
      return false;
  return message.size == 0;
}

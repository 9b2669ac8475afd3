// The changes of this instance: announcing them, waiting for the others, ending them.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/storage/cache_coherence_internal.h"

enum {
  MAX_LINE_BYTES = 3500,  // of a line of keys: a message has room for one beside its head and acknowledgements
  CHANNEL_WAIT_MS = 2000,
};

// Announces the keys from keys[0] on that fit into a line. Returns their number.
static size_t announce_line(struct cache_coherence *c, const struct slice *keys, size_t count, bool alone)
{
  struct cache_announcement *announcement = cache_announcement_create(&c->own, ++c->last_sequence);
  size_t size = 0;
  size_t taken = 0;
  while (taken < count && (taken == 0 || size + cache_message_key_size(keys[taken]) <= MAX_LINE_BYTES)) {
    struct slice key = keys[taken++];
    if (key.size > CACHE_MAX_KEY_BYTES)
      continue;  // it is never cached
    size += cache_message_key_size(key);
    cache_announcement_add(&c->changing, announcement, key);
  }
  if (alone)
    announcement->published_us = clock_now_us();
  else if (c->state != COHERENCE_DEAF)
    cache_coherence_queue(c, announcement);
  return taken;
}

void cache_coherence_announce(struct cache_coherence *c, const struct slice *keys, size_t count,
                              struct cache_announced *announced)
{
  // The others may use values in an epoch that this instance has not heard of yet: they leave it for a newer one.
  if (c->epoch == 0)
    cache_coherence_start_epoch(c);
  bool alone = cache_coherence_is_alone(c, clock_now_us());
  announced->first = c->last_sequence + 1;
  do {
    size_t taken = announce_line(c, keys, count, alone);
    keys += taken;
    count -= taken;
  } while (count > 0);
  announced->last = c->last_sequence;
}

// Waits for progress, or until that time. OK for both.
static enum status wait_for_progress(struct cache_coherence *c, const struct cache_announcement *announcement,
                                     uint64_t until_us)
{
  struct cache_wait wait = {.announcement = announcement, .completion = {.what = "the other instances' caches"}};
  list_append(&c->waiting, &wait.node);
  uint64_t before = task_tighten_deadline(until_us);
  enum status status = completion_wait(&wait.completion);
  task_restore_deadline(before);
  list_remove(&wait.node);
  return status == STATUS_DEADLINE_EXCEEDED ? task_check() : status;
}

static uint64_t latest_publication_us(uint64_t now_us)
{
  uint64_t wait_ms = CHANNEL_WAIT_MS;
  if (task_deadline_us() != DEADLINE_NONE && deadline_left_ms(task_deadline_us(), now_us) / 2 < wait_ms)
    wait_ms = deadline_left_ms(task_deadline_us(), now_us) / 2;
  return deadline_after_ms(now_us, wait_ms);
}

// Drops the keys here, as the others have done when they acknowledged. Not before: a change that cannot go on, because
// PostgreSQL is away, must not take away what cannot be loaded again.
static void invalidate_own(struct cache_coherence *c, const struct cache_announced *announced)
{
  for (uint64_t sequence = announced->first; sequence <= announced->last; sequence++) {
    const struct cache_announcement *announcement = cache_announcement_find(&c->own, sequence);
    const struct list *keys = &announcement->keys;
    for (const struct list *node = keys->next; node != keys; node = node->next) {
      const struct changing_key *key = CONTAINER_OF(node, const struct changing_key, sibling);
      c->events.invalidated(c->events.arg, slice_make(key->bytes, key->size));
    }
  }
}

static enum status note_unconfirmed(void)
{
  task_note_cause((struct task_cause){STATUS_UNAVAILABLE,
                                      "the other instances cannot be told of the change, because the cache's channel "
                                      "over PostgreSQL does not work",
                                      "the announcement of a change"});
  return STATUS_UNAVAILABLE;
}

enum status cache_coherence_confirm(struct cache_coherence *c, const struct cache_announced *announced)
{
  const struct cache_announcement *announcement = cache_announcement_find(&c->own, announced->last);
  CHECK(announcement != NULL);
  uint64_t publish_until_us = latest_publication_us(clock_now_us());
  for (;;) {
    uint64_t now_us = clock_now_us();
    if (cache_coherence_is_confirmed(c, announcement, now_us)) {
      invalidate_own(c, announced);
      metric_add(c->waited_out, cache_coherence_has_awaited(c, announcement));
      return STATUS_OK;
    }
    bool published = announcement->published_us != 0 && cache_coherence_may_change(c, now_us);
    uint64_t until_us = published ? cache_coherence_confirmed_us(c, announcement) : publish_until_us;
    if (now_us >= until_us)
      return note_unconfirmed();
    enum status status = wait_for_progress(c, announcement, until_us);
    if (status != STATUS_OK)
      return status;
  }
}

static void queue_end(struct cache_coherence *c, const struct cache_announced *announced)
{
  const struct cache_announcement *announcement = cache_announcement_find(&c->own, announced->last);
  if (announcement == NULL || !announcement->queued || c->state == COHERENCE_DEAF)
    return;
  if (c->outbox.size == 0)
    loop_timer_start(c->end_timer, CACHE_END_MS);
  cache_message_add_ended(&c->outbox, announced->first, announced->last);
}

bool cache_coherence_may_keep(struct cache_coherence *c, const struct cache_announced *announced)
{
  if (announced->first != announced->last || !cache_coherence_is_current(c))
    return false;
  const struct cache_announcement *announcement = cache_announcement_find(&c->own, announced->last);
  return announcement != NULL && cache_announcement_is_lone(announcement);
}

void cache_coherence_end(struct cache_coherence *c, const struct cache_announced *announced, bool known)
{
  if (known) {
    queue_end(c, announced);
    cache_announcements_end(&c->changing, &c->own, announced->first, announced->last);
    return;
  }
  uint64_t ends_us = clock_now_us() + c->hold_us;
  for (struct list *node = c->own.next; node != &c->own; node = node->next) {
    struct cache_announcement *announcement = CONTAINER_OF(node, struct cache_announcement, node);
    if (announcement->sequence >= announced->first && announcement->sequence <= announced->last)
      announcement->ends_us = ends_us;
  }
}

// Returns the end of a run: neighbours in the list that can be ended as one.
static struct list *find_run_end(struct cache_coherence *c, struct list *node, uint64_t now_us)
{
  bool queued = CONTAINER_OF(node, struct cache_announcement, node)->queued;
  for (; node != &c->own; node = node->next) {
    const struct cache_announcement *announcement = CONTAINER_OF(node, const struct cache_announcement, node);
    if (announcement->ends_us == 0 || announcement->ends_us > now_us || announcement->queued != queued)
      break;
  }
  return node;
}

void cache_coherence_end_unknown(struct cache_coherence *c, uint64_t now_us)
{
  for (struct list *node = c->own.next; node != &c->own;) {
    struct list *end = find_run_end(c, node, now_us);
    struct list *next = end == node ? node->next : end;
    if (end != node) {
      uint64_t first = CONTAINER_OF(node, struct cache_announcement, node)->sequence;
      uint64_t last = CONTAINER_OF(end->previous, struct cache_announcement, node)->sequence;
      cache_coherence_end(c, &(struct cache_announced){first, last}, true);
    }
    node = next;
  }
}

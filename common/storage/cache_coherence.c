#include "common/storage/cache_coherence_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/observe/log.h"
#include "common/storage/cache_host_internal.h"
#include "common/storage/cache_siblings_internal.h"

// Acknowledgements in one message at most.
enum { MAX_ACKS = 80 };

// ---- epochs ----

void cache_coherence_take_epoch(struct cache_coherence *c, uint64_t epoch, bool is_common)
{
  if (epoch <= c->epoch)
    return;
  c->epoch = epoch;
  c->epoch_is_common = is_common;
}

void cache_coherence_start_epoch(struct cache_coherence *c)
{
  uint64_t now_us = (uint64_t)clock_wall_us();
  cache_coherence_take_epoch(c, now_us > c->epoch ? now_us : c->epoch + 1, false);
  c->due = true;
}

// How long after its first message an instance settles. A change that it has missed may be confirmed a lease later, and
// take effect `hold_ms` after that. The others have also forgotten the members that it has never heard of.
static uint64_t settling_us(const struct cache_coherence *c)
{
  return c->hold_us + cache_ms_as_us(2 * CACHE_LEASE_MS);
}

// ---- states ----

// The one place that changes the state.
static void enter_state(struct cache_coherence *c, enum coherence_state state)
{
  c->state = state;
  metric_set(c->serving, state == COHERENCE_SETTLED || cache_coherence_may_serve(c));
  // Until now, changes of others may have been missed that began while these were under way.
  cache_announcements_cross(&c->own);
  if (state == COHERENCE_SETTLED)
    return;
  c->lease_until_us = 0;
  if (cache_coherence_may_serve(c))
    c->events.loads_invalidated(c->events.arg);
  else
    c->events.all_invalidated(c->events.arg);
}

bool cache_coherence_is_changing(const struct cache_coherence *c, struct slice key, uint64_t hash)
{
  return cache_announcements_have(&c->changing, key, hash);
}

bool cache_coherence_may_serve(const struct cache_coherence *c)
{
  return outage_may_serve(&c->outage, clock_now_us());
}

uint64_t cache_coherence_age_us(const struct cache_coherence *c)
{
  uint64_t now_us = loop_now_us(c->loop);
  uint64_t lease_until_us = c->outage.lease_began_us + cache_ms_as_us(CACHE_LEASE_MS);
  return now_us < lease_until_us ? now_us : lease_until_us;
}

bool cache_coherence_may_use_redis(const struct cache_coherence *c)
{
  return c->state != COHERENCE_SETTLING && cache_coherence_may_serve(c);
}

bool cache_coherence_is_current(const struct cache_coherence *c)
{
  return c->state == COHERENCE_SETTLED && clock_now_us() < c->lease_until_us;
}

bool cache_coherence_may_change(const struct cache_coherence *c, uint64_t now_us)
{
  if (c->siblings != NULL)
    return outage_may_change(&c->outage, now_us);
  return now_us < c->outage.lease_began_us + cache_ms_as_us(CACHE_GAP_MS);
}

uint64_t cache_coherence_epoch(const struct cache_coherence *c)
{
  if (!c->epoch_is_common || !c->uses_redis)
    return 0;
  for (const struct list *node = c->members.next; node != &c->members; node = node->next) {
    const struct cache_member *member = CONTAINER_OF(node, const struct cache_member, node);
    if (!member->uses_redis && !member->left)
      return 0;
  }
  return c->epoch;
}

void cache_coherence_set_redis(struct cache_coherence *c, bool up)
{
  if (c->uses_redis == up)
    return;
  c->uses_redis = up;
  if (up && c->was_without_redis)
    cache_coherence_start_epoch(c);
  c->was_without_redis = !up;
  c->due = true;
}

// ---- sending ----

bool cache_coherence_is_alone(const struct cache_coherence *c, uint64_t now_us)
{
  // Whoever else there is has been heard meanwhile, and a newer one keeps nothing before this change is over.
  if (c->state != COHERENCE_SETTLED || now_us >= c->lease_until_us || !cache_coherence_may_change(c, now_us))
    return false;
  if (now_us < c->settled_us - settling_us(c) + cache_members_memory_us(c))
    return false;
  for (const struct list *node = c->members.next; node != &c->members; node = node->next)
    if (!CONTAINER_OF(node, const struct cache_member, node)->left)
      return false;
  return true;
}

void cache_coherence_queue(struct cache_coherence *c, struct cache_announcement *announcement)
{
  announcement->queued = true;
  c->due = true;
  cache_message_begin_change(&c->outbox, announcement->sequence);
  for (const struct list *node = announcement->keys.next; node != &announcement->keys; node = node->next) {
    const struct changing_key *key = CONTAINER_OF(node, const struct changing_key, sibling);
    cache_message_add_key(&c->outbox, slice_make(key->bytes, key->size));
  }
  cache_message_end_change(&c->outbox);
}

void cache_coherence_queue_own(struct cache_coherence *c)
{
  for (struct list *node = c->own.next; node != &c->own; node = node->next)
    cache_coherence_queue(c, CONTAINER_OF(node, struct cache_announcement, node));
}

// Takes all that was announced as unknown to the others: it is to be announced again.
static void forget_publications(struct cache_coherence *c)
{
  c->send_sequence = 0;
  for (struct list *node = c->own.next; node != &c->own; node = node->next)
    CONTAINER_OF(node, struct cache_announcement, node)->published_us = 0;
}

// Queues the end of every change that is not under way any more, because the channel may have lost its end.
static void queue_ended(struct cache_coherence *c)
{
  uint64_t first = 1;
  for (struct list *node = c->own.next; node != &c->own; node = node->next) {
    uint64_t sequence = CONTAINER_OF(node, struct cache_announcement, node)->sequence;
    if (first < sequence)
      cache_message_add_ended(&c->outbox, first, sequence - 1);
    first = sequence + 1;
  }
  if (first <= c->last_sequence)
    cache_message_add_ended(&c->outbox, first, c->last_sequence);
}

void cache_coherence_join(struct cache_coherence *c)
{
  if (!outage_join(&c->outage, clock_now_us()))
    return;
  strbuf_clear(&c->outbox);
  forget_publications(c);
  queue_ended(c);
  cache_coherence_queue_own(c);
}

static void add_acks(struct cache_coherence *c, struct strbuf *message)
{
  size_t count = 0;
  // An acknowledgement covers all that came before, also what was missed while the channel was lost. Whoever still
  // serves what it had then lets the others wait for the end of its lease, and of their promises.
  c->acks_due = false;
  if (c->state == COHERENCE_SETTLING && cache_coherence_may_serve(c))
    return;
  for (struct list *node = c->members.next; node != &c->members && count < MAX_ACKS; node = node->next) {
    struct cache_member *member = CONTAINER_OF(node, struct cache_member, node);
    if (member->to_ack == 0)
      continue;
    cache_message_add_ack(message, member->name, member->to_ack);
    member->to_ack = 0;
    count++;
  }
  c->acks_due = count == MAX_ACKS;
}

// Moves lines from the outbox to the message while they fit, and notes the latest sequence among them.
static void add_lines(struct cache_coherence *c, struct strbuf *message)
{
  struct slice rest = strbuf_slice(&c->outbox);
  while (rest.size > 0) {
    size_t size = slice_find(rest, '\n', 0) + 1;
    if (message->size + size > PG_CHANNEL_MAX_BYTES)
      break;
    struct slice text = slice_make(rest.data, size);
    strbuf_add(message, text);
    struct cache_line line;
    if (cache_message_next(&text, &line) && line.kind == CACHE_LINE_CHANGE && line.first > c->send_sequence)
      c->send_sequence = line.first;
    rest = slice_skip(rest, size);
  }
  struct strbuf left;
  strbuf_init(&left, 0);
  strbuf_add(&left, rest);
  strbuf_free(&c->outbox);
  c->outbox = left;
}

// Sends what is queued, and at the end of a turn at the earliest, so that all changes of a turn travel together.
static void send_queued(void *arg)
{
  struct cache_coherence *c = arg;
  if (c->state == COHERENCE_DEAF || c->sending || (!c->due && !c->acks_due))
    return;
  struct strbuf message;
  strbuf_init(&message, 0);
  c->send_began_us = clock_now_us();
  c->send_epoch = c->epoch;
  c->was_without_redis |= !c->uses_redis;
  cache_message_add_head(&message, c->name, c->epoch, c->uses_redis);
  add_acks(c, &message);
  add_lines(c, &message);
  c->due = c->outbox.size > 0;
  c->sending = pg_channel_send(c->channel, strbuf_slice(&message));
  strbuf_free(&message);
}

// ---- what was sent ----

bool cache_coherence_is_confirmed(const struct cache_coherence *c, const struct cache_announcement *announcement,
                                  uint64_t now_us)
{
  return announcement->published_us != 0 && cache_coherence_may_change(c, now_us) &&
         now_us >= cache_coherence_confirmed_us(c, announcement);
}

void cache_coherence_wake_confirmed(struct cache_coherence *c)
{
  uint64_t now_us = clock_now_us();
  for (struct list *node = c->waiting.next, *next = node->next; node != &c->waiting; node = next, next = node->next) {
    struct cache_wait *wait = CONTAINER_OF(node, struct cache_wait, node);
    if (!cache_coherence_is_confirmed(c, wait->announcement, now_us))
      continue;
    list_remove(&wait->node);
    completion_finish(&wait->completion, STATUS_OK);
  }
}

static void note_published(struct cache_coherence *c, uint64_t now_us)
{
  for (struct list *node = c->own.previous; node != &c->own; node = node->previous) {
    struct cache_announcement *announcement = CONTAINER_OF(node, struct cache_announcement, node);
    if (announcement->published_us == 0 && announcement->sequence <= c->send_sequence)
      announcement->published_us = now_us;
  }
}

static void extend_lease(struct cache_coherence *c, uint64_t now_us)
{
  // What was kept from before the channel was lost is outdated once the right to serve has had a gap.
  if (c->state == COHERENCE_SETTLING && !outage_may_serve(&c->outage, now_us))
    c->events.all_invalidated(c->events.arg);
  // The others may have forgotten an instance whose lease has been over for long, and announce nothing to it.
  bool forgotten = c->lease_until_us > 0 && now_us > c->lease_until_us + cache_members_memory_us(c) / 2;
  if (forgotten)
    enter_state(c, COHERENCE_SETTLING);
  if (c->state == COHERENCE_SETTLING && c->lease_until_us == 0)
    c->settled_us = now_us + settling_us(c);
  if (c->state == COHERENCE_SETTLING && cache_fence_until_us(&c->fence, now_us) >= c->settled_us) {
    if (c->epoch == 0)
      cache_coherence_start_epoch(c);
    cache_members_end_lost(c);
    enter_state(c, COHERENCE_SETTLED);
  }
  c->lease_until_us = c->send_began_us + cache_ms_as_us(CACHE_LEASE_MS);
  outage_sent(&c->outage, c->send_began_us, now_us, c->state == COHERENCE_SETTLED);
}

static void handle_sent(void *arg, enum status status)
{
  struct cache_coherence *c = arg;
  c->sending = false;
  if (status != STATUS_OK)
    return;  // the channel is lost, which is reported next
  uint64_t now_us = clock_now_us();
  note_published(c, now_us);
  cache_fence_note_sent(&c->fence, now_us);
  extend_lease(c, now_us);
  if (c->send_epoch == c->epoch && c->epoch != 0)
    c->epoch_is_common = true;
  cache_coherence_join(c);
  cache_coherence_wake_confirmed(c);
}

static void handle_hearing(void *arg, bool hearing)
{
  struct cache_coherence *c = arg;
  c->sending = false;
  c->acks_due = false;
  strbuf_clear(&c->outbox);
  forget_publications(c);
  c->forgotten_us = clock_now_us();
  // What others were changing stays unserved while the right to serve lasts, and until it must have ended.
  bool serves = cache_coherence_may_serve(c);
  if (!serves)
    cache_members_forget(c);
  if (hearing || !serves)
    c->epoch_is_common = false;
  enter_state(c, hearing ? COHERENCE_SETTLING : COHERENCE_DEAF);
  cache_siblings_wake(c->siblings);
  if (!hearing) {
    outage_lost(&c->outage);
    return;
  }
  cache_members_lose(c);
  outage_connected(&c->outage, c->forgotten_us);
  queue_ended(c);
  cache_coherence_queue_own(c);
  c->due = true;
}

// ---- what was heard ----

static void handle_message(void *arg, struct slice message)
{
  struct cache_coherence *c = arg;
  if (cache_members_take_message(c, message) || c->state == COHERENCE_DEAF)
    return;
  // A newer version may have sent it, to announce a change.
  log_warn("cache", "a message of another instance is not understood; nothing cached is served for a while");
  outage_stop_serving(&c->outage);
  enter_state(c, COHERENCE_SETTLING);
}

// ---- time ----

static void handle_timer(void *arg)
{
  struct cache_coherence *c = arg;
  uint64_t now_us = clock_now_us();
  cache_coherence_end_unknown(c, now_us);
  metric_set(c->serving, cache_coherence_may_serve(c));
  cache_members_forget_silent(c, now_us);
  c->due = true;
  loop_timer_start(c->timer, CACHE_HEARTBEAT_MS);
}

static void handle_end_timer(void *arg)
{
  struct cache_coherence *c = arg;
  c->due = true;
}

// ---- creating and freeing ----

static void name_instance(struct cache_coherence *c)
{
  uint64_t number;
  random_bytes(&number, sizeof(number));
  snprintf(c->name, sizeof(c->name), "%016llx", (unsigned long long)number);
}

void cache_coherence_init(struct cache_coherence *c, struct loop *loop, const struct cache_options *options,
                          const struct cache_coherence_events *events)
{
  *c = (struct cache_coherence){.loop = loop, .events = *events, .hold_us = cache_ms_as_us(options->hold_ms)};
  const char *name = options->name;
  struct slice label = slice_from_string(name);
  c->serving = metrics_series(METRIC_CACHE_SERVING, &label, 1);
  c->waited_out = metrics_series(METRIC_CACHE_LEASES_WAITED_OUT, &label, 1);
  name_instance(c);
  strbuf_init(&c->outbox, 0);
  list_init(&c->own);
  list_init(&c->members);
  list_init(&c->waiting);
  c->hook = (struct loop_hook){.run = send_queued, .arg = c};
  loop_hook_add(loop, &c->hook);
  c->timer = loop_timer_create(loop, handle_timer, c);
  loop_timer_start(c->timer, CACHE_HEARTBEAT_MS);
  c->end_timer = loop_timer_create(loop, handle_end_timer, c);
  char channel[64];
  snprintf(channel, sizeof(channel), "cache:%.56s", name);
  const struct pg_channel_events channel_events = {
      .message = handle_message, .hearing = handle_hearing, .sent = handle_sent, .arg = c};
  outage_init(&c->outage, c->name, cache_host_name());
  if (options->ask != NULL) {
    pg_name_sessions(options->pg, name, c->name);
    c->siblings = cache_siblings_create(c, options);
  }
  c->fence.works = c->siblings != NULL;
  c->fence.begin_us = cache_ms_as_us(options->begin_ms);
  c->channel = pg_channel_create(options->pg, channel, &channel_events);
}

void cache_coherence_clear(struct cache_coherence *c)
{
  CHECK(list_empty(&c->waiting));
  cache_siblings_free(&c->siblings);
  struct strbuf message;
  strbuf_init(&message, 0);
  cache_message_add_head(&message, c->name, c->epoch, c->uses_redis);
  cache_message_add_quit(&message);
  // A failure means that the channel is away. Then the others wait until the lease is over.
  (void)pg_channel_send(c->channel, strbuf_slice(&message));
  strbuf_free(&message);
  pg_channel_free(&c->channel);
  loop_hook_remove(&c->hook);
  loop_timer_free(&c->timer);
  loop_timer_free(&c->end_timer);
  cache_members_forget(c);
  outage_clear(&c->outage);
  cache_announcements_end(&c->changing, &c->own, 0, UINT64_MAX);
  hashtable_free(&c->changing);
  strbuf_free(&c->outbox);
  metric_set(c->serving, 0);
}

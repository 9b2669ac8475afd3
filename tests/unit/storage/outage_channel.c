// The channel and the changes of an instance in the world of outage_world.h: what cache_coherence.c and cache_confirm.c
// do.
#include <string.h>

#include "common/base/check.h"
#include "tests/unit/storage/outage_instance.h"

// How long a change waits to be confirmed.
enum { PATIENCE_MS = 4000 };

// ---- sending over the channel ----

void instance_queue_line(struct instance *in, struct note_line line)
{
  if (in->queued < sizeof(in->queue) / sizeof(in->queue[0]))
    in->queue[in->queued++] = line;
  in->due = true;
}

static void queue_change(struct instance *in, struct change *change)
{
  change->queued = true;
  instance_queue_line(in, (struct note_line){.kind = LINE_CHANGE, .first = change->sequence, .key = change->key});
}

void instance_queue_own(struct instance *in)
{
  for (size_t c = 0; c < WORLD_CHANGES; c++)
    if (in->changes[c].state != CHANGE_NONE)
      queue_change(in, &in->changes[c]);
}

void instance_flush(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  if (!in->hearing || in->sending || !in->due)
    return;
  struct note note = {.from = i};
  in->send_began_us = instance_now_us(w, i);
  // An acknowledgement covers all earlier announcements, also those that were missed before the channel worked again.
  bool acknowledges = in->state != INSTANCE_SETTLING || !instance_may_serve(w, i);
  for (size_t n = 0; n < w->count && acknowledges; n++) {
    struct neighbour *neighbour = &in->neighbours[n];
    if (neighbour->known && neighbour->to_ack > 0)
      note.lines[note.count++] = (struct note_line){.kind = LINE_ACK, .instance = n, .first = neighbour->to_ack};
    neighbour->to_ack = 0;
  }
  size_t taken = 0;
  for (; taken < in->queued && note.count < WORLD_LINES; taken++) {
    if (in->queue[taken].kind == LINE_CHANGE)
      in->send_sequence = later(in->send_sequence, in->queue[taken].first);
    note.lines[note.count++] = in->queue[taken];
  }
  memmove(in->queue, in->queue + taken, (in->queued - taken) * sizeof(in->queue[0]));
  in->queued -= taken;
  in->due = in->queued > 0;
  in->sending = true;
  world_send(w, in->connection, WIRE_NOTIFY, &note);
}

// ---- changes ----

uint64_t instance_memory_us(void)
{
  return WORLD_HOLD_MS * WORLD_MS;
}

static uint64_t settling_us(void)
{
  return (WORLD_HOLD_MS + 2 * CACHE_LEASE_MS) * WORLD_MS;
}

static bool has_awaited(const struct world *w, const struct instance *in, const struct change *change)
{
  for (size_t n = 0; n < w->count; n++) {
    const struct neighbour *neighbour = &in->neighbours[n];
    if (neighbour->known && !neighbour->left && neighbour->acked < change->sequence &&
        neighbour->first_heard_us <= change->published_us &&
        neighbour->heard_us + (CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS) * WORLD_MS > change->published_us)
      return true;
  }
  return false;
}

static bool is_confirmed(const struct world *w, size_t i, const struct change *change)
{
  const struct instance *in = &w->instances[i];
  uint64_t now_us = instance_now_us(w, i);
  if (change->published_us == 0 || !outage_may_change(&in->outage, now_us))
    return false;
  uint64_t since_us = change->published_us;
  if (!has_awaited(w, in, change) && in->forgotten_us < since_us)
    since_us = in->forgotten_us;
  return now_us >= since_us + (CACHE_LEASE_MS + CACHE_CLOCK_MARGIN_MS) * WORLD_MS;
}

void instance_end_change(struct instance *in, struct change *change)
{
  if (in->hearing && change->queued)
    instance_queue_line(in, (struct note_line){.kind = LINE_ENDED, .first = change->sequence});
  change->state = CHANGE_NONE;
}

struct change *instance_find_change(struct instance *in, uint64_t sequence)
{
  for (size_t c = 0; c < WORLD_CHANGES; c++)
    if (in->changes[c].state != CHANGE_NONE && in->changes[c].sequence == sequence)
      return &in->changes[c];
  return NULL;
}

// The statement leaves the process, unless it is too late for it.
static void write_now(struct world *w, const struct event *event)
{
  struct instance *in = &w->instances[event->instance];
  struct change *change = instance_find_change(in, event->x);
  if (instance_now_us(w, event->instance) > event->y) {
    instance_end_change(in, change);
    return;
  }
  change->state = CHANGE_SENT;
  (void)world_query(w, event->instance, STATEMENT_WRITE, change->key, change->sequence);
}

void instance_wake_changes(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  uint64_t now_us = instance_now_us(w, i);
  for (size_t c = 0; c < WORLD_CHANGES; c++) {
    struct change *change = &in->changes[c];
    if (change->state == CHANGE_UNKNOWN && now_us >= change->ends_us)
      instance_end_change(in, change);
    if (change->state == CHANGE_WAITS && now_us > change->began_us + PATIENCE_MS * WORLD_MS)
      instance_end_change(in, change);
    if (change->state != CHANGE_WAITS || !is_confirmed(w, i, change))
      continue;
    instance_drop_key(in, change->key);
    change->state = CHANGE_CONFIRMED;
    world_trace(w, i, "confirms its change", change->sequence);
    world_trace(w, i, "... of key", change->key);
    uint64_t in_us = world_chance(w, 10) ? world_draw(w, 0, 300 * WORLD_MS) : world_draw(w, 0, WORLD_MS);
    world_post(w, w->now_us + in_us,
               &(struct event){.run = write_now,
                               .inside = true,
                               .instance = i,
                               .x = change->sequence,
                               .y = in->outage.lease_began_us + WORLD_BEGIN_MS * WORLD_MS});
  }
}

static bool is_alone(const struct world *w, size_t i)
{
  const struct instance *in = &w->instances[i];
  uint64_t now_us = instance_now_us(w, i);
  if (!instance_is_current(w, i) || !outage_may_change(&in->outage, now_us) ||
      now_us < in->settled_us - settling_us() + instance_memory_us())
    return false;
  for (size_t n = 0; n < w->count; n++)
    if (in->neighbours[n].known && !in->neighbours[n].left)
      return false;
  return true;
}

void instance_begin_change(struct world *w, size_t i, size_t key)
{
  struct instance *in = &w->instances[i];
  size_t c = 0;
  while (c < WORLD_CHANGES && in->changes[c].state != CHANGE_NONE)
    c++;
  if (c == WORLD_CHANGES || in->retired)
    return;
  struct change *change = &in->changes[c];
  uint64_t now_us = instance_now_us(w, i);
  bool alone = is_alone(w, i);
  *change = (struct change){.state = CHANGE_WAITS,
                            .sequence = ++in->last_sequence,
                            .key = key,
                            .began_us = now_us,
                            .published_us = alone ? now_us : 0};
  if (!alone && in->hearing)
    queue_change(in, change);
}

void instance_forget_publications(struct instance *in)
{
  in->send_sequence = 0;
  for (size_t c = 0; c < WORLD_CHANGES; c++)
    in->changes[c].published_us = 0;
}

// ---- the channel ----

void instance_listening(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  in->hearing = true;
  in->sending = false;
  in->queued = 0;
  instance_forget_publications(in);
  in->forgotten_us = instance_now_us(w, i);
  world_trace(w, i, "hears; serves", instance_may_serve(w, i));
  if (!instance_may_serve(w, i))
    memset(in->neighbours, 0, sizeof(in->neighbours));
  instance_enter_state(w, i, INSTANCE_SETTLING);
  outage_connected(&in->outage, in->forgotten_us);
  instance_queue_line(in, (struct note_line){.kind = LINE_ALL_ENDED});
  instance_queue_own(in);
  instance_flush(w, i);
}

void instance_lost(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  w->wires[in->connection].client_open = false;
  in->connection = 0;
  in->reconnect_us = w->now_us + world_draw(w, 20 * WORLD_MS, 300 * WORLD_MS);
  if (!in->hearing)
    return;
  in->hearing = false;
  in->sending = false;
  in->queued = 0;
  instance_forget_publications(in);
  in->forgotten_us = instance_now_us(w, i);
  if (!instance_may_serve(w, i))
    memset(in->neighbours, 0, sizeof(in->neighbours));
  instance_enter_state(w, i, INSTANCE_DEAF);
  world_trace(w, i, "has lost its channel; serves", instance_may_serve(w, i));
  outage_lost(&in->outage);
}

void instance_sent(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  uint64_t now_us = instance_now_us(w, i);
  in->sending = false;
  for (size_t c = 0; c < WORLD_CHANGES; c++) {
    struct change *change = &in->changes[c];
    if (change->state != CHANGE_NONE && change->published_us == 0 && change->sequence <= in->send_sequence)
      change->published_us = now_us;
  }
  if (in->state == INSTANCE_SETTLING && !instance_may_serve(w, i))
    instance_drop_all(in, false);
  if (in->lease_until_us > 0 && now_us > in->lease_until_us + instance_memory_us() / 2)
    instance_enter_state(w, i, INSTANCE_SETTLING);
  if (in->state == INSTANCE_SETTLING && in->lease_until_us == 0)
    in->settled_us = now_us + settling_us();
  if (in->state == INSTANCE_SETTLING && now_us >= in->settled_us)
    instance_enter_state(w, i, INSTANCE_SETTLED);
  in->lease_until_us = in->send_began_us + CACHE_LEASE_MS * WORLD_MS;
  outage_sent(&in->outage, in->send_began_us, now_us, in->state == INSTANCE_SETTLED);
  instance_join(w, i);
  instance_wake_changes(w, i);
  instance_flush(w, i);
}

static void hear_change(struct instance *in, struct neighbour *neighbour, const struct note_line *line)
{
  neighbour->to_ack = later(neighbour->to_ack, line->first);
  in->due = true;
  for (size_t c = 0; c < neighbour->count; c++)
    if (neighbour->changes[c].sequence == line->first)
      return;
  CHECK(neighbour->count < WORLD_HEARD);
  neighbour->changes[neighbour->count].sequence = line->first;
  neighbour->changes[neighbour->count++].key = line->key;
  instance_drop_key(in, line->key);
}

static void hear_end(struct neighbour *neighbour, uint64_t sequence)
{
  for (size_t c = 0; c < neighbour->count; c++)
    if (neighbour->changes[c].sequence == sequence)
      neighbour->changes[c--] = neighbour->changes[--neighbour->count];
}

void instance_hears(struct world *w, size_t i, const struct note *note)
{
  struct instance *in = &w->instances[i];
  if (note->from == i)
    return;
  struct neighbour *neighbour = &in->neighbours[note->from];
  uint64_t now_us = instance_now_us(w, i);
  if (!neighbour->known) {
    *neighbour = (struct neighbour){.known = true, .first_heard_us = now_us};
    instance_queue_own(in);
  }
  neighbour->heard_us = now_us;
  outage_heard(&in->outage, slice_from_string(w->instances[note->from].name), now_us);
  for (size_t l = 0; l < note->count; l++) {
    const struct note_line *line = &note->lines[l];
    switch (line->kind) {
    case LINE_CHANGE:
      hear_change(in, neighbour, line);
      break;
    case LINE_ENDED:
      hear_end(neighbour, line->first);
      break;
    case LINE_ALL_ENDED:
      neighbour->count = 0;
      break;
    case LINE_ACK:
      if (line->instance == i)
        neighbour->acked = later(neighbour->acked, line->first);
      break;
    case LINE_QUIT:
      neighbour->left = true;
      outage_gone(&in->outage, slice_from_string(w->instances[note->from].name), now_us);
      break;
    }
  }
  instance_wake_changes(w, i);
  instance_flush(w, i);
}

#include "tests/unit/storage/outage_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

// ---- events ----

uint64_t world_draw(struct world *w, uint64_t from, uint64_t below)
{
  w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
  return below <= from ? from : from + (w->seed >> 20) % (below - from);
}

bool world_chance(struct world *w, unsigned percent)
{
  return world_draw(w, 0, 100) < percent;
}

uint64_t world_latency_us(struct world *w)
{
  return world_chance(w, 3) ? world_draw(w, WORLD_MS, 60 * WORLD_MS) : world_draw(w, 100, 1500);
}

static bool is_before(const struct event *a, const struct event *b)
{
  return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

void world_post(struct world *w, uint64_t at_us, const struct event *event)
{
  if (w->event_count == w->event_room) {
    w->event_room = w->event_room * 2 + 1024;
    w->events = realloc(w->events, w->event_room * sizeof(*w->events));
    CHECK(w->events != NULL);
  }
  struct event added = *event;
  added.at_us = at_us;
  added.order = ++w->order;
  size_t at = w->event_count++;
  for (; at > 0 && is_before(&added, &w->events[(at - 1) / 2]); at = (at - 1) / 2)
    w->events[at] = w->events[(at - 1) / 2];
  w->events[at] = added;
}

static struct event take_event(struct world *w)
{
  struct event first = w->events[0];
  struct event last = w->events[--w->event_count];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < w->event_count; at = child) {
    if (child + 1 < w->event_count && is_before(&w->events[child + 1], &w->events[child]))
      child++;
    if (!is_before(&w->events[child], &last))
      break;
    w->events[at] = w->events[child];
  }
  w->events[at] = last;
  return first;
}

void world_run(struct world *w, uint64_t until_us)
{
  while (w->counts.stale == 0 && w->event_count > 0 && w->events[0].at_us < until_us) {
    struct event event = take_event(w);
    const struct instance *in = &w->instances[event.instance];
    w->now_us = event.at_us;
    if (event.inside && !in->alive)
      continue;
    if (event.inside && in->frozen_until_us > w->now_us)
      world_post(w, in->frozen_until_us + world_draw(w, 0, 300), &event);
    else
      event.run(w, &event);
  }
  w->now_us = until_us;
}

void world_trace(const struct world *w, size_t instance, const char *what, uint64_t number)
{
  if (w->traced)
    printf("%10.3f  instance %zu: %s %llu\n", (double)w->now_us / WORLD_MS, instance, what, (unsigned long long)number);
}

// ---- PostgreSQL: the channel ----

struct wire_item {
  enum wire_kind kind;
  uint64_t at_us;
  size_t note;  // on the way down: its place in world.notes, or of its NOTIFY
};

static void move_up(struct world *w, const struct event *event);
static void move_down(struct world *w, const struct event *event);

static void add_item(struct wire_item **items, size_t *count, struct wire_item item)
{
  if (*count % 64 == 0) {
    *items = realloc(*items, (*count + 64) * sizeof(item));
    CHECK(*items != NULL);
  }
  (*items)[(*count)++] = item;
}

unsigned world_connect(struct world *w, size_t instance)
{
  CHECK(w->wire_count + 1 < sizeof(w->wires) / sizeof(w->wires[0]));
  unsigned number = ++w->wire_count;
  w->wires[number] = (struct wire){.instance = instance, .client_open = true, .server_open = true};
  world_send(w, number, WIRE_LISTEN, NULL);
  return number;
}

static size_t add_note(struct world *w, const struct note *note)
{
  if (w->note_count % 256 == 0) {
    w->notes = realloc(w->notes, (w->note_count + 256) * sizeof(*w->notes));
    CHECK(w->notes != NULL);
  }
  w->notes[w->note_count] = *note;
  return w->note_count++;
}

void world_send(struct world *w, unsigned connection, enum wire_kind kind, const struct note *note)
{
  struct wire *wire = &w->wires[connection];
  uint64_t at_us = w->now_us + world_latency_us(w);
  if (at_us <= wire->last_up_us)
    at_us = wire->last_up_us + 1;
  wire->last_up_us = at_us;
  if (wire->waits_since_us == 0)
    wire->waits_since_us = w->now_us;
  if (kind == WIRE_NOTIFY)
    wire->sent = *note;
  add_item(&wire->up, &wire->up_count, (struct wire_item){.kind = kind, .at_us = at_us});
  world_post(w, at_us, &(struct event){.run = move_up, .a = connection});
}

static void send_down(struct world *w, unsigned connection, enum wire_kind kind, size_t note)
{
  struct wire *wire = &w->wires[connection];
  uint64_t at_us = w->now_us + world_latency_us(w);
  if (at_us <= wire->last_down_us)
    at_us = wire->last_down_us + 1;
  wire->last_down_us = at_us;
  add_item(&wire->down, &wire->down_count, (struct wire_item){.kind = kind, .at_us = at_us, .note = note});
  world_post(w, at_us, &(struct event){.run = move_down, .a = connection});
}

static void push_notes(struct world *w, unsigned connection)
{
  struct wire *wire = &w->wires[connection];
  for (; wire->server_open && wire->listening && wire->pushed < w->note_count; wire->pushed++)
    send_down(w, connection, WIRE_NOTE, wire->pushed);
}

static void push_later(struct world *w, const struct event *event)
{
  if (w->frozen_until_us > w->now_us)
    world_post(w, w->frozen_until_us, event);
  else
    push_notes(w, (unsigned)event->a);
}

// Commits a note. The sender gets all notes up to it before it is told that its own was sent.
static void commit_note(struct world *w, unsigned connection)
{
  (void)add_note(w, &w->wires[connection].sent);
  for (unsigned other = 1; other <= w->wire_count; other++) {
    if (other == connection || !w->wires[other].server_open || !w->wires[other].listening)
      continue;
    uint64_t in_us = world_chance(w, 5) ? world_draw(w, 0, 100 * WORLD_MS) : world_draw(w, 0, 500);
    world_post(w, w->now_us + in_us, &(struct event){.run = push_later, .a = other});
  }
  push_notes(w, connection);
}

static void move_up(struct world *w, const struct event *event)
{
  unsigned connection = (unsigned)event->a;
  struct wire *wire = &w->wires[connection];
  if (!wire->server_open || wire->up_next >= wire->up_count)
    return;
  if (w->frozen_until_us > w->now_us || w->channels[wire->instance] == WAY_DROPS) {
    world_post(w, w->now_us + 5 * WORLD_MS, event);
    return;
  }
  bool is_slow = w->slow_until_us > w->now_us;
  if ((is_slow || w->notify_ms > 0) && event->b == 0) {
    struct event later = *event;
    later.b = 1;
    uint64_t least_ms = is_slow ? 200 : w->notify_ms * 3 / 4;
    uint64_t most_ms = is_slow ? 450 : w->notify_ms * 5 / 4;
    world_post(w, w->now_us + world_draw(w, least_ms * WORLD_MS, most_ms * WORLD_MS), &later);
    return;
  }
  enum wire_kind kind = wire->up[wire->up_next++].kind;
  if (kind == WIRE_LISTEN) {
    wire->listening = true;
    wire->pushed = w->note_count;
  } else {
    commit_note(w, connection);
  }
  send_down(w, connection, kind, 0);
}

static void move_down(struct world *w, const struct event *event)
{
  struct wire *wire = &w->wires[event->a];
  const struct instance *in = &w->instances[wire->instance];
  if (!wire->client_open || !in->alive || wire->down_next >= wire->down_count)
    return;
  if (in->frozen_until_us > w->now_us) {
    world_post(w, in->frozen_until_us + world_draw(w, 0, 300), event);
    return;
  }
  if (w->channels[wire->instance] == WAY_DROPS) {
    world_post(w, w->now_us + 5 * WORLD_MS, event);
    return;
  }
  while (wire->client_open && wire->down_next < wire->down_count && wire->down[wire->down_next].at_us <= w->now_us) {
    struct wire_item item = wire->down[wire->down_next++];
    wire->waits_since_us = wire->up_next < wire->up_count ? w->now_us : 0;
    if (item.kind == WIRE_LISTEN)
      instance_listening(w, wire->instance);
    else if (item.kind == WIRE_NOTIFY)
      instance_sent(w, wire->instance);
    else
      instance_hears(w, wire->instance, &w->notes[item.note]);
  }
}

// ---- PostgreSQL: statements ----

static void finish(struct world *w, const struct event *event)
{
  instance_finished(w, event, (enum statement_kind)(event->kind), (enum outcome)event->outcome);
}

static void reply(struct world *w, const struct event *event, enum outcome outcome)
{
  struct event answer = *event;
  answer.run = finish;
  answer.inside = true;
  answer.outcome = outcome;
  world_post(w, w->now_us + world_latency_us(w), &answer);
}

static void take_effect(struct world *w, const struct event *event)
{
  struct event done = *event;
  if (w->frozen_until_us > w->now_us) {
    world_post(w, w->frozen_until_us + world_draw(w, 0, WORLD_MS), event);
    return;
  }
  if (!w->up || w->crashes != event->crashes) {
    reply(w, event, OUTCOME_UNKNOWN);
    return;
  }
  struct world_row *row = &w->rows[event->a];
  switch ((enum statement_kind)event->kind) {
  case STATEMENT_LOAD:
    done.y = w->versions[event->a];
    break;
  case STATEMENT_WRITE:
    done.y = w->versions[event->a] = ++w->last_version;
    world_trace(w, event->instance, "a write takes effect; its change is", event->x);
    world_trace(w, event->instance, "... of the value", done.y);
    break;
  case STATEMENT_STORE:
    if (!row->used || row->generation <= event->x)
      *row = (struct world_row){.used = true, .place = w->instances[event->a].place, .generation = event->x};
    break;
  case STATEMENT_READ:
    w->snapshots = realloc(w->snapshots, (w->snapshot_count + 1) * sizeof(w->rows));
    CHECK(w->snapshots != NULL);
    memcpy(w->snapshots + w->snapshot_count * WORLD_INSTANCES, w->rows, sizeof(w->rows));
    done.b = w->snapshot_count++;
    break;
  case STATEMENT_DELETE:
    row->used &= row->generation != event->x;
    break;
  }
  if (w->pools[event->instance] == WAY_OPEN)
    reply(w, &done, OUTCOME_DONE);
}

// How long the server takes. A write waits for a lock now and then, and what only concerns rows of instances may take
// effect long after the instance has given it up.
static uint64_t statement_us(struct world *w, enum statement_kind kind)
{
  if (kind == STATEMENT_WRITE && w->has_locks && world_chance(w, 15))
    return world_draw(w, 0, WORLD_STATEMENT_MS * WORLD_MS);
  if ((kind == STATEMENT_STORE || kind == STATEMENT_DELETE) && w->has_locks && world_chance(w, 10))
    return world_draw(w, 0, 4000 * WORLD_MS);
  return world_draw(w, 200, 3 * WORLD_MS);
}

static void arrive(struct world *w, const struct event *event)
{
  struct event arrived = *event;
  enum way way = w->pools[event->instance];
  if (way == WAY_REFUSES || !w->up) {
    reply(w, event, event->kind == STATEMENT_WRITE && world_chance(w, 50) ? OUTCOME_UNKNOWN : OUTCOME_REFUSED);
    return;
  }
  // What has not arrived after so long was given up by TCP, and by its sender.
  if (way == WAY_DROPS || w->frozen_until_us > w->now_us) {
    if (way != WAY_DROPS || w->now_us < event->sent_us + WORLD_REACH_MS * WORLD_MS)
      world_post(w, w->now_us + 5 * WORLD_MS, event);
    else
      reply(w, event, OUTCOME_UNKNOWN);
    return;
  }
  arrived.run = take_effect;
  arrived.crashes = w->crashes;
  world_post(w, w->now_us + statement_us(w, (enum statement_kind)event->kind), &arrived);
}

uint64_t world_query(struct world *w, size_t instance, enum statement_kind kind, size_t a, uint64_t x)
{
  enum { GIVE_UP_MS = 2000 };
  struct event event = {.run = arrive, .instance = instance, .a = a, .x = x, .kind = kind, .sent_us = w->now_us};
  event.number = ++w->order;
  world_post(w, w->now_us + world_latency_us(w), &event);
  event.run = finish;  // without an answer it is given up then
  event.inside = true;
  event.outcome = OUTCOME_UNKNOWN;
  world_post(w, w->now_us + GIVE_UP_MS * WORLD_MS, &event);
  return event.number;
}

// ---- places ----

void world_write_address(const struct world *w, size_t place, char address[40])
{
  if (w->one_address)
    snprintf(address, 40, "tcp://127.0.0.1:%zu", place);
  else
    snprintf(address, 40, "tcp://10.0.0.%zu:%zu", w->place_hosts[place], place);
}

size_t world_find_place(const char *address)
{
  return (size_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
}

size_t world_find_instance(const struct world *w, const char *name)
{
  size_t i = 0;
  while (i < w->count && strcmp(w->instances[i].name, name) != 0)
    i++;
  CHECK(i < w->count);
  return i;
}

size_t world_add_place(struct world *w, size_t host)
{
  CHECK(w->places < WORLD_PLACES);
  w->place_hosts[w->places] = host;
  w->owners[w->places] = WORLD_NOBODY;
  return w->places++;
}

size_t world_start(struct world *w, size_t place)
{
  CHECK(w->count < WORLD_INSTANCES && w->owners[place] == WORLD_NOBODY);
  size_t i = w->count++;
  w->instances[i] = (struct instance){.place = place, .host = w->place_hosts[place]};
  w->owners[place] = i;
  w->started_us = w->now_us;
  w->counts.first_write_us = 0;
  instance_begin(w, i);
  return i;
}

void world_kill(struct world *w, size_t instance)
{
  struct instance *in = &w->instances[instance];
  if (!in->alive)
    return;
  in->alive = false;
  world_trace(w, instance, "killed at place", in->place);
  w->owners[in->place] = WORLD_NOBODY;
  w->wires[in->connection].client_open = false;
  if (world_chance(w, 70))
    w->wires[in->connection].server_open = false;
}

void world_freeze(struct world *w, size_t instance, uint64_t for_us)
{
  w->instances[instance].frozen_until_us = w->now_us + for_us;
  world_trace(w, instance, "frozen for ms", for_us / WORLD_MS);
  world_post(w, w->now_us + for_us, &(struct event){.run = instance_thaw, .inside = true, .instance = instance});
}

void world_crash_postgres(struct world *w)
{
  w->up = false;
  world_trace(w, 0, "PostgreSQL crashes", 0);
  w->crashes++;
  for (unsigned c = 1; c <= w->wire_count; c++)
    w->wires[c].server_open = false;
}

void world_cut(struct world *w, size_t instance, enum way channel, enum way pool)
{
  w->channels[instance] = channel;
  w->pools[instance] = pool;
}

void world_note_read(struct world *w, size_t key, uint64_t value, uint64_t known)
{
  w->counts.stale += value < known;
  if (value < known)
    world_trace(w, key, "(key) is read with a value older than", known);
  if (value > w->known[key])
    w->known[key] = value;
}

void world_init(struct world *w, uint64_t seed)
{
  *w = (struct world){.seed = seed * 0x9e3779b97f4a7c15u + 1,
                      .up = true,
                      .keys = WORLD_KEYS,
                      .write_gap_ms = 500,
                      .window_count = WORLD_INSTANCES};
  for (int i = 0; i < 8; i++)
    (void)world_draw(w, 0, 2);
}

void world_clear(struct world *w)
{
  for (size_t i = 0; i < w->count; i++)
    instance_end(w, i);
  for (unsigned c = 1; c <= w->wire_count; c++) {
    free(w->wires[c].up);
    free(w->wires[c].down);
  }
  free(w->events);
  free(w->notes);
  free(w->snapshots);
}

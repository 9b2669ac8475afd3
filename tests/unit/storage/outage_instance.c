// An instance of a cache in the world of outage_world.h: the real struct outage, and around it what cache.c and
// cache_siblings.c do.
#include <stdio.h>
#include <string.h>

#include "tests/unit/storage/outage_instance.h"

enum { HEARTBEAT_MS = 100, QUESTION_MS = 150, CHANNEL_TIMEOUT_MS = 2000 };

uint64_t instance_now_us(const struct world *w, size_t i)
{
  return w->instances[i].clock_us + (uint64_t)((double)w->now_us * w->instances[i].rate);
}

// ---- serving ----

bool instance_may_serve(const struct world *w, size_t i)
{
  return outage_may_serve(&w->instances[i].outage, instance_now_us(w, i));
}

bool instance_is_current(const struct world *w, size_t i)
{
  const struct instance *in = &w->instances[i];
  return in->state == INSTANCE_SETTLED && instance_now_us(w, i) < in->lease_until_us;
}

void instance_drop_key(struct instance *in, size_t key)
{
  in->has[key] = false;
  in->loads[key].joinable = false;
}

void instance_drop_all(struct instance *in, bool loads_only)
{
  for (size_t key = 0; key < WORLD_KEYS; key++) {
    in->loads[key].joinable = false;
    in->has[key] &= loads_only;
  }
}

void instance_enter_state(struct world *w, size_t i, enum instance_state state)
{
  struct instance *in = &w->instances[i];
  in->state = state;
  if (state == INSTANCE_SETTLED)
    return;
  in->lease_until_us = 0;
  instance_drop_all(in, instance_may_serve(w, i));
}

static bool is_changing(const struct instance *in, size_t key)
{
  for (size_t c = 0; c < WORLD_CHANGES; c++)
    if (in->changes[c].state != CHANGE_NONE && in->changes[c].key == key)
      return true;
  for (size_t n = 0; n < WORLD_INSTANCES; n++)
    for (size_t c = 0; in->neighbours[n].known && c < in->neighbours[n].count; c++)
      if (in->neighbours[n].changes[c].key == key)
        return true;
  return false;
}

static void read_key(struct world *w, size_t i, size_t key)
{
  struct instance *in = &w->instances[i];
  if (in->retired)
    return;
  bool counts = w->now_us >= w->window_from_us && w->now_us < w->window_to_us && i >= w->window_first &&
                i - w->window_first < w->window_count;
  w->counts.window_reads += counts;
  if (in->has[key] && instance_may_serve(w, i)) {
    w->counts.served++;
    w->counts.promised += instance_now_us(w, i) >= in->lease_until_us;
    w->counts.window_served += counts;
    if (in->values[key] < w->known[key])
      world_trace(w, i, "reads outdated from memory; state", in->state);
    world_note_read(w, key, in->values[key], w->known[key]);
    return;
  }
  struct load *load = &in->loads[key];
  if (load->under_way)
    return;
  bool joinable = in->state != INSTANCE_SETTLING && instance_may_serve(w, i) && !is_changing(in, key);
  *load = (struct load){.number = load->number + 1,
                        .under_way = true,
                        .joinable = joinable,
                        .keeps = instance_is_current(w, i),
                        .known = w->known[key]};
  (void)world_query(w, i, STATEMENT_LOAD, key, load->number);
}

// ---- what comes of the outage ----

void instance_join(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  if (!outage_join(&in->outage, instance_now_us(w, i)))
    return;
  world_trace(w, i, "has joined with generation", in->outage.generation);
  instance_forget_publications(in);
  instance_queue_own(in);
}

static struct world *asked_world;  // outage_next passes no argument on

static bool is_free(const char *address)
{
  return asked_world->owners[world_find_place(address)] == WORLD_NOBODY;
}

static void question_times_out(struct world *w, const struct event *event);

static void take_steps(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  asked_world = w;
  for (;;) {
    struct outage_step step = outage_next(&in->outage, instance_now_us(w, i), is_free);
    size_t member = step.member == NULL ? i : world_find_instance(w, step.member->name);
    switch (step.kind) {
    case OUTAGE_FENCE:
    case OUTAGE_NOTHING:
      return;
    case OUTAGE_STORE:
      in->row_statement = world_query(w, i, STATEMENT_STORE, i, in->outage.generation);
      break;
    case OUTAGE_READ:
      in->row_statement = world_query(w, i, STATEMENT_READ, i, instance_now_us(w, i));
      break;
    case OUTAGE_DELETE:
      (void)world_query(w, i, STATEMENT_DELETE, member, step.member->generation);
      break;
    case OUTAGE_ASK:
    case OUTAGE_TELL:
    case OUTAGE_LEAVE:
      in->questions[member] = ++w->order;
      world_post(
          w, w->now_us + QUESTION_MS * WORLD_MS,
          &(struct event){
              .run = question_times_out, .inside = true, .instance = i, .a = member, .x = in->questions[member]});
      world_ask(w, i, step.member, step.kind);
      break;
    }
  }
}

static void take_answer(struct world *w, const struct event *event, const struct outage_reply *reply)
{
  struct instance *in = &w->instances[event->instance];
  if (in->questions[event->a] != event->x)
    return;
  in->questions[event->a] = 0;
  struct slice name = slice_from_string(w->instances[event->a].name);
  outage_answered(&in->outage, name, reply, instance_now_us(w, event->instance));
}

static void question_times_out(struct world *w, const struct event *event)
{
  take_answer(w, event, &(struct outage_reply){.answered = false});
}

// `b`: who has answered, or WORLD_NOBODY; `y`: whether it has agreed.
static void question_answered(struct world *w, const struct event *event)
{
  struct outage_reply reply = {.answered = event->b != WORLD_NOBODY, .agreed = event->y != 0};
  reply.name = slice_from_string(reply.answered ? w->instances[event->b].name : "");
  take_answer(w, event, &reply);
}

static bool answer_question(struct world *w, size_t i, const struct event *event)
{
  struct instance *in = &w->instances[i];
  if (event->a == i)
    return false;
  struct slice asker = slice_from_string(w->instances[event->a].name);
  if (event->kind == OUTAGE_LEAVE) {
    world_trace(w, i, "hears of the end of", event->a);
    outage_gone(&in->outage, asker, instance_now_us(w, i));
    return true;
  }
  if (event->kind == OUTAGE_ASK) {
    bool promised = outage_promise(&in->outage, asker, event->number, instance_now_us(w, i));
    world_trace(w, i, promised ? "promises" : "does not promise", event->a);
    return promised;
  }
  world_trace(w, i, "was told by", event->a);
  outage_told(&in->outage, instance_now_us(w, i));
  return true;
}

static uint64_t question_us(struct world *w)
{
  uint64_t slow_us = w->question_ms * WORLD_MS;
  return world_latency_us(w) + (slow_us > 0 ? world_draw(w, slow_us * 3 / 4, slow_us * 5 / 4) : 0);
}

static void question_arrives(struct world *w, const struct event *event)
{
  size_t asker = event->a;
  bool is_open = !w->instances[event->instance].retired;  // one that drains answers nothing
  bool agreed = is_open && answer_question(w, event->instance, event);
  enum way way = w->between[w->instances[asker].host][w->instances[event->instance].host];
  if (way == WAY_DROPS || (way == WAY_REFUSES && world_chance(w, 50)))
    return;
  world_post(w, w->now_us + question_us(w),
             &(struct event){.run = question_answered,
                             .inside = true,
                             .instance = asker,
                             .a = event->b,
                             .b = is_open ? event->instance : WORLD_NOBODY,
                             .x = event->x,
                             .y = agreed});
}

void world_ask(struct world *w, size_t i, const struct outage_member *member, enum outage_step_kind kind)
{
  size_t place = world_find_place(member->address);
  size_t meant = world_find_instance(w, member->name);
  // An address of the own host leads to the own host.
  if (w->one_address && w->place_hosts[place] != w->instances[i].host)
    place = w->instances[i].place;
  enum way way = w->between[w->instances[i].host][w->place_hosts[place]];
  size_t owner = w->owners[place];
  struct event event = {.inside = true, .a = i, .b = meant, .x = w->instances[i].questions[meant], .kind = kind};
  event.number = outage_asking_generation(&w->instances[i].outage);
  if (way == WAY_DROPS)
    return;
  if (way == WAY_REFUSES || owner == WORLD_NOBODY) {
    event = (struct event){.run = question_answered, .inside = true, .instance = i, .a = meant, .b = WORLD_NOBODY};
    event.x = w->instances[i].questions[meant];
  } else {
    event.run = question_arrives;
    event.instance = owner;
  }
  world_post(w, w->now_us + question_us(w), &event);
}

// ---- statements ----

static void finish_write(struct world *w, const struct event *event, enum outcome outcome)
{
  struct instance *in = &w->instances[event->instance];
  struct change *change = instance_find_change(in, event->x);
  if (change == NULL || change->state != CHANGE_SENT)
    return;
  if (outcome == OUTCOME_UNKNOWN) {
    change->state = CHANGE_UNKNOWN;
    change->ends_us = instance_now_us(w, event->instance) + WORLD_HOLD_MS * WORLD_MS;
    return;
  }
  if (outcome == OUTCOME_DONE) {
    w->counts.acknowledged++;
    w->known[event->a] = later(w->known[event->a], event->y);
    if (w->counts.first_write_us == 0 && event->instance == w->count - 1)
      w->counts.first_write_us = w->now_us - w->started_us;
  }
  instance_end_change(in, change);
}

static void finish_load(struct world *w, const struct event *event, enum outcome outcome)
{
  struct instance *in = &w->instances[event->instance];
  struct load *load = &in->loads[event->a];
  if (load->number != event->x || !load->under_way)
    return;
  load->under_way = false;
  if (outcome != OUTCOME_DONE) {
    w->counts.failed++;
    return;
  }
  w->counts.loaded++;
  world_note_read(w, event->a, event->y, load->known);
  if (load->joinable && load->keeps) {
    in->has[event->a] = true;
    in->values[event->a] = event->y;
  }
}

// `b`: the snapshot of the rows that was read.
static void finish_reading(struct world *w, const struct event *event, enum outcome outcome)
{
  struct outage *outage = &w->instances[event->instance].outage;
  if (outcome != OUTCOME_DONE) {
    outage_rows(outage, NULL, 0, event->x);
    return;
  }
  const struct world_row *snapshot = w->snapshots + event->b * WORLD_INSTANCES;
  struct outage_row rows[WORLD_INSTANCES];
  char addresses[WORLD_INSTANCES][40];
  size_t count = 0;
  for (size_t r = 0; r < WORLD_INSTANCES; r++) {
    if (!snapshot[r].used)
      continue;
    world_write_address(w, snapshot[r].place, addresses[count]);
    rows[count] = (struct outage_row){.name = slice_from_string(w->instances[r].name),
                                      .address = slice_from_string(addresses[count]),
                                      .host = slice_from_string(w->instances[r].host_name),
                                      .generation = snapshot[r].generation};
    count++;
  }
  outage_rows(outage, rows, count, event->x);
}

// Tells whether the outcome is the first one of the statement about rows that is under way.
static bool is_awaited_statement(struct instance *in, const struct event *event)
{
  bool awaited = in->row_statement == event->number;
  if (awaited)
    in->row_statement = 0;
  return awaited;
}

void instance_finished(struct world *w, const struct event *event, enum statement_kind kind, enum outcome outcome)
{
  struct instance *in = &w->instances[event->instance];
  switch (kind) {
  case STATEMENT_LOAD:
    finish_load(w, event, outcome);
    break;
  case STATEMENT_WRITE:
    finish_write(w, event, outcome);
    break;
  case STATEMENT_STORE:
    if (is_awaited_statement(in, event))
      outage_stored(&in->outage, event->x, outcome == OUTCOME_DONE);
    break;
  case STATEMENT_READ:
    if (is_awaited_statement(in, event))
      finish_reading(w, event, outcome);
    break;
  case STATEMENT_DELETE:
    break;
  }
}

// ---- time ----

static void mind_channel(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  if (in->connection == 0) {
    if (w->now_us < in->reconnect_us)
      return;
    if (w->up && w->channels[i] == WAY_OPEN)
      in->connection = world_connect(w, i);
    else
      in->reconnect_us = w->now_us + world_draw(w, 50 * WORLD_MS, 300 * WORLD_MS);
    return;
  }
  struct wire *wire = &w->wires[in->connection];
  bool is_silent = wire->waits_since_us != 0 && w->now_us > wire->waits_since_us + CHANNEL_TIMEOUT_MS * WORLD_MS;
  bool is_closed = !wire->server_open && w->channels[i] != WAY_DROPS && world_chance(w, 30);
  if (w->channels[i] == WAY_REFUSES)
    wire->server_open = false;
  if (is_silent || is_closed || w->channels[i] == WAY_REFUSES)
    instance_lost(w, i);
}

static void tick(struct world *w, const struct event *event)
{
  size_t i = event->instance;
  struct instance *in = &w->instances[i];
  uint64_t now_us = instance_now_us(w, i);
  mind_channel(w, i);
  for (size_t n = 0; n < w->count; n++)
    if (in->neighbours[n].known && in->neighbours[n].heard_us + instance_memory_us() <= now_us)
      in->neighbours[n] = (struct neighbour){.known = false};
  if (now_us >= in->next_sign_us) {
    in->due = true;
    in->next_sign_us = now_us + HEARTBEAT_MS * WORLD_MS;
  }
  instance_drain(w, i);
  take_steps(w, i);
  instance_join(w, i);
  instance_wake_changes(w, i);
  instance_flush(w, i);
  struct event next = *event;
  world_post(w, w->now_us + world_draw(w, 8 * WORLD_MS, 25 * WORLD_MS), &next);
}

static void read_one(struct world *w, const struct event *event)
{
  read_key(w, event->instance, world_draw(w, 0, w->keys));
  struct event next = *event;
  world_post(w, w->now_us + world_draw(w, WORLD_MS, 20 * WORLD_MS), &next);
}

static void write_one(struct world *w, const struct event *event)
{
  struct event next = *event;
  if (w->write_gap_ms > 0) {
    instance_begin_change(w, event->instance, world_draw(w, 0, w->keys));
    instance_wake_changes(w, event->instance);
    instance_flush(w, event->instance);
  }
  uint64_t gap_ms = w->write_gap_ms > 0 ? w->write_gap_ms : 100;
  world_post(w, w->now_us + world_draw(w, 10 * WORLD_MS, 2 * gap_ms * WORLD_MS), &next);
}

void instance_thaw(struct world *w, const struct event *event)
{
  for (size_t key = 0; key < w->keys; key++)
    read_key(w, event->instance, key);
}

void instance_begin(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  in->alive = true;
  in->rate = 0.99 + 0.0001 * (double)world_draw(w, 0, 201);
  in->clock_us = world_draw(w, 100000 * WORLD_MS, 200000 * WORLD_MS);
  snprintf(in->name, sizeof(in->name), "%016zx", i);
  snprintf(in->host_name, sizeof(in->host_name), "host-%zu", in->host);
  world_write_address(w, in->place, in->address);
  outage_init(&in->outage, in->name, in->host_name);
  outage_set_address(&in->outage, in->address);
  struct event event = {.inside = true, .instance = i};
  event.run = tick;
  world_post(w, w->now_us + world_draw(w, 0, 10 * WORLD_MS), &event);
  event.run = read_one;
  world_post(w, w->now_us + world_draw(w, 0, 10 * WORLD_MS), &event);
  event.run = write_one;
  world_post(w, w->now_us + world_draw(w, 0, 300 * WORLD_MS), &event);
}

void instance_end(struct world *w, size_t i)
{
  outage_clear(&w->instances[i].outage);
}

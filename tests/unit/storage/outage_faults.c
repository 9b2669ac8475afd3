// What goes wrong in the world of outage_world.h.
#include "tests/unit/storage/outage_world.h"

static void post(struct world *w, uint64_t in_us, void (*run)(struct world *, const struct event *), size_t a)
{
  world_post(w, w->now_us + in_us, &(struct event){.run = run, .a = a});
}

static size_t draw_living(struct world *w)
{
  for (int tries = 0; tries < 20; tries++) {
    size_t i = world_draw(w, 0, w->count);
    if (w->instances[i].alive)
      return i;
  }
  return WORLD_NOBODY;
}

static enum way draw_cut(struct world *w)
{
  return world_chance(w, 50) ? WAY_DROPS : WAY_REFUSES;
}

// ---- the ends of faults ----

static void start_postgres(struct world *w, const struct event *event)
{
  (void)event;
  w->up = true;
}

static void heal_channel(struct world *w, const struct event *event)
{
  w->channels[event->a] = WAY_OPEN;
}

static void heal_pool(struct world *w, const struct event *event)
{
  w->pools[event->a] = WAY_OPEN;
}

static void heal_hosts(struct world *w, const struct event *event)
{
  w->between[event->a / WORLD_HOSTS][event->a % WORLD_HOSTS] = WAY_OPEN;
}

static void start_again(struct world *w, const struct event *event)
{
  if (w->count < WORLD_INSTANCES && w->owners[event->a] == WORLD_NOBODY)
    (void)world_start(w, event->a);
}

// ---- faults ----

static void cut_channel(struct world *w, size_t i, enum way way, uint64_t for_us)
{
  w->channels[i] = way;
  post(w, for_us + world_draw(w, 0, 300 * WORLD_MS), heal_channel, i);
}

static void cut_pool(struct world *w, size_t i, enum way way, uint64_t for_us)
{
  w->pools[i] = way;
  post(w, for_us + world_draw(w, 0, 300 * WORLD_MS), heal_pool, i);
}

static void cut_hosts(struct world *w, size_t from, size_t to, enum way way, uint64_t for_us)
{
  if (from == to)
    return;
  w->between[from][to] = way;
  post(w, for_us, heal_hosts, from * WORLD_HOSTS + to);
}

// Ends an instance, cleanly or not. Another starts at the same place, beside it, or on another host.
static void replace(struct world *w, size_t i)
{
  size_t place = w->instances[i].place;
  if (world_chance(w, 60))
    instance_quit(w, i);
  else
    world_kill(w, i);
  if (world_chance(w, 50) && w->places < WORLD_PLACES)
    place = world_add_place(w, world_chance(w, 50) ? w->place_hosts[place] : world_draw(w, 0, w->hosts));
  post(w, world_draw(w, 60 * WORLD_MS, 3000 * WORLD_MS), start_again, place);
}

// Cuts everybody but one off PostgreSQL, and that one perhaps off the others.
static void cut_all_but(struct world *w, size_t lucky, uint64_t for_us)
{
  enum way way = draw_cut(w);
  for (size_t i = 0; i < w->count; i++) {
    if (i == lucky)
      continue;
    cut_channel(w, i, way, for_us);
    if (world_chance(w, 80))
      cut_pool(w, i, way, for_us);
  }
  if (world_chance(w, 50))
    return;
  size_t host = w->instances[lucky].host;
  way = draw_cut(w);
  for (size_t other = 0; other < w->hosts; other++) {
    cut_hosts(w, host, other, way, for_us);
    cut_hosts(w, other, host, way, for_us);
  }
}

// Freezes an instance, mostly where it has just confirmed a change if there is such a one.
static void freeze(struct world *w, size_t i, uint64_t for_us)
{
  for (size_t other = 0; other < w->count; other++)
    for (size_t c = 0; c < WORLD_CHANGES && w->instances[other].alive; c++)
      if (w->instances[other].changes[c].state == CHANGE_CONFIRMED)
        i = other;
  world_freeze(w, i, for_us);
}

static void stop_postgres(struct world *w, uint64_t for_us)
{
  if (!w->up)
    return;
  world_crash_postgres(w);
  post(w, for_us, start_postgres, 0);
}

static void replace_one(struct world *w, const struct event *event)
{
  (void)event;
  size_t i = draw_living(w);
  if (i != WORLD_NOBODY)
    replace(w, i);
}

// PostgreSQL is away, and instances come and go meanwhile.
static void replace_in_outage(struct world *w, uint64_t for_us)
{
  if (world_chance(w, 50))
    stop_postgres(w, for_us);
  else if (w->frozen_until_us < w->now_us)
    w->frozen_until_us = w->now_us + for_us;
  for (uint64_t count = world_draw(w, 1, 3); count > 0; count--)
    post(w, world_draw(w, 0, for_us), replace_one, 0);
}

static void do_harm(struct world *w, const struct event *event)
{
  (void)event;
  post(w, world_draw(w, 100 * WORLD_MS, 2500 * WORLD_MS), do_harm, 0);
  size_t i = draw_living(w);
  uint64_t for_us = world_chance(w, 50) ? world_draw(w, 50, 900) * WORLD_MS : world_draw(w, 500, 8000) * WORLD_MS;
  if (i == WORLD_NOBODY)
    return;
  switch (world_draw(w, 0, 14)) {
  case 0:
    stop_postgres(w, for_us);
    break;
  case 1:
    if (w->frozen_until_us < w->now_us)
      w->frozen_until_us = w->now_us + for_us;
    break;
  case 2:
    w->slow_until_us = w->now_us + for_us;
    break;
  case 3:
  case 4:
    freeze(w, i, for_us);
    break;
  case 5:
    replace(w, i);
    break;
  case 6:
    cut_channel(w, i, draw_cut(w), for_us);
    if (world_chance(w, 50))
      cut_pool(w, i, w->channels[i], for_us);
    break;
  case 7:
    cut_pool(w, i, draw_cut(w), for_us);
    break;
  case 8:
  case 9:
    cut_hosts(w, world_draw(w, 0, w->hosts), world_draw(w, 0, w->hosts), draw_cut(w), for_us);
    break;
  case 10:
    w->wires[w->instances[i].connection].server_open = false;
    break;
  case 11:
  case 12:
    replace_in_outage(w, for_us);
    break;
  default:
    cut_all_but(w, i, for_us);
    break;
  }
}

void world_begin_faults(struct world *w)
{
  post(w, 0, do_harm, 0);
}

// The end in good order of an instance in the world of outage_world.h: what lifecycle.c and cache_siblings.c do.
#include "tests/unit/storage/outage_instance.h"

enum { LEAVE_MS = 500 };

static bool has_change(const struct instance *in, bool waits)
{
  for (size_t c = 0; c < WORLD_CHANGES; c++) {
    enum change_state state = in->changes[c].state;
    if (state == CHANGE_WAITS || (!waits && (state == CHANGE_CONFIRMED || state == CHANGE_SENT)))
      return true;
  }
  return false;
}

static void quit_now(struct world *w, const struct event *event)
{
  world_kill(w, event->instance);
}

static void say_quit(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  in->has_quit = true;
  if (in->outage.stored && in->hearing)
    (void)world_query(w, i, STATEMENT_DELETE, i, in->outage.generation);
  instance_queue_line(in, (struct note_line){.kind = LINE_QUIT});
  instance_flush(w, i);
  world_post(w, w->now_us + world_draw(w, 0, 50 * WORLD_MS), &(struct event){.run = quit_now, .instance = i});
}

void instance_quit(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  if (!in->alive || in->retired)
    return;
  world_trace(w, i, "begins to end; has lost its channel:", !in->hearing);
  in->retired = true;
  outage_retire(&in->outage, instance_now_us(w, i));
}

void instance_drain(struct world *w, size_t i)
{
  struct instance *in = &w->instances[i];
  uint64_t now_us = instance_now_us(w, i);
  if (!in->retired || in->has_quit)
    return;
  if (in->says_farewell) {
    if (outage_is_left_known(&in->outage) || now_us >= in->farewell_until_us)
      say_quit(w, i);
    return;
  }
  outage_leave_if_cut_off(&in->outage, has_change(in, true), now_us);
  if (has_change(in, false))
    return;
  outage_leave(&in->outage, now_us);
  in->says_farewell = true;
  in->farewell_until_us = now_us + LEAVE_MS * WORLD_MS;
}

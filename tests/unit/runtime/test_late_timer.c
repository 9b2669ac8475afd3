#include <poll.h>

#include "tests/unit/runtime/in_task.h"

struct punctual {
  struct loop *loop;
  struct loop_timer *timer;
  bool late;
};

static void look_how_late(void *arg)
{
  struct punctual *punctual = arg;
  punctual->late = loop_timer_is_late(punctual->timer);
  loop_stop(punctual->loop);
}

Test(late_timer, tells_that_the_loop_was_held_up, .timeout = 60)
{
  struct punctual punctual = {.loop = loop_create()};
  punctual.timer = loop_timer_create(punctual.loop, look_how_late, &punctual);
  loop_timer_start(punctual.timer, 1);
  poll(NULL, 0, 20);
  loop_run(punctual.loop);
  cr_assert(punctual.late);
  // Tries again if the machine held this thread up.
  for (punctual.late = true; punctual.late; loop_run(punctual.loop))
    loop_timer_start(punctual.timer, 1);
  loop_timer_free(&punctual.timer);
  loop_free(&punctual.loop);
}

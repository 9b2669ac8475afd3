// Tasks that leave the rest of a turn to others.
#include <unistd.h>

#include "tests/unit/runtime/in_task.h"

static void note_readable(void *arg, int events)
{
  (void)events;
  ++*(int *)arg;
}

TASK_TEST(task_yield, ends_after_what_has_come_in)
{
  int pair[2], seen = 0;
  cr_assert_eq(pipe(pair), 0);
  struct loop_watch *watch = loop_watch_fd(task_loop(), pair[0], LOOP_READABLE, note_readable, &seen);
  cr_assert_eq(task_yield(), STATUS_OK);
  cr_assert_eq(seen, 0);
  cr_assert_eq(write(pair[1], "x", 1), 1);
  cr_assert_eq(task_yield(), STATUS_OK);
  cr_assert_eq(seen, 1);
  loop_watch_end(&watch);
  close(pair[0]);
  close(pair[1]);
}

static char order[16];

static void add_three_letters(void *arg)
{
  for (int i = 0; i < 3; i++) {
    order[strlen(order)] = *(const char *)arg;
    cr_assert_eq(task_yield(), STATUS_OK);
  }
}

TASK_TEST(task_yield, is_by_turns)
{
  static char letters[] = "ab";
  for (int i = 0; i < 2; i++)
    task_start(task_loop(), add_three_letters, &letters[i], DEADLINE_NONE, NULL);
  for (int i = 0; i < 5; i++)
    cr_assert_eq(task_yield(), STATUS_OK);
  cr_assert_str_eq(order, "ababab");
}

static void yield_to_its_end(void *arg)
{
  struct waiter *waiter = arg;
  while ((waiter->status = task_yield()) == STATUS_OK)
    continue;
  completion_finish(&waiter->ended, STATUS_OK);
}

TASK_TEST(task_yield, tells_that_the_task_is_cancelled)
{
  struct waiter waiter = {.status = STATUS_OK};
  struct task *task = task_start(task_loop(), yield_to_its_end, &waiter, DEADLINE_NONE, NULL);
  cr_assert_eq(task_yield(), STATUS_OK);
  cr_assert_not(waiter.ended.done);
  task_cancel(task);
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_CANCELLED);
}

TASK_TEST(task_yield, tells_that_the_time_is_over)
{
  task_tighten_deadline(clock_now_us() - 1);
  cr_assert_eq(task_yield(), STATUS_DEADLINE_EXCEEDED);
}

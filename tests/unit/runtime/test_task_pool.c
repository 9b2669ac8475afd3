// The pool of stacks that ended tasks leave.
#include "common/runtime/task.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/runtime/in_task.h"

// Starts tasks that wait, and lets them come to that.
static void start_waiters(struct waiter *waiters, int count)
{
  for (int i = 0; i < count; i++) {
    waiters[i] = (struct waiter){0};
    task_start(task_loop(), waiter_main, &waiters[i], DEADLINE_NONE, NULL);
  }
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

static void end_waiters(struct waiter *waiters, int count)
{
  for (int i = 0; i < count; i++)
    completion_finish(&waiters[i].event, STATUS_OK);
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

TASK_TEST(task_pool, stacks_of_a_burst_are_given_back)
{
  enum { BURST = 100 };
  static struct waiter burst[BURST];
  start_waiters(burst, BURST);
  cr_assert_eq(read_single_metric(METRIC_TASKS), BURST + 1);
  cr_assert_eq(read_single_metric(METRIC_STACKS), BURST + 1);
  end_waiters(burst, BURST);
  while (read_single_metric(METRIC_STACKS) == BURST + 1)
    cr_assert_eq(task_sleep_ms(50), STATUS_OK);
  cr_assert_eq(read_single_metric(METRIC_TASKS), 1);
  cr_assert_geq(read_single_metric(METRIC_STACKS), 64, "but some are kept");
}

static int64_t trim_stacks(void)
{
  loop_trim_stacks(task_loop());
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  return read_single_metric(METRIC_STACKS);
}

TASK_TEST(task_pool, stacks_that_nobody_needed_since_the_last_look_are_given_back)
{
  enum { BURST = 50, NEEDED = 20 };
  static struct waiter waiters[BURST];
  start_waiters(waiters, BURST);
  end_waiters(waiters, BURST);
  cr_expect_eq(trim_stacks(), BURST + 1, "all were in use since the last look");
  start_waiters(waiters, NEEDED);
  end_waiters(waiters, NEEDED);
  cr_expect_eq(trim_stacks(), NEEDED + 1, "the others were not needed");
  start_waiters(waiters, NEEDED / 2);
  cr_expect_eq(trim_stacks(), NEEDED / 2 + 1, "idle ones were not needed beside those that are in use");
  end_waiters(waiters, NEEDED / 2);
  cr_expect_eq(trim_stacks(), NEEDED / 2 + 1);
  cr_expect_eq(trim_stacks(), 1);
  start_waiters(waiters, BURST);
  cr_expect_eq(read_single_metric(METRIC_STACKS), BURST + 1);
  end_waiters(waiters, BURST);
}

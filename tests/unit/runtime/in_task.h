// Runs a test's body as a task of a fresh loop, until it returns.
#ifndef BULKHEAD_TESTS_RUNTIME_IN_TASK_H
#define BULKHEAD_TESTS_RUNTIME_IN_TASK_H

#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "common/runtime/task.h"

struct in_task {
  void (*body)(void);
};

static inline void in_task_main(void *arg)
{
  ((struct in_task *)arg)->body();
  loop_stop(task_loop());
}

static inline void run_in_task(void (*body)(void))
{
  struct in_task main_task = {body};
  struct loop *loop = loop_create();
  task_start(loop, in_task_main, &main_task, DEADLINE_NONE, NULL);
  loop_run(loop);
  loop_free(&loop);
  cr_assert_null(loop);
}

#define TASK_TEST(suite, name)                                                                                         \
  static void suite##_##name##_body(void);                                                                             \
  Test(suite, name)                                                                                                    \
  {                                                                                                                    \
    run_in_task(suite##_##name##_body);                                                                                \
  }                                                                                                                    \
  static void suite##_##name##_body(void)

// A task that waits for `event` and tells how that ended.
struct waiter {
  struct completion event;
  struct completion ended;
  enum status status;
};

static inline void waiter_main(void *arg)
{
  struct waiter *waiter = arg;
  waiter->status = completion_wait(&waiter->event);
  completion_finish(&waiter->ended, STATUS_OK);
}

// The turn's clock is past `time_us` when this returns.
static inline void spin_until(uint64_t time_us)
{
  while (clock_now_us() <= time_us)
    ;
}

#endif

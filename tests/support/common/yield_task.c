#include "tests/support/common/yield_task.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "common/runtime/task.h"

static void finish(void *arg)
{
  completion_finish(arg, STATUS_OK);
}

// Tasks run in the order in which they became runnable, so one that starts now runs after all the others.
void yield_task(void)
{
  struct completion others_ran = COMPLETION_INIT;
  task_start(task_loop(), finish, &others_ran, DEADLINE_NONE, NULL);
  cr_assert_eq(completion_wait(&others_ran), STATUS_OK);
}

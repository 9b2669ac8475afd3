// On whose behalf a task works.
#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

static void note_caller(void *arg)
{
  *(uint64_t *)arg = task_caller();
}

TASK_TEST(task_caller, is_that_of_the_task_that_starts_it)
{
  uint64_t before = 1, inherited = 0;
  task_start(task_loop(), note_caller, &before, DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_eq(before, 0, "nobody in particular");
  task_set_caller(7);
  task_start(task_loop(), note_caller, &inherited, DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_eq(inherited, 7);
}

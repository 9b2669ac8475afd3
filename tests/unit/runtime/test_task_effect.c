#include <signal.h>

#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

TASK_TEST(task_effect, starts_with_none_and_only_rises)
{
  cr_assert_eq(task_effect(), TASK_NO_EFFECT);
  task_note_effect(TASK_EFFECT_DONE);
  cr_assert_eq(task_effect(), TASK_EFFECT_DONE);
  task_note_effect(TASK_NO_EFFECT);
  cr_assert_eq(task_effect(), TASK_EFFECT_DONE);
  task_note_effect(TASK_EFFECT_UNKNOWN);
  cr_assert_eq(task_effect(), TASK_EFFECT_UNKNOWN);
  task_note_effect(TASK_EFFECT_DONE);
  cr_assert_eq(task_effect(), TASK_EFFECT_UNKNOWN, "what nobody knows outweighs what is done");
}

static void change_the_world(void *arg)
{
  enum task_effect *before = arg;
  *before = task_effect();
  task_note_effect(TASK_EFFECT_UNKNOWN);
}

TASK_TEST(task_effect, a_started_task_counts_for_itself_only)
{
  enum task_effect before = TASK_EFFECT_UNKNOWN;
  task_note_effect(TASK_EFFECT_DONE);
  task_start(task_loop(), change_the_world, &before, DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_eq(before, TASK_NO_EFFECT, "the starter's effects are not inherited");
  cr_assert_eq(task_effect(), TASK_EFFECT_DONE, "and those of the started task do not come back");
}

// The struct of a task is used again for the next one.
TASK_TEST(task_effect, a_task_in_the_place_of_an_ended_one_starts_with_none)
{
  for (int i = 0; i < 3; i++) {
    enum task_effect before = TASK_EFFECT_UNKNOWN;
    task_start(task_loop(), change_the_world, &before, DEADLINE_NONE, NULL);
    yield_task();
    cr_assert_eq(before, TASK_NO_EFFECT);
  }
}

static void note_full(void *arg)
{
  bool *before = arg;
  *before = task_found_full();
  task_note_full();
  cr_expect(task_found_full());
}

TASK_TEST(task_effect, what_a_task_found_full_is_its_own)
{
  for (int i = 0; i < 3; i++) {
    bool before = true;
    task_start(task_loop(), note_full, &before, DEADLINE_NONE, NULL);
    yield_task();
    cr_expect_not(before);
    cr_expect_not(task_found_full());
  }
}

static void note_outside(void)
{
  task_note_effect(TASK_EFFECT_DONE);
}

Test(task_effect, outside_a_task_is_our_bug, .signal = SIGABRT)
{
  note_outside();
}

#include <signal.h>
#include <string.h>

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

static bool is_never_wanted(void *arg)
{
  (void)arg;
  return false;
}

static void find_unwanted(void *arg)
{
  (void)arg;
  task_set_wanted(is_never_wanted, NULL);
  cr_expect_not(task_found_unwanted(), "nobody has asked");
  cr_expect_not(task_is_wanted());
  cr_expect(task_found_unwanted());
}

TASK_TEST(task_effect, what_a_task_found_unwanted_is_its_own)
{
  for (int i = 0; i < 3; i++) {
    task_start(task_loop(), find_unwanted, NULL, DEADLINE_NONE, NULL);
    yield_task();
    cr_expect(task_is_wanted());
    cr_expect_not(task_found_unwanted());
  }
}

// ---- causes ----

#define EXPECT_CAUSE(status, expected)                                                                                 \
  do {                                                                                                                 \
    const char *found = task_find_cause(status).text;                                                                  \
    cr_expect(found != NULL && strcmp(found, expected) == 0, "%s", found == NULL ? "none" : found);                    \
  } while (0)

static void find_causes(void *arg)
{
  (void)arg;
  cr_expect_null(task_find_cause(STATUS_UNAVAILABLE).text, "the causes of the task before are not its own");
  cr_expect_null(task_find_cause(STATUS_DEADLINE_EXCEEDED).text);
  struct completion never = {.what = "something"};
  (void)task_tighten_deadline(clock_now_us());
  cr_expect_eq(completion_wait(&never), STATUS_DEADLINE_EXCEEDED);
  (void)task_restore_deadline(DEADLINE_NONE);
  (void)task_tighten_deadline(clock_now_us() + 1000);
  cr_expect_eq(completion_wait(&never), STATUS_DEADLINE_EXCEEDED);
  cr_expect_null(task_find_cause(STATUS_UNAVAILABLE).text);
  cr_expect_str_eq(task_find_cause(STATUS_DEADLINE_EXCEEDED).what, "something");
  task_note_cause((struct task_cause){STATUS_UNAVAILABLE, "it is away", "a statement"});
  task_note_cause((struct task_cause){.status = STATUS_OK});
  EXPECT_CAUSE(STATUS_UNAVAILABLE, "it is away");
  cr_expect_str_eq(task_find_cause(STATUS_DEADLINE_EXCEEDED).what, "something", "the other is of another status");
  task_note_cause((struct task_cause){STATUS_DEADLINE_EXCEEDED, "it is slow", "a statement"});
  EXPECT_CAUSE(STATUS_DEADLINE_EXCEEDED, "it is slow");
  cr_expect_null(task_find_cause(STATUS_UNAVAILABLE).text, "only the last is kept");
}

TASK_TEST(task_effect, the_last_cause_of_a_status_is_found)
{
  for (int i = 0; i < 2; i++) {
    task_start(task_loop(), find_causes, NULL, DEADLINE_NONE, NULL);
    cr_assert_eq(task_sleep_ms(20), STATUS_OK);
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

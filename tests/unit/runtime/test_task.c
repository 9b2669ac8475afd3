#include "common/runtime/task.h"

#include <signal.h>

#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

static void note(void *arg)
{
  ++*(int *)arg;
}

static void never_finished(struct completion *completion)
{
  // No task holds the completion any more: the wait is over.
  cr_assert_not(completion->done);
}

TASK_TEST(task, starts_after_the_starter_goes_on)
{
  int ran = 0;
  task_start(task_loop(), note, &ran, DEADLINE_NONE, NULL);
  cr_assert_eq(ran, 0);
  yield_task();
  cr_assert_eq(ran, 1);
}

static char order[16];

static void add_letter(void *arg)
{
  order[strlen(order)] = *(const char *)arg;
}

TASK_TEST(task, run_in_the_order_of_their_start)
{
  static char letters[] = "abcd";
  for (int i = 0; i < 4; i++)
    task_start(task_loop(), add_letter, &letters[i], DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_str_eq(order, "abcd");
}

Test(task, outside_there_is_none)
{
  cr_assert_null(task_current());
  cr_assert_null(task_loop());
}

// ---- completions ----

TASK_TEST(task, a_wait_gets_the_status_that_it_is_finished_with)
{
  struct waiter waiter = {.status = STATUS_UNKNOWN};
  task_start(task_loop(), waiter_main, &waiter, DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_not(waiter.ended.done);
  completion_finish(&waiter.event, STATUS_NOT_FOUND);
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_NOT_FOUND);
}

TASK_TEST(task, what_is_finished_before_the_wait_is_not_waited_for)
{
  struct completion completion = COMPLETION_INIT;
  completion_finish(&completion, STATUS_ABORTED);
  cr_assert_eq(completion_wait(&completion), STATUS_ABORTED);
}

static void finish_twice(void)
{
  struct completion completion = COMPLETION_INIT;
  completion_finish(&completion, STATUS_OK);
  completion_finish(&completion, STATUS_OK);
}

Test(task, finishing_twice_is_our_bug, .signal = SIGABRT)
{
  run_in_task(finish_twice);
}

// ---- deadlines ----

TASK_TEST(task, a_wait_ends_at_the_deadline_and_not_before)
{
  struct completion never = COMPLETION_INIT;
  uint64_t deadline_us = clock_now_us() + 20000;
  task_tighten_deadline(deadline_us);
  cr_assert_eq(completion_wait(&never), STATUS_DEADLINE_EXCEEDED);
  cr_assert_geq(clock_now_us(), deadline_us);
  cr_assert_eq(completion_wait(&never), STATUS_DEADLINE_EXCEEDED, "and so does every later one");
  cr_assert_eq(task_check(), STATUS_DEADLINE_EXCEEDED);
  never_finished(&never);
}

TASK_TEST(task, a_deadline_never_widens_but_can_be_restored)
{
  uint64_t soon_us = clock_now_us() + 5000, later_us = soon_us + 3600000000;
  cr_assert_eq(task_tighten_deadline(later_us), DEADLINE_NONE);
  cr_assert_eq(task_tighten_deadline(soon_us), later_us);
  cr_assert_eq(task_tighten_deadline(later_us), soon_us);
  cr_assert_eq(task_deadline_us(), soon_us);
  struct completion never = COMPLETION_INIT;
  cr_assert_eq(completion_wait(&never), STATUS_DEADLINE_EXCEEDED);
  task_restore_deadline(later_us);
  cr_assert_eq(task_check(), STATUS_OK);
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  task_restore_deadline(DEADLINE_NONE);
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

TASK_TEST(task, a_limit_of_sending_leaves_the_time_for_answers_as_it_is)
{
  uint64_t now_us = clock_now_us(), mine_us = now_us + 50000000, soon_us = now_us + 1000000;
  task_tighten_deadline(mine_us);
  task_limit_sending(soon_us);
  cr_assert(task_deadline_us() == soon_us && task_answer_deadline_us() == mine_us);
  task_limit_sending(soon_us + 1);
  cr_assert(task_deadline_us() == soon_us && task_answer_deadline_us() == mine_us, "the earliest holds");
  task_unlimit_sending();
  cr_assert_eq(task_deadline_us(), soon_us, "one is left");
  task_unlimit_sending();
  cr_assert(task_deadline_us() == mine_us && task_answer_deadline_us() == mine_us);
}

static uint64_t deadline_seen_us;

static void see_deadline(void *arg)
{
  (void)arg;
  deadline_seen_us = task_deadline_us();
}

TASK_TEST(task, of_two_deadlines_the_earlier_holds)
{
  uint64_t now_us = clock_now_us(), mine_us = now_us + 50000000;
  task_tighten_deadline(mine_us);
  static const struct {
    int64_t offset, expected;
  } cases[] = {{-1000, -1000}, {1000, 0}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    task_start(task_loop(), see_deadline, NULL, mine_us + (uint64_t)cases[i].offset, NULL);
    yield_task();
    cr_assert_eq(deadline_seen_us, mine_us + (uint64_t)cases[i].expected);
  }
  task_start(task_loop(), see_deadline, NULL, DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_eq(deadline_seen_us, mine_us);
}

static void finish_waiter(void *arg)
{
  completion_finish(&((struct waiter *)arg)->event, STATUS_OK);
}

// False when the machine was so slow that the deadline had passed before the wait began.
static bool finish_in_the_turn_of_the_deadline(struct loop_timer *timer, struct waiter *waiter, uint64_t after_ms)
{
  uint64_t deadline_us = clock_now_us() + after_ms * 1000;
  *waiter = (struct waiter){.status = STATUS_UNKNOWN};
  task_start(task_loop(), waiter_main, waiter, deadline_us, NULL);
  yield_task();
  if (waiter->ended.done)
    return false;
  // The alarm strikes after the deadline of the waiter but in the same turn, because both are overdue then.
  loop_timer_start(timer, after_ms);
  spin_until(clock_now_us() + after_ms * 1000);
  cr_assert_eq(completion_wait(&waiter->ended), STATUS_OK);
  return true;
}

TASK_TEST(task, a_result_that_comes_in_the_turn_of_the_deadline_is_not_lost)
{
  struct waiter waiter;
  struct loop_timer *timer = loop_timer_create(task_loop(), finish_waiter, &waiter);
  uint64_t after_ms = 2;
  while (!finish_in_the_turn_of_the_deadline(timer, &waiter, after_ms))
    after_ms *= 2;
  cr_assert_eq(waiter.status, STATUS_OK);
  loop_timer_free(&timer);
}

TASK_TEST(task, a_sleep_lasts_until_the_deadline_at_most)
{
  uint64_t start_us = clock_now_us();
  cr_assert_eq(task_sleep_ms(3), STATUS_OK);
  cr_assert_geq(clock_now_us(), start_us + 3000);
  task_tighten_deadline(clock_now_us() + 3000);
  cr_assert_eq(task_sleep_ms(3600000), STATUS_DEADLINE_EXCEEDED);
}

TASK_TEST(task, a_check_sees_the_deadline_without_a_wait)
{
  task_tighten_deadline(clock_now_us() + 1000);
  while (task_check() == STATUS_OK)
    ;
  cr_assert_eq(task_check(), STATUS_DEADLINE_EXCEEDED);
}

// ---- cancellation ----

TASK_TEST(task, cancelling_ends_a_wait)
{
  struct waiter waiter = {.status = STATUS_UNKNOWN};
  struct task *task = task_start(task_loop(), waiter_main, &waiter, DEADLINE_NONE, NULL);
  yield_task();
  task_cancel(task);
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_CANCELLED);
}

TASK_TEST(task, one_that_is_cancelled_before_it_starts_still_runs_and_is_told)
{
  struct waiter waiter = {.status = STATUS_UNKNOWN};
  task_cancel(task_start(task_loop(), waiter_main, &waiter, DEADLINE_NONE, NULL));
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_CANCELLED);
}

TASK_TEST(task, a_result_that_is_there_is_not_lost_to_a_cancellation)
{
  struct waiter waiter = {.status = STATUS_UNKNOWN};
  struct task *task = task_start(task_loop(), waiter_main, &waiter, DEADLINE_NONE, NULL);
  yield_task();
  task_cancel(task);
  completion_finish(&waiter.event, STATUS_OK);
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_OK);
}

// A task that starts `child`, and waits for its own event.
struct parent {
  struct waiter self;
  struct waiter child;
  struct waiter shielded_child;
};

static void parent_main(void *arg)
{
  struct parent *parent = arg;
  task_start(task_loop(), waiter_main, &parent->child, DEADLINE_NONE, NULL);
  task_shield(true);
  task_start(task_loop(), waiter_main, &parent->shielded_child, DEADLINE_NONE, NULL);
  task_shield(false);
  waiter_main(&parent->self);
}

static void grandparent_main(void *arg)
{
  struct parent *family = arg;
  task_start(task_loop(), parent_main, &family[0], DEADLINE_NONE, NULL);
  task_start(task_loop(), parent_main, &family[1], DEADLINE_NONE, NULL);
  waiter_main(&family[2].self);
}

TASK_TEST(task, cancelling_reaches_all_below_but_what_was_started_under_a_shield)
{
  struct parent family[3] = {0};
  struct task *top = task_start(task_loop(), grandparent_main, family, DEADLINE_NONE, NULL);
  for (int i = 0; i < 3; i++)
    yield_task();
  task_cancel(top);
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(completion_wait(&family[i].self.ended), STATUS_OK);
    cr_assert_eq(completion_wait(&family[i].child.ended), STATUS_OK);
    cr_assert_eq(family[i].self.status, STATUS_CANCELLED);
    cr_assert_eq(family[i].child.status, STATUS_CANCELLED);
    cr_assert_not(family[i].shielded_child.ended.done);
    completion_finish(&family[i].shielded_child.event, STATUS_OK);
    cr_assert_eq(completion_wait(&family[i].shielded_child.ended), STATUS_OK);
    cr_assert_eq(family[i].shielded_child.status, STATUS_OK);
  }
  cr_assert_eq(completion_wait(&family[2].self.ended), STATUS_OK);
}

TASK_TEST(task, one_whose_parent_has_ended_goes_on)
{
  struct parent parent = {0};
  task_start(task_loop(), parent_main, &parent, DEADLINE_NONE, NULL);
  yield_task();
  completion_finish(&parent.self.event, STATUS_OK);
  cr_assert_eq(completion_wait(&parent.self.ended), STATUS_OK);
  // The stack and the struct of the parent serve another task now, which nobody of the old family must hear of.
  struct waiter other = {0};
  task_cancel(task_start(task_loop(), waiter_main, &other, DEADLINE_NONE, NULL));
  cr_assert_eq(completion_wait(&other.ended), STATUS_OK);
  cr_assert_not(parent.child.ended.done);
  completion_finish(&parent.child.event, STATUS_OK);
  completion_finish(&parent.shielded_child.event, STATUS_OK);
  cr_assert_eq(completion_wait(&parent.child.ended), STATUS_OK);
  cr_assert_eq(completion_wait(&parent.shielded_child.ended), STATUS_OK);
  cr_assert_eq(parent.child.status, STATUS_OK);
}

static void shielded_main(void *arg)
{
  struct waiter *waiter = arg;
  task_shield(true);
  waiter->status = completion_wait(&waiter->event);
  cr_assert_eq(task_check(), STATUS_OK);
  task_shield(false);
  cr_assert_eq(task_check(), STATUS_CANCELLED);
  cr_assert_eq(task_sleep_ms(3600000), STATUS_CANCELLED);
  completion_finish(&waiter->ended, STATUS_OK);
}

TASK_TEST(task, a_shield_holds_cancellation_off_until_it_is_lowered)
{
  struct waiter waiter = {.status = STATUS_UNKNOWN};
  struct task *task = task_start(task_loop(), shielded_main, &waiter, DEADLINE_NONE, NULL);
  yield_task();
  task_cancel(task);
  yield_task();
  cr_assert_eq(waiter.status, STATUS_UNKNOWN);
  completion_finish(&waiter.event, STATUS_OK);
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_OK);
}

static void shield_twice(void *arg)
{
  struct waiter *waiter = arg;
  task_shield(true);
  task_shield(true);
  task_shield(false);
  waiter->status = completion_wait(&waiter->event);
  task_shield(false);
  cr_assert_eq(task_check(), STATUS_CANCELLED);
  completion_finish(&waiter->ended, STATUS_OK);
}

TASK_TEST(task, the_end_of_an_inner_shield_leaves_the_outer_one)
{
  struct waiter waiter = {.status = STATUS_UNKNOWN};
  struct task *task = task_start(task_loop(), shield_twice, &waiter, DEADLINE_NONE, NULL);
  yield_task();
  task_cancel(task);
  yield_task();
  cr_assert_not(waiter.ended.done);
  completion_finish(&waiter.event, STATUS_OK);
  cr_assert_eq(completion_wait(&waiter.ended), STATUS_OK);
  cr_assert_eq(waiter.status, STATUS_OK);
}

TASK_TEST(task, the_deadline_strikes_through_a_shield)
{
  struct completion never = COMPLETION_INIT;
  task_shield(true);
  task_tighten_deadline(clock_now_us() + 1000);
  cr_assert_eq(completion_wait(&never), STATUS_DEADLINE_EXCEEDED);
}

// ---- scheduling ----

struct endless {
  bool stop;
  int running;
};

static void yield_until_stopped(void *arg)
{
  struct endless *endless = arg;
  while (!endless->stop)
    yield_task();
  endless->running--;
}

TASK_TEST(task, tasks_that_keep_each_other_busy_do_not_keep_time_from_passing)
{
  struct endless endless = {.running = 2};
  task_start(task_loop(), yield_until_stopped, &endless, DEADLINE_NONE, NULL);
  task_start(task_loop(), yield_until_stopped, &endless, DEADLINE_NONE, NULL);
  cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  endless.stop = true;
  while (endless.running > 0)
    yield_task();
}

static void set_context(void *arg)
{
  const struct log_context *mine = log_get_context();
  cr_assert(slice_equal(mine->request_id, SLICE("child")));
  static const struct log_context changed = {.request_id = SLICE_INIT("changed")};
  log_set_context(&changed);
  yield_task();
  cr_assert_eq(log_get_context(), &changed, "what a task sets is kept for it");
  note(arg);
}

TASK_TEST(task, each_has_its_own_log_context)
{
  static const struct log_context mine = {.request_id = SLICE_INIT("mine")},
                                  other = {.request_id = SLICE_INIT("child")};
  int ended = 0;
  log_set_context(&mine);
  task_start(task_loop(), set_context, &ended, DEADLINE_NONE, &other);
  for (int i = 0; i < 3; i++) {
    yield_task();
    cr_assert_eq(log_get_context(), &mine);
  }
  cr_assert_eq(ended, 1);
}

// More switches than a sanitizer's record of calls is deep: each must leave it as it was.
TASK_TEST(task, a_long_life_of_switches_leaves_nothing_behind)
{
  for (int i = 0; i < 200000; i++)
    yield_task();
  struct endless endless = {.running = 1};
  task_start(task_loop(), yield_until_stopped, &endless, DEADLINE_NONE, NULL);
  for (int i = 0; i < 100000; i++)
    yield_task();
  endless.stop = true;
  yield_task();
  cr_assert_eq(endless.running, 0);
}

struct number {
  int start;
  double result;
};

// Keeps values in registers of both kinds, over many switches if it yields.
static double compute(int start, bool yields)
{
  double sum = 0;
  uint64_t mixed = (uint64_t)start;
  for (int i = 0; i < 200; i++) {
    mixed = mixed * 31 + (uint64_t)i;
    sum += (double)(mixed % 1000) / 3.0;
    if (yields && i % (start % 3 + 1) == 0)
      yield_task();
  }
  return sum;
}

static void compute_in_task(void *arg)
{
  struct number *number = arg;
  number->result = compute(number->start, true);
}

TASK_TEST(task, variables_survive_the_switches)
{
  struct number numbers[20] = {0};
  for (int i = 0; i < 20; i++) {
    numbers[i].start = i;
    task_start(task_loop(), compute_in_task, &numbers[i], DEADLINE_NONE, NULL);
  }
  for (int i = 0; i < 300; i++)
    yield_task();
  for (int i = 0; i < 20; i++)
    cr_assert_eq(numbers[i].result, compute(i, false));
}

struct sleepers {
  int started;
  int ended;
};

static void sleep_a_little(void *arg)
{
  struct sleepers *sleepers = arg;
  cr_assert_eq(task_sleep_ms((uint64_t)(sleepers->started++ % 7)), STATUS_OK);
  sleepers->ended++;
}

TASK_TEST(task, thousands_live_at_a_time_and_again)
{
  enum { MANY = 3000 };
  for (int round = 0; round < 2; round++) {
    struct sleepers sleepers = {0};
    for (int i = 0; i < MANY; i++)
      task_start(task_loop(), sleep_a_little, &sleepers, clock_now_us() + 60000000, NULL);
    while (sleepers.ended < MANY)
      cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  }
}

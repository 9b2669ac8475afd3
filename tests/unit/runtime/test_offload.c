#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "common/observe/metrics.h"
#include "tests/unit/runtime/in_task.h"

struct work {
  pthread_t thread;
  const struct log_context *log_context;
  int value;
};

static void double_value(void *arg)
{
  struct work *work = arg;
  work->thread = pthread_self();
  work->log_context = log_get_context();
  work->value *= 2;
}

TASK_TEST(offload, runs_on_another_thread_with_the_log_context_of_the_task)
{
  static const struct log_context context = {.request_id = SLICE_INIT("r")};
  struct work work = {.value = 21};
  log_set_context(&context);
  cr_assert_eq(task_offload(double_value, &work), STATUS_OK);
  cr_assert_eq(work.value, 42);
  cr_assert_not(pthread_equal(work.thread, pthread_self()));
  cr_assert_eq(work.log_context, &context);
  cr_assert_eq(metric_value(metrics_single(METRIC_OFFLOADED)), 1);
}

// A job that says that it has begun and then holds its thread until it is let go.
struct held {
  sem_t go;
  atomic_bool begun;
  atomic_bool done;
  enum status status;
  struct completion ended;
};

static void hold(void *arg)
{
  struct held *held = arg;
  atomic_store(&held->begun, true);
  while (sem_wait(&held->go) != 0)
    ;
  atomic_store(&held->done, true);
}

static void offload_held(void *arg)
{
  struct held *held = arg;
  held->status = task_offload(hold, held);
  completion_finish(&held->ended, STATUS_OK);
}

static struct task *start_held(struct held *held, uint64_t deadline_us)
{
  held->status = STATUS_UNKNOWN;
  cr_assert_eq(sem_init(&held->go, 0, 0), 0);
  return task_start(task_loop(), offload_held, held, deadline_us, NULL);
}

static void wait_for_begin(struct held *held)
{
  while (!atomic_load(&held->begun))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

static void finish_held(struct held *held)
{
  sem_post(&held->go);
  cr_assert_eq(completion_wait(&held->ended), STATUS_OK);
  sem_destroy(&held->go);
}

// False when the machine was so slow that the deadline struck before a thread had taken the job.
static bool holds_past_deadline(uint64_t deadline_after_us)
{
  struct held held = {0};
  uint64_t deadline_us = clock_now_us() + deadline_after_us;
  start_held(&held, deadline_us);
  while (!atomic_load(&held.begun) && !held.ended.done)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  if (held.ended.done)
    return false;
  spin_until(deadline_us);
  for (int i = 0; i < 5; i++)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_not(held.ended.done, "its argument may be on the task's stack");
  finish_held(&held);
  cr_assert_eq(held.status, STATUS_OK);
  cr_assert(atomic_load(&held.done));
  return true;
}

TASK_TEST(offload, work_that_has_begun_is_waited_for_past_the_deadline)
{
  uint64_t deadline_after_us = 10000;
  while (!holds_past_deadline(deadline_after_us))
    deadline_after_us *= 2;
}

TASK_TEST(offload, work_that_has_begun_is_waited_for_when_cancelled)
{
  struct held held = {0};
  struct task *task = start_held(&held, DEADLINE_NONE);
  wait_for_begin(&held);
  task_cancel(task);
  for (int i = 0; i < 5; i++)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_not(held.ended.done);
  finish_held(&held);
  cr_assert_eq(held.status, STATUS_OK);
}

TASK_TEST(offload, work_in_line_is_dropped_at_the_deadline)
{
  struct held first = {0}, second = {0};
  loop_set_offload_limit(task_loop(), 1);
  start_held(&first, DEADLINE_NONE);
  wait_for_begin(&first);
  start_held(&second, clock_now_us() + 1000);
  cr_assert_eq(completion_wait(&second.ended), STATUS_OK);
  cr_assert_eq(second.status, STATUS_DEADLINE_EXCEEDED);
  finish_held(&first);
  cr_assert_not(atomic_load(&second.begun));
  sem_destroy(&second.go);
}

// libuv has four threads: with a higher limit the fifth job is in libuv's line, and must be got out of it.
TASK_TEST(offload, work_in_line_for_a_thread_is_dropped_at_the_deadline)
{
  struct held busy[4] = {0}, fifth = {0};
  loop_set_offload_limit(task_loop(), 5);
  for (int i = 0; i < 4; i++)
    start_held(&busy[i], DEADLINE_NONE);
  for (int i = 0; i < 4; i++)
    wait_for_begin(&busy[i]);
  start_held(&fifth, clock_now_us() + 1000);
  cr_assert_eq(completion_wait(&fifth.ended), STATUS_OK);
  cr_assert_eq(fifth.status, STATUS_DEADLINE_EXCEEDED);
  for (int i = 0; i < 4; i++)
    finish_held(&busy[i]);
  cr_assert_not(atomic_load(&fifth.begun));
  sem_destroy(&fifth.go);
}

TASK_TEST(offload, what_is_overdue_or_cancelled_is_not_begun)
{
  struct work work = {.value = 1};
  task_tighten_deadline(clock_now_us() - 1);
  cr_assert_eq(task_offload(double_value, &work), STATUS_DEADLINE_EXCEEDED);
  task_restore_deadline(DEADLINE_NONE);
  task_cancel(task_current());
  cr_assert_eq(task_offload(double_value, &work), STATUS_CANCELLED);
  cr_assert_eq(work.value, 1);
}

static atomic_int working, most_working;
static int jobs_ended;

static void count_working(void *arg)
{
  (void)arg;
  int now = atomic_fetch_add(&working, 1) + 1;
  int most = atomic_load(&most_working);
  while (now > most && !atomic_compare_exchange_weak(&most_working, &most, now))
    ;
  for (uint64_t end_us = clock_now_us() + 200; clock_now_us() < end_us;)
    ;
  atomic_fetch_sub(&working, 1);
}

static void offload_counted(void *arg)
{
  (void)arg;
  cr_assert_eq(task_offload(count_working, NULL), STATUS_OK);
  jobs_ended++;
}

static void run_counted(int jobs)
{
  jobs_ended = 0;
  atomic_store(&most_working, 0);
  for (int i = 0; i < jobs; i++)
    task_start(task_loop(), offload_counted, NULL, DEADLINE_NONE, NULL);
  while (jobs_ended < jobs)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

TASK_TEST(offload, no_more_than_the_limit_at_a_time)
{
  loop_set_offload_limit(task_loop(), 2);
  run_counted(50);
  cr_assert_leq(atomic_load(&most_working), 2);
  loop_set_offload_limit(task_loop(), 1);
  run_counted(20);
  cr_assert_eq(atomic_load(&most_working), 1);
}

TASK_TEST(offload, a_limit_lowered_under_load_holds_as_jobs_end)
{
  struct held busy[3] = {0};
  for (int i = 0; i < 3; i++)
    start_held(&busy[i], DEADLINE_NONE);
  for (int i = 0; i < 3; i++)
    wait_for_begin(&busy[i]);
  loop_set_offload_limit(task_loop(), 1);
  for (int i = 0; i < 3; i++)
    finish_held(&busy[i]);
  run_counted(20);
  cr_assert_eq(atomic_load(&most_working), 1);
}

static int jobs_refused;

static void offload_or_be_refused(void *arg)
{
  struct work *work = arg;
  enum status status = task_offload(double_value, work);
  cr_assert(status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED);
  jobs_refused += status == STATUS_RESOURCE_EXHAUSTED;
  jobs_ended += status == STATUS_OK;
}

TASK_TEST(offload, under_a_flood_the_line_has_an_end)
{
  enum { LINE = 32, JOBS = 100 };
  struct work work = {.value = 0};
  struct held busy = {0};
  loop_set_offload_limit(task_loop(), 1);
  start_held(&busy, DEADLINE_NONE);
  wait_for_begin(&busy);
  jobs_ended = 0;
  for (int i = 0; i < JOBS; i++)
    task_start(task_loop(), offload_or_be_refused, &work, DEADLINE_NONE, NULL);
  while (jobs_refused < JOBS - LINE)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(jobs_ended, 0);
  finish_held(&busy);
  while (jobs_ended < LINE)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(jobs_refused, JOBS - LINE);
}

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/runtime/loop_internal.h"
#include "tests/support/common/read_metric.h"
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
  cr_assert_eq(read_single_metric(METRIC_OFFLOADED), 1);
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

// Takes all slots of task_offload.
static void start_busy(struct held busy[OFFLOAD_LIMIT])
{
  for (int i = 0; i < OFFLOAD_LIMIT; i++)
    start_held(&busy[i], DEADLINE_NONE);
  for (int i = 0; i < OFFLOAD_LIMIT; i++)
    wait_for_begin(&busy[i]);
}

static void finish_busy(struct held busy[OFFLOAD_LIMIT])
{
  for (int i = 0; i < OFFLOAD_LIMIT; i++)
    finish_held(&busy[i]);
}

TASK_TEST(offload, work_beyond_the_limit_is_in_line_and_dropped_at_the_deadline)
{
  // The pool has threads for more jobs, so only the limit holds the next one back.
  setenv("UV_THREADPOOL_SIZE", "8", 1);
  struct held busy[OFFLOAD_LIMIT] = {0}, next = {0};
  start_busy(busy);
  start_held(&next, clock_now_us() + 1000);
  while (!next.ended.done && !atomic_load(&next.begun))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_not(atomic_load(&next.begun));
  cr_assert_eq(next.status, STATUS_DEADLINE_EXCEEDED);
  finish_busy(busy);
  cr_assert_not(atomic_load(&next.begun));
  sem_destroy(&next.go);
}

static struct held other_work;

static void hold_thread(uv_work_t *request)
{
  (void)request;
  hold(&other_work);
}

static void end_other_work(uv_work_t *request, int result)
{
  (void)request;
  (void)result;
  completion_finish(&other_work.ended, STATUS_OK);
}

// Look-ups take threads of the pool, too: then a job that has its slot is in libuv's line, and must be got out of it.
TASK_TEST(offload, work_in_line_for_a_thread_is_dropped_at_the_deadline)
{
  struct held busy[OFFLOAD_LIMIT - 1] = {0}, last = {0};
  uv_work_t request;
  cr_assert_eq(sem_init(&other_work.go, 0, 0), 0);
  cr_assert_eq(uv_queue_work(&task_loop()->uv, &request, hold_thread, end_other_work), 0);
  wait_for_begin(&other_work);
  for (int i = 0; i < OFFLOAD_LIMIT - 1; i++)
    start_held(&busy[i], DEADLINE_NONE);
  for (int i = 0; i < OFFLOAD_LIMIT - 1; i++)
    wait_for_begin(&busy[i]);
  start_held(&last, clock_now_us() + 1000);
  cr_assert_eq(completion_wait(&last.ended), STATUS_OK);
  cr_assert_eq(last.status, STATUS_DEADLINE_EXCEEDED);
  for (int i = 0; i < OFFLOAD_LIMIT - 1; i++)
    finish_held(&busy[i]);
  finish_held(&other_work);
  cr_assert_not(atomic_load(&last.begun));
  sem_destroy(&last.go);
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

static int jobs_ended;
static int jobs_refused;

static void do_nothing(void *arg)
{
  (void)arg;
}

static void offload_or_be_refused(void *arg)
{
  (void)arg;
  enum status status = task_offload(do_nothing, NULL);
  cr_assert(status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED);
  jobs_refused += status == STATUS_RESOURCE_EXHAUSTED;
  jobs_ended += status == STATUS_OK;
}

TASK_TEST(offload, under_a_flood_the_line_has_an_end)
{
  enum { LINE = 32 * OFFLOAD_LIMIT, JOBS = LINE + 50 };
  struct held busy[OFFLOAD_LIMIT] = {0};
  start_busy(busy);
  jobs_ended = 0;
  for (int i = 0; i < JOBS; i++)
    task_start(task_loop(), offload_or_be_refused, NULL, DEADLINE_NONE, NULL);
  while (jobs_refused < JOBS - LINE)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(jobs_ended, 0);
  finish_busy(busy);
  while (jobs_ended < LINE)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(jobs_refused, JOBS - LINE);
}

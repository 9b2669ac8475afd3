// The list of tasks for operators: what each works on and waits for.
#include <string.h>

#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

#define MAX_SEEN 8

struct seen {
  size_t count;
  size_t limit;
  struct task_info infos[MAX_SEEN];
};

static bool keep(void *arg, const struct task_info *info)
{
  struct seen *seen = arg;
  cr_assert_lt(seen->count, MAX_SEEN);
  seen->infos[seen->count++] = *info;
  return seen->count < seen->limit;
}

static struct seen look(struct loop *loop)
{
  struct seen seen = {.limit = MAX_SEEN};
  loop_visit_tasks(loop, keep, &seen);
  return seen;
}

static void sleep_long(void *arg)
{
  *(enum status *)arg = task_sleep_ms(600000);
}

struct named {
  struct completion event;
  enum status status;
};

static void wait_for_named(void *arg)
{
  struct named *named = arg;
  named->status = completion_wait(&named->event);
}

TASK_TEST(task_list, names_what_each_task_works_on_and_waits_for)
{
  const struct log_context context = {
      .request_id = SLICE("r-1"), .trace_id = SLICE("t-1"), .method = SLICE("item.v1.ItemService/GetItem")};
  struct named named = {.event = {.what = "the moon"}};
  enum status slept = STATUS_UNKNOWN;
  uint64_t deadline_us = clock_now_us() + 5000000;
  struct task *waiter = task_start(task_loop(), wait_for_named, &named, deadline_us, &context);
  struct task *sleeper = task_start(task_loop(), sleep_long, &slept, DEADLINE_NONE, NULL);
  yield_task();

  struct seen seen = look(task_loop());
  cr_assert_eq(seen.count, 3);
  cr_assert_eq(loop_task_count(task_loop()), 3);
  cr_expect_str_eq(seen.infos[0].state, "running");
  cr_expect_null(seen.infos[0].waiting_for);
  cr_expect_str_eq(seen.infos[1].state, "waiting");
  cr_expect_str_eq(seen.infos[1].waiting_for, "the moon");
  cr_expect(slice_equal_string(seen.infos[1].context.method, "item.v1.ItemService/GetItem"));
  cr_expect(slice_equal_string(seen.infos[1].context.request_id, "r-1"));
  cr_expect(slice_equal_string(seen.infos[1].context.trace_id, "t-1"));
  cr_expect_eq(seen.infos[1].deadline_us, deadline_us);
  cr_expect_not(seen.infos[1].cancelled);
  cr_expect_str_eq(seen.infos[2].waiting_for, "the end of a pause");
  cr_expect_eq(seen.infos[2].context.method.size, 0);

  // A cancelled task is shown until it has ended.
  task_cancel(sleeper);
  cr_expect(look(task_loop()).infos[2].cancelled);
  task_cancel(waiter);
  yield_task();
  cr_expect_eq(slept, STATUS_CANCELLED);
  cr_expect_eq(look(task_loop()).count, 1);
}

TASK_TEST(task_list, ends_where_the_visitor_says)
{
  enum status slept[3];
  struct task *tasks[3];
  for (size_t i = 0; i < 3; i++)
    tasks[i] = task_start(task_loop(), sleep_long, &slept[i], DEADLINE_NONE, NULL);
  yield_task();
  struct seen seen = {.limit = 2};
  loop_visit_tasks(task_loop(), keep, &seen);
  cr_expect_eq(seen.count, 2);
  for (size_t i = 0; i < 3; i++)
    task_cancel(tasks[i]);
  yield_task();
}

// Tasks and their scheduling. At the end of each turn the loop's own stack resumes one runnable task after the other; a
// task that waits switches back to the loop's stack. All of this happens on the loop's thread, so nothing is locked. A
// task's struct lies on its own stack (task_pool.c), and so does what it waits for.
#include "common/runtime/task.h"

#include "common/base/check.h"
#include "common/runtime/task_internal.h"

static _Thread_local struct task *current;

struct task *task_current(void)
{
  return current;
}

struct loop *task_loop(void)
{
  return current == NULL ? NULL : current->loop;
}

static struct task *checked_current(void)
{
  CHECK(current != NULL);
  return current;
}

// ---- from start to end ----

static void make_runnable(struct task *task)
{
  task->state = TASK_RUNNABLE;
  list_append(&task->loop->scheduler.runnable, &task->queue);
}

static void wake_task(struct task *task, enum status reason)
{
  task->reason = reason;
  make_runnable(task);
}

static void expire_deadline(struct loop_alarm *alarm)
{
  struct task *task = CONTAINER_OF(alarm, struct task, deadline);
  if (task->state == TASK_WAITING && task->interruptible)
    wake_task(task, STATUS_DEADLINE_EXCEEDED);
}

static void run_body(void *arg)
{
  struct task *task = arg;
  task->body(task->arg);
  task->state = TASK_FINISHED;
}

// Takes deadline and cancellation from the task that starts this one. A task that is started under a shield does work
// that must be finished, so it is not cancelled with its parent.
static void inherit_from(struct task *task, struct task *parent)
{
  task->parent = NULL;
  list_init(&task->siblings);
  list_init(&task->children);
  if (parent == NULL)
    return;
  task->deadline_us = deadline_min(task->deadline_us, parent->deadline_us);
  task->caller = parent->caller;
  if (parent->shields > 0)
    return;
  task->parent = parent;
  task->cancelled = parent->cancelled;
  list_append(&parent->children, &task->siblings);
}

struct task *task_start(struct loop *loop, void (*body)(void *arg), void *arg, uint64_t deadline_us,
                        const struct log_context *log_context)
{
  CHECK(current == NULL || current->loop == loop);
  struct task *task = task_pool_get(loop, run_body);
  task->body = body;
  task->arg = arg;
  task->log_context = log_context;
  task->cancelled = false;
  task->shields = 0;
  task->interruptible = false;
  task->effect = TASK_NO_EFFECT;
  task->found_full = false;
  task->cause = (struct task_cause){0};
  task->late_for = NULL;
  task->sending_limits = 0;
  task->caller = 0;
  task->is_wanted = NULL;
  task->found_unwanted = false;
  task->deadline_us = deadline_us;
  task->deadline = (struct loop_alarm){.fire = expire_deadline};
  inherit_from(task, current);
  task->started_us = loop_now_us(loop);
  list_init(&task->all);
  list_append(&loop->scheduler.tasks, &task->all);
  loop->scheduler.task_count++;
  make_runnable(task);
  return task;
}

static void end_task(struct task *task)
{
  alarm_clear(task->loop, &task->deadline);
  list_remove(&task->siblings);
  while (!list_empty(&task->children)) {
    struct task *child = CONTAINER_OF(task->children.next, struct task, siblings);
    list_remove(&child->siblings);
    child->parent = NULL;
  }
  list_remove(&task->all);
  task->loop->scheduler.task_count--;
  task_pool_put(task);
}

// ---- the scheduler ----

static void resume_task(struct task *task)
{
  const struct log_context *outside = log_get_context();
  log_set_context(task->log_context);
  task->state = TASK_RUNNING;
  current = task;
  context_switch(&task->loop->scheduler.home, &task->context);
  current = NULL;
  task->log_context = log_get_context();
  log_set_context(outside);
  if (task->state == TASK_FINISHED)
    end_task(task);
}

// Switches back to the loop, until something resumes this task.
static void suspend_task(struct task *task)
{
  context_switch(&task->context, &task->loop->scheduler.home);
}

void scheduler_init(struct loop *loop)
{
  list_init(&loop->scheduler.runnable);
  list_init(&loop->scheduler.yielded);
  list_init(&loop->scheduler.tasks);
  semaphore_init(&loop->scheduler.offload_slots, OFFLOAD_LIMIT);
  loop->scheduler.offloaded = metrics_single(METRIC_OFFLOADED);
}

size_t scheduler_run(struct loop *loop, size_t budget)
{
  struct list *runnable = &loop->scheduler.runnable;
  for (; budget > 0 && !list_empty(runnable); budget--) {
    struct task *task = CONTAINER_OF(runnable->next, struct task, queue);
    list_remove(&task->queue);
    resume_task(task);
  }
  return budget;
}

void scheduler_end_turn(struct loop *loop)
{
  struct list *yielded = &loop->scheduler.yielded;
  while (!list_empty(yielded)) {
    struct task *task = CONTAINER_OF(yielded->next, struct task, queue);
    list_remove(&task->queue);
    make_runnable(task);
  }
}

void scheduler_free(struct loop *loop)
{
  CHECK(loop->scheduler.task_count == 0);
  task_pool_free(loop);
}

// ---- deadline and cancellation ----

static enum status check_task_at(const struct task *task, uint64_t now_us)
{
  if (task->cancelled && task->shields == 0)
    return STATUS_CANCELLED;
  return now_us >= task->deadline_us && task->deadline_us != DEADLINE_NONE ? STATUS_DEADLINE_EXCEEDED : STATUS_OK;
}

enum status task_check(void)
{
  // loop_now_us stands still while a task computes, so the clock itself is read.
  return check_task_at(checked_current(), clock_now_us());
}

enum status task_yield(void)
{
  struct task *task = checked_current();
  task->state = TASK_RUNNABLE;
  list_append(&task->loop->scheduler.yielded, &task->queue);
  suspend_task(task);
  return task_check();
}

uint64_t task_deadline_us(void)
{
  return checked_current()->deadline_us;
}

uint64_t task_tighten_deadline(uint64_t deadline_us)
{
  struct task *task = checked_current();
  uint64_t before = task->deadline_us;
  task->deadline_us = deadline_min(before, deadline_us);
  return before;
}

void task_limit_sending(uint64_t until_us)
{
  struct task *task = checked_current();
  if (task->sending_limits++ == 0)
    task->answer_deadline_us = task->deadline_us;
  (void)task_tighten_deadline(until_us);
}

void task_unlimit_sending(void)
{
  struct task *task = checked_current();
  CHECK(task->sending_limits > 0);
  if (--task->sending_limits == 0)
    task->deadline_us = task->answer_deadline_us;
}

uint64_t task_answer_deadline_us(void)
{
  const struct task *task = checked_current();
  return task->sending_limits > 0 ? task->answer_deadline_us : task->deadline_us;
}

void task_restore_deadline(uint64_t deadline_us)
{
  checked_current()->deadline_us = deadline_us;
}

void task_shield(bool shielded)
{
  struct task *task = checked_current();
  CHECK(shielded || task->shields > 0);
  task->shields = shielded ? task->shields + 1 : task->shields - 1;
}

void task_set_caller(uint64_t caller)
{
  checked_current()->caller = caller;
}

uint64_t task_caller(void)
{
  return checked_current()->caller;
}

void task_set_wanted(bool (*is_wanted)(void *arg), void *arg)
{
  struct task *task = checked_current();
  task->is_wanted = is_wanted;
  task->wanted_arg = arg;
}

bool task_is_wanted(void)
{
  struct task *task = checked_current();
  bool is_wanted = task->is_wanted == NULL || task->is_wanted(task->wanted_arg);
  task->found_unwanted = task->found_unwanted || !is_wanted;
  return is_wanted;
}

bool task_found_unwanted(void)
{
  return checked_current()->found_unwanted;
}

void task_note_full(void)
{
  checked_current()->found_full = true;
}

bool task_found_full(void)
{
  return checked_current()->found_full;
}

void task_note_cause(struct task_cause cause)
{
  if (cause.text != NULL)
    checked_current()->cause = cause;
}

struct task_cause task_find_cause(enum status status)
{
  const struct task *task = checked_current();
  struct task_cause late = {status, "the time of the call was over while it waited", task->late_for};
  if (task->cause.text != NULL && task->cause.status == status)
    return task->cause;
  return status == STATUS_DEADLINE_EXCEEDED && task->late_for != NULL ? late : (struct task_cause){.status = status};
}

void task_note_effect(enum task_effect effect)
{
  struct task *task = checked_current();
  if (effect > task->effect)
    task->effect = effect;
}

enum task_effect task_effect(void)
{
  return checked_current()->effect;
}

static void cancel_one(struct task *task)
{
  task->cancelled = true;
  if (task->state == TASK_WAITING && task->interruptible && task->shields == 0)
    wake_task(task, STATUS_CANCELLED);
}

// Returns the next task of the family below `root`, parents before their children; NULL after the last.
static struct task *find_next_in_family(struct task *root, struct task *task)
{
  if (!list_empty(&task->children))
    return CONTAINER_OF(task->children.next, struct task, siblings);
  for (; task != root; task = task->parent)
    if (task->siblings.next != &task->parent->children)
      return CONTAINER_OF(task->siblings.next, struct task, siblings);
  return NULL;
}

void task_cancel(struct task *task)
{
  for (struct task *member = task; member != NULL; member = find_next_in_family(task, member))
    cancel_one(member);
}

// ---- waiting ----

static void wait_for_completion(struct task *task, struct completion *completion, bool interruptible)
{
  CHECK(completion->waiter == NULL);
  completion->waiter = task;
  task->waiting_for = completion->what;
  task->interruptible = interruptible;
  task->state = TASK_WAITING;
  suspend_task(task);
  completion->waiter = NULL;
}

void completion_finish(struct completion *completion, enum status status)
{
  CHECK(!completion->done);
  completion->done = true;
  completion->status = status;
  // A waiter that its deadline has woken in this turn is runnable already and will find the result.
  if (completion->waiter != NULL && completion->waiter->state == TASK_WAITING)
    wake_task(completion->waiter, STATUS_OK);
}

// Sets the alarm for the task's deadline, unless it is set already: most tasks wait several times under one deadline.
static void set_deadline_alarm(struct task *task)
{
  if (alarm_is_set(&task->deadline) && task->deadline.node.key == task->deadline_us)
    return;
  if (task->deadline_us == DEADLINE_NONE)
    alarm_clear(task->loop, &task->deadline);
  else
    alarm_set(task->loop, &task->deadline, task->deadline_us);
}

enum status completion_wait(struct completion *completion)
{
  struct task *task = checked_current();
  if (completion->done)
    return completion->status;
  enum status status = check_task_at(task, loop_now_us(task->loop));
  if (status != STATUS_OK)
    return status;
  set_deadline_alarm(task);
  wait_for_completion(task, completion, true);
  if (!completion->done && task->reason == STATUS_DEADLINE_EXCEEDED)
    task->late_for = completion->what;
  return completion->done ? completion->status : task->reason;
}

void completion_wait_uninterrupted(struct completion *completion)
{
  struct task *task = checked_current();
  if (!completion->done)
    wait_for_completion(task, completion, false);
}

struct sleeper {
  struct loop_alarm alarm;
  struct completion woken;
};

static void end_sleep(struct loop_alarm *alarm)
{
  completion_finish(&CONTAINER_OF(alarm, struct sleeper, alarm)->woken, STATUS_OK);
}

enum status task_sleep_ms(uint64_t ms)
{
  struct task *task = checked_current();
  struct sleeper sleeper = {.alarm = {.fire = end_sleep}, .woken = {.what = "the end of a pause"}};
  uint64_t until_us = deadline_after_ms(clock_now_us(), ms);
  if (until_us != DEADLINE_NONE)
    alarm_set(task->loop, &sleeper.alarm, until_us);
  enum status status = completion_wait(&sleeper.woken);
  alarm_clear(task->loop, &sleeper.alarm);
  return status;
}

// ---- looking at tasks ----

static struct task_info describe_task(const struct task *task, uint64_t now_us)
{
  static const char *const states[] = {
      [TASK_RUNNABLE] = "runnable", [TASK_RUNNING] = "running", [TASK_WAITING] = "waiting", [TASK_FINISHED] = "ended"};
  struct task_info info = {
      .state = states[task->state],
      .age_us = now_us > task->started_us ? now_us - task->started_us : 0,
      .deadline_us = task->deadline_us,
      .cancelled = task->cancelled,
  };
  if (task->state == TASK_WAITING)
    info.waiting_for = task->waiting_for == NULL ? "an event" : task->waiting_for;
  if (task->log_context != NULL)
    info.context = *task->log_context;
  return info;
}

void loop_visit_tasks(const struct loop *loop, bool (*visit)(void *arg, const struct task_info *info), void *arg)
{
  uint64_t now_us = clock_now_us();
  const struct list *tasks = &loop->scheduler.tasks;
  for (const struct list *node = tasks->next; node != tasks; node = node->next) {
    struct task_info info = describe_task(CONTAINER_OF(node, struct task, all), now_us);
    if (!visit(arg, &info))
      return;
  }
}

size_t loop_task_count(const struct loop *loop)
{
  return loop->scheduler.task_count;
}

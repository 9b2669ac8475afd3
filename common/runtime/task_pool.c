// Keeps ended tasks with their stacks, so that starting a task makes no system call. Each stack holds the pages that
// its tasks have touched: so after a burst half of the excess is freed every second, and loop_trim_stacks frees what
// nobody has needed for a while. The pool is a stack, whose end are the tasks that have been idle for longest.
#include "common/runtime/task_internal.h"

#include "common/runtime/task.h"

enum {
  KEEP_IDLE = 64,
  TRIM_EVERY_US = 1000 * 1000,
  TASK_ALIGN = 64,  // alignment of the top of the stack: the ABI asks for 16, this is a cache line
};

static struct task *make_task(struct loop *loop, void (*run)(void *task))
{
  struct stack stack = stack_map();
  size_t usable = (stack.size - sizeof(struct task)) / TASK_ALIGN * TASK_ALIGN;
  struct task *task = (struct task *)(void *)(stack.bottom + usable);
  task->stack = stack;
  task->loop = loop;
  context_init_stack(&task->context, stack.bottom, usable, run, task);
  return task;
}

static void free_task(struct task *task)
{
  context_free(&task->context);
  stack_unmap(task->stack);
}

static struct task *pop_idle(struct scheduler *scheduler)
{
  struct task *task = scheduler->idle;
  scheduler->idle = task->next_idle;
  scheduler->idle_count--;
  if (scheduler->idle_count < scheduler->idle_least)
    scheduler->idle_least = scheduler->idle_count;
  return task;
}

struct task *task_pool_get(struct loop *loop, void (*run)(void *task))
{
  return loop->scheduler.idle != NULL ? pop_idle(&loop->scheduler) : make_task(loop, run);
}

static void trim_idle(struct loop_alarm *alarm)
{
  struct scheduler *scheduler = CONTAINER_OF(alarm, struct scheduler, trim_idle);
  struct loop *loop = CONTAINER_OF(scheduler, struct loop, scheduler);
  if (scheduler->idle_count <= KEEP_IDLE)
    return;
  for (size_t excess = (scheduler->idle_count - KEEP_IDLE + 1) / 2; excess > 0; excess--)
    free_task(pop_idle(scheduler));
  if (scheduler->idle_count > KEEP_IDLE)
    alarm_set(loop, alarm, loop_now_us(loop) + TRIM_EVERY_US);
}

void task_pool_put(struct task *task)
{
  struct scheduler *scheduler = &task->loop->scheduler;
  task->next_idle = scheduler->idle;
  scheduler->idle = task;
  if (++scheduler->idle_count <= KEEP_IDLE || alarm_is_set(&scheduler->trim_idle))
    return;
  scheduler->trim_idle.fire = trim_idle;
  alarm_set(task->loop, &scheduler->trim_idle, loop_now_us(task->loop) + TRIM_EVERY_US);
}

void loop_trim_stacks(struct loop *loop)
{
  struct scheduler *scheduler = &loop->scheduler;
  struct task **end = &scheduler->idle;
  for (size_t needed = scheduler->idle_count - scheduler->idle_least; needed > 0; needed--)
    end = &(*end)->next_idle;
  while (*end != NULL) {
    struct task *task = *end;
    *end = task->next_idle;
    free_task(task);
    scheduler->idle_count--;
  }
  scheduler->idle_least = scheduler->idle_count;
}

void task_pool_free(struct loop *loop)
{
  alarm_clear(loop, &loop->scheduler.trim_idle);
  while (loop->scheduler.idle != NULL)
    free_task(pop_idle(&loop->scheduler));
}

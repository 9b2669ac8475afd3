// Private to common/runtime: what the files of this folder share of a loop.
#ifndef BULKHEAD_RUNTIME_LOOP_INTERNAL_H
#define BULKHEAD_RUNTIME_LOOP_INTERNAL_H

#include <pthread.h>
#include <uv.h>

#include "common/base/heap.h"
#include "common/observe/metrics.h"
#include "common/runtime/context_internal.h"
#include "common/runtime/loop.h"
#include "common/runtime/task.h"

// Something that is due at a time. All of a loop's are in one heap behind one libuv timer.
struct loop_alarm {
  struct heap_node node;
  void (*strike)(struct loop_alarm *alarm);
};

// Sets or moves it; not for DEADLINE_NONE.
void alarm_set(struct loop *loop, struct loop_alarm *alarm, uint64_t due_us);
void alarm_clear(struct loop *loop, struct loop_alarm *alarm);
static inline bool alarm_is_set(const struct loop_alarm *alarm)
{
  return alarm->node.index != 0;
}

// The tasks of a loop.
struct scheduler {
  struct context home;  // the loop's own stack
  struct list runnable;
  struct list tasks;  // all that have not ended
  size_t task_count;

  struct task *idle;  // ended, their stacks ready for the next
  size_t idle_count;
  struct loop_alarm trim;

  struct semaphore offload_slots;
  size_t offload_limit;
  size_t offload_waiting;
  size_t offload_debt;  // slots to be withdrawn when they come back
  struct metric_series *offloaded;
};

void scheduler_init(struct loop *loop);
// Runs runnable tasks until none is left or `budget` of them have had their turn; returns what is left of the budget.
size_t scheduler_run(struct loop *loop, size_t budget);
void scheduler_free(struct loop *loop);

struct loop {
  struct loop *next_loop;  // behind loop_first
  uv_loop_t uv;
  uv_prepare_t turn_end;
  uv_idle_t keep_turning;  // active while tasks are runnable: libuv then polls without waiting
  uv_timer_t timer;
  uv_async_t wake_up;
  bool running;
  uint64_t now_us;  // 0: not looked at in this turn
  uint64_t turn;    // from 1

  struct heap alarms;
  uint64_t armed_us;  // when `timer` fires; DEADLINE_NONE: it does not

  struct list hooks;
  bool hook_added;
  struct list changed_watches;
  size_t watch_count;
  size_t timer_count;
  size_t resolve_count;
  struct loop_signal *signals;

  pthread_mutex_t post_lock;
  struct list posts;  // under the lock

  struct scheduler scheduler;
  struct metric_series *tasks;
  struct metric_series *stacks;
};

// Every loop of the process, for debuggers: deploy/debug/bulkhead-gdb.py finds the tasks from here.
extern struct loop *loop_first;

// Tells libuv of all watches that were changed in this turn.
void watches_apply(struct loop *loop);

#endif

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

// A callback that is due at a time. All alarms of a loop are in one heap behind one libuv timer.
struct loop_alarm {
  struct heap_node node;
  void (*fire)(struct loop_alarm *alarm);
};

// Sets an alarm or moves it. `due_us` must not be DEADLINE_NONE.
void alarm_set(struct loop *loop, struct loop_alarm *alarm, uint64_t due_us);
void alarm_clear(struct loop *loop, struct loop_alarm *alarm);
static inline bool alarm_is_set(const struct loop_alarm *alarm)
{
  return alarm->node.index != 0;
}

// The jobs of task_offload that run at a time: as many as libuv's pool has threads.
#define OFFLOAD_LIMIT 4

// The tasks of a loop.
struct scheduler {
  struct context home;  // the loop's own stack
  struct list runnable;
  struct list yielded;  // tasks that go on in the next turn
  struct list tasks;    // every task that has not ended, the oldest first
  size_t task_count;

  struct task *idle;  // ended tasks, whose stacks the next ones use
  size_t idle_count;
  size_t idle_least;  // the fewest since loop_trim_stacks: so many were needed by nobody
  struct loop_alarm trim_idle;

  struct semaphore offload_slots;
  size_t offload_waiting;
  struct metric_series *offloaded;
};

void scheduler_init(struct loop *loop);
// Makes the tasks runnable that have left this turn to others.
void scheduler_end_turn(struct loop *loop);
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
  struct list posts;  // guarded by post_lock

  struct scheduler scheduler;
  struct metric_series *tasks;
  struct metric_series *stacks;
};

// Every loop of the process, for debuggers: deploy/debug/bulkhead-gdb.py finds the tasks from here.
extern struct loop *loop_first;

// Passes all watches that were changed in this turn to libuv.
void watches_apply(struct loop *loop);

#endif

// Private to common/runtime: a task and its stack.
#ifndef BULKHEAD_RUNTIME_TASK_INTERNAL_H
#define BULKHEAD_RUNTIME_TASK_INTERNAL_H

#include "common/runtime/loop_internal.h"
#include "common/runtime/stack_internal.h"

enum task_state { TASK_RUNNABLE, TASK_RUNNING, TASK_WAITING, TASK_FINISHED };

// A task lies at the top of its own stack; both are kept for the next task when it ends.
struct task {
  struct stack stack;
  struct context context;
  struct task *next_idle;

  struct loop *loop;
  void (*body)(void *arg);
  void *arg;
  const struct log_context *log_context;
  struct list queue;  // in scheduler.runnable
  struct list all;    // in scheduler.tasks
  uint64_t started_us;
  const char *waiting_for;  // static text; valid while it waits

  struct task *parent;  // NULL when it has ended
  struct list siblings;
  struct list children;

  enum task_state state;
  bool cancelled;
  unsigned shields;
  bool interruptible;  // cancellation and deadline end the current wait
  enum status reason;  // why the wait ended, if not by its completion
  enum task_effect effect;
  bool found_full;               // see task_note_full
  struct task_cause cause;       // see task_note_cause
  const char *late_for;          // what the last wait that the deadline has ended was for
  uint64_t caller;               // see task_set_caller
  bool (*is_wanted)(void *arg);  // see task_set_wanted
  bool found_unwanted;           // see task_found_unwanted
  void *wanted_arg;
  uint64_t deadline_us;
  unsigned sending_limits;      // that task_limit_sending has set
  uint64_t answer_deadline_us;  // where there is one: the deadline without them
  struct loop_alarm deadline;   // set at the first wait, kept over the following ones
};

// Takes a task from the pool or makes one. Its stack is empty and its context will call `run(task)`; only stack,
// context and loop are set.
struct task *task_pool_get(struct loop *loop, void (*run)(void *task));
void task_pool_put(struct task *task);
void task_pool_free(struct loop *loop);

// Waits like completion_wait, but neither cancellation nor the deadline ends the wait: for what must not be left
// behind.
void completion_wait_uninterrupted(struct completion *completion);

#endif

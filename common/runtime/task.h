// Tasks: stackful coroutines on the loop's thread. A task is straight-line code that waits without blocking the others.
//
// Every task has a deadline and a cancel flag, inherited by what it waits for and by tasks that it starts. Every wait
// ends with STATUS_DEADLINE_EXCEEDED or STATUS_CANCELLED when they strike; a task is never killed from outside, it
// returns. Stacks come from a pool, 64 KiB with a guard page below; an overflow is a crash at once, not silent damage.
#ifndef BULKHEAD_RUNTIME_TASK_H
#define BULKHEAD_RUNTIME_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/status.h"
#include "common/observe/log.h"
#include "common/runtime/loop.h"

struct task;

// Runs `body(arg)` as a task in this turn of the loop (not before task_start returns). `deadline_us` is on the
// monotonic clock or DEADLINE_NONE; where a task starts a task the earlier of the two holds, and cancelling the one
// that starts cancels the other, too, unless it was started under task_shield. The log context, if any, must live as
// long as the task; log_set_context inside a task changes it for that task.
struct task *task_start(struct loop *loop, void (*body)(void *arg), void *arg, uint64_t deadline_us,
                        const struct log_context *log_context);

// NULL outside tasks.
struct task *task_current(void);
struct loop *task_loop(void);

// Its current and later waits, and those of the tasks that it started, end with STATUS_CANCELLED. Only while the task
// has not returned (the caller knows: a task that others may cancel tells them when it ends).
void task_cancel(struct task *task);

// Of the current task.
uint64_t task_deadline_us(void);
// A tighter deadline for a part of the work: returns the one before, to be set again afterwards. Never widens. Tasks
// that are started meanwhile inherit the tighter one.
uint64_t task_tighten_deadline(uint64_t deadline_us);
void task_restore_deadline(uint64_t deadline_us);
// OK, or why the task should give up, as of now: for long loops that do not wait.
enum status task_check(void);
// While set, cancellation does not end waits (the deadline still does): for roll-backs and compensation.
void task_shield(bool shielded);

// ---- waiting for one event ----

// A completion lives with whoever waits (on the task's stack). It is completed once, from the loop's thread, by a
// callback or another task; only one task waits for it.
struct completion {
  struct task *waiter;
  const char *what;  // for lists of tasks: what is waited for, static text; NULL is allowed
  bool done;
  enum status status;
};
#define COMPLETION_INIT                                                                                                \
  {                                                                                                                    \
    0                                                                                                                  \
  }

void completion_finish(struct completion *completion, enum status status);
// Waits until it is finished and returns its status (at once where it is finished already, even when the task is
// cancelled or overdue: no result is lost), or DEADLINE_EXCEEDED / CANCELLED before: then the caller must see
// to it that nobody finishes it later, before it goes out of scope.
enum status completion_wait(struct completion *completion) MUST_CHECK;

enum status task_sleep_ms(uint64_t ms) MUST_CHECK;
// Lets other tasks run; for long loops.
void task_yield(void);

// ---- a counting semaphore, first come first served ----

struct semaphore {
  size_t available;
  struct list waiters;
};
void semaphore_init(struct semaphore *semaphore, size_t available);
enum status semaphore_acquire(struct semaphore *semaphore) MUST_CHECK;
void semaphore_release(struct semaphore *semaphore);

// ---- CPU-bound work in the thread pool ----

// Runs `work(arg)` on another thread and waits until it is done, with the task's log context there. Always waits for
// the end of work that has begun, also past the deadline, and returns OK then, for `arg` is usually on the stack; work
// that has not begun by then is dropped and the reason returned. At most `loop_set_offload_limit` jobs at a time (4
// unless set); the others wait in line, 32 for each of these, and RESOURCE_EXHAUSTED for more: under a flood some are
// served in time rather than all too late. Beyond 4 the environment's UV_THREADPOOL_SIZE must follow.
enum status task_offload(void (*work)(void *arg), void *arg) MUST_CHECK;
void loop_set_offload_limit(struct loop *loop, size_t jobs);

// ---- looking at tasks ----

struct task_info {
  struct log_context context;  // valid during the visit
  const char *state;           // "runnable", "running", "waiting"
  const char *waiting_for;     // static text; NULL unless it waits
  uint64_t age_us;             // since task_start
  uint64_t deadline_us;        // on the monotonic clock, or DEADLINE_NONE
  bool cancelled;
};

// Calls `visit` for every task of the loop, the oldest first, until it returns false. `visit` must not start, cancel or
// end tasks.
void loop_visit_tasks(const struct loop *loop, bool (*visit)(void *arg, const struct task_info *info), void *arg);
size_t loop_task_count(const struct loop *loop);

#endif

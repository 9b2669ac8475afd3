// Tasks: stackful coroutines on the loop's thread. A task is straight-line code that waits without blocking the others.
//
// Every task has a deadline and a cancel flag, inherited by what it waits for and by tasks that it starts. Every wait
// ends with STATUS_DEADLINE_EXCEEDED when the deadline passes and with STATUS_CANCELLED after task_cancel. A task is
// never killed from outside: it sees the status and returns. Stacks come from a pool: 64 KiB with a guard below, so
// that an overflow crashes at once instead of damaging memory.
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
// monotonic clock, or DEADLINE_NONE. When a task starts a task, the earlier deadline of the two holds, and cancelling
// the first also cancels the second, unless it was started under task_shield. The log context, if any, must live as
// long as the task; log_set_context inside a task changes it for that task.
struct task *task_start(struct loop *loop, void (*body)(void *arg), void *arg, uint64_t deadline_us,
                        const struct log_context *log_context);

// Returns the task that runs now; NULL outside tasks.
struct task *task_current(void);
// Returns the loop of the task that runs now; NULL outside tasks.
struct loop *task_loop(void);

// Cancels a task: its current and later waits, and those of the tasks that it started, end with STATUS_CANCELLED. The
// task must not have returned yet; a task that others may cancel has to tell them when it ends.
void task_cancel(struct task *task);

// Returns the deadline of the current task (monotonic clock, or DEADLINE_NONE).
uint64_t task_deadline_us(void);
// Tightens the current task's deadline for a part of its work; a later one changes nothing. Returns the deadline
// before, which task_restore_deadline sets again. Tasks that are started meanwhile inherit the tighter deadline.
uint64_t task_tighten_deadline(uint64_t deadline_us);
void task_restore_deadline(uint64_t deadline_us);
// What the current task sends must leave by `until_us` at the latest, which becomes its deadline where that is later.
// The answer to what has left may be waited for as long as before. Limits nest: the earliest holds until the last of
// them has ended.
void task_limit_sending(uint64_t until_us);
// Ends a limit. The end of the last one gives the task its deadline back.
void task_unlimit_sending(void);
// Returns how long the answer to what the task has sent may be waited for: the deadline, but for a limit of sending.
uint64_t task_answer_deadline_us(void);
// Tells loops that compute for long without waiting whether to go on: OK, CANCELLED or DEADLINE_EXCEEDED.
enum status task_check(void);
// Goes on in the next turn of the loop, after others had theirs and what has come in was read: for work that takes more
// than a fraction of a millisecond. Returns what task_check returns then.
enum status task_yield(void) MUST_CHECK;
// Begins a shield of the current task, or ends one. Shields nest. While there is one, cancellation does not end the
// task's waits (the deadline still does): for roll-backs and compensation.
void task_shield(bool shielded);

// Says on whose behalf the current task works: the hash of a caller's name, or 0 for no caller in particular, as at its
// start. Tasks that it starts inherit it. What is scarce, such as connections, is shared out fairly among callers.
void task_set_caller(uint64_t caller);
uint64_t task_caller(void);

// Sets a function that says whether what the current task makes would be taken now; NULL, as at its start, for always.
// Tasks that it starts do not inherit it.
void task_set_wanted(bool (*is_wanted)(void *arg), void *arg);
// Asks that function. What makes much, such as a list, asks before it begins, and refuses itself otherwise.
bool task_is_wanted(void);
// Tells whether the current task has been refused so since its start.
bool task_found_unwanted(void);

// Notes that the current task was refused what is scarce because all that want it are too many for this process,
// whoever asks: a refusal because of what its own caller has already is not noted.
void task_note_full(void);
// Tells whether that was noted since the task's start.
bool task_found_full(void);

// Why a task cannot do what it should, for the log. Both texts are static.
struct task_cause {
  enum status status;
  const char *text;  // "PostgreSQL cannot be reached"; NULL: nobody has said
  const char *what;  // what could not be done: a statement's name, for one; may be NULL
};
// Notes why what the current task has tried last ends with `cause.status`. Nothing is noted without a text.
void task_note_cause(struct task_cause cause);
// Returns why the current task ends with this status: what was noted last, if that was for the same status. Else, where
// it is DEADLINE_EXCEEDED, what the task has waited for last until its deadline.
struct task_cause task_find_cause(enum status status);

// ---- what a task has changed outside this process ----

// What the work of a task has done to the world: to rows of PostgreSQL, to another service. A reply says by it whether
// a failed call may be repeated. The order is that of raising: what nobody knows outweighs what is done.
enum task_effect {
  TASK_NO_EFFECT,       // nothing has happened
  TASK_EFFECT_DONE,     // something has happened for certain
  TASK_EFFECT_UNKNOWN,  // something was sent, and nobody knows whether it has happened
};

// Notes an effect of the current task; a lower one than before changes nothing. A task that it has started notes its
// effects for itself only.
void task_note_effect(enum task_effect effect);
// Returns the highest effect that the current task has noted since its start.
enum task_effect task_effect(void);

// ---- waiting for one event ----

// One event that one task waits for. A completion lies on the stack of the task that waits; a callback or another task
// finishes it once, on the loop's thread.
struct completion {
  struct task *waiter;
  const char *what;  // what is waited for, shown in lists of tasks: static text or NULL
  bool done;
  enum status status;
};
#define COMPLETION_INIT                                                                                                \
  {                                                                                                                    \
    0                                                                                                                  \
  }

void completion_finish(struct completion *completion, enum status status);
// Waits until the completion is finished and returns its status. A result that is there already is returned at once,
// even when the task is cancelled or its deadline has passed. Returns DEADLINE_EXCEEDED or CANCELLED when that comes
// first: then the caller must make sure that it is not finished after it has gone out of scope.
enum status completion_wait(struct completion *completion) MUST_CHECK;

enum status task_sleep_ms(uint64_t ms) MUST_CHECK;

// ---- a counting semaphore, first come first served ----

struct semaphore {
  size_t available;
  struct list waiters;
};
void semaphore_init(struct semaphore *semaphore, size_t available);
enum status semaphore_acquire(struct semaphore *semaphore) MUST_CHECK;
void semaphore_release(struct semaphore *semaphore);

// ---- CPU-bound work in the thread pool ----

// Runs `work(arg)` on a thread of the pool, under the task's log context, and waits until it is done. Work that has
// begun is waited for past the deadline, because `arg` usually lies on the stack, and the result is OK. Work that has
// not begun by then is dropped, and the reason is returned. At most 4 jobs run at a
// time; 32 more wait for each of these, and beyond that the result is RESOURCE_EXHAUSTED: under a flood some jobs are
// done in time rather than all too late.
enum status task_offload(void (*work)(void *arg), void *arg) MUST_CHECK;

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

// Frees the stacks of ended tasks that no task has needed since the last call.
void loop_trim_stacks(struct loop *loop);

#endif

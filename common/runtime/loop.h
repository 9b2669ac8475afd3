// The event loop of a service process: one thread, on libuv (whose types stay inside this folder). All callbacks run on
// the loop's thread and must not block.
#ifndef BULKHEAD_RUNTIME_LOOP_H
#define BULKHEAD_RUNTIME_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/list.h"
#include "common/base/status.h"

struct loop;

struct loop *loop_create(void);
// Runs until loop_stop, then to the end of the turn: runnable tasks and hooks still have theirs. May be run again.
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
// Tasks, watches, timers and look-ups that are left are an error of the caller (CHECK). Posts that did not run are
// dropped.
void loop_free(struct loop **loop);

// Time at the start of this turn of the loop, microseconds on the monotonic clock: cheap, and the same for all in a
// turn (outside loop_run it is the time now).
uint64_t loop_now_us(const struct loop *loop);

// Counts the turns. Whatever has come in before a task runs, has come in before this turn's tasks began.
uint64_t loop_turn(const struct loop *loop);

// ---- file descriptors ----

enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
struct loop_watch;
// `ready(arg, events)` while fd is ready (level-triggered). `events` 0 watches nothing for now. The fd stays the
// caller's; it becomes non-blocking, and one watch at a time may have it. A broken connection is reported as all the
// events that are watched: read or write then tells the error. Never NULL.
struct loop_watch *loop_watch_fd(struct loop *loop, int fd, int events, void (*ready)(void *arg, int events),
                                 void *arg);
// Takes effect at the end of the turn, in one go; no callback for an event that is not wanted any more.
void loop_watch_change(struct loop_watch *watch, int events);
// Must come before close(fd). Nulls the pointer; no callback follows.
void loop_watch_end(struct loop_watch **watch);

// ---- timers ----

struct loop_timer;
// Not running yet.
struct loop_timer *loop_timer_create(struct loop *loop, void (*fired)(void *arg), void *arg);
// Fires once, `after_ms` from now; starting again moves it.
void loop_timer_start(struct loop_timer *timer, uint64_t after_ms);
void loop_timer_stop(struct loop_timer *timer);
// For `fired`: something held up the loop, so that the timer fires late, and what has come in meanwhile may not have
// been looked at.
bool loop_timer_is_late(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

// ---- the end of a turn ----

// A hook runs at least once a turn, before the loop waits for events, after all callbacks and runnable tasks
// of the turn; what is collected in a turn (RPC frames, SQL) is sent from here.
struct loop_hook {
  struct list node;  // private
  void (*run)(void *arg);
  void *arg;
};
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop_hook *hook);

// ---- signals ----

// Calls `caught(arg, number)` on the loop's thread. Kept until the loop is freed.
void loop_on_signal(struct loop *loop, int number, void (*caught)(void *arg, int number), void *arg);

// ---- from any thread: `run(arg)` soon on the loop's thread ----

void loop_post(struct loop *loop, void (*run)(void *arg), void *arg);

#endif

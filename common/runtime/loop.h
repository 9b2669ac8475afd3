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

// Creates a loop; never NULL. The thread that calls loop_run owns it.
struct loop *loop_create(void);
// Runs the loop until loop_stop, then finishes the turn: runnable tasks and hooks still run. May be called again
// afterwards.
void loop_run(struct loop *loop);
// Lets loop_run return at the end of this turn. Must be called on the loop's thread.
void loop_stop(struct loop *loop);
// Frees the loop and nulls the pointer; accepts NULL in it. The caller must have ended all tasks, watches, timers and
// look-ups (CHECK). Posts that did not run are dropped.
void loop_free(struct loop **loop);

// Returns the time at the start of this turn of the loop, in microseconds on the monotonic clock: cheap, and the same
// for all in a turn. Outside loop_run it is the time now.
uint64_t loop_now_us(const struct loop *loop);

// ---- file descriptors ----

enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
struct loop_watch;
// Calls `ready(arg, events)` while fd is ready (level-triggered). `events` 0 watches nothing for now. The fd stays the
// caller's; it becomes non-blocking, and one watch at a time may have it. A broken connection is reported as all the
// events that are watched: read or write then tells the error. Never returns NULL.
struct loop_watch *loop_watch_fd(struct loop *loop, int fd, int events, void (*ready)(void *arg, int events),
                                 void *arg);
// Changes the events that are watched. libuv learns of it at the end of the turn, but no callback comes for an event
// that is not wanted any more.
void loop_watch_change(struct loop_watch *watch, int events);
// Ends a watch; no callback follows. Must come before close(fd). Nulls the pointer and accepts NULL in it.
void loop_watch_end(struct loop_watch **watch);

// ---- timers ----

struct loop_timer;
// Creates a timer that is not running yet; it calls `fired(arg)` on the loop's thread. Never returns NULL.
struct loop_timer *loop_timer_create(struct loop *loop, void (*fired)(void *arg), void *arg);
// Lets the timer fire once, `after_ms` from now; starting it again moves it.
void loop_timer_start(struct loop_timer *timer, uint64_t after_ms);
// Stops the timer; `fired` is not called until it is started again.
void loop_timer_stop(struct loop_timer *timer);
// Returns true inside `fired` when something held up the loop and the timer fires late: input that has come meanwhile
// may not have been read yet.
bool loop_timer_is_late(const struct loop_timer *timer);
// Stops and frees the timer. Nulls the pointer and accepts NULL in it.
void loop_timer_free(struct loop_timer **timer);

// ---- the end of a turn ----

// A hook runs at least once a turn, before the loop waits for events, after all callbacks and runnable tasks
// of the turn; what is collected in a turn (RPC frames, SQL) is sent from here.
struct loop_hook {
  struct list node;  // private to the loop
  void (*run)(void *arg);
  void *arg;
};
// Adds a hook, which the caller owns and must remove before its memory goes. It runs in this turn already.
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop_hook *hook);

// ---- signals ----

// Calls `caught(arg, number)` on the loop's thread for each signal, until the loop is freed.
void loop_on_signal(struct loop *loop, int number, void (*caught)(void *arg, int number), void *arg);

// ---- posts from other threads ----

// Calls `run(arg)` on the loop's thread, soon and once. Any thread may call it, as long as the loop lives.
void loop_post(struct loop *loop, void (*run)(void *arg), void *arg);

#endif

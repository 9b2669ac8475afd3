// File descriptors on libuv's uv_poll. Changes are collected and passed to libuv once, right before it polls: turning
// "writable" on and off within a turn costs nothing, whereas each uv_poll_start makes two system calls.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/runtime/loop_internal.h"

struct loop_watch {
  uv_poll_t poll;
  struct loop *loop;
  int events;        // what the owner wants
  int known_events;  // what libuv was last told
  struct list changed;
  void (*ready)(void *arg, int events);
  void *arg;
};

static void report_ready(uv_poll_t *poll, int result, int events);

static void apply_watch(struct loop_watch *watch)
{
  if (watch->events == watch->known_events)
    return;
  watch->known_events = watch->events;
  if (watch->events == 0)
    CHECK(uv_poll_stop(&watch->poll) == 0);
  else
    CHECK(uv_poll_start(&watch->poll, watch->events, report_ready) == 0);
}

void watches_apply(struct loop *loop)
{
  while (!list_empty(&loop->changed_watches)) {
    struct loop_watch *watch = CONTAINER_OF(loop->changed_watches.next, struct loop_watch, changed);
    list_remove(&watch->changed);
    apply_watch(watch);
  }
}

static void mark_changed(struct loop_watch *watch)
{
  if (list_empty(&watch->changed))
    list_append(&watch->loop->changed_watches, &watch->changed);
}

static void report_ready(uv_poll_t *poll, int result, int events)
{
  struct loop_watch *watch = CONTAINER_OF(poll, struct loop_watch, poll);
  if (result < 0) {
    // libuv stops at an error of the descriptor; the owner learns what it is from read or write.
    watch->known_events = 0;
    mark_changed(watch);
    events = watch->events;
  }
  events &= watch->events;
  if (events != 0)
    watch->ready(watch->arg, events);
}

struct loop_watch *loop_watch_fd(struct loop *loop, int fd, int events, void (*ready)(void *arg, int events), void *arg)
{
  _Static_assert((int)LOOP_READABLE == (int)UV_READABLE && (int)LOOP_WRITABLE == (int)UV_WRITABLE, "same bits");
  struct loop_watch *watch = calloc(1, sizeof *watch);
  CHECK(watch != NULL);
  watch->loop = loop;
  watch->events = events;
  watch->ready = ready;
  watch->arg = arg;
  list_init(&watch->changed);
  CHECK(uv_poll_init(&loop->uv, &watch->poll, fd) == 0);
  mark_changed(watch);
  loop->watch_count++;
  return watch;
}

void loop_watch_change(struct loop_watch *watch, int events)
{
  if (watch->events == events)
    return;
  watch->events = events;
  mark_changed(watch);
}

static void free_watch(uv_handle_t *handle)
{
  free(CONTAINER_OF(handle, struct loop_watch, poll));
}

void loop_watch_end(struct loop_watch **watch)
{
  struct loop_watch *ended = *watch;
  if (ended == NULL)
    return;
  *watch = NULL;
  list_remove(&ended->changed);
  ended->loop->watch_count--;
  // The descriptor leaves the poll set at once, only the handle's memory is freed later.
  uv_close((uv_handle_t *)&ended->poll, free_watch);
}

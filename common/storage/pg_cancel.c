// Cancelling a statement in the server. PQcancel opens a connection of its own and blocks until the server has closed
// it, which is after the signal was sent. A thread runs it, and an eventfd tells the loop. Until then the pool lends
// the connection to nobody, because a late cancel would hit another task's statement.
//
// A pipelined connection is different: what a cancel request hits there is a read, which can be retried. So an
// abandoned read is cancelled when the server is busy with its group; one that still waits behind others is looked at
// again. Most reads take less time than a cancel request, so the first look comes only after a while.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/thread.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

// How long the server may take to end the statement before it is asked again.
enum { CANCEL_AGAIN_MS = 50 };
// How long an abandoned read may take before it is cancelled.
enum { CANCEL_READ_AFTER_MS = 25 };
// How long the end of a pool waits for a cancel request on its way, so that the statement does not go on in the server.
enum { LEAVE_PATIENCE_MS = 100 };

// A cancel request on its way. The loop and the thread own it together: the last to leave frees it. So a server that is
// frozen holds up nobody.
struct pg_cancel {
  atomic_int owners;
  PGcancel *request;
  int done_fd;
  struct loop_watch *watch;
};

static void free_cancel(struct pg_cancel *cancel)
{
  if (cancel->done_fd >= 0)
    close(cancel->done_fd);
  PQfreeCancel(cancel->request);
  free(cancel);
}

static void drop_share(struct pg_cancel *cancel)
{
  if (atomic_fetch_sub(&cancel->owners, 1) == 1)
    free_cancel(cancel);
}

static void *deliver_cancel(void *arg)
{
  struct pg_cancel *cancel = arg;
  char reason[256];
  // A failure needs no handling, because statement_timeout ends the statement.
  (void)PQcancel(cancel->request, reason, sizeof(reason));
  uint64_t one = 1;
  ssize_t written = write(cancel->done_fd, &one, sizeof(one));
  CHECK(written == sizeof(one));
  drop_share(cancel);
  return NULL;
}

static void leave_cancel(struct pg_connection *c)
{
  struct pg_cancel *cancel = c->cancel;
  c->cancel = NULL;
  loop_watch_end(&cancel->watch);
  drop_share(cancel);
}

void pg_cancel_leave(struct pg_connection *c)
{
  if (c->cancel == NULL)
    return;
  struct pollfd done = {.fd = c->cancel->done_fd, .events = POLLIN};
  (void)poll(&done, 1, LEAVE_PATIENCE_MS);
  leave_cancel(c);
}

static void schedule_cancel(struct pg_connection *c, uint64_t after_ms)
{
  if (c->state != PG_OPEN || c->cancel_scheduled)
    return;
  c->cancel_scheduled = true;
  loop_timer_start(c->reconnect.timer, after_ms);
}

void pg_cancel_stop(struct pg_connection *c)
{
  c->cancel_scheduled = false;
  loop_timer_stop(c->reconnect.timer);
}

static void handle_delivered(void *arg, int events)
{
  struct pg_connection *c = arg;
  (void)events;
  leave_cancel(c);
  c->cancelled_us = clock_now_us();
  if (c->pool == NULL) {
    pg_cancel_abandoned(c);
    return;
  }
  // The server ignores a cancel request that reaches it before the statement does.
  if (c->command_count > 0)
    schedule_cancel(c, CANCEL_AGAIN_MS);
  pg_pool_progress(c);
}

static bool start_thread(struct pg_cancel *cancel)
{
  pthread_t thread;
  if (!thread_start(&thread, deliver_cancel, cancel))
    return false;
  pthread_detach(thread);
  return true;
}

void pg_cancel_start(struct pg_connection *c)
{
  if (c->cancel != NULL || c->state != PG_OPEN)
    return;
  struct pg_cancel *cancel = calloc(1, sizeof(*cancel));
  CHECK(cancel != NULL);
  atomic_init(&cancel->owners, 2);
  cancel->request = PQgetCancel(c->conn);
  cancel->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (cancel->request == NULL || cancel->done_fd < 0 || !start_thread(cancel)) {
    log_error("postgres", "cannot cancel an overdue statement; statement_timeout will end it",
              LOG_STRING("reason", strerror(errno)));
    free_cancel(cancel);
    return;
  }
  c->cancel = cancel;
  cancel->watch = loop_watch_fd(c->pg->loop, cancel->done_fd, LOOP_READABLE, handle_delivered, c);
  metric_add(c->pg->cancels, 1);
}

// ---- on pipelined connections ----

static const struct pg_command *command_at(const struct pg_connection *c, size_t place)
{
  return &c->commands[(c->first_command + place) & (c->command_capacity - 1)];
}

static bool is_abandoned(const struct pg_request *request)
{
  return request != NULL && request->state == PG_REQUEST_ABANDONED;
}

// Tells whether the server may be busy with an abandoned read. It sends the results of a group with the group's Sync,
// so every read of the first group may be the one.
static bool runs_abandoned(const struct pg_connection *c)
{
  for (size_t i = 0; i < c->command_count; i++) {
    if (is_abandoned(command_at(c, i)->request))
      return true;
    if (command_at(c, i)->kind == PG_COMMAND_SYNC)
      return false;
  }
  return false;
}

void pg_cancel_abandoned(struct pg_connection *c)
{
  if (c->cancel != NULL)
    return;
  for (size_t i = 0; i < c->command_count; i++)
    if (is_abandoned(command_at(c, i)->request)) {
      schedule_cancel(c, CANCEL_READ_AFTER_MS);
      return;
    }
}

void pg_cancel_continue(struct pg_connection *c)
{
  c->cancel_scheduled = false;
  if (c->pool != NULL ? c->command_count > 0 : runs_abandoned(c))
    pg_cancel_start(c);
  else if (c->pool == NULL)
    pg_cancel_abandoned(c);
}

// One connection: looking up the host's name and connecting without blocking, breaking, and trying again with back-off
// and jitter.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 2000 };

// ---- the socket ----

static void socket_unwatch(struct pg_connection *c)
{
  if (c->watch == NULL)
    return;
  loop_watch_end(&c->watch);
  close(c->fd);
  c->fd = -1;
}

static void socket_ready(void *arg, int events);

static void socket_watch(struct pg_connection *c, int events)
{
  if (c->watch != NULL) {
    if (c->watched_events != events)
      loop_watch_change(c->watch, events);
  } else {
    c->fd = fcntl(PQsocket(c->conn), F_DUPFD_CLOEXEC, 0);
    CHECK(c->fd >= 0);
    c->watch = loop_watch_fd(c->pg->loop, c->fd, events, socket_ready, c);
  }
  c->watched_events = events;
}

void pg_connection_watch(struct pg_connection *c, bool writable)
{
  socket_watch(c, writable ? LOOP_READABLE | LOOP_WRITABLE : LOOP_READABLE);
}

// ---- life ----

// "connection to server ... failed: ...\n\tIs the server running ...\n" -> its first line.
static struct slice first_line(const char *reason)
{
  struct slice text = slice_from_string(reason);
  text.size = slice_find(text, '\n', 0);
  return text;
}

static void close_connection(struct pg_connection *c)
{
  loop_resolve_cancel(&c->resolve);
  socket_unwatch(c);
  loop_timer_stop(c->timer);
  if (c->conn != NULL)
    PQfinish(c->conn);
  c->conn = NULL;
  free(c->prepared);
  c->prepared = NULL;
  c->prepared_count = 0;
  c->state = PG_CLOSED;
}

static void try_later(struct pg_connection *c)
{
  c->resting = true;
  loop_timer_start(c->timer, backoff_next_ms(&c->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
}

void pg_connection_break(struct pg_connection *c, const char *reason)
{
  struct pg *pg = c->pg;
  struct slice line = first_line(reason);
  if (c->state == PG_OPEN) {
    log_warn("postgres", "connection lost", LOG_SLICE("reason", line), LOG_INT("underWay", c->in_flight));
    metric_add(pg->connections, -1);
  } else {
    // Once for an outage, not for each attempt.
    enum log_level level = c->failures++ == 0 ? LOG_WARN : LOG_DEBUG;
    LOG_AT(level, "postgres", "cannot connect, will try again", LOG_SLICE("reason", line));
    metric_add(pg->connects_failed, 1);
  }
  bool was_open = c->state == PG_OPEN;
  close_connection(c);
  pg_pipeline_fail(c);
  if (c->use == PG_SHARED || !was_open)
    try_later(c);
  if (c->use != PG_SHARED)
    pg_exclusive_progress(c);
}

static void opened(struct pg_connection *c)
{
  if (PQsetnonblocking(c->conn, 1) != 0 || PQenterPipelineMode(c->conn) != 1) {
    pg_connection_break(c, PQerrorMessage(c->conn));
    return;
  }
  loop_timer_stop(c->timer);
  c->state = PG_OPEN;
  if (c->failures > 0)
    log_info("postgres", "connected again", LOG_INT("failures", c->failures));
  c->failures = 0;
  c->backoff_ms = 0;
  socket_watch(c, LOOP_READABLE);
  metric_add(c->pg->connects_ok, 1);
  metric_add(c->pg->connections, 1);
  if (c->use == PG_SHARED)
    pg_became_ready(c->pg);
  else
    pg_exclusive_progress(c);
}

static void connect_step(struct pg_connection *c)
{
  // libpq may go on to another address with another socket.
  socket_unwatch(c);
  switch (PQconnectPoll(c->conn)) {
  case PGRES_POLLING_OK:
    opened(c);
    break;
  case PGRES_POLLING_READING:
    socket_watch(c, LOOP_READABLE);
    break;
  case PGRES_POLLING_WRITING:
    socket_watch(c, LOOP_WRITABLE);
    break;
  default:
    pg_connection_break(c, PQerrorMessage(c->conn));
    break;
  }
}

static void socket_ready(void *arg, int events)
{
  struct pg_connection *c = arg;
  (void)events;  // libpq writes what is left when it reads, so both are the same to us
  if (c->state == PG_CONNECTING)
    connect_step(c);
  else
    pg_pipeline_receive(c);
}

static void ignore_notice(void *arg, const char *message)
{
  (void)arg;
  (void)message;
}

// libpq looks up nothing here, but for what pg_conninfo.c leaves to it.
static void start_connecting(struct pg_connection *c)
{
  c->conn = PQconnectStartParams((const char *const *)c->pg->keywords, (const char *const *)c->pg->values, 0);
  CHECK(c->conn != NULL);  // out of memory
  if (PQstatus(c->conn) == CONNECTION_BAD) {
    pg_connection_break(c, PQerrorMessage(c->conn));
    return;
  }
  PQsetNoticeProcessor(c->conn, ignore_notice, NULL);
  socket_watch(c, LOOP_WRITABLE);
}

static void resolved(void *arg, const struct address_list *found, const char *reason)
{
  struct pg_connection *c = arg;
  c->resolve = NULL;
  if (found->count == 0) {
    pg_connection_break(c, reason);
    return;
  }
  // The time may end at an address that swallows what is sent to it: the next attempt begins with the one behind.
  pg_conninfo_resolved(c->pg, found, c->failures);
  start_connecting(c);
}

void pg_connection_open(struct pg_connection *c)
{
  struct pg *pg = c->pg;
  CHECK(c->state == PG_CLOSED);
  c->state = PG_CONNECTING;
  c->excused = false;
  if (pg->malformed != NULL) {
    pg_connection_break(c, pg->malformed);
    return;
  }
  loop_timer_start(c->timer, PG_CONNECT_TIMEOUT_MS);
  if (pg->host_name == NULL) {
    start_connecting(c);
    return;
  }
  c->resolve = loop_resolve_start(pg->loop, pg->host_name, resolved, c);
  if (c->resolve == NULL)
    pg_connection_break(c, "the host of the connection string cannot be a host name");
}

static void timer_fired(void *arg)
{
  struct pg_connection *c = arg;
  c->resting = false;
  if (c->state == PG_CONNECTING && !c->excused && loop_timer_is_late(c->timer)) {
    // Perhaps the server did answer, and it was we who did not listen.
    c->excused = true;
    loop_timer_start(c->timer, PG_CONNECT_TIMEOUT_MS);
  } else if (c->state == PG_CONNECTING) {
    pg_connection_break(c, c->resolve != NULL ? "the look-up of the host name takes too long" : "no answer in time");
  } else if (c->use == PG_SHARED) {
    pg_connection_open(c);
  } else {
    pg_exclusive_progress(c);
  }
}

void pg_connection_init(struct pg_connection *c, struct pg *pg, enum pg_use use)
{
  *c = (struct pg_connection){.pg = pg, .use = use, .fd = -1};
  c->timer = loop_timer_create(pg->loop, timer_fired, c);
}

void pg_connection_destroy(struct pg_connection *c)
{
  pg_cancel_join(c);
  if (c->state == PG_OPEN)
    metric_add(c->pg->connections, -1);
  close_connection(c);
  pg_pipeline_fail(c);
  loop_timer_free(&c->timer);
  free(c->steps);
}

// One connection: resolving the host's name and connecting without blocking, breaking, and connecting again.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_channel_internal.h"
#include "common/storage/pg_internal.h"
#include "common/storage/pg_vanished_internal.h"

// ---- the socket ----

static void unwatch_socket(struct pg_connection *c)
{
  if (c->watch == NULL)
    return;
  loop_watch_end(&c->watch);
  close(c->fd);
  c->fd = -1;
}

static void handle_socket(void *arg, int events);

static void watch_socket(struct pg_connection *c, int events)
{
  if (c->watch != NULL) {
    if (c->watched_events != events)
      loop_watch_change(c->watch, events);
  } else {
    c->fd = fcntl(PQsocket(c->conn), F_DUPFD_CLOEXEC, 0);
    CHECK(c->fd >= 0);
    c->watch = loop_watch_fd(c->pg->loop, c->fd, events, handle_socket, c);
  }
  c->watched_events = events;
}

void pg_connection_watch(struct pg_connection *c, bool writable)
{
  watch_socket(c, writable ? LOOP_READABLE | LOOP_WRITABLE : LOOP_READABLE);
}

// ---- states ----

bool pg_connection_established(const struct pg_connection *c)
{
  return c->state == PG_OPEN || c->state == PG_FAILING;
}

// The one place that changes a connection's state.
static void enter_state(struct pg_connection *c, enum pg_connection_state state)
{
  bool was_established = pg_connection_established(c);
  c->state = state;
  bool is_established = pg_connection_established(c);
  if (is_established == was_established)
    return;
  metric_add(c->pg->connections, is_established ? 1 : -1);
  pg_show_ready(c->pg);
}

bool pg_connection_usable(const struct pg_connection *c)
{
  return c->state == PG_OPEN && c->leaving == NULL;
}

void pg_connection_fail(struct pg_connection *c)
{
  if (c->state == PG_OPEN)
    enter_state(c, PG_FAILING);
}

void pg_connection_leave(struct pg_connection *c, const char *reason)
{
  if (c->fd < 0 || c->leaving != NULL)
    return;
  c->leaving = reason;
  (void)shutdown(c->fd, SHUT_RDWR);
}

// ---- breaking ----

// Cuts libpq's text ("connection to server ... failed: ...\n\tIs the server running ...\n") after its first line.
static struct slice first_line(const char *reason)
{
  struct slice text = slice_from_string(*reason == '\0' ? "libpq gives none" : reason);
  text.size = slice_find(text, '\n', 0);
  return text;
}

static void close_connection(struct pg_connection *c)
{
  loop_resolve_cancel(&c->resolve);
  unwatch_socket(c);
  if (c->reconnect.timer != NULL)
    loop_timer_stop(c->reconnect.timer);
  c->cancel_scheduled = false;
  if (c->conn != NULL)
    PQfinish(c->conn);
  c->conn = NULL;
  c->leaving = NULL;
  free(c->prepared);
  c->prepared = NULL;
  c->prepared_count = 0;
  enter_state(c, PG_CLOSED);
}

static void log_break(struct pg_connection *c, const char *reason)
{
  struct slice line = first_line(reason);
  if (pg_connection_established(c)) {
    log_warn("postgres", "connection lost; statements in flight on it fail or are retried", LOG_SLICE("reason", line),
             LOG_INT("inFlight", c->in_flight));
    return;
  }
  (void)reconnect_count_failure(&c->reconnect);
  if (!pg_places_has_more(c->pg, c->reconnect.failures))
    pg_outage_note_failure(c->pg, line);
  else if (c->pg->outage.failures == 0)
    log_info("postgres", "a host of PG_CONNINFO cannot be used; the next one is tried", LOG_SLICE("reason", line));
  metric_add(c->pg->connects_failed, 1);
}

// Tells whether the connection is kept for ever, and so opened again as soon as it can be.
static bool is_permanent(const struct pg_connection *c)
{
  return c->use == PG_PIPELINED || c->use == PG_LISTENING || c->use == PG_PROBING;
}

// Tells whether the next attempt should go elsewhere. A server that says why it ends a connection is still there.
static bool is_place_lost(const struct pg_connection *c, const char *reason)
{
  return !pg_connection_established(c) || strstr(reason, "FATAL") == NULL;
}

// Tries the next place at once, and pauses where all have been tried.
static void schedule_attempt(struct pg_connection *c)
{
  enter_state(c, PG_BACKING_OFF);
  if (pg_places_has_more(c->pg, c->reconnect.failures))
    loop_timer_start(c->reconnect.timer, 0);
  else
    reconnect_back_off(&c->reconnect);
}

void pg_connection_break(struct pg_connection *c, const char *reason)
{
  bool was_established = pg_connection_established(c);
  bool has_vanished = was_established && c->leaving == NULL && pg_vanished_is_why(reason);
  if (c->leaving != NULL)
    reason = c->leaving;
  if (is_place_lost(c, reason))
    pg_places_fail(c->pg, c->turn);
  log_break(c, reason);
  close_connection(c);
  if (c->pg->unready_since_us == 0 && !pg_is_connected(c->pg))
    c->pg->unready_since_us = loop_now_us(c->pg->loop);
  if (has_vanished)
    pg_vanished_leave(c->pg, c->turn);
  pg_pipeline_fail(c);
  // A connection of a pool that was lost is opened again when a task needs it.
  if (is_permanent(c) || !was_established) {
    schedule_attempt(c);
  }
  if (c->use == PG_LISTENING)
    pg_channel_lost(c);
  else if (c->use == PG_PROBING)
    pg_probe_lost(c);
  else if (c->use != PG_PIPELINED)
    pg_pool_progress(c);
}

// ---- connecting ----

static void finish_connecting(struct pg_connection *c)
{
  if (PQsetnonblocking(c->conn, 1) != 0 || PQenterPipelineMode(c->conn) != 1) {
    pg_connection_break(c, PQerrorMessage(c->conn));
    return;
  }
  bool was_connected = pg_is_connected(c->pg);
  if (was_connected || c->use == PG_PIPELINED)
    pg_outage_note_success(c->pg, was_connected);
  reconnect_succeed(&c->reconnect);
  enter_state(c, PG_OPEN);
  watch_socket(c, LOOP_READABLE);
  metric_add(c->pg->connects_ok, 1);
  if (c->use == PG_PIPELINED) {
    c->pg->unready_since_us = 0;
    pg_probe_start(&c->pg->probe);
    pg_became_ready(c->pg);
  } else if (c->use == PG_LISTENING)
    pg_channel_connected(c);
  else if (c->use == PG_PROBING)
    pg_probe_connected(c);
  else
    pg_pool_connected(c);
}

static void continue_connecting(struct pg_connection *c)
{
  // libpq may go on to another address with another socket, which nobody has asked to leave.
  unwatch_socket(c);
  c->leaving = NULL;
  PostgresPollingStatusType next = PQconnectPoll(c->conn);
  if (c->state == PG_REACHING && PQstatus(c->conn) != CONNECTION_STARTED) {
    enter_state(c, PG_CONNECTING);
    reconnect_begin_attempt(&c->reconnect);
  }
  switch (next) {
  case PGRES_POLLING_OK:
    finish_connecting(c);
    break;
  case PGRES_POLLING_READING:
    watch_socket(c, LOOP_READABLE);
    break;
  case PGRES_POLLING_WRITING:
    watch_socket(c, LOOP_WRITABLE);
    break;
  default:
    pg_connection_break(c, PQerrorMessage(c->conn));
    break;
  }
}

static void handle_socket(void *arg, int events)
{
  struct pg_connection *c = arg;
  (void)events;  // libpq writes what is left when it reads, so both events are handled alike
  if (c->state == PG_REACHING || c->state == PG_CONNECTING)
    continue_connecting(c);
  else
    pg_pipeline_receive(c);
}

static void ignore_notice(void *arg, const char *message)
{
  (void)arg;
  (void)message;
}

void pg_ignore_notices(PGconn *conn)
{
  PQsetNoticeProcessor(conn, ignore_notice, NULL);
}

// Starts libpq on its own. It resolves no name here, except those that pg_places.c leaves to it.
static void start_connecting(struct pg_connection *c)
{
  enter_state(c, PG_REACHING);
  loop_timer_start(c->reconnect.timer, PG_REACH_TIMEOUT_MS);
  c->conn = PQconnectStartParams((const char *const *)c->pg->keywords, (const char *const *)c->pg->values, 0);
  CHECK(c->conn != NULL);  // out of memory
  if (PQstatus(c->conn) == CONNECTION_BAD) {
    pg_connection_break(c, PQerrorMessage(c->conn));
    return;
  }
  pg_ignore_notices(c->conn);
  watch_socket(c, LOOP_WRITABLE);
}

static void handle_resolved(void *arg, const struct address_list *found, const char *reason)
{
  struct pg_connection *c = arg;
  c->resolve = NULL;
  if (found->count == 0) {
    pg_connection_break(c, reason);
    return;
  }
  pg_places_aim(c->pg, c->turn, found);
  start_connecting(c);
}

static void start_resolving(struct pg_connection *c)
{
  enter_state(c, PG_RESOLVING);
  c->resolve = loop_resolve_start(c->pg->loop, pg_places_name(c->pg, c->turn), handle_resolved, c);
  if (c->resolve == NULL)
    pg_connection_break(c, "the host of the connection string cannot be a host name");
}

void pg_connection_open(struct pg_connection *c)
{
  CHECK(c->state == PG_CLOSED || c->state == PG_BACKING_OFF);
  if (c->pg->malformed != NULL) {
    pg_connection_break(c, c->pg->malformed);
    return;
  }
  pg_conninfo_read_password(c->pg);
  reconnect_begin_attempt(&c->reconnect);
  c->turn = c->pg->turn;
  if (pg_places_name(c->pg, c->turn) != NULL) {
    start_resolving(c);
    return;
  }
  pg_places_aim(c->pg, c->turn, NULL);
  start_connecting(c);
}

static void give_up_attempt(struct pg_connection *c)
{
  if (c->state == PG_RESOLVING) {
    pg_connection_break(c, "resolving the host name took too long");
    return;
  }
  bool has_vanished = c->state == PG_REACHING;
  char reason[256];
  snprintf(reason, sizeof(reason), "connection to \"%s\", port %s: %s", PQhost(c->conn), PQport(c->conn),
           has_vanished ? "the host did not accept the connection in time" : "the server did not answer in time");
  pg_connection_break(c, reason);
  if (has_vanished)
    pg_vanished_leave(c->pg, c->turn);
}

static void handle_timer(void *arg)
{
  struct pg_connection *c = arg;
  if (pg_connection_established(c)) {
    pg_cancel_continue(c);
    return;
  }
  if (c->state == PG_RESOLVING || c->state == PG_REACHING || c->state == PG_CONNECTING) {
    if (!reconnect_extend_attempt(&c->reconnect))
      give_up_attempt(c);
    return;
  }
  if (is_permanent(c)) {
    pg_connection_open(c);
    return;
  }
  enter_state(c, PG_CLOSED);
  pg_pool_progress(c);
}

void pg_connection_init(struct pg_connection *c, struct pg *pg, enum pg_connection_use use)
{
  *c = (struct pg_connection){.pg = pg, .use = use, .fd = -1};
  list_init(&c->node);
  list_append(&pg->all, &c->node);
  reconnect_init(&c->reconnect, pg->loop, PG_CONNECT_TIMEOUT_MS, handle_timer, c);
}

void pg_connection_destroy(struct pg_connection *c)
{
  list_remove(&c->node);
  pg_cancel_leave(c);
  close_connection(c);
  pg_pipeline_fail(c);
  reconnect_clear(&c->reconnect);
  free(c->commands);
  c->commands = NULL;
}

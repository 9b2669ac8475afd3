// Notices that the server does not answer although its connections stay open: it is stopped, or it waits for a disk.
// An empty statement travels every second on a connection of its own. It needs no lock and no row, so a slow statement
// or a locked table does not delay it.
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

enum { ASK_EVERY_MS = 1000, ANSWER_WITHIN_MS = 2000 };

static const struct pg_statement PROBE = {.name = "probe", .sql = "SELECT"};

// The one place that changes the state.
static void enter_state(struct pg_probe *probe, enum pg_probe_state state)
{
  probe->state = state;
  if (state == PG_PROBE_SILENT || !pg_connection_established(&probe->connection))
    loop_timer_stop(probe->timer);
  else
    loop_timer_start(probe->timer, state == PG_PROBE_ASKED ? ANSWER_WITHIN_MS : ASK_EVERY_MS);
  pg_show_ready(probe->connection.pg);
}

static struct pg_probe *probe_of(struct pg_connection *c)
{
  CHECK(c->use == PG_PROBING);
  return CONTAINER_OF(c, struct pg_probe, connection);
}

static void note_silence(struct pg_probe *probe)
{
  enter_state(probe, PG_PROBE_SILENT);
  probe->silent_since_us = clock_now_us() - ANSWER_WITHIN_MS * UINT64_C(1000);
  log_warn("postgres",
           "PostgreSQL has not answered an empty statement, though its connections are open; until it answers this "
           "instance refuses what needs PostgreSQL; see whether the server is stopped, overloaded or "
           "waits for its disk",
           LOG_INT("silentMs", ANSWER_WITHIN_MS));
}

static void note_answer(struct pg_probe *probe)
{
  enter_state(probe, PG_PROBE_IDLE);
  if (probe->silent_since_us == 0)
    return;
  log_info("postgres", "PostgreSQL answers again",
           LOG_INT("silentMs", (clock_now_us() - probe->silent_since_us) / 1000));
  probe->silent_since_us = 0;
  pg_became_ready(probe->connection.pg);
}

// Takes the outcome of a probe. An error is an answer, too, unless the connection is gone; pg_probe_lost follows then.
static void handle_answer(void *arg, enum status status)
{
  struct pg_probe *probe = arg;
  (void)status;
  if (pg_connection_established(&probe->connection))
    note_answer(probe);
}

static void ask(struct pg_probe *probe)
{
  struct pg_connection *c = &probe->connection;
  struct pg_request *request = pg_request_create(c->pg, pg_find_statement(c->pg, &PROBE), PG_SINGLE, NULL);
  request->finished = handle_answer;
  request->finished_arg = probe;
  enter_state(probe, PG_PROBE_ASKED);
  pg_pipeline_send(c, request);
  pg_request_enter(request, PG_REQUEST_ABANDONED);
  pg_pipeline_flush(c);
}

static void handle_timer(void *arg)
{
  struct pg_probe *probe = arg;
  struct pg_connection *c = &probe->connection;
  if (probe->state == PG_PROBE_ASKED && loop_timer_is_late(probe->timer))
    enter_state(probe, PG_PROBE_ASKED);  // this process was held up: the answer may be there, and was not read yet
  else if (probe->state == PG_PROBE_ASKED)
    note_silence(probe);
  else if (c->state == PG_OPEN)
    ask(probe);
}

void pg_probe_connected(struct pg_connection *c)
{
  ask(probe_of(c));
}

void pg_probe_lost(struct pg_connection *c)
{
  enter_state(probe_of(c), PG_PROBE_IDLE);
}

bool pg_probe_is_silent(const struct pg_probe *probe)
{
  return probe->state == PG_PROBE_SILENT;
}

void pg_probe_init(struct pg_probe *probe, struct pg *pg)
{
  pg_connection_init(&probe->connection, pg, PG_PROBING);
  probe->timer = loop_timer_create(pg->loop, handle_timer, probe);
}

void pg_probe_start(struct pg_probe *probe)
{
  if (probe->connection.state == PG_CLOSED)
    pg_connection_open(&probe->connection);
}

void pg_probe_destroy(struct pg_probe *probe)
{
  pg_connection_destroy(&probe->connection);
  loop_timer_free(&probe->timer);
}

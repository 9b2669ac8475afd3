#include "common/storage/pg_channel_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/storage/pg_internal.h"

enum channel_state {
  CHANNEL_DEAF,       // without a connection
  CHANNEL_LISTENING,  // LISTEN was sent
  CHANNEL_HEARING,    // LISTEN is committed
};

struct pg_channel {
  struct pg_connection connection;
  enum channel_state state;
  struct pg_channel_events events;
  char *name;
  const struct pg_statement *listen;
};

// The server makes the commits of all NOTIFYs wait for each other. Under load this takes longer than other statements
// may wait for a lock, and a lost channel would add all reads to the load. The commits do not wait for the disk,
// because a NOTIFY writes nothing that must survive: a server that crashes ends the channel, too.
static const struct pg_statement PREPARE_SESSION = {
    .name = "set the channel's session up",
    .sql = "SELECT set_config('lock_timeout', '0', false), set_config('synchronous_commit', 'off', false)"};
static const struct pg_statement NOTIFY = {.name = "NOTIFY", .sql = "SELECT pg_notify($1, $2)"};

static struct pg_channel *channel_of(struct pg_connection *c)
{
  CHECK(c->use == PG_LISTENING);
  return CONTAINER_OF(c, struct pg_channel, connection);
}

// The one place that changes the state.
static void enter_state(struct pg_channel *channel, enum channel_state state)
{
  bool was_hearing = channel->state == CHANNEL_HEARING;
  channel->state = state;
  bool is_hearing = state == CHANNEL_HEARING;
  if (was_hearing != is_hearing)
    channel->events.hearing(channel->events.arg, is_hearing);
}

// Sends a statement with the next flush. Its outcome goes to `finished`, or to nobody where that is NULL.
static void send_statement(struct pg_channel *channel, struct pg_execution *execution,
                           void (*finished)(void *arg, enum status status))
{
  struct pg_connection *c = &channel->connection;
  struct pg_request *request =
      pg_request_create(c->pg, pg_find_statement(c->pg, execution->statement), PG_SINGLE, execution);
  request->finished = finished;
  request->finished_arg = channel;
  pg_pipeline_send(c, request);
  pg_request_enter(request, PG_REQUEST_ABANDONED);
}

static void handle_listening(void *arg, enum status status)
{
  struct pg_channel *channel = arg;
  if (status == STATUS_OK)
    enter_state(channel, CHANNEL_HEARING);
  else
    pg_connection_fail(&channel->connection);
}

void pg_channel_connected(struct pg_connection *c)
{
  struct pg_channel *channel = channel_of(c);
  enter_state(channel, CHANNEL_LISTENING);
  struct pg_execution preparation = {.statement = &PREPARE_SESSION};
  send_statement(channel, &preparation, NULL);
  struct pg_execution listen = {.statement = channel->listen};
  send_statement(channel, &listen, handle_listening);
  pg_pipeline_flush(c);
}

void pg_channel_lost(struct pg_connection *c)
{
  enter_state(channel_of(c), CHANNEL_DEAF);
}

void pg_channel_deliver(struct pg_connection *c)
{
  struct pg_channel *channel = channel_of(c);
  PGnotify *notify;
  while ((notify = PQnotifies(c->conn)) != NULL) {
    channel->events.message(channel->events.arg, slice_from_string(notify->extra));
    PQfreemem(notify);
  }
}

static void handle_sent(void *arg, enum status status)
{
  struct pg_channel *channel = arg;
  if (channel->state == CHANNEL_HEARING)
    channel->events.sent(channel->events.arg, status);
  if (status != STATUS_OK)
    pg_connection_fail(&channel->connection);
}

bool pg_channel_send(struct pg_channel *channel, struct slice payload)
{
  CHECK(payload.size <= PG_CHANNEL_MAX_BYTES);
  if (channel->state != CHANNEL_HEARING || !pg_connection_usable(&channel->connection))
    return false;
  struct arena arena = {0};
  struct pg_params params;
  pg_params_init(&params, &arena);
  pg_add_text(&params, channel->name);
  pg_add_slice(&params, payload);
  struct pg_execution execution = {.statement = &NOTIFY, .params = &params, .arena = &arena};
  send_statement(channel, &execution, handle_sent);
  pg_pipeline_flush(&channel->connection);
  arena_free(&arena);
  return true;
}

static const struct pg_statement *make_listen(struct pg *pg, const char *channel)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_add_string(&sql, "LISTEN \"");
  for (const char *c = channel; *c != '\0'; c++) {
    if (*c == '"')
      strbuf_add_byte(&sql, '"');
    strbuf_add_byte(&sql, *c);
  }
  strbuf_add_byte(&sql, '"');
  const struct pg_statement *made = pg_make_statement(pg, strbuf_cstring(&sql), strbuf_cstring(&sql));
  strbuf_free(&sql);
  return made;
}

struct pg_channel *pg_channel_create(struct pg *pg, const char *name, const struct pg_channel_events *events)
{
  enum { MAX_NAME_BYTES = 63 };
  CHECK(strlen(name) <= MAX_NAME_BYTES);
  struct pg_channel *channel = calloc(1, sizeof(*channel));
  CHECK(channel != NULL);
  channel->events = *events;
  channel->name = memory_copy_string(name);
  channel->listen = make_listen(pg, name);
  pg_connection_init(&channel->connection, pg, PG_LISTENING);
  pg_connection_open(&channel->connection);
  return channel;
}

void pg_channel_free(struct pg_channel **channel)
{
  struct pg_channel *ended = *channel;
  if (ended == NULL)
    return;
  *channel = NULL;
  ended->state = CHANNEL_DEAF;  // nobody is told any more
  pg_connection_destroy(&ended->connection);
  free(ended->name);
  free(ended);
}

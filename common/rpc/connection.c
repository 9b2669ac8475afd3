#include "common/rpc/connection_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/observe/log.h"

// The most unacked packets on a connection. Further frames wait in the server, and leave in larger batches.
#define WINDOW_PACKETS 32

// ---- life ----

struct connection *connection_open(struct rpc_opened *opened, const struct connection_options *options)
{
  struct connection *connection = calloc(1, sizeof(*connection));
  CHECK(connection != NULL);
  connection->server = options->server;
  connection->number = options->number;
  list_init(&connection->requests);
  list_init(&connection->node);
  const struct sender_options sender = {
      .queue = &options->transport->sends, .max_in_flight = WINDOW_PACKETS, .packets = options->packets};
  const struct rpc_stream_options stream = {.transport = options->transport,
                                            .max_message_bytes = options->max_message_bytes,
                                            .with_clock = true,
                                            .on_readable = options->on_readable,
                                            .arg = connection};
  connection->stream = rpc_stream_open(opened, &stream);
  sender_init(&connection->sender, &sender);
  sender_open(&connection->sender, &connection->stream->port);
  log_debug("rpc", "a client has connected", LOG_INT("connection", connection->number));
  return connection;
}

void connection_close(struct connection **connection_pointer)
{
  struct connection *connection = *connection_pointer;
  *connection_pointer = NULL;
  CHECK(list_empty(&connection->requests));
  list_remove(&connection->node);
  sender_free(&connection->sender);
  rpc_stream_close(&connection->stream);
  free(connection);
}

// ---- state ----

// Changes the state and logs the change; nothing else writes the state.
static void set_state(struct connection *connection, enum connection_state state)
{
  static const char *const messages[] = {
      [CONNECTION_GOAWAY_SENT] = "told a client to send its calls to other instances",
      [CONNECTION_GOAWAY_ACKED] = "a client sends its calls to other instances now",
      [CONNECTION_ABANDONED] = "gave up a client that does not read its replies; it must connect again",
  };
  connection->state = state;
  LOG_AT(state == CONNECTION_ABANDONED ? LOG_WARN : LOG_DEBUG, "rpc", messages[state],
         LOG_INT("connection", connection->number), LOG_INT("unsentBytes", sender_unsent_bytes(&connection->sender)));
}

void connection_send_goaway(struct connection *connection)
{
  if (connection->state != CONNECTION_OPEN)
    return;
  struct rpc_frame frame = {.kind = RPC_FRAME_GOAWAY};
  (void)sender_add(&connection->sender, &frame);
  set_state(connection, CONNECTION_GOAWAY_SENT);
}

void connection_note_all_acked(struct connection *connection)
{
  if (connection->state == CONNECTION_GOAWAY_SENT)
    set_state(connection, CONNECTION_GOAWAY_ACKED);
}

void connection_abandon(struct connection *connection)
{
  set_state(connection, CONNECTION_ABANDONED);
  sender_close(&connection->sender);
}

bool connection_is_idle(const struct connection *connection, bool acked)
{
  if (connection->state == CONNECTION_ABANDONED)
    return true;
  if (acked)
    return sender_is_acked(&connection->sender);
  return sender_is_empty(&connection->sender);
}

#include "common/rpc/connection_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/observe/log.h"

// ---- table ----

void connection_table_init(struct connection_table *table)
{
  *table = (struct connection_table){0};
  list_init(&table->all);
}

void connection_table_free(struct connection_table *table)
{
  CHECK(list_empty(&table->all));
  hashtable_free(&table->by_pipe);
}

struct connection *connection_find(const struct connection_table *table, uint32_t pipe)
{
  struct hashtable_node *slot = hashtable_first(&table->by_pipe, hash_integers(pipe, 0));
  for (; slot != NULL; slot = hashtable_next(slot)) {
    struct connection *connection = CONTAINER_OF(slot, struct connection, slot);
    if (connection->pipe == pipe)
      return connection;
  }
  return NULL;
}

struct connection *connection_add(struct connection_table *table, const struct sender_options *options)
{
  struct connection *connection = calloc(1, sizeof(*connection));
  CHECK(connection != NULL);
  connection->pipe = options->pipe;
  list_init(&connection->requests);
  list_init(&connection->node);
  list_append(&table->all, &connection->node);
  hashtable_insert(&table->by_pipe, &connection->slot, hash_integers(connection->pipe, 0));
  struct sender_options own = *options;
  own.to_come = &connection->request_count;
  sender_init(&connection->sender, &own);
  sender_open(&connection->sender);
  return connection;
}

void connection_remove(struct connection_table *table, struct connection **connection_pointer)
{
  struct connection *connection = *connection_pointer;
  *connection_pointer = NULL;
  CHECK(list_empty(&connection->requests));
  hashtable_remove(&table->by_pipe, &connection->slot);
  list_remove(&connection->node);
  sender_free(&connection->sender);
  free(connection);
}

// ---- state ----

// Changes the state and logs the change; nothing else writes the state.
static void set_state(struct connection *connection, enum connection_state state)
{
  static const char *const messages[] = {
      [CONNECTION_STARTING] = "a client connects",
      [CONNECTION_OPEN] = "a client has connected",
      [CONNECTION_GOAWAY_SENT] = "told a client to send its calls to other instances",
      [CONNECTION_GOAWAY_ACKED] = "a client sends its calls to other instances now",
      [CONNECTION_ABANDONED] = "gave up a client that does not read its replies; it must connect again",
  };
  connection->state = state;
  LOG_AT(state == CONNECTION_ABANDONED ? LOG_WARN : LOG_DEBUG, "rpc", messages[state],
         LOG_INT("pipe", connection->pipe), LOG_INT("unsentBytes", sender_unsent_bytes(&connection->sender)));
}

void connection_set_started(struct connection *connection)
{
  if (connection->state == CONNECTION_STARTING)
    set_state(connection, CONNECTION_OPEN);
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
    return connection->state != CONNECTION_STARTING && sender_is_acked(&connection->sender);
  return sender_is_empty(&connection->sender);
}

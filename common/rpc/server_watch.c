// Looks at the connections of a server: clients that prove their names, that are accepted no longer, and that do not
// read.
#include "common/base/clock.h"
#include "common/rpc/greeting_internal.h"
#include "common/rpc/server_internal.h"

// The connections that may be open without a proof of the client's name: when another comes, the oldest is closed. A
// client of ours proves it with its first packet.
#define MAX_UNPROVEN_CONNECTIONS 256

// ---- clients that have not proven their names ----

// Closes the oldest connection without proof when there are too many. It is read first, because its hello may have come
// in this turn; after that it may be proven or closed.
static void limit_unproven(struct rpc_server *server)
{
  size_t count;
  struct connection *oldest = connection_find_unproven(&server->connections, &count);
  if (count <= MAX_UNPROVEN_CONNECTIONS)
    return;
  oldest->stream->readable = true;
  server_receive_packets(oldest);
  oldest = connection_find_unproven(&server->connections, &count);
  if (count <= MAX_UNPROVEN_CONNECTIONS)
    return;
  connection_refuse(oldest, "too many connections come without a hello");
  server_close_connection(server, oldest);
}

// Closes the connections that have not proven their clients' names in time, and notes when the next one is due.
static void expire_unproven(struct rpc_server *server)
{
  size_t count;
  struct connection *oldest;
  server->unproven_until_us = DEADLINE_NONE;
  while ((oldest = connection_find_unproven(&server->connections, &count)) != NULL) {
    uint64_t until_us = deadline_after_ms(oldest->opened_us, RPC_GREETING_TIMEOUT_MS);
    if (until_us > server->now_us) {
      server->unproven_until_us = until_us;
      return;
    }
    connection_refuse(oldest, "it has not shown a hello in time");
    server_close_connection(server, oldest);
  }
}

// ---- clients that are accepted no longer ----

void server_schedule_recheck(struct rpc_server *server)
{
  server->recheck_us = deadline_min(server->recheck_us, deadline_after_ms(server->now_us, RPC_RECHECK_MS));
}

// Looks whether all clients would still be let in, and closes revoked connections that are finished.
static void recheck_clients(struct rpc_server *server)
{
  const struct rpc_trust trust = {.tls = server->tls, .identity = server->options.identity};
  struct list *next;
  server->recheck_us = DEADLINE_NONE;
  for (struct list *node = server->connections.next; node != &server->connections; node = next) {
    next = node->next;
    struct connection *connection = CONTAINER_OF(node, struct connection, node);
    uint64_t due_us = connection_recheck(connection, &trust, server->now_us);
    if (due_us == 0)
      server_close_connection(server, connection);
    else
      server->recheck_us = deadline_min(server->recheck_us, due_us);
  }
}

// ---- clients that do not read ----

void server_abandon_client(struct rpc_server *server, struct connection *connection)
{
  if (connection->state == CONNECTION_ABANDONED)
    return;
  connection_abandon(connection);
  server->has_abandoned = true;
  transport_wake(&server->transport);
}

static void close_abandoned(struct rpc_server *server)
{
  struct list *next;
  server->has_abandoned = false;
  for (struct list *node = server->connections.next; node != &server->connections; node = next) {
    next = node->next;
    struct connection *connection = CONTAINER_OF(node, struct connection, node);
    if (connection->state == CONNECTION_ABANDONED)
      server_close_connection(server, connection);
  }
}

// Gives up the clients that have read nothing for a while although replies wait for them.
static void look_at_clients(struct rpc_server *server)
{
  for (struct list *node = server->connections.next; node != &server->connections; node = node->next) {
    struct connection *connection = CONTAINER_OF(node, struct connection, node);
    if (connection_look_for_progress(connection))
      server_abandon_client(server, connection);
  }
  server->look_us =
      list_empty(&server->connections) ? DEADLINE_NONE : deadline_after_ms(server->now_us, CONNECTION_LOOK_MS);
}

// ---- all of them ----

void server_watch_connection(struct rpc_server *server, struct connection *connection)
{
  server->look_us = deadline_min(server->look_us, deadline_after_ms(server->now_us, CONNECTION_LOOK_MS));
  if (connection->peer != NULL)
    server_schedule_recheck(server);
  if (connection->state == CONNECTION_UNPROVEN)
    server->unproven_until_us =
        deadline_min(server->unproven_until_us, deadline_after_ms(server->now_us, RPC_GREETING_TIMEOUT_MS));
  limit_unproven(server);
}

void server_run_watches(struct rpc_server *server)
{
  if (server->now_us >= server->unproven_until_us)
    expire_unproven(server);
  if (server->now_us >= server->recheck_us)
    recheck_clients(server);
  if (server->now_us >= server->look_us)
    look_at_clients(server);
  if (server->has_abandoned)
    close_abandoned(server);
}

uint64_t server_next_watch_us(const struct rpc_server *server)
{
  return deadline_min(server->look_us, deadline_min(server->unproven_until_us, server->recheck_us));
}

// A fixed hash table: nng gives pipe ids in ascending order, so their low bits spread them evenly.
#include "common/rpc/connection_internal.h"

#include <stdlib.h>

#include "common/base/check.h"

void connection_table_init(struct connection_table *table)
{
  *table = (struct connection_table){0};
  list_init(&table->all);
}

struct connection *connection_find(const struct connection_table *table, uint32_t pipe)
{
  struct connection *connection = table->buckets[pipe % CONNECTION_BUCKETS];
  while (connection != NULL && connection->pipe != pipe)
    connection = connection->next;
  return connection;
}

struct connection *connection_add(struct connection_table *table, uint32_t pipe)
{
  struct connection *connection = calloc(1, sizeof(*connection));
  CHECK(connection != NULL);
  connection->pipe = pipe;
  list_init(&connection->requests);
  list_init(&connection->dirty);
  flow_init(&connection->flow);
  list_init(&connection->node);
  list_append(&table->all, &connection->node);
  struct connection **bucket = &table->buckets[pipe % CONNECTION_BUCKETS];
  connection->next = *bucket;
  *bucket = connection;
  return connection;
}

void connection_remove(struct connection_table *table, struct connection *connection)
{
  CHECK(list_empty(&connection->requests));
  struct connection **place = &table->buckets[connection->pipe % CONNECTION_BUCKETS];
  while (*place != connection)
    place = &(*place)->next;
  *place = connection->next;
  list_remove(&connection->node);
  list_remove(&connection->dirty);
  flow_reset(&connection->flow);
  outbox_free(&connection->outbox);
  free(connection);
}

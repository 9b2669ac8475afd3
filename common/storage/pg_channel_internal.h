// Private to common/storage: what pg_connection.c and pg_pipeline.c tell a channel of its connection.
#ifndef BULKHEAD_STORAGE_PG_CHANNEL_INTERNAL_H
#define BULKHEAD_STORAGE_PG_CHANNEL_INTERNAL_H

#include "common/storage/pg_channel.h"

struct pg_connection;

void pg_channel_connected(struct pg_connection *connection);
void pg_channel_lost(struct pg_connection *connection);
// Delivers the messages that libpq has read.
void pg_channel_deliver(struct pg_connection *connection);

#endif

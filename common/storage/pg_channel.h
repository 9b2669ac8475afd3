// A channel of PostgreSQL (LISTEN and NOTIFY) on a connection of its own: messages between all instances of a service
// that are connected to the same database.
//
// Order. NOTIFY is carried out when its transaction commits, and messages arrive in the order of the commits. A message
// sent on this connection is reported as sent only after every message that was committed before it has been delivered
// here: the server writes the notifications that are due before it tells the client that it is ready again (PostgreSQL
// 15, PostgresMain and ProcessNotifyInterrupt). So whoever sends something and is told that it was sent has heard all
// that came before it.
#ifndef BULKHEAD_STORAGE_PG_CHANNEL_H
#define BULKHEAD_STORAGE_PG_CHANNEL_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/storage/pg.h"

// Bytes of one message at most; the server refuses 8,000.
#define PG_CHANNEL_MAX_BYTES 7900

struct pg_channel;

// All of them run on the loop's thread, outside tasks. None of them may free the channel.
struct pg_channel_events {
  // A message has arrived; this instance gets its own, too.
  void (*message)(void *arg, struct slice payload);
  // From now on every message arrives, or (false) messages may be missed, because the connection was lost.
  void (*hearing)(void *arg, bool hearing);
  // The message sent first among those without an outcome is committed; any other status leaves it open whether it is.
  // After a failure the connection is given up.
  void (*sent)(void *arg, enum status status);
  void *arg;
};

// Connects in the background and reconnects with back-off. `name` has at most 63 bytes (NAMEDATALEN).
struct pg_channel *pg_channel_create(struct pg *pg, const char *name, const struct pg_channel_events *events);
// Closes the connection and nulls the pointer; accepts NULL. What was sent just before still reaches the server.
void pg_channel_free(struct pg_channel **channel);
// Sends a message: printable ASCII and line ends, PG_CHANNEL_MAX_BYTES at most (CHECK). False when nothing is heard
// now; then `sent` does not follow. Does not wait.
bool pg_channel_send(struct pg_channel *channel, struct slice payload);

#endif

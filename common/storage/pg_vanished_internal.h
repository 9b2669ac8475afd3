// Leaving a host that has vanished with all connections at once. For pg.c and pg_connection.c.
#ifndef BULKHEAD_STORAGE_PG_VANISHED_INTERNAL_H
#define BULKHEAD_STORAGE_PG_VANISHED_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

struct pg;

// Starts to watch whether what is sent to the hosts is confirmed, with pg->vanished_timer. Does nothing where there is
// one host only, because waiting for it to come back costs less there than new connections.
void pg_vanished_watch(struct pg *pg);
// Tells whether an established connection has ended because nothing came back any more.
bool pg_vanished_is_why(const char *reason);
// Ends the connections to the host of `turn`, which has vanished, but for those that have heard of it lately, and the
// attempts to reach it. Does nothing where there is no other host.
void pg_vanished_leave(struct pg *pg, size_t turn);

#endif

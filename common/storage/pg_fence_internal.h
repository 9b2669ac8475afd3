// Leaving a server that takes no writes any more. For the other pg_*.c files.
#ifndef BULKHEAD_STORAGE_PG_FENCE_INTERNAL_H
#define BULKHEAD_STORAGE_PG_FENCE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg;
struct pg_connection;

// When a server was left that takes no writes. All zero at first. pg_fence.c makes every change.
struct pg_fence {
  size_t first_turn;  // connections of an earlier turn go
  uint64_t next_us;   // the server is not left again before this
  uint32_t pause_ms;  // that ends then; 0 where writes were accepted since
};

// Notes that the server has refused a statement because it is read-only: the connections to it will go.
void pg_fence_note_refusal(struct pg_connection *connection);
// Notes that the server has done a command, such as "INSERT 0 1", on a connection.
void pg_fence_note_success(struct pg_connection *connection, const char *command);
// Tells whether a server that takes no writes may be left at this time; then the next pause begins.
bool pg_fence_is_time(struct pg_fence *fence, uint64_t now_us);
// Lets the next pause be the shortest, and the one that has begun end soon.
void pg_fence_reset_pause(struct pg_fence *fence, uint64_t now_us);
// Closes a connection that is to go. False when it may stay.
bool pg_fence_end_stale(struct pg_connection *connection);

#endif

// When to connect to a server again: the time limit of an attempt, the back-off between attempts, and how loudly a
// failure is logged. PostgreSQL's and Redis' connections share it; connecting itself is theirs. One loop's thread.
#ifndef BULKHEAD_STORAGE_RECONNECT_INTERNAL_H
#define BULKHEAD_STORAGE_RECONNECT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/observe/log.h"
#include "common/runtime/loop.h"

struct reconnect {
  struct loop_timer *timer;  // bounds an attempt, or ends a back-off; while connected, its owner may use it
  uint32_t timeout_ms;       // of one attempt
  bool extended;             // this attempt has been given its time a second time
  unsigned failures;         // in a row
  uint32_t backoff_ms;       // see backoff_next_ms
};

// `fired(arg)` runs when an attempt has used up its time, and when a back-off ends.
void reconnect_init(struct reconnect *reconnect, struct loop *loop, uint32_t timeout_ms, void (*fired)(void *arg),
                    void *arg);
// Accepts one that was never initialised.
void reconnect_clear(struct reconnect *reconnect);

// Starts the time limit of an attempt.
void reconnect_begin_attempt(struct reconnect *reconnect);
// For `fired` during an attempt. True once in an attempt when the loop itself was late: the server may have answered,
// and nobody has read it. The attempt then goes on for as long again.
bool reconnect_extend_attempt(struct reconnect *reconnect);
// Ends a successful attempt: stops the timer and forgets the failures.
void reconnect_succeed(struct reconnect *reconnect);
// Starts the back-off after a failed attempt or a lost connection.
void reconnect_back_off(struct reconnect *reconnect);
// Counts a failed attempt. Returns the level to log it at: a warning for the first in a row, so that an outage is
// logged once and not with each attempt.
enum log_level reconnect_count_failure(struct reconnect *reconnect);

#endif

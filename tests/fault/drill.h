// A drill: clients send by the clock (open_loop.h) while something breaks and is mended. At the end a ledger holds each
// write against the database: an acknowledged create is there exactly once, a refused one is not; and the history of
// reads and changes has to be linearizable. One line says what was sent, answered and failed, and for how long.
//
// Counts are judged in every run. Times are judged in the long form only (DRILL=long, `make fault`), and a time that is
// missed is told in the table and fails nothing.
#ifndef BULKHEAD_TESTS_FAULT_DRILL_H
#define BULKHEAD_TESTS_FAULT_DRILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/open_loop.h"

// Sets of kinds of requests.
enum {
  DRILL_NONE = 0,
  // Reads of items that nobody changes: every cache that has settled holds them.
  DRILL_STEADY_READS = 1 << OPEN_LOOP_STEADY_READ,
  DRILL_READS = 1 << OPEN_LOOP_READ | DRILL_STEADY_READS,
  DRILL_CHANGES = 1 << OPEN_LOOP_CHANGE,
  DRILL_CREATES = 1 << OPEN_LOOP_CREATE,
  DRILL_KEYED_CREATES = 1 << OPEN_LOOP_KEYED_CREATE,
  DRILL_ACCOUNTS = 1 << OPEN_LOOP_ACCOUNT,
  DRILL_LOGINS = 1 << OPEN_LOOP_LOGIN,
  DRILL_WRITES = DRILL_CHANGES | DRILL_CREATES | DRILL_KEYED_CREATES,
  DRILL_ALL = DRILL_WRITES | DRILL_READS | DRILL_ACCOUNTS | DRILL_LOGINS,
};

struct drill_goal {
  const char *text;  // what is to be reached, for the table
  unsigned
      may_fail;  // the kinds of which some may fail, with 429, 503 or 504, between the break and the end of the healing
  unsigned to_be_spared;  // those of them of which none ought to fail, which the table tells
  unsigned
      some_served;     // the kinds of which some must be served later than a second after the break, before the mending
  bool may_be_silent;  // requests may also end without an answer, because the gateway itself is what breaks
  // Times, 0 where nothing is asked:
  double p99_times;      // the p99 in the window in units of that before
  uint64_t refusal_ms;   // the longest time until a failure was answered
  uint64_t late_ms;      // from a deadline, which is that of the contract, to the answer
  uint64_t settle_ms;    // from a break to the last request that took half a second or failed, while it lasts
  uint64_t recovery_ms;  // from a healing to the last failure, until the next break
};

struct drill;

// Tells whether this is the long form.
bool drill_is_long(void);
// Starts the clients at a healthy stack, and lets them see it for a while.
struct drill *drill_start(const char *name);
// The same with clients that speak to another gateway than that of BULKHEAD_URL.
struct drill *drill_start_at(const char *name, const char *url);
// Notes that the fault begins now. There may be several, one after the other.
void drill_break(struct drill *drill);
// Lets a second of requests pass; in the long form `long_seconds`.
void drill_endure(const struct drill *drill, unsigned long_seconds);
// Notes that what was broken last has been started or connected again, and can heal from now on.
void drill_mend(struct drill *drill);
// Prints a line of the table, and adds it to the file of the table where there is one.
void drill_print_line(const char *line);
// Adds a figure of its own to the line.
void drill_note(struct drill *drill, const char *note);
// Tells in the line that a goal of the drill's own was missed.
void drill_miss(struct drill *drill, const char *what);
// Waits until all is healthy, watches for another while, stops the clients and judges. Prints the line. Nulls the
// pointer.
void drill_end(struct drill **drill, const struct drill_goal *goal);

#endif

// How many calls of a kind may be in flight at a time, learnt from how long they take. What comes beyond that is
// refused at once, so that the calls that are let in take about as long as they do without the crowd. A pure state
// machine: the caller passes the clock.
//
// Every window of a tenth of a second the median duration of its calls is compared with what is allowed: twice the
// median of a time with few calls, and never less than `calm_us`. Where calls take longer and are a crowd, what was in
// flight is multiplied by the quotient of the two and becomes the limit; otherwise the limit grows by its square root:
// so a burst is let in after a calm time, and a standing queue is not. Calls are a crowd where at least half of the
// limit was in flight, or never fewer than `least`. Those that are slow for another reason are not refused. The limit
// stays within its bounds. (The gradient is that of Envoy's and Netflix's adaptive concurrency; a queue stands that
// does not empty within a window, as CoDel tells it from a burst.)
//
// Calls may have weights, by what they cost: a usual one has CONCURRENCY_UNIT, and the limit is a number of usual
// calls.
//
// Callers share what is free: one may hold CONCURRENCY_SHARE times as much as is free at the moment. One alone gets
// nearly all, two get nearly a half each, and there is something left for one who has nothing yet: callers with few
// calls may exceed the limit by a quarter together. A further heavy call needs as much room as it takes, so callers
// with light ones go first.
#ifndef BULKHEAD_BASE_CONCURRENCY_LIMIT_H
#define BULKHEAD_BASE_CONCURRENCY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONCURRENCY_SHARE 8

// The weight of a usual call.
#define CONCURRENCY_UNIT 16

// A duration's bucket: each power of two in microseconds has four.
#define CONCURRENCY_BUCKETS 128

enum concurrency_verdict {
  CONCURRENCY_ADMITTED,
  CONCURRENCY_CROWDED,  // the caller holds its share of the limit
  CONCURRENCY_LATE,     // the call would hardly end before its deadline
};

struct concurrency_bounds {
  uint32_t least;    // the limit never falls below it
  uint32_t most;     // nor rises above it; a burst is let in up to this
  uint64_t calm_us;  // a median up to this is never too long
};

// Zeroed but for its bounds, a limit is ready.
struct concurrency_limit {
  struct concurrency_bounds bounds;
  uint32_t limit;     // 0 before the first call, which makes it the most
  size_t in_flight;   // the weights of what is admitted, and has not ended
  uint64_t calm_us;   // the least median of windows with few calls; 0 before the first
  uint64_t usual_us;  // the median of the last window that had one
  // The window that runs now.
  uint64_t began_us;
  size_t most_in_flight;
  size_t least_in_flight;
  uint32_t ended;
  uint32_t buckets[CONCURRENCY_BUCKETS];
};

struct concurrency_call {
  size_t held;       // the weights of what its caller has in flight
  size_t weight;     // of the call
  uint64_t left_us;  // until its deadline
};

// Tells whether a call would be let in now, unless its deadline is too near.
bool concurrency_limit_has_room(const struct concurrency_limit *limit, const struct concurrency_call *call);
// Asks to begin a call. Where it is admitted, concurrency_limit_end must follow.
enum concurrency_verdict concurrency_limit_begin(struct concurrency_limit *limit, const struct concurrency_call *call,
                                                 uint64_t now_us);
// Notes the end of an admitted call of that weight. `duration_us` is how long it took; 0 where that says nothing,
// because it was given up or failed at once.
void concurrency_limit_end(struct concurrency_limit *limit, size_t weight, uint64_t duration_us, uint64_t now_us);

#endif

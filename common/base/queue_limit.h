// How long a queue may be: whoever would wait for too long is refused at once, and can try elsewhere or later. A pure
// state machine: the caller passes the clock and counts who waits.
//
// A burst may wait for QUEUE_BURST_MS. A queue that has not been empty for as long is not a burst: more comes than can
// be served, and a longer queue would only make everybody wait. So until it is empty once, the wait is QUEUE_STEADY_MS
// at most: long enough that no server idles, and short enough that what is served is served soon. (K. Nichols and V.
// Jacobson, "Controlling Queue Delay", 2012, tell a burst from a standing queue in the same way.)
#ifndef BULKHEAD_BASE_QUEUE_LIMIT_H
#define BULKHEAD_BASE_QUEUE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_BURST_MS 1000
#define QUEUE_STEADY_MS 50

// A zeroed limit is ready: it has seen nothing served, and admits everybody.
struct queue_limit {
  uint64_t service_us;        // how long one is served, smoothed; 0 before the first
  uint64_t waiting_since_us;  // since when there is always somebody waiting; 0 while there is nobody
};

// Notes how long somebody was served.
void queue_limit_note_service(struct queue_limit *limit, uint64_t service_us);
// Notes how many wait now, after each change.
void queue_limit_note_waiting(struct queue_limit *limit, size_t waiting, uint64_t now_us);
// Returns how long one more would wait behind `ahead` others, who are served by `servers` at a time; 0 before anybody
// was served.
uint64_t queue_limit_wait_us(const struct queue_limit *limit, size_t ahead, size_t servers);
// Returns whether one more may wait behind `ahead` others, who are served by `servers` (at least 1) at a time. Always
// true behind fewer than `servers`, so that none idles.
bool queue_limit_admits(const struct queue_limit *limit, size_t ahead, size_t servers, uint64_t now_us);

#endif

// Rate limits by GCRA, the generic cell rate algorithm of ITU-T I.371: a limit admits `burst` units at once, and one
// more each interval. The whole state of a bucket is one time, at which the bucket is full again.
#ifndef BULKHEAD_BASE_GCRA_H
#define BULKHEAD_BASE_GCRA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/slice.h"

// The largest rate and burst that a setting may name.
#define GCRA_MAX_UNITS 1000000

// The longest time in which an empty bucket may become full: 366 days. It keeps the sums of times in 64 bits.
#define GCRA_LONGEST_FILL_NS (UINT64_C(366) * 86400 * 1000000000)

// The reason for which a service refuses to try a credential: too many tries before it have failed. The gateway counts
// such a refusal as one more.
#define GCRA_FAILURES_REASON "TOO_MANY_FAILURES"

struct gcra_limit {
  uint64_t interval_ns;  // the time in which one unit comes back; 0 stands for no limit
  uint32_t burst;        // how many units a full bucket holds; at least 1
};

// Reads a setting: "100/s burst 200", "30/m" (the burst is the rate then), "off" or "" for no limit. The units of time
// are s, m, h and d. False for anything else, and for a limit that is out of bounds.
bool gcra_parse(struct slice text, struct gcra_limit *out) MUST_CHECK;

// Tells whether a limit holds 1 to GCRA_MAX_UNITS units, which come back within GCRA_LONGEST_FILL_NS.
bool gcra_is_in_bounds(const struct gcra_limit *limit);

static inline bool gcra_is_on(const struct gcra_limit *limit)
{
  return limit->interval_ns != 0;
}

// Returns how many units a bucket holds now. `full_ns` is its state.
uint32_t gcra_room(const struct gcra_limit *limit, uint64_t full_ns, uint64_t now_ns);
// Takes one unit out of the bucket. False, without a change, where there is none.
bool gcra_take(const struct gcra_limit *limit, uint64_t *full_ns, uint64_t now_ns) MUST_CHECK;
// Puts one unit back.
void gcra_give_back(const struct gcra_limit *limit, uint64_t *full_ns, uint64_t now_ns);
// Returns the time until the bucket holds a unit, in nanoseconds; 0 where it does.
uint64_t gcra_wait_ns(const struct gcra_limit *limit, uint64_t full_ns, uint64_t now_ns);
// Returns the time until the bucket is full, in nanoseconds.
static inline uint64_t gcra_reset_ns(uint64_t full_ns, uint64_t now_ns)
{
  return full_ns > now_ns ? full_ns - now_ns : 0;
}

#endif

// What limits.c and limits_attempt.c share.
#ifndef BULKHEAD_GATEWAY_LIMITS_INTERNAL_H
#define BULKHEAD_GATEWAY_LIMITS_INTERNAL_H

#include "common/base/bounded_table.h"
#include "common/observe/log_outage.h"
#include "gateway/limits.h"
#include "gateway/limits_peers.h"

// The size of the longest name of a bucket, with its zero.
#define LIMITS_NAME_SIZE 160

// The attempts of an address, as this worker knows them.
struct attempt_bucket {
  struct bounded_entry entry;  // its worth is the state of the local GCRA, in nanoseconds
  uint64_t refused_until_us;   // until then the auth service has no unit for the address
};

struct limits {
  struct gcra_limit limits[LIMIT_CLASS_COUNT];
  const struct backend *backend;
  const struct gateway_metrics *metrics;
  uint64_t (*now_us)(void);
  struct bounded_table buckets;   // struct bucket
  struct bounded_table attempts;  // struct attempt_bucket
  uint64_t away_until_us;         // the worker limits by itself until then
  struct log_outage outage;       // of calls to the auth service
};

bool limits_are_away(const struct limits *limits, uint64_t now_us);
// Notes how a call to the auth service has ended.
void limits_note_call(struct limits *limits, bool ok);

#endif

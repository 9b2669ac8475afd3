// The calls of the rate limits to the auth service (auth.v1.RateLimitService).
#ifndef BULKHEAD_GATEWAY_LIMITS_PEERS_H
#define BULKHEAD_GATEWAY_LIMITS_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/gcra.h"
#include "common/base/slice.h"
#include "common/rpc/backend.h"

// How long the calls may take.
#define LIMITS_SHARE_TIMEOUT_US (UINT64_C(100) * 1000)
#define LIMITS_ATTEMPT_TIMEOUT_US (UINT64_C(500) * 1000)

// What the auth service answers about a bucket.
struct limit_state {
  uint32_t granted;
  uint32_t remaining;  // units that are left for others
  uint32_t overdrawn;  // units that were charged beyond the limit
  uint64_t retry_after_us;
  uint64_t reset_us;
  char source[128];  // of an attempt: what it counts against
};

// Where a call goes, and what is told of its end.
struct limit_call {
  const struct backend *backend;
  const struct gcra_limit *limit;
  uint64_t now_us;
  rpc_done_fn *done;
  void *arg;
};

// Charges `charge` units to the bucket `key` and asks for `wanted`.
struct rpc_call *limits_peers_take_share(const struct limit_call *call, const char *key, int32_t charge,
                                         uint32_t wanted);
// Takes the unit of an attempt from `address`; `login` is the LoginRequest of a login.
struct rpc_call *limits_peers_begin_attempt(const struct limit_call *call, const char *address, struct slice login,
                                            const struct rpc_context *context);
// Tells whether a LoginRequest names a device, known or not.
bool limits_peers_names_device(struct slice login);
// Gives the unit of an attempt back. Nothing depends on the answer, so `done` of the call is not used.
void limits_peers_forgive_attempt(const struct limit_call *call, const char *source, bool succeeded);

// Reads the answer of the first two. False for a failure.
bool limits_peers_read_state(const struct rpc_status *status, struct slice payload, struct limit_state *state);

#endif

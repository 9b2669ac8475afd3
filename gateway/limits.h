// Rate limits by the contract's rate class, for one worker. Time comes from the gateway's clock; one thread.
//
// Reads, writes and expensive calls count per user, or per address for an anonymous caller; reads and writes with an
// API key count together, per key. The worker spends leased shares: a bucket holds the units of a tenth of a second,
// and fetches more at the auth service
// (auth.v1.RateLimitService) before it has spent them, so that all workers and gateways share one limit without a call
// for each request. A bucket that is new, or whose lease of 100 ms is over, spends one share on credit while it asks;
// this is how much may pass beyond the limit. Only a request beyond the shares waits for an answer on its way.
//
// Credentials (logins, sign-ups) count per address, each attempt by a call that the request waits for. What does not
// fail is given back.
//
// While the auth service or its Redis is away each worker limits by itself. The table of buckets is bounded: under a
// flood of callers the buckets that are nearly full go first.
#ifndef BULKHEAD_GATEWAY_LIMITS_H
#define BULKHEAD_GATEWAY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/gcra.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/contract/contract.h"
#include "common/rpc/backend.h"
#include "gateway/gateway_metrics.h"

// A request with an API key counts as LIMIT_KEY where it would be a read or a write.
enum limit_class { LIMIT_READ, LIMIT_WRITE, LIMIT_EXPENSIVE, LIMIT_CREDENTIAL, LIMIT_KEY, LIMIT_CLASS_COUNT };

// The length of a lease, and how long a worker limits by itself after a call to the auth service has failed.
#define LIMITS_LEASE_US (UINT64_C(100) * 1000)
#define LIMITS_AWAY_US (UINT64_C(1000) * 1000)

// The reason of a refusal by a rate limit.
#define LIMITS_REASON "RATE_LIMITED"

struct limits;

struct limits_options {
  struct gcra_limit limits[LIMIT_CLASS_COUNT];
  const struct backend *backend;
  const struct gateway_metrics *metrics;
  uint64_t (*now_us)(void);
};

// NULL where every class is off. `backend` and `metrics` stay the caller's and must outlive the limits.
struct limits *limits_create(const struct limits_options *options);
// Nulls the pointer; accepts NULL. No call of the backend may be in flight.
void limits_free(struct limits **limits);

// Returns the name of a class: "read", "write", "expensive", "credential", "key".
const char *limit_class_name(enum limit_class kind);
// Returns the class that a method counts in. One without a class counts as a read where it has no side effects.
enum limit_class limit_class_of(const struct contract_method *method);

// What a request is told: the limit, and the state of its bucket.
struct limit_answer {
  enum limit_class kind;
  const struct gcra_limit *limit;
  uint32_t remaining;
  uint64_t reset_us;        // until the bucket is full
  uint64_t retry_after_us;  // of a refused request
};

enum limit_verdict {
  LIMIT_OFF,  // the class has no limit
  LIMIT_PASSED,
  LIMIT_REFUSED,
  LIMIT_WAITS,  // `wake` will be called; ask again then
};

// A waiting request's place, embedded in the request. `wake` is called once.
struct limit_wait {
  struct list node;
  void (*wake)(void *arg);
  void *arg;
};

// What a request counts in: the bucket of its user or, without one, of its address.
struct limit_request {
  enum limit_class kind;
  struct slice user;  // empty for an anonymous caller; of LIMIT_KEY, the key's id
  struct slice address;
};

// Counts one request.
enum limit_verdict limits_take(struct limits *limits, const struct limit_request *request, struct limit_wait *wait,
                               struct limit_answer *answer);
static inline void limit_wait_init(struct limit_wait *wait)
{
  list_init(&wait->node);
}
// Ends a wait; does nothing for one that does not wait.
static inline void limit_wait_stop(struct limit_wait *wait)
{
  list_remove(&wait->node);
}

// ---- credentials ----

enum attempt_state {
  ATTEMPT_NONE,
  ATTEMPT_ASKED,    // the call is in flight
  ATTEMPT_SHARED,   // judged by the auth service
  ATTEMPT_LOCAL,    // judged here
  ATTEMPT_REFUSED,  // nothing was taken
};

enum attempt_start {
  ATTEMPT_UNLIMITED,  // the class has no limit
  ATTEMPT_JUDGED,     // the state says the result
  ATTEMPT_WAITS,      // `wake` will be called once; then the state says the result
};

// One attempt, embedded in its request; zeroed at first.
struct limit_attempt {
  enum attempt_state state;
  struct limits *limits;
  struct rpc_call *call;
  uint64_t key;  // of the local bucket
  bool names_device;
  char source[128];  // what it counts against, as the auth service names it
  struct limit_answer answer;
  void (*wake)(void *arg);
  void *arg;
};

// Takes the unit of an attempt. `login` holds the LoginRequest where it is a login, and else nothing.
enum attempt_start limits_begin_attempt(struct limits *limits, struct slice address, struct slice login,
                                        const struct rpc_context *context, struct limit_attempt *attempt);
// Ends an attempt with what has become of it. Gives the unit back unless it has failed.
void limits_end_attempt(struct limit_attempt *attempt, const struct rpc_status *outcome);
// Ends an attempt whose client has gone: it stays taken. Cancels a call in flight.
void limits_abandon_attempt(struct limit_attempt *attempt);

#endif

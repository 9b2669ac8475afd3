// One worker's gateway: everything that its exchanges share. It is used by one thread and knows no event loop.
#ifndef BULKHEAD_GATEWAY_GATEWAY_H
#define BULKHEAD_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/base/strbuf.h"
#include "common/identity/keys.h"
#include "common/rpc/backend.h"
#include "gateway/admission.h"
#include "gateway/answer_budget.h"
#include "gateway/api.h"
#include "gateway/api_keys_peers.h"
#include "gateway/endings_peers.h"
#include "gateway/limits.h"
#include "gateway/own_services.h"
#include "gateway/stream_counts.h"

struct exchange;

struct gateway_clock {
  uint64_t (*now_us)(void);  // monotonic time in microseconds
  int64_t (*wall_us)(void);  // microseconds since 1970
};

struct gateway_options {
  const struct api *api;
  const char *issuer;
  const char *audience;
  struct backend backend;
  struct backend expensive_backend;   // of expensive methods; without `call`: `backend`
  const struct gateway_clock *clock;  // NULL stands for the system's clock
  struct gcra_limit limits[LIMIT_CLASS_COUNT];
  bool follows_endings;  // asks the auth service which sessions have ended
  // Tell whether calls of a service reach it (own_services_options).
  bool (*is_ready)(void *arg, const char *service);
  void *ready_arg;
};

struct gateway {
  const struct api *api;
  struct backend backend;
  struct backend expensive_backend;
  struct own_services *own;  // that the gateway is itself
  struct backend own_backend;
  struct gateway_clock clock;
  struct token_verifier *verifier;
  struct keys keys;
  struct endings endings;
  struct api_keys api_keys;
  bool follows_endings;
  struct limits *limits;   // NULL where there are none
  struct exchange *spare;  // closed exchanges with their memory, for the next requests
  size_t spare_count;
  size_t spare_least;  // since exchange_trim_spares: so many were needed by no request
  size_t in_flight;    // exchanges that wait for a service or for keys
  struct heap waits;   // exchange.timer, by the deadline of the client
  struct answer_budget answers;
  struct list excess;  // answer shares of calls that are given up soon, because there is no room for their answers
  struct admission *admission;
  struct list streams;  // exchange.stream.node, of open streams
  struct stream_counts stream_counts;
  uint64_t next_check_us;  // of the streams' tokens
  bool is_ending;          // no stream is opened any more
  bool stopped;
};

// Creates a gateway, which fetches nothing before the first gateway_process.
struct gateway *gateway_create(const struct gateway_options *options);
// Stops the gateway: no exchange makes progress any more, exchanges may still be closed, and the backend may be freed.
void gateway_stop(struct gateway *gateway);
// Frees the gateway. Every exchange must be closed (CHECK).
void gateway_free(struct gateway **gateway);

// Fetches keys that are due, ends waits whose time is over, also by their client's own limit, and gives some of the
// calls up for whose answers there is no room. `now_us` is the clock's time.
void gateway_process(struct gateway *gateway, uint64_t now_us);
// Returns when gateway_process must be called next, in the clock's microseconds; DEADLINE_NONE for never.
uint64_t gateway_next_timeout_us(const struct gateway *gateway);
// Tells whether requests were refused within the last second because there were too many.
bool gateway_is_crowded(const struct gateway *gateway);

// Counts an exchange that starts (`waits`) or ends waiting in the gauge of requests in flight.
void gateway_waiting(struct gateway *gateway, bool waits);

#endif

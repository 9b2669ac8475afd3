// One worker's gateway: everything that exchanges share. One thread; it belongs to no event loop.
#ifndef BULKHEAD_GATEWAY_GATEWAY_H
#define BULKHEAD_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/strbuf.h"
#include "gateway/api.h"
#include "gateway/backend.h"
#include "gateway/keys.h"

struct exchange;

struct gateway_clock {
  uint64_t (*now_us)(void);  // monotonic
  int64_t (*wall_us)(void);  // since 1970
};

struct gateway_options {
  const struct api *api;
  const char *issuer;
  const char *audience;
  struct backend backend;
  const struct gateway_clock *clock;  // NULL: the system's
};

struct gateway {
  const struct api *api;
  struct backend backend;
  struct gateway_clock clock;
  struct token_verifier *verifier;
  struct keys keys;
  struct exchange *spare;  // closed exchanges with their memory, for the next requests
  size_t spare_count;
  size_t in_flight;  // exchanges that wait for a service or for keys
  bool stopped;
};

// Allocates; fetches nothing before the first gateway_process.
struct gateway *gateway_create(const struct gateway_options *options);
// After this no exchange makes progress; they may still be closed. The backend may be freed then.
void gateway_stop(struct gateway *gateway);
// Every exchange must be closed (CHECK).
void gateway_free(struct gateway **gateway);

// Keys to fetch, waits to end. `now_us` of the clock.
void gateway_process(struct gateway *gateway, uint64_t now_us);
uint64_t gateway_next_timeout_us(const struct gateway *gateway);

// An exchange starts or ends waiting; keeps the gauge true.
void gateway_waiting(struct gateway *gateway, bool waits);

#endif

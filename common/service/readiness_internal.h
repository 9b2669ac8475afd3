// Decides whether an instance may get calls and renders the answer of /readyz: PostgreSQL and the keys of
// access tokens are required, Redis and Consul are only reported.
#ifndef BULKHEAD_SERVICE_READINESS_INTERNAL_H
#define BULKHEAD_SERVICE_READINESS_INTERNAL_H

#include <stdbool.h>

#include "common/base/strbuf.h"

enum service_phase { PHASE_STARTING, PHASE_SERVING, PHASE_DRAINING };
enum check_result { CHECK_OFF, CHECK_DOWN, CHECK_UP };

struct readiness {
  enum service_phase phase;
  enum check_result postgres;
  enum check_result redis;
  enum check_result consul;
  enum check_result token_keys;  // without them no user can be known
};

// Appends {"status":"ready","checks":{"postgres":"up","redis":"off","consul":"down"}}; status is "starting", "ready",
// "unavailable" or "draining". True only for "ready".
bool readiness_render(const struct readiness *readiness, struct strbuf *out);

#endif

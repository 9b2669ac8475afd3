// Decides whether an instance may get calls and renders the answer of /readyz, which Consul and Kubernetes ask. It says
// whether this process takes calls, and not whether the stores that all instances share are there: a PostgreSQL that is
// away for a moment would take every instance off every list at once. A call that needs a store which is away is
// refused by itself. PostgreSQL, Redis and Consul are only reported; an instance starts once it has reached PostgreSQL.
#ifndef BULKHEAD_SERVICE_READINESS_INTERNAL_H
#define BULKHEAD_SERVICE_READINESS_INTERNAL_H

#include <stdbool.h>

#include "common/base/strbuf.h"

enum service_phase { PHASE_STARTING, PHASE_MIGRATING, PHASE_SERVING, PHASE_DRAINING };
enum check_result { CHECK_OFF, CHECK_DOWN, CHECK_UP };

struct readiness {
  enum service_phase phase;
  enum check_result postgres;
  enum check_result redis;
  enum check_result consul;
  enum check_result token_keys;  // without them no user can be known
};

// Returns whether the instance may get calls.
bool readiness_is_ready(const struct readiness *readiness);

// Appends {"status":"ready","checks":{"postgres":"up","redis":"off","consul":"down","tokenKeys":"up"}}. The status is
// "starting", "migrating" (the schema lacks what this release needs), "ready", "degraded" (without PostgreSQL),
// "unavailable" (without keys of access tokens) or "draining". Returns readiness_is_ready, which is true for "ready"
// and "degraded".
bool readiness_render(const struct readiness *readiness, struct strbuf *out);

#endif

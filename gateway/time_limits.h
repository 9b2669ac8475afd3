// How long a client waits for its answer, as it says in a request header. Pure functions of what a client sent.
#ifndef BULKHEAD_GATEWAY_TIME_LIMITS_H
#define BULKHEAD_GATEWAY_TIME_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/violation.h"

// A client sets no limit.
#define TIME_LIMIT_NONE UINT64_MAX

// The values of the headers; without data: absent.
struct time_limits {
  struct slice request_timeout;     // Request-Timeout: seconds, such as "2" or "0.25"
  struct slice grpc_timeout;        // Grpc-Timeout: "250m", as gRPC over HTTP/2 writes it
  struct slice connect_timeout_ms;  // Connect-Timeout-Ms: milliseconds, as the Connect protocol writes it
};

// Reads the headers. Of several the shortest limit holds. False where one has any other value, also zero: then `wrong`
// is set to what names the header and says what is accepted. A client that sends a limit relies on it, so that none is
// passed over.
bool time_limits_read(const struct time_limits *limits, uint64_t *limit_us, const struct violation **wrong);

#endif

// Calls over one connection without anything that makes them dependable: no choice of an instance, deadlines, retries,
// limits, statistics or cancellation. What common/rpc costs beyond this is the price of all that.
#ifndef BULKHEAD_TESTS_BENCH_BARE_CHANNEL_H
#define BULKHEAD_TESTS_BENCH_BARE_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

// Listens on a free port of the loopback, tells it by `tell_port(arg, port)`, and echoes requests for ever.
void bare_serve(void (*tell_port)(int arg, int port), int arg);
// Calls a server of bare_serve with `payload` until `end_us` on the monotonic clock, with `in_flight` calls at a time.
// Returns how many were answered since `from_us`.
uint64_t bare_call(int port, struct slice payload, size_t in_flight, uint64_t from_us, uint64_t end_us);

#endif

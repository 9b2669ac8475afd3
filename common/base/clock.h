// Clocks, deadlines and RFC 3339. Deadlines are points on the monotonic clock; only what people read is on the wall
// clock.
#ifndef BULKHEAD_BASE_CLOCK_H
#define BULKHEAD_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

// A deadline that never comes.
#define DEADLINE_NONE UINT64_MAX

// Returns the microseconds of CLOCK_MONOTONIC.
uint64_t clock_now_us(void);
// Returns the microseconds since 1970-01-01T00:00:00Z.
int64_t clock_wall_us(void);

// Returns the deadline `ms` milliseconds after `now_us`; DEADLINE_NONE when `ms` is DEADLINE_NONE, or on overflow.
uint64_t deadline_after_ms(uint64_t now_us, uint64_t ms);
// Returns the whole milliseconds until the deadline, rounded up; 0 when it has passed, UINT32_MAX at most.
uint32_t deadline_left_ms(uint64_t deadline_us, uint64_t now_us);
// Returns the earlier deadline.
static inline uint64_t deadline_min(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

// The size of the longest text of clock_format_rfc3339, with its zero.
#define CLOCK_RFC3339_SIZE 36
// Writes a time in UTC as proto3 JSON has it: "2026-01-02T03:04:05Z" with 0, 3, 6 or 9 fraction digits, and a zero.
// `seconds` count from 1970. Returns the length without the zero; 0 when the time is outside the years 1 to 9999.
size_t clock_format_rfc3339(int64_t seconds, int32_t nanos, char out[CLOCK_RFC3339_SIZE]);
// Parses an RFC 3339 time with any offset, 0 to 9 fraction digits, upper-case T and Z. False for anything but a valid
// time of the years 1 to 9999.
bool clock_parse_rfc3339(struct slice text, int64_t *seconds, int32_t *nanos);

#endif

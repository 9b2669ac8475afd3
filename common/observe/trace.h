// W3C Trace Context (https://www.w3.org/TR/trace-context/), version 00: "00-" trace id "-" parent id "-" flags.
#ifndef BULKHEAD_OBSERVE_TRACE_H
#define BULKHEAD_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

#define TRACEPARENT_SIZE 56  // 55 characters and a zero

struct trace_context {
  uint8_t trace_id[16];
  uint8_t span_id[8];
  uint8_t flags;
};

// Reads a traceparent. False if it is malformed or an id is all zero; the standard then asks for a new trace. Of a
// later version the part that version 00 defines is read; of the flags only "sampled" is kept.
bool trace_parse(struct slice traceparent, struct trace_context *out);
// Starts a new trace, which is sampled.
void trace_start(struct trace_context *out);
// Starts a new span of the parent's trace; it keeps the parent's flags.
void trace_child(const struct trace_context *parent, struct trace_context *out);
// Writes the traceparent of a trace, with a zero.
void trace_format(const struct trace_context *trace, char out[TRACEPARENT_SIZE]);
// Returns the 32 hexadecimal digits of the trace id inside a formatted traceparent; empty when the text is too short
// for one.
struct slice trace_id_of(struct slice traceparent);

#endif

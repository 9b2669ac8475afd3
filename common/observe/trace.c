// W3C Trace Context: reads, makes and writes `traceparent`. Keeps no state; any thread may call it.
#include "common/observe/trace.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/base/random.h"

enum {
  TRACE_ID_AT = 3,
  SPAN_ID_AT = 36,
  FLAGS_AT = 53,
  FORMAT_SIZE = TRACEPARENT_SIZE - 1,
  FLAG_SAMPLED = 1,
};

static bool is_zero(const uint8_t *bytes, size_t size)
{
  for (size_t i = 0; i < size; i++)
    if (bytes[i] != 0)
      return false;
  return true;
}

// Decodes hexadecimal digits; refuses upper case, which hex_decode takes and the standard does not.
static bool decode_digits(struct slice text, size_t at, uint8_t *out, size_t size)
{
  struct slice digits = slice_make(text.data + at, 2 * size);
  for (size_t i = 0; i < digits.size; i++)
    if (digits.data[i] >= 'A' && digits.data[i] <= 'F')
      return false;
  return hex_decode(digits, out, size);
}

static bool has_valid_layout(struct slice text)
{
  return text.size >= FORMAT_SIZE && text.data[TRACE_ID_AT - 1] == '-' && text.data[SPAN_ID_AT - 1] == '-' &&
         text.data[FLAGS_AT - 1] == '-';
}

// Returns whether the version is known or may be a later one: version 00 ends after the flags, a later one may continue
// after another '-', and version ff is forbidden.
static bool has_valid_version(struct slice text)
{
  uint8_t version;
  if (!decode_digits(text, 0, &version, 1) || version == 0xff)
    return false;
  return text.size == FORMAT_SIZE || (version != 0 && text.data[FORMAT_SIZE] == '-');
}

bool trace_parse(struct slice traceparent, struct trace_context *out)
{
  struct trace_context trace;
  if (!has_valid_layout(traceparent) || !has_valid_version(traceparent) ||
      !decode_digits(traceparent, TRACE_ID_AT, trace.trace_id, sizeof trace.trace_id) ||
      !decode_digits(traceparent, SPAN_ID_AT, trace.span_id, sizeof trace.span_id) ||
      !decode_digits(traceparent, FLAGS_AT, &trace.flags, 1))
    return false;
  if (is_zero(trace.trace_id, sizeof trace.trace_id) || is_zero(trace.span_id, sizeof trace.span_id))
    return false;
  trace.flags &= FLAG_SAMPLED;
  *out = trace;
  return true;
}

// Makes a random id other than all zero, which means "no id" in the standard.
static void make_random_id(uint8_t *out, size_t size)
{
  do
    random_bytes(out, size);
  while (is_zero(out, size));
}

void trace_start(struct trace_context *out)
{
  make_random_id(out->trace_id, sizeof out->trace_id);
  make_random_id(out->span_id, sizeof out->span_id);
  out->flags = FLAG_SAMPLED;
}

void trace_child(const struct trace_context *parent, struct trace_context *out)
{
  *out = *parent;
  make_random_id(out->span_id, sizeof out->span_id);
}

void trace_format(const struct trace_context *trace, char out[TRACEPARENT_SIZE])
{
  static const uint8_t version = 0;
  hex_encode(&version, 1, out);
  out[TRACE_ID_AT - 1] = '-';
  hex_encode(trace->trace_id, sizeof trace->trace_id, out + TRACE_ID_AT);
  out[SPAN_ID_AT - 1] = '-';
  hex_encode(trace->span_id, sizeof trace->span_id, out + SPAN_ID_AT);
  out[FLAGS_AT - 1] = '-';
  hex_encode(&trace->flags, 1, out + FLAGS_AT);
  out[FORMAT_SIZE] = '\0';
}

struct slice trace_id_of(struct slice traceparent)
{
  if (traceparent.size < FORMAT_SIZE)
    return (struct slice){0};
  return slice_make(traceparent.data + TRACE_ID_AT, SPAN_ID_AT - 1 - TRACE_ID_AT);
}

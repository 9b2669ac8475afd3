// Converts Timestamp (RFC 3339), Duration ("1.5s") and FieldMask ("name,createTime") between proto3 JSON and wire
// bytes.
#include "common/transcode/well_known_internal.h"

#include "common/base/clock.h"
#include "common/base/wire.h"
#include "common/contract/contract_layout.h"

// The limit of google/protobuf/duration.proto: about 10,000 years.
#define DURATION_MAX_SECONDS INT64_C(315576000000)
#define NANOS_PER_SECOND 1000000000
#define MASK_MAX_BYTES 4096

// The value of a Timestamp or a Duration, which have the same two fields.
struct instant {
  int64_t seconds;
  int32_t nanos;
};

static void write_instant(struct strbuf *out, struct instant instant)
{
  if (instant.seconds != 0)
    wire_write_varint(out, 1, (uint64_t)instant.seconds);
  if (instant.nanos != 0)
    wire_write_varint(out, 2, (uint64_t)(int64_t)instant.nanos);
}

static bool read_instant(struct slice wire, struct instant *out)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  enum wire_result result;
  *out = (struct instant){0};
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.number <= 2 && field.type != WIRE_VARINT)
      return false;
    if (field.number == 1)
      out->seconds = (int64_t)field.varint;
    else if (field.number == 2)
      out->nanos = (int32_t)(uint32_t)field.varint;
  }
  return result == WIRE_END;
}

// Reads a duration such as "-1.5s": a sign, whole seconds, up to nine fraction digits.
static bool parse_duration(struct slice text, struct instant *out)
{
  if (text.size < 2 || text.data[text.size - 1] != 's')
    return false;
  text.size--;
  bool negative = text.data[0] == '-';
  struct slice number = negative ? slice_skip(text, 1) : text;
  size_t point = slice_find(number, '.', 0);
  uint64_t seconds;
  if (!slice_to_uint64(slice_make(number.data, point), 0, (uint64_t)DURATION_MAX_SECONDS, &seconds))
    return false;
  int32_t nanos = 0;
  if (point < number.size) {
    struct slice fraction = slice_make(number.data + point + 1, number.size - point - 1);
    if (fraction.size == 0 || fraction.size > 9)
      return false;
    for (size_t i = 0; i < 9; i++) {
      char digit = i < fraction.size ? fraction.data[i] : '0';
      if (digit < '0' || digit > '9')
        return false;
      nanos = nanos * 10 + (digit - '0');
    }
  }
  *out =
      (struct instant){.seconds = negative ? -(int64_t)seconds : (int64_t)seconds, .nanos = negative ? -nanos : nanos};
  return true;
}

static bool format_duration(struct instant value, struct strbuf *json)
{
  if (value.seconds > DURATION_MAX_SECONDS || value.seconds < -DURATION_MAX_SECONDS ||
      value.nanos >= NANOS_PER_SECOND || value.nanos <= -NANOS_PER_SECOND || (value.seconds > 0 && value.nanos < 0) ||
      (value.seconds < 0 && value.nanos > 0))
    return false;
  bool negative = value.seconds < 0 || value.nanos < 0;
  strbuf_add_string(json, negative ? "\"-" : "\"");
  strbuf_add_uint(json, (uint64_t)(negative ? -value.seconds : value.seconds));
  int32_t nanos = negative ? -value.nanos : value.nanos;
  // proto3 JSON writes 0, 3, 6 or 9 fraction digits.
  if (nanos % 1000000 == 0 && nanos != 0)
    strbuf_printf(json, ".%03d", nanos / 1000000);
  else if (nanos % 1000 == 0 && nanos != 0)
    strbuf_printf(json, ".%06d", nanos / 1000);
  else if (nanos != 0)
    strbuf_printf(json, ".%09d", nanos);
  strbuf_add_string(json, "s\"");
  return true;
}

static bool is_upper(char byte)
{
  return byte >= 'A' && byte <= 'Z';
}

static bool is_lower(char byte)
{
  return byte >= 'a' && byte <= 'z';
}

static bool is_lower_or_digit(char byte)
{
  return is_lower(byte) || (byte >= '0' && byte <= '9');
}

// Whether the character at `at` may stand in a name of a mask: a small letter, a digit that does not begin the name, or
// an underscore before a letter, so that the name has a JSON form.
static bool fits_name(struct slice path, size_t at)
{
  bool start = at == 0 || path.data[at - 1] == '.';
  char byte = path.data[at];
  if (byte == '_')
    return !start && at + 1 < path.size && is_lower_or_digit(path.data[at - 1]) && is_lower(path.data[at + 1]);
  return is_lower(byte) || (!start && is_lower_or_digit(byte));
}

// Converts a path such as createTime to create_time; one that is written so already stays. "*" is all fields. False for
// what is neither.
static bool path_to_snake(struct slice path, char *to, size_t *size)
{
  size_t written = 0;
  if (slice_equal(path, SLICE("*"))) {
    to[0] = '*';
    *size = 1;
    return true;
  }
  for (size_t i = 0; i < path.size; i++) {
    char byte = path.data[i];
    bool start = i == 0 || path.data[i - 1] == '.';
    if (is_upper(byte) && !start) {
      to[written++] = '_';
      to[written++] = (char)(byte | 0x20);
    } else if (fits_name(path, i) || (byte == '.' && !start)) {
      to[written++] = byte;
    } else {
      return false;
    }
  }
  *size = written;
  return path.size > 0 && path.data[path.size - 1] != '.';
}

static bool parse_mask(struct slice text, bool strict, struct strbuf *out)
{
  char path[2 * MASK_MAX_BYTES];
  if (text.size > MASK_MAX_BYTES || (strict && text.size > 0 && memchr(text.data, '_', text.size) != NULL))
    return false;
  for (size_t start = 0; text.size > 0 && start <= text.size;) {
    size_t end = slice_find(text, ',', start);
    size_t size;
    if (!path_to_snake(slice_make(text.data + start, end - start), path, &size))
      return false;
    wire_write_bytes(out, 1, slice_make(path, size));
    start = end + 1;
  }
  return true;
}

// Whether the character at `at` is all of a path's last name.
static bool is_star(struct slice path, size_t at)
{
  return path.data[at] == '*' && at + 1 == path.size && (at == 0 || path.data[at - 1] == '.');
}

// Converts a path such as create_time to createTime. False for a name that would not convert back to itself.
static bool path_to_camel(struct slice path, struct strbuf *json)
{
  for (size_t i = 0; i < path.size; i++) {
    char byte = path.data[i];
    if (byte == '_') {
      if (i == 0 || i + 1 == path.size || !is_lower(path.data[i + 1]))
        return false;
      byte = (char)(path.data[++i] & ~0x20);
    } else if (!is_lower(byte) && !(byte >= '0' && byte <= '9') && byte != '.' && !is_star(path, i)) {
      return false;
    }
    strbuf_add_byte(json, byte);
  }
  return true;
}

static bool format_mask(struct slice wire, struct strbuf *json)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  enum wire_result result;
  bool first = true;
  strbuf_add_byte(json, '"');
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.number != 1)
      continue;
    if (field.type != WIRE_BYTES)
      return false;
    if (!first)
      strbuf_add_byte(json, ',');
    first = false;
    if (!path_to_camel(field.bytes, json))
      return false;
  }
  strbuf_add_byte(json, '"');
  return result == WIRE_END;
}

const struct contract_message *any_type(const struct contract_message *any, struct slice url)
{
  const char *slash = url.size == 0 ? NULL : memrchr(url.data, '/', url.size);
  if (slash == NULL || slash == url.data)
    return NULL;
  struct slice name = slice_skip(url, (size_t)(slash - url.data) + 1);
  const struct contract_message *message = contract_message_by_name(message_index(any)->contract, name);
  return message == NULL || message->is_map_entry ? NULL : message;
}

const char *well_known_from_text(struct text_form form, struct slice text, struct strbuf *out)
{
  struct instant instant;
  if (form.kind == CONTRACT_FIELD_MASK)
    return parse_mask(text, form.strict_masks, out)
               ? NULL
               : "must be field paths separated by commas, such as name,createTime";
  if (form.kind == CONTRACT_TIMESTAMP) {
    if (!clock_parse_rfc3339(text, &instant.seconds, &instant.nanos))
      return "must be a time, such as 2026-01-02T03:04:05Z";
  } else if (!parse_duration(text, &instant)) {
    return "must be seconds with an s, such as 1.5s";
  }
  write_instant(out, instant);
  return NULL;
}

bool well_known_to_json(enum contract_well_known kind, struct slice wire, struct strbuf *json)
{
  struct instant instant;
  if (kind == CONTRACT_FIELD_MASK)
    return format_mask(wire, json);
  if (!read_instant(wire, &instant))
    return false;
  if (kind == CONTRACT_DURATION)
    return format_duration(instant, json);
  char text[CLOCK_RFC3339_SIZE];
  size_t size = clock_format_rfc3339(instant.seconds, instant.nanos, text);
  if (size == 0)
    return false;
  strbuf_add_byte(json, '"');
  strbuf_add(json, slice_make(text, size));
  strbuf_add_byte(json, '"');
  return true;
}

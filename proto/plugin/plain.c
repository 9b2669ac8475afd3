#include "proto/plugin/plain.h"

#include "common/base/wire.h"

// Field numbers of descriptor.proto.
enum {
  SET_FILE = 1,
  FILE_MESSAGE_TYPE = 4,
  MESSAGE_FIELD = 2,
  MESSAGE_NESTED_TYPE = 3,
  FIELD_PROTO3_OPTIONAL = 17,
};

// How deep messages may nest; protoc accepts 32.
#define MAX_NESTING 40

enum level { LEVEL_SET, LEVEL_FILE, LEVEL_MESSAGE, LEVEL_FIELD };

static bool copy_message(struct slice bytes, enum level level, unsigned depth, struct strbuf *out);

// Returns what the field `number` of a level holds; LEVEL_SET for a field that needs no change.
static enum level level_inside(enum level level, uint32_t number)
{
  if (level == LEVEL_SET && number == SET_FILE)
    return LEVEL_FILE;
  if (level == LEVEL_FILE && number == FILE_MESSAGE_TYPE)
    return LEVEL_MESSAGE;
  if (level == LEVEL_MESSAGE && number == MESSAGE_NESTED_TYPE)
    return LEVEL_MESSAGE;
  return level == LEVEL_MESSAGE && number == MESSAGE_FIELD ? LEVEL_FIELD : LEVEL_SET;
}

static void copy_scalar(const struct wire_field *field, struct strbuf *out)
{
  switch (field->type) {
  case WIRE_VARINT:
    wire_write_varint(out, field->number, field->varint);
    break;
  case WIRE_FIXED64:
    wire_write_fixed64(out, field->number, field->varint);
    break;
  case WIRE_FIXED32:
    wire_write_fixed32(out, field->number, (uint32_t)field->varint);
    break;
  default:
    wire_write_bytes(out, field->number, field->bytes);
    break;
  }
}

static bool copy_field(const struct wire_field *field, enum level level, unsigned depth, struct strbuf *out)
{
  enum level inside = level_inside(level, field->number);
  if (level == LEVEL_FIELD && field->number == FIELD_PROTO3_OPTIONAL)
    return true;
  if (inside == LEVEL_SET || field->type != WIRE_BYTES) {
    copy_scalar(field, out);
    return true;
  }
  size_t mark = wire_begin_nested(out, field->number);
  bool copied = copy_message(field->bytes, inside, depth + 1, out);
  wire_end_nested(out, mark);
  return copied;
}

// Copies a descriptor without the marks of proto3 `optional`. The recursion is bounded by MAX_NESTING.
static bool copy_message(struct slice bytes, enum level level, unsigned depth, struct strbuf *out)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  if (depth > MAX_NESTING)
    return false;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (!copy_field(&field, level, depth, out))
      return false;
  return result == WIRE_END;
}

bool plain_descriptor_set(struct slice set, struct strbuf *out)
{
  return copy_message(set, LEVEL_SET, 0, out) && !out->failed;
}

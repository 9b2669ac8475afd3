#include "proto/plugin/plain.h"

#include "common/base/wire.h"
#include "common/contract/descriptor_fields.h"

// How deep messages may nest; protoc accepts 32.
#define MAX_NESTING 40

enum level { LEVEL_SET, LEVEL_FILE, LEVEL_MESSAGE, LEVEL_FIELD };

static bool copy_message(struct slice bytes, enum level level, unsigned depth, struct strbuf *out);

// Returns what the field `number` of a level holds; LEVEL_SET for a field that needs no change.
static enum level find_inner_level(enum level level, uint32_t number)
{
  if (level == LEVEL_SET && number == SET_FILE)
    return LEVEL_FILE;
  if (level == LEVEL_FILE && number == FILE_MESSAGE_TYPE)
    return LEVEL_MESSAGE;
  if (level == LEVEL_MESSAGE && number == MESSAGE_NESTED_TYPE)
    return LEVEL_MESSAGE;
  return level == LEVEL_MESSAGE && number == MESSAGE_FIELD ? LEVEL_FIELD : LEVEL_SET;
}

static bool copy_field(const struct wire_field *field, enum level level, unsigned depth, struct strbuf *out)
{
  enum level inside = find_inner_level(level, field->number);
  if (level == LEVEL_FIELD && field->number == FIELD_PROTO3_OPTIONAL)
    return true;
  if (inside == LEVEL_SET || field->type != WIRE_BYTES) {
    wire_write_field(out, field);
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

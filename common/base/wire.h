// Protobuf's wire format, read and written directly, where building message structs would be waste: the gateway's
// translation and RPC frames. https://protobuf.dev/programming-guides/encoding/
#ifndef BULKHEAD_BASE_WIRE_H
#define BULKHEAD_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/slice.h"
#include "common/base/strbuf.h"

enum wire_type {
  WIRE_VARINT = 0,
  WIRE_FIXED64 = 1,
  WIRE_BYTES = 2,
  WIRE_GROUP_START = 3,  // groups are refused by the reader
  WIRE_GROUP_END = 4,
  WIRE_FIXED32 = 5,
};

struct wire_reader {
  const uint8_t *next;
  const uint8_t *end;
};

// Holds one field: `number` (1 to 2^29 - 1) with its value in `varint` (WIRE_VARINT, and the bits of the fixed types)
// or `bytes` (WIRE_BYTES, pointing into the input).
struct wire_field {
  uint32_t number;
  enum wire_type type;
  uint64_t varint;
  struct slice bytes;
};

enum wire_result { WIRE_FIELD, WIRE_END, WIRE_MALFORMED };

static inline struct wire_reader wire_reader_make(struct slice bytes)
{
  // An empty slice may hold NULL, to which C does not allow even 0 to be added.
  const uint8_t *data = (const uint8_t *)(bytes.size == 0 ? "" : bytes.data);
  return (struct wire_reader){.next = data, .end = data + bytes.size};
}

// Does what wire_read does, for fields of every form.
enum wire_result wire_read_any(struct wire_reader *reader, struct wire_field *field) MUST_CHECK;

// Reads the next field. WIRE_MALFORMED for bytes that break the format, groups included; the reader must not be used
// then. Most fields are short texts with small numbers, so those are read inline.
static inline MUST_CHECK enum wire_result wire_read(struct wire_reader *reader, struct wire_field *field)
{
  size_t left = (size_t)(reader->end - reader->next);
  if (left < 2)
    return wire_read_any(reader, field);
  uint8_t tag = reader->next[0], size = reader->next[1];
  if ((tag & 0x87) != WIRE_BYTES || tag < 8 || size >= 0x80 || size > left - 2)
    return wire_read_any(reader, field);
  field->number = tag >> 3;
  field->type = WIRE_BYTES;
  field->varint = 0;
  field->bytes = slice_make(reader->next + 2, size);
  reader->next += (size_t)2 + size;
  return WIRE_FIELD;
}

void wire_write_tag(struct strbuf *out, uint32_t number, enum wire_type type);
void wire_write_raw_varint(struct strbuf *out, uint64_t value);
void wire_write_varint(struct strbuf *out, uint32_t number, uint64_t value);
void wire_write_bytes(struct strbuf *out, uint32_t number, struct slice bytes);
void wire_write_fixed32(struct strbuf *out, uint32_t number, uint32_t value);
void wire_write_fixed64(struct strbuf *out, uint32_t number, uint64_t value);
// Writes a field as wire_read gave it: the same number, type and value.
void wire_write_field(struct strbuf *out, const struct wire_field *field);
// Returns how many bytes a varint takes: 1 to 10.
size_t wire_varint_size(uint64_t value);

// Begins a nested message whose size is known only afterwards. The caller writes the fields and passes the returned
// mark to wire_end_nested.
size_t wire_begin_nested(struct strbuf *out, uint32_t number);
// Ends the nested message that began at `mark`: fills in its size.
void wire_end_nested(struct strbuf *out, size_t mark);

// Converts a signed number to its sint32 and sint64 form, in which small negative numbers are short.
static inline uint64_t wire_zigzag(int64_t value)
{
  return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}
static inline int64_t wire_unzigzag(uint64_t value)
{
  return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif

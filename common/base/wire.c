// Protobuf's wire format. The reader gets a peer's bytes: every length is compared with what is left before it is used.
#include "common/base/wire.h"

#include "common/base/check.h"

#define MAX_FIELD_NUMBER ((UINT32_C(1) << 29) - 1)
#define MAX_VARINT_BYTES 10

static bool read_varint_slow(struct wire_reader *reader, uint64_t *out)
{
  uint64_t value = 0;
  const uint8_t *at = reader->next;
  const uint8_t *end = reader->end - at > MAX_VARINT_BYTES ? at + MAX_VARINT_BYTES : reader->end;
  for (unsigned shift = 0; at < end; shift += 7) {
    uint8_t byte = *at++;
    value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) {
      reader->next = at;
      *out = value;
      // The tenth byte has room for one bit.
      return shift < 63 || byte <= 1;
    }
  }
  return false;
}

static inline bool read_varint(struct wire_reader *reader, uint64_t *out)
{
  if (reader->next < reader->end && *reader->next < 0x80) {
    *out = *reader->next++;
    return true;
  }
  return read_varint_slow(reader, out);
}

static bool read_fixed(struct wire_reader *reader, unsigned size, uint64_t *out)
{
  if ((size_t)(reader->end - reader->next) < size)
    return false;
  uint64_t value = 0;
  for (unsigned i = 0; i < size; i++)
    value |= (uint64_t)reader->next[i] << (8 * i);
  reader->next += size;
  *out = value;
  return true;
}

static bool read_bytes(struct wire_reader *reader, struct slice *out)
{
  uint64_t size;
  if (!read_varint(reader, &size) || size > (uint64_t)(reader->end - reader->next))
    return false;
  *out = slice_make(reader->next, (size_t)size);
  reader->next += size;
  return true;
}

enum wire_result wire_read_any(struct wire_reader *reader, struct wire_field *field)
{
  if (reader->next == reader->end)
    return WIRE_END;
  uint64_t tag;
  if (!read_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > MAX_FIELD_NUMBER)
    return WIRE_MALFORMED;
  *field = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
  bool read = false;
  switch (field->type) {
  case WIRE_VARINT:
    read = read_varint(reader, &field->varint);
    break;
  case WIRE_FIXED64:
    read = read_fixed(reader, 8, &field->varint);
    break;
  case WIRE_BYTES:
    read = read_bytes(reader, &field->bytes);
    break;
  case WIRE_FIXED32:
    read = read_fixed(reader, 4, &field->varint);
    break;
  case WIRE_GROUP_START:
  case WIRE_GROUP_END:
    break;
  }
  return read ? WIRE_FIELD : WIRE_MALFORMED;
}

size_t wire_varint_size(uint64_t value)
{
  unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
  return (bits + 6) / 7;
}

static inline char *put_varint(char *to, uint64_t value)
{
  while (value >= 0x80) {
    *to++ = (char)(value | 0x80);
    value >>= 7;
  }
  *to++ = (char)value;
  return to;
}

static inline char *put_fixed(char *to, uint64_t value, unsigned size)
{
  for (unsigned i = 0; i < size; i++)
    *to++ = (char)(value >> (8 * i));
  return to;
}

static inline uint64_t make_tag(uint32_t number, enum wire_type type)
{
  CHECK(number > 0 && number <= MAX_FIELD_NUMBER);
  return (uint64_t)number << 3 | (uint64_t)type;
}

void wire_write_raw_varint(struct strbuf *out, uint64_t value)
{
  size_t size = wire_varint_size(value);
  char *to = strbuf_reserve(out, size);
  if (to == NULL)
    return;
  put_varint(to, value);
  out->size += size;
}

void wire_write_tag(struct strbuf *out, uint32_t number, enum wire_type type)
{
  wire_write_raw_varint(out, make_tag(number, type));
}

void wire_write_varint(struct strbuf *out, uint32_t number, uint64_t value)
{
  uint64_t tag = make_tag(number, WIRE_VARINT);
  size_t size = wire_varint_size(tag) + wire_varint_size(value);
  char *to = strbuf_reserve(out, size);
  if (to == NULL)
    return;
  put_varint(put_varint(to, tag), value);
  out->size += size;
}

// Writes a field whose tag and size are one byte each, as most are.
static void write_short(struct strbuf *out, uint32_t number, struct slice bytes)
{
  char *to = strbuf_reserve(out, 2 + bytes.size);
  if (to == NULL)
    return;
  to[0] = (char)(number << 3 | WIRE_BYTES);
  to[1] = (char)bytes.size;
  if (bytes.size > 0)
    memcpy(to + 2, bytes.data, bytes.size);
  out->size += 2 + bytes.size;
}

void wire_write_bytes(struct strbuf *out, uint32_t number, struct slice bytes)
{
  if (number - 1 < 15 && bytes.size < 0x80) {
    write_short(out, number, bytes);
    return;
  }
  uint64_t tag = make_tag(number, WIRE_BYTES);
  size_t head = wire_varint_size(tag) + wire_varint_size(bytes.size);
  CHECK(bytes.size <= SIZE_MAX - head);
  char *to = strbuf_reserve(out, head + bytes.size);
  if (to == NULL)
    return;
  to = put_varint(put_varint(to, tag), bytes.size);
  if (bytes.size > 0)
    memcpy(to, bytes.data, bytes.size);
  out->size += head + bytes.size;
}

static void write_fixed(struct strbuf *out, uint64_t tag, uint64_t value, unsigned size)
{
  size_t total = wire_varint_size(tag) + size;
  char *to = strbuf_reserve(out, total);
  if (to == NULL)
    return;
  put_fixed(put_varint(to, tag), value, size);
  out->size += total;
}

void wire_write_fixed32(struct strbuf *out, uint32_t number, uint32_t value)
{
  write_fixed(out, make_tag(number, WIRE_FIXED32), value, 4);
}

void wire_write_fixed64(struct strbuf *out, uint32_t number, uint64_t value)
{
  write_fixed(out, make_tag(number, WIRE_FIXED64), value, 8);
}

void wire_write_field(struct strbuf *out, const struct wire_field *field)
{
  switch (field->type) {
  case WIRE_VARINT:
    wire_write_varint(out, field->number, field->varint);
    return;
  case WIRE_FIXED64:
    wire_write_fixed64(out, field->number, field->varint);
    return;
  case WIRE_FIXED32:
    wire_write_fixed32(out, field->number, (uint32_t)field->varint);
    return;
  case WIRE_BYTES:
    wire_write_bytes(out, field->number, field->bytes);
    return;
  case WIRE_GROUP_START:
  case WIRE_GROUP_END:
    break;
  }
  CHECK(field->type == WIRE_BYTES);  // wire_read refuses groups
}

// Leaves one byte for the length; a longer length moves the message up when it is known.
size_t wire_begin_nested(struct strbuf *out, uint32_t number)
{
  wire_write_tag(out, number, WIRE_BYTES);
  strbuf_add_byte(out, 0);
  return out->size;
}

void wire_end_nested(struct strbuf *out, size_t mark)
{
  if (out->failed)
    return;
  CHECK(mark > 0 && mark <= out->size);
  size_t size = out->size - mark;
  size_t more = wire_varint_size(size) - 1;
  if (more > 0) {
    if (strbuf_reserve(out, more) == NULL)
      return;
    memmove(out->data + mark + more, out->data + mark, size);
    out->size += more;
  }
  put_varint(out->data + mark - 1, size);
}

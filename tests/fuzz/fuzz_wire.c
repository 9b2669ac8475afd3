// Any bytes as a protobuf message. What is read lies inside the input, and what is written of it reads back the same.
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The depth to which bytes are read as a message, too.
#define MAX_DEPTH 4

static void check_field(const struct wire_field *field, struct slice input)
{
  CHECK(field->number >= 1 && field->number < UINT32_C(1) << 29);
  if (field->type == WIRE_BYTES)
    CHECK(field->bytes.data > input.data && field->bytes.size < input.size &&
          field->bytes.data + field->bytes.size <= input.data + input.size);
  struct strbuf out = {0};
  wire_write_field(&out, field);
  struct wire_reader reader = wire_reader_make(strbuf_slice(&out));
  struct wire_field again;
  CHECK(wire_read(&reader, &again) == WIRE_FIELD && reader.next == reader.end);
  CHECK(again.number == field->number && again.type == field->type && again.varint == field->varint);
  CHECK(slice_equal(again.bytes, field->bytes));
  if (field->type == WIRE_BYTES) {
    // A message whose length is put in afterwards must be the same bytes.
    struct strbuf nested = {0};
    size_t mark = wire_begin_nested(&nested, field->number);
    strbuf_add(&nested, field->bytes);
    wire_end_nested(&nested, mark);
    CHECK(slice_equal(strbuf_slice(&nested), strbuf_slice(&out)));
    strbuf_free(&nested);
  }
  strbuf_free(&out);
}

static void check_message(struct slice input, unsigned depth)
{
  struct wire_reader reader = wire_reader_make(input);
  struct wire_field field;
  const uint8_t *before = reader.next;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    CHECK(reader.next > before && reader.next <= reader.end);
    before = reader.next;
    check_field(&field, input);
    if (field.type == WIRE_BYTES && depth < MAX_DEPTH)
      check_message(field.bytes, depth + 1);
  }
  CHECK(reader.next <= reader.end);
  CHECK((result == WIRE_END) == (reader.next == reader.end) || result == WIRE_MALFORMED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  check_message(slice_make(data, size), 0);
  return 0;
}

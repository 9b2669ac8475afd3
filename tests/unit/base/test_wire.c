#include "common/base/wire.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void assert_holds(const struct strbuf *buf, struct slice wanted)
{
  cr_assert_eq(buf->size, wanted.size, "%zu bytes instead of %zu", buf->size, wanted.size);
  cr_assert_arr_eq(buf->data, wanted.data, wanted.size);
}

// Reads from memory of exactly this size, so that a sanitizer sees a read past its end.
static enum wire_result read_one(struct slice bytes, struct wire_field *field)
{
  char *copy = malloc(bytes.size + (bytes.size == 0));
  if (bytes.size > 0)
    memcpy(copy, bytes.data, bytes.size);
  struct wire_reader reader = wire_reader_make(slice_make(copy, bytes.size));
  enum wire_result result = wire_read(&reader, field);
  if (result == WIRE_FIELD)
    cr_assert_eq(reader.next, reader.end, "the whole field is read");
  free(copy);
  return result;
}

Test(wire, varints_have_the_bytes_of_the_encoding_guide)
{
  static const struct {
    uint64_t value;
    struct slice bytes;
  } ROWS[] = {
      {0, SLICE_INIT("\x00")},
      {1, SLICE_INIT("\x01")},
      {127, SLICE_INIT("\x7F")},
      {128, SLICE_INIT("\x80\x01")},
      {150, SLICE_INIT("\x96\x01")},
      {16383, SLICE_INIT("\xFF\x7F")},
      {16384, SLICE_INIT("\x80\x80\x01")},
      {UINT32_MAX, SLICE_INIT("\xFF\xFF\xFF\xFF\x0F")},
      {UINT64_C(1) << 63, SLICE_INIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
      {UINT64_MAX, SLICE_INIT("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")},
  };
  struct strbuf buf = {0};
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    strbuf_clear(&buf);
    wire_write_raw_varint(&buf, ROWS[i].value);
    assert_holds(&buf, ROWS[i].bytes);
    cr_assert_eq(wire_varint_size(ROWS[i].value), ROWS[i].bytes.size);
    strbuf_clear(&buf);
    wire_write_varint(&buf, 1, ROWS[i].value);
    struct wire_field field;
    cr_assert_eq(read_one(strbuf_slice(&buf), &field), WIRE_FIELD);
    cr_assert_eq(field.varint, ROWS[i].value);
  }
  strbuf_free(&buf);
}

Test(wire, the_size_of_a_varint_is_right_at_every_power_of_two)
{
  struct strbuf buf = {0};
  for (unsigned bit = 0; bit < 64; bit++) {
    for (int step = -1; step <= 1; step++) {
      uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)step;
      strbuf_clear(&buf);
      wire_write_raw_varint(&buf, value);
      cr_assert_eq(wire_varint_size(value), buf.size, "2^%u%+d", bit, step);
    }
  }
  strbuf_free(&buf);
}

Test(wire, every_type_is_read_as_it_was_written)
{
  struct strbuf buf = {0};
  wire_write_varint(&buf, 1, 150);
  wire_write_fixed64(&buf, 2, 0x0102030405060708ULL);
  wire_write_bytes(&buf, 536870911, SLICE("testing"));
  wire_write_fixed32(&buf, 16, 0xA1B2C3D4);
  wire_write_bytes(&buf, 5, slice_make(NULL, 0));
  assert_holds(&buf, SLICE("\x08\x96\x01"
                           "\x11\x08\x07\x06\x05\x04\x03\x02\x01"
                           "\xFA\xFF\xFF\xFF\x0F\x07testing"
                           "\x85\x01\xD4\xC3\xB2\xA1"
                           "\x2A\x00"));
  struct wire_reader reader = wire_reader_make(strbuf_slice(&buf));
  struct wire_field field;
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert(field.number == 1 && field.type == WIRE_VARINT && field.varint == 150);
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert(field.number == 2 && field.type == WIRE_FIXED64 && field.varint == 0x0102030405060708ULL);
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert(field.number == 536870911 && field.type == WIRE_BYTES && slice_equal(field.bytes, SLICE("testing")));
  cr_assert(field.bytes.data > buf.data && field.bytes.data < buf.data + buf.size, "a view, not a copy");
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert(field.number == 16 && field.type == WIRE_FIXED32 && field.varint == 0xA1B2C3D4);
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert(field.number == 5 && field.type == WIRE_BYTES && field.bytes.size == 0);
  cr_assert_eq(wire_read(&reader, &field), WIRE_END);
  cr_assert_eq(wire_read(&reader, &field), WIRE_END);
  strbuf_free(&buf);
}

Test(wire, an_empty_message_has_no_field)
{
  struct wire_field field;
  cr_assert_eq(read_one(SLICE(""), &field), WIRE_END);
  struct wire_reader reader = wire_reader_make(slice_make(NULL, 0));
  cr_assert_eq(wire_read(&reader, &field), WIRE_END);
}

Test(wire, malformed_bytes_are_refused)
{
  static const struct {
    const char *why;
    struct slice bytes;
  } ROWS[] = {
      {"tag without a value", SLICE_INIT("\x08")},
      {"tag cut short", SLICE_INIT("\x80")},
      {"varint cut short", SLICE_INIT("\x08\x80")},
      {"varint of nine bytes that goes on", SLICE_INIT("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
      {"varint of more than 64 bits", SLICE_INIT("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02")},
      {"varint of more than 64 bits", SLICE_INIT("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7F")},
      {"varint of eleven bytes", SLICE_INIT("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")},
      {"field number 0", SLICE_INIT("\x00\x00")},
      {"field number 0", SLICE_INIT("\x02\x00")},
      {"field number 2^29", SLICE_INIT("\x80\x80\x80\x80\x10\x00")},
      {"tag of 64 bits", SLICE_INIT("\xF8\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00")},
      {"fixed32 cut short", SLICE_INIT("\x0D\x01\x02\x03")},
      {"fixed64 cut short", SLICE_INIT("\x09\x01\x02\x03\x04\x05\x06\x07")},
      {"bytes without a length", SLICE_INIT("\x0A")},
      {"bytes longer than what is left", SLICE_INIT("\x0A\x03xy")},
      {"length of 2^64 - 1", SLICE_INIT("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01xy")},
      {"length of 2^63", SLICE_INIT("\x0A\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01xy")},
      {"group start", SLICE_INIT("\x0B\x0C")},
      {"group end", SLICE_INIT("\x0C")},
      {"type 6", SLICE_INIT("\x0E\x01\x01\x01\x01\x01\x01\x01\x01")},
      {"type 7", SLICE_INIT("\x0F\x01\x01\x01\x01\x01\x01\x01\x01")},
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    struct wire_field field;
    cr_assert_eq(read_one(ROWS[i].bytes, &field), WIRE_MALFORMED, "%s", ROWS[i].why);
  }
}

Test(wire, a_varint_with_needless_bytes_is_still_one)
{
  struct wire_field field;
  cr_assert_eq(read_one(SLICE("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), &field), WIRE_FIELD);
  cr_assert_eq(field.varint, 0);
  cr_assert_eq(read_one(SLICE("\x88\x00\x81\x00"), &field), WIRE_FIELD);
  cr_assert(field.number == 1 && field.varint == 1);
}

// Field 3 of a message of `size` bytes, whose length takes one byte or several.
static void assert_nests(size_t size)
{
  struct strbuf nested = {0};
  struct strbuf plain = {0};
  char *inner = malloc(size + 1);
  memset(inner, 'i', size);
  strbuf_add(&nested, SLICE("before"));
  size_t mark = wire_begin_nested(&nested, 3);
  strbuf_add(&nested, slice_make(inner, size));
  wire_end_nested(&nested, mark);
  strbuf_add(&nested, SLICE("after"));
  strbuf_add(&plain, SLICE("before"));
  wire_write_bytes(&plain, 3, slice_make(inner, size));
  strbuf_add(&plain, SLICE("after"));
  assert_holds(&nested, strbuf_slice(&plain));
  free(inner);
  strbuf_free(&nested);
  strbuf_free(&plain);
}

Test(wire, a_nested_message_is_as_if_its_length_had_been_known)
{
  static const size_t SIZES[] = {0, 1, 127, 128, 129, 16383, 16384, 16385, 2097151, 2097152};
  for (size_t i = 0; i < ARRAY_LEN(SIZES); i++)
    assert_nests(SIZES[i]);
}

Test(wire, nested_messages_nest)
{
  struct strbuf buf = {0};
  char text[200];
  memset(text, 'x', sizeof(text));
  size_t outer = wire_begin_nested(&buf, 1);
  size_t inner = wire_begin_nested(&buf, 2);
  wire_write_bytes(&buf, 3, slice_make(text, sizeof(text)));
  wire_end_nested(&buf, inner);
  wire_write_varint(&buf, 4, 5);
  wire_end_nested(&buf, outer);
  struct wire_field field;
  cr_assert_eq(read_one(strbuf_slice(&buf), &field), WIRE_FIELD);
  struct wire_reader reader = wire_reader_make(strbuf_slice(&buf));
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  reader = wire_reader_make(field.bytes);
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  struct wire_field last;
  cr_assert_eq(wire_read(&reader, &last), WIRE_FIELD);
  cr_assert(last.number == 4 && last.varint == 5);
  reader = wire_reader_make(field.bytes);
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert(field.number == 3 && field.bytes.size == sizeof(text));
  strbuf_free(&buf);
}

Test(wire, a_full_buffer_holds_no_half_field)
{
  struct strbuf buf;
  // Each write would fit but for its last byte.
  strbuf_init(&buf, 10);
  wire_write_bytes(&buf, 1, SLICE("123456789"));
  cr_assert(buf.failed && buf.size == 0);
  strbuf_clear(&buf);
  wire_write_bytes(&buf, 1, SLICE("12345678"));
  cr_assert(!buf.failed && buf.size == 10, "exactly at the limit");
  wire_write_varint(&buf, 1, 1);
  cr_assert(buf.failed && buf.size == 10);
  strbuf_free(&buf);
  strbuf_init(&buf, 8);
  wire_write_fixed64(&buf, 1, 1);
  cr_assert(buf.failed && buf.size == 0);
  strbuf_free(&buf);
  strbuf_init(&buf, 4);
  wire_write_fixed32(&buf, 1, 1);
  cr_assert(buf.failed && buf.size == 0);
  strbuf_free(&buf);
}

Test(wire, a_nested_message_that_does_not_fit_fails)
{
  char text[200] = {0};
  for (size_t limit = 1; limit < 205; limit++) {
    struct strbuf buf;
    strbuf_init(&buf, limit);
    size_t mark = wire_begin_nested(&buf, 1);
    strbuf_add(&buf, slice_make(text, sizeof(text)));
    wire_end_nested(&buf, mark);
    // 200 bytes, a tag of one byte and a length of two.
    cr_assert_eq(buf.failed, limit < 203, "limit %zu", limit);
    strbuf_free(&buf);
  }
}

Test(wire, zigzag_puts_small_numbers_of_either_sign_first)
{
  static const struct {
    int64_t value;
    uint64_t zigzag;
  } ROWS[] = {{0, 0}, {-1, 1}, {1, 2}, {-2, 3}, {INT64_MAX, UINT64_MAX - 1}, {INT64_MIN, UINT64_MAX}};
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    cr_assert_eq(wire_zigzag(ROWS[i].value), ROWS[i].zigzag);
    cr_assert_eq(wire_unzigzag(ROWS[i].zigzag), ROWS[i].value);
  }
}

Test(wire, field_number_0_of_our_own_aborts, .signal = SIGABRT)
{
  struct strbuf buf = {0};
  wire_write_varint(&buf, 0, 1);
}

Test(wire, a_field_number_of_our_own_beyond_the_limit_aborts, .signal = SIGABRT)
{
  struct strbuf buf = {0};
  wire_write_tag(&buf, UINT32_C(1) << 29, WIRE_VARINT);
}

Test(wire, a_field_is_written_as_it_was_read)
{
  struct strbuf buf = {0};
  struct strbuf copy = {0};
  wire_write_varint(&buf, 1, 150);
  wire_write_fixed64(&buf, 2, 0x0102030405060708ULL);
  wire_write_bytes(&buf, 536870911, SLICE("testing"));
  wire_write_fixed32(&buf, 16, 0xA1B2C3D4);
  struct wire_reader reader = wire_reader_make(strbuf_slice(&buf));
  struct wire_field field;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    wire_write_field(&copy, &field);
  assert_holds(&copy, strbuf_slice(&buf));
  strbuf_free(&copy);
  strbuf_free(&buf);
}

#include "common/base/jsontext_writer.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/base/jsontext_reader.h"

static struct strbuf buf;
static struct jsontext_writer writer;

static void begin(void)
{
  strbuf_init(&buf, 0);
  jsontext_writer_init(&writer, &buf);
}

static void end(void)
{
  strbuf_free(&buf);
}

TestSuite(jsontext_writer, .init = begin, .fini = end);

static void assert_written(const char *wanted)
{
  cr_assert_not(buf.failed);
  cr_assert_str_eq(strbuf_cstring(&buf), wanted);
}

Test(jsontext_writer, commas_are_where_they_belong)
{
  jsontext_begin_object(&writer);
  jsontext_key(&writer, SLICE("a"));
  jsontext_begin_array(&writer);
  jsontext_int(&writer, INT64_MIN);
  jsontext_begin_array(&writer);
  jsontext_end_array(&writer);
  jsontext_begin_object(&writer);
  jsontext_end_object(&writer);
  jsontext_bool(&writer, true);
  jsontext_raw(&writer, SLICE("null"));
  jsontext_end_array(&writer);
  jsontext_key_string(&writer, "b", SLICE("x"));
  jsontext_key_int(&writer, "c", -1);
  jsontext_key_bool(&writer, "d", false);
  jsontext_key(&writer, SLICE("e"));
  jsontext_raw(&writer, SLICE("{\"raw\":1}"));
  jsontext_key(&writer, SLICE("f"));
  jsontext_begin_object(&writer);
  jsontext_key_int(&writer, "g", 1);
  jsontext_end_object(&writer);
  jsontext_end_object(&writer);
  assert_written("{\"a\":[-9223372036854775808,[],{},true,null],\"b\":\"x\",\"c\":-1,\"d\":false,"
                 "\"e\":{\"raw\":1},\"f\":{\"g\":1}}");
}

Test(jsontext_writer, a_level_that_is_used_again_starts_without_a_comma)
{
  jsontext_begin_array(&writer);
  for (int i = 0; i < 2; i++) {
    jsontext_begin_array(&writer);
    jsontext_int(&writer, i);
    jsontext_int(&writer, i);
    jsontext_end_array(&writer);
  }
  jsontext_end_array(&writer);
  assert_written("[[0,0],[1,1]]");
}

Test(jsontext_writer, what_rfc_8259_wants_escaped_is_escaped_and_nothing_else)
{
  jsontext_string(&writer, SLICE("\"\\/\b\f\n\r\t\x01\x1F\x7F<&>\xC3\xA4\xF0\x9F\x98\x80"));
  assert_written("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F<&>\xC3\xA4\xF0\x9F\x98\x80\"");
}

Test(jsontext_writer, a_zero_byte_and_no_bytes_are_strings_too)
{
  jsontext_begin_array(&writer);
  jsontext_string(&writer, SLICE("a\0b"));
  jsontext_string(&writer, SLICE(""));
  jsontext_string(&writer, slice_make(NULL, 0));
  jsontext_end_array(&writer);
  assert_written("[\"a\\u0000b\",\"\",\"\"]");
}

Test(jsontext_writer, keys_are_escaped_as_well)
{
  jsontext_begin_object(&writer);
  jsontext_key(&writer, SLICE("a\"b"));
  jsontext_raw(&writer, SLICE("null"));
  jsontext_end_object(&writer);
  assert_written("{\"a\\\"b\":null}");
}

Test(jsontext_writer, any_text_comes_back_through_the_reader)
{
  struct arena arena = {0};
  for (unsigned byte = 0; byte < 128; byte++) {
    for (size_t size = 1; size < 36; size++) {
      char text[36];
      memset(text, 'x', sizeof(text));
      text[size / 2] = (char)byte;
      text[size - 1] = (char)byte;
      strbuf_clear(&buf);
      jsontext_writer_init(&writer, &buf);
      jsontext_string(&writer, slice_make(text, size));
      struct jsontext_reader reader;
      jsontext_reader_init(&reader, strbuf_slice(&buf), 1, &arena);
      cr_assert_eq(jsontext_read(&reader), JSONTEXT_STRING, "byte %u: %s", byte, reader.error);
      cr_assert(slice_equal(reader.text, slice_make(text, size)), "byte %u in %zu", byte, size);
      cr_assert_eq(jsontext_read(&reader), JSONTEXT_END);
    }
  }
  arena_free(&arena);
}

Test(jsontext_writer, the_limit_of_the_buffer_is_what_is_written)
{
  struct strbuf small;
  strbuf_init(&small, 7);
  jsontext_writer_init(&writer, &small);
  jsontext_string(&writer, SLICE("12345"));
  cr_assert_not(small.failed, "seven bytes fit in seven");
  jsontext_writer_init(&writer, &small);
  strbuf_clear(&small);
  jsontext_string(&writer, SLICE("123456"));
  cr_assert(small.failed);
  strbuf_free(&small);
}

Test(jsontext_writer, the_deepest_level_that_the_reader_takes_is_written)
{
  for (int i = 0; i < JSONTEXT_MAX_DEPTH; i++)
    jsontext_begin_array(&writer);
  jsontext_int(&writer, 1);
  jsontext_int(&writer, 2);
  for (int i = 0; i < JSONTEXT_MAX_DEPTH; i++)
    jsontext_end_array(&writer);
  cr_assert_not(buf.failed);
  struct arena arena = {0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, strbuf_slice(&buf), JSONTEXT_MAX_DEPTH, &arena);
  cr_assert(jsontext_skip_value(&reader, NULL), "%s", reader.error);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_END);
}

Test(jsontext_writer, one_level_more_fails_the_buffer)
{
  for (int i = 0; i < 1000; i++)
    jsontext_begin_array(&writer);
  jsontext_int(&writer, 1);
  for (int i = 0; i < 1000; i++)
    jsontext_end_array(&writer);
  cr_assert(buf.failed);
  cr_assert_eq(buf.size, JSONTEXT_MAX_DEPTH);
}

Test(jsontext_writer, closing_what_is_not_open_aborts, .signal = SIGABRT)
{
  jsontext_end_object(&writer);
}

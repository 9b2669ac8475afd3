#include "common/base/json_writer.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/base/json_reader.h"

static struct strbuf buf;
static struct json_writer writer;

static void begin(void)
{
  strbuf_init(&buf, 0);
  json_writer_init(&writer, &buf);
}

static void end(void)
{
  strbuf_free(&buf);
}

TestSuite(json_writer, .init = begin, .fini = end);

static void assert_written(const char *wanted)
{
  cr_assert_not(buf.failed);
  cr_assert_str_eq(strbuf_cstring(&buf), wanted);
}

Test(json_writer, commas_are_where_they_belong)
{
  json_begin_object(&writer);
  json_key(&writer, SLICE("a"));
  json_begin_array(&writer);
  json_int(&writer, INT64_MIN);
  json_begin_array(&writer);
  json_end_array(&writer);
  json_begin_object(&writer);
  json_end_object(&writer);
  json_bool(&writer, true);
  json_null(&writer);
  json_end_array(&writer);
  json_key_string(&writer, "b", SLICE("x"));
  json_key_int(&writer, "c", -1);
  json_key_bool(&writer, "d", false);
  json_key(&writer, SLICE("e"));
  json_raw(&writer, SLICE("{\"raw\":1}"));
  json_key(&writer, SLICE("f"));
  json_begin_object(&writer);
  json_key_int(&writer, "g", 1);
  json_end_object(&writer);
  json_end_object(&writer);
  assert_written("{\"a\":[-9223372036854775808,[],{},true,null],\"b\":\"x\",\"c\":-1,\"d\":false,"
                 "\"e\":{\"raw\":1},\"f\":{\"g\":1}}");
}

Test(json_writer, a_level_that_is_used_again_starts_without_a_comma)
{
  json_begin_array(&writer);
  for (int i = 0; i < 2; i++) {
    json_begin_array(&writer);
    json_int(&writer, i);
    json_int(&writer, i);
    json_end_array(&writer);
  }
  json_end_array(&writer);
  assert_written("[[0,0],[1,1]]");
}

Test(json_writer, what_rfc_8259_wants_escaped_is_escaped_and_nothing_else)
{
  json_string(&writer, SLICE("\"\\/\b\f\n\r\t\x01\x1F\x7F<&>\xC3\xA4\xF0\x9F\x98\x80"));
  assert_written("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F<&>\xC3\xA4\xF0\x9F\x98\x80\"");
}

Test(json_writer, a_zero_byte_and_no_bytes_are_strings_too)
{
  json_begin_array(&writer);
  json_string(&writer, SLICE("a\0b"));
  json_string(&writer, SLICE(""));
  json_string(&writer, slice_make(NULL, 0));
  json_end_array(&writer);
  assert_written("[\"a\\u0000b\",\"\",\"\"]");
}

Test(json_writer, keys_are_escaped_as_well)
{
  json_begin_object(&writer);
  json_key(&writer, SLICE("a\"b"));
  json_null(&writer);
  json_end_object(&writer);
  assert_written("{\"a\\\"b\":null}");
}

Test(json_writer, any_text_comes_back_through_the_reader)
{
  struct arena arena = {0};
  for (unsigned byte = 0; byte < 128; byte++) {
    for (size_t size = 1; size < 36; size++) {
      char text[36];
      memset(text, 'x', sizeof(text));
      text[size / 2] = (char)byte;
      text[size - 1] = (char)byte;
      strbuf_clear(&buf);
      json_writer_init(&writer, &buf);
      json_string(&writer, slice_make(text, size));
      struct json_reader reader;
      json_reader_init(&reader, strbuf_slice(&buf), 1, &arena);
      cr_assert_eq(json_read(&reader), JSON_STRING, "byte %u: %s", byte, reader.error);
      cr_assert(slice_equal(reader.text, slice_make(text, size)), "byte %u in %zu", byte, size);
      cr_assert_eq(json_read(&reader), JSON_END);
    }
  }
  arena_free(&arena);
}

Test(json_writer, escape_writes_no_quotes)
{
  json_escape(&buf, SLICE("say \"hi\"\n"));
  assert_written("say \\\"hi\\\"\\n");
}

Test(json_writer, the_limit_of_the_buffer_is_what_is_written)
{
  struct strbuf small;
  strbuf_init(&small, 7);
  json_writer_init(&writer, &small);
  json_string(&writer, SLICE("12345"));
  cr_assert_not(small.failed, "seven bytes fit in seven");
  json_writer_init(&writer, &small);
  strbuf_clear(&small);
  json_string(&writer, SLICE("123456"));
  cr_assert(small.failed);
  strbuf_free(&small);
}

Test(json_writer, the_deepest_level_that_the_reader_takes_is_written)
{
  for (int i = 0; i < JSON_MAX_DEPTH; i++)
    json_begin_array(&writer);
  json_int(&writer, 1);
  json_int(&writer, 2);
  for (int i = 0; i < JSON_MAX_DEPTH; i++)
    json_end_array(&writer);
  cr_assert_not(buf.failed);
  struct arena arena = {0};
  struct json_reader reader;
  json_reader_init(&reader, strbuf_slice(&buf), JSON_MAX_DEPTH, &arena);
  cr_assert(json_skip_value(&reader, NULL), "%s", reader.error);
  cr_assert_eq(json_read(&reader), JSON_END);
}

Test(json_writer, one_level_more_fails_the_buffer)
{
  for (int i = 0; i < 1000; i++)
    json_begin_array(&writer);
  json_int(&writer, 1);
  for (int i = 0; i < 1000; i++)
    json_end_array(&writer);
  cr_assert(buf.failed);
  cr_assert_eq(buf.size, JSON_MAX_DEPTH);
}

Test(json_writer, closing_what_is_not_open_aborts, .signal = SIGABRT)
{
  json_end_object(&writer);
}

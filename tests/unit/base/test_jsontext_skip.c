// Passing over values, and the lines and columns of errors.
#include <criterion/criterion.h>

#include "common/base/jsontext_reader.h"

Test(jsontext_reader, skipping_passes_over_one_value_and_gives_its_text)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  struct slice raw;
  jsontext_reader_init(&reader, SLICE("{\"a\": {\"x\": [1, \"\\n\"]} , \"b\":[true ,7,\"s\"], \"c\":1 }"), 8, &arena);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_OBJECT_BEGIN);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_KEY);
  cr_assert(jsontext_skip_value(&reader, &raw));
  cr_assert(slice_equal(raw, SLICE("{\"x\": [1, \"\\n\"]}")), "%.*s", SLICE_ARG(raw));
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_KEY);
  cr_assert(slice_equal(reader.text, SLICE("b")));
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_ARRAY_BEGIN);
  cr_assert(jsontext_skip_value(&reader, &raw));
  cr_assert(slice_equal(raw, SLICE("true")));
  cr_assert(jsontext_skip_value(&reader, &raw));
  cr_assert(slice_equal(raw, SLICE("7")));
  cr_assert(jsontext_skip_value(&reader, NULL));
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_ARRAY_END);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_KEY);
  cr_assert(jsontext_skip_value(&reader, &raw));
  cr_assert(slice_equal(raw, SLICE("1")));
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_OBJECT_END);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_END);
  cr_assert_eq(arena.allocated_bytes, 0, "skipping unescapes nothing");
}

Test(jsontext_reader, skipping_a_whole_document_leaves_the_end)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  struct slice raw;
  jsontext_reader_init(&reader, SLICE("  [1,[2]]  "), 2, &arena);
  cr_assert(jsontext_skip_value(&reader, &raw));
  cr_assert(slice_equal(raw, SLICE("[1,[2]]")));
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_END);
  cr_assert_not(jsontext_skip_value(&reader, NULL), "there is no value behind the end");
}

Test(jsontext_reader, skipping_where_no_value_comes_is_an_error)
{
  static const char *const JSONS[] = {"[]", "{}", "{\"a\":1}"};
  for (size_t i = 0; i < ARRAY_LEN(JSONS); i++) {
    struct arena arena = {0};
    struct jsontext_reader reader;
    jsontext_reader_init(&reader, slice_from_string(JSONS[i]), 2, &arena);
    cr_assert_geq(jsontext_read(&reader), JSONTEXT_OBJECT_BEGIN);
    cr_assert_not(jsontext_skip_value(&reader, NULL), "%s", JSONS[i]);
    cr_assert_eq(reader.error_offset, 1);
    cr_assert_eq(jsontext_read(&reader), JSONTEXT_ERROR);
  }
}

Test(jsontext_reader, depth_counts_while_skipping_too)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, SLICE("{\"a\":[[[1]]]}"), 3, &arena);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_OBJECT_BEGIN);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_KEY);
  cr_assert_not(jsontext_skip_value(&reader, NULL));
  cr_assert_eq(reader.error_offset, 7);
}

Test(jsontext_reader, positions_count_lines_and_bytes_from_1)
{
  struct slice text = SLICE("ab\n\ncd\r\ne\xC3\xA4x");
  static const struct {
    size_t offset, line, column;
  } ROWS[] = {{0, 1, 1}, {1, 1, 2}, {2, 1, 3},  {3, 2, 1},  {4, 3, 1}, {6, 3, 3},
              {7, 3, 4}, {8, 4, 1}, {11, 4, 4}, {12, 4, 5}, {99, 4, 5}};
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    size_t line, column;
    jsontext_position(text, ROWS[i].offset, &line, &column);
    cr_assert_eq(line, ROWS[i].line, "offset %zu", ROWS[i].offset);
    cr_assert_eq(column, ROWS[i].column, "offset %zu", ROWS[i].offset);
  }
  size_t line, column;
  jsontext_position(slice_make(NULL, 0), 0, &line, &column);
  cr_assert(line == 1 && column == 1);
}

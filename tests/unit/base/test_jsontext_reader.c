#include "common/base/jsontext_reader.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/jsontext_writer.h"

// One letter a token and the text of those that have one: {"a":[1,true]} is "{ a: [ #1 t ] }".
static void render(struct jsontext_reader *reader, struct strbuf *out)
{
  static const char *const NAMES[] = {
      [JSONTEXT_OBJECT_BEGIN] = "{", [JSONTEXT_OBJECT_END] = "}", [JSONTEXT_ARRAY_BEGIN] = "[",
      [JSONTEXT_ARRAY_END] = "]",    [JSONTEXT_KEY] = "",         [JSONTEXT_STRING] = "'",
      [JSONTEXT_NUMBER] = "#",       [JSONTEXT_TRUE] = "t",       [JSONTEXT_FALSE] = "f",
      [JSONTEXT_NULL] = "n",
  };
  for (;;) {
    enum jsontext_token token = jsontext_read(reader);
    if (token == JSONTEXT_ERROR || token == JSONTEXT_END)
      return;
    strbuf_add_string(out, out->size == 0 ? "" : " ");
    strbuf_add_string(out, NAMES[token]);
    if (token == JSONTEXT_KEY || token == JSONTEXT_STRING || token == JSONTEXT_NUMBER)
      strbuf_add(out, reader->text);
    if (token == JSONTEXT_KEY)
      strbuf_add_byte(out, ':');
  }
}

static void assert_reads(struct slice json, struct slice wanted)
{
  struct arena arena = {0};
  struct strbuf out = {0};
  struct jsontext_reader reader;
  // In memory of its own size, so that a sanitizer sees a read past the end.
  char *copy = malloc(json.size + (json.size == 0));
  memcpy(copy, json.data, json.size);
  jsontext_reader_init(&reader, slice_make(copy, json.size), JSONTEXT_MAX_DEPTH, &arena);
  render(&reader, &out);
  cr_assert_null(reader.error, "%.*s: %s at %zu", SLICE_ARG(json), reader.error, reader.error_offset);
  cr_assert_eq(reader.offset, json.size);
  cr_assert(slice_equal(strbuf_slice(&out), wanted), "%.*s became %.*s", SLICE_ARG(json), (int)out.size, out.data);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_END, "the end stays the end");
  free(copy);
  strbuf_free(&out);
  arena_free(&arena);
}

Test(jsontext_reader, documents_become_tokens)
{
  static const struct {
    struct slice json;
    struct slice tokens;
  } ROWS[] = {
      {SLICE_INIT("{}"), SLICE_INIT("{ }")},
      {SLICE_INIT("[]"), SLICE_INIT("[ ]")},
      {SLICE_INIT(" \t\r\n[ \t\r\n1 \t\r\n, \t\r\n2 \t\r\n] \t\r\n"), SLICE_INIT("[ #1 #2 ]")},
      {SLICE_INIT("{ \"a\" : 1 , \"b\" : [ ] }"), SLICE_INIT("{ a: #1 b: [ ] }")},
      {SLICE_INIT("{\"a\":{\"b\":[{\"c\":null}]},\"d\":false}"), SLICE_INIT("{ a: { b: [ { c: n } ] } d: f }")},
      {SLICE_INIT("[[],{},[[]],\"\",true]"), SLICE_INIT("[ [ ] { } [ [ ] ] ' t ]")},
      {SLICE_INIT("\"text\""), SLICE_INIT("'text")},
      {SLICE_INIT("{\"\":0}"), SLICE_INIT("{ : #0 }")},
      {SLICE_INIT("{\"a\":1,\"a\":2}"), SLICE_INIT("{ a: #1 a: #2 }")},
      {SLICE_INIT("true"), SLICE_INIT("t")},
      {SLICE_INIT("null "), SLICE_INIT("n")},
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
    assert_reads(ROWS[i].json, ROWS[i].tokens);
}

Test(jsontext_reader, numbers_are_handed_on_as_written)
{
  static const char *const NUMBERS[] = {
      "0",     "-0",  "7",    "10",   "-12",     "1.5",    "0.25",
      "1e5",   "1E5", "1e+5", "1e-5", "-0.0e-0", "1.0E00", "123456789012345678901234567890",
      "1e999", "0e1",
  };
  for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++) {
    struct arena arena = {0};
    struct jsontext_reader reader;
    jsontext_reader_init(&reader, slice_from_string(NUMBERS[i]), 1, &arena);
    cr_assert_eq(jsontext_read(&reader), JSONTEXT_NUMBER, "%s", NUMBERS[i]);
    cr_assert(slice_equal_string(reader.text, NUMBERS[i]), "%s", NUMBERS[i]);
    cr_assert_eq(jsontext_read(&reader), JSONTEXT_END);
  }
}

Test(jsontext_reader, escapes_become_bytes)
{
  assert_reads(SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SLICE("'\"\\/\b\f\n\r\t"));
  assert_reads(SLICE("\"\\u0041\\u00e4\\u20AC\\ud83d\\ude00\""), SLICE("'A\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"));
  assert_reads(SLICE("\"\\u0000\""), SLICE("'\0"));
  assert_reads(SLICE("\"\\uD800\\uDC00\\uDBFF\\uDFFF\""), SLICE("'\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
  assert_reads(SLICE("\"\\uD7FF\\uE000\\uFFFF\""), SLICE("'\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"));
  assert_reads(SLICE("\"plain before \\n and long enough plain after\""),
               SLICE("'plain before \n and long enough plain after"));
  assert_reads(SLICE("{\"k\\u0065y\":\"\\u0076\"}"), SLICE("{ key: 'v }"));
  assert_reads(SLICE("\"\\\\u0041\""), SLICE("'\\u0041"));
}

Test(jsontext_reader, bytes_that_need_no_escape_pass)
{
  assert_reads(SLICE("\"\x7F \xC3\xA4 \xE2\x80\xA8 \xF0\x9F\x98\x80 \xEF\xBB\xBF\""),
               SLICE("'\x7F \xC3\xA4 \xE2\x80\xA8 \xF0\x9F\x98\x80 \xEF\xBB\xBF"));
}

Test(jsontext_reader, a_string_without_escapes_is_a_view_of_the_input)
{
  struct arena arena = {0};
  struct slice input = SLICE("[\"plain\",\"e\\u0073caped\"]");
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, input, 1, &arena);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_ARRAY_BEGIN);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_STRING);
  cr_assert_eq(reader.text.data, input.data + 2);
  cr_assert_eq(arena.allocated_bytes, 0);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_STRING);
  cr_assert(slice_equal(reader.text, SLICE("escaped")));
  cr_assert_gt(arena.allocated_bytes, 0);
  arena_free(&arena);
}

Test(jsontext_reader, token_offset_is_where_the_token_begins)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, SLICE(" { \"a\" : [ 10 , \"x\" ] } "), 8, &arena);
  static const struct {
    enum jsontext_token token;
    size_t offset;
  } WANTED[] = {{JSONTEXT_OBJECT_BEGIN, 1}, {JSONTEXT_KEY, 3},        {JSONTEXT_ARRAY_BEGIN, 9}, {JSONTEXT_NUMBER, 11},
                {JSONTEXT_STRING, 16},      {JSONTEXT_ARRAY_END, 20}, {JSONTEXT_OBJECT_END, 22}, {JSONTEXT_END, 24}};
  for (size_t i = 0; i < ARRAY_LEN(WANTED); i++) {
    cr_assert_eq(jsontext_read(&reader), WANTED[i].token, "token %zu", i);
    cr_assert_eq(reader.token_offset, WANTED[i].offset, "token %zu at %zu", i, reader.token_offset);
  }
}

struct broken {
  struct slice json;
  size_t offset;
  const char *error;
};

#define NO_END "the string has no end"
#define NO_VALUE "a value must come here"
#define CUT_SHORT "the text ends where a value must come"
#define NO_KEY "a key in quotes must follow a comma"
#define NO_FIRST_KEY "a key in quotes or } must follow {"
#define NO_COLON "a colon must follow a key"
#define NO_COMMA_OBJECT "a comma or } must follow a value"
#define NO_COMMA_ARRAY "a comma or ] must follow a value"
#define TRAILING "nothing may follow the document"
#define LITERAL "not a JSON value; only true, false and null are written without quotes"
#define CONTROL "a control character in a string must be escaped"
#define ESCAPE "unknown escape in a string"
#define HEX "\\u must be followed by four hexadecimal digits"
#define SURROGATE "half of a surrogate pair stands alone"
#define UTF8 "invalid UTF-8"
#define ZERO "a number must not begin with a zero"
#define MINUS "a digit must follow the minus sign"
#define POINT "a digit must follow the decimal point"
#define EXPONENT "an exponent must have a digit"

static const struct broken STRUCTURE[] = {
    {SLICE_INIT(""), 0, CUT_SHORT},
    {SLICE_INIT("  \n"), 3, CUT_SHORT},
    {SLICE_INIT("\xEF\xBB\xBF{}"), 0, NO_VALUE},  // a byte order mark
    {SLICE_INIT("\xFE\xFF"), 0, NO_VALUE},
    {SLICE_INIT("\0"), 0, NO_VALUE},
    {SLICE_INIT("\f1"), 0, NO_VALUE},
    {SLICE_INIT("\xC2\xA0"
                "1"),
     0, NO_VALUE},
    {SLICE_INIT("["), 1, CUT_SHORT},
    {SLICE_INIT("[1"), 2, NO_COMMA_ARRAY},
    {SLICE_INIT("[1,"), 3, CUT_SHORT},
    {SLICE_INIT("[1,]"), 3, NO_VALUE},
    {SLICE_INIT("[,1]"), 1, NO_VALUE},
    {SLICE_INIT("[1,,2]"), 3, NO_VALUE},
    {SLICE_INIT("[1 2]"), 3, NO_COMMA_ARRAY},
    {SLICE_INIT("[1:2]"), 2, NO_COMMA_ARRAY},
    {SLICE_INIT("[1}"), 2, NO_COMMA_ARRAY},
    {SLICE_INIT("[\"a\"\"b\"]"), 4, NO_COMMA_ARRAY},
    {SLICE_INIT("[}"), 1, NO_VALUE},
    {SLICE_INIT("]"), 0, NO_VALUE},
    {SLICE_INIT(","), 0, NO_VALUE},
    {SLICE_INIT("{"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{]"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{1:2}"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{a:1}"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{'a':1}"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{,}"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{null:1}"), 1, NO_FIRST_KEY},
    {SLICE_INIT("{\"a\"}"), 4, NO_COLON},
    {SLICE_INIT("{\"a\""), 4, NO_COLON},
    {SLICE_INIT("{\"a\" 1}"), 5, NO_COLON},
    {SLICE_INIT("{\"a\",1}"), 4, NO_COLON},
    {SLICE_INIT("{\"a\":}"), 5, NO_VALUE},
    {SLICE_INIT("{\"a\"::1}"), 5, NO_VALUE},
    {SLICE_INIT("{\"a\":"), 5, CUT_SHORT},
    {SLICE_INIT("{\"a\":1"), 6, NO_COMMA_OBJECT},
    {SLICE_INIT("{\"a\":1]"), 6, NO_COMMA_OBJECT},
    {SLICE_INIT("{\"a\":1,}"), 7, NO_KEY},
    {SLICE_INIT("{\"a\":1,"), 7, NO_KEY},
    {SLICE_INIT("{\"a\":1,,\"b\":2}"), 7, NO_KEY},
    {SLICE_INIT("{\"a\":1 \"b\":2}"), 7, NO_COMMA_OBJECT},
    {SLICE_INIT("{\"a\":1,2}"), 7, NO_KEY},
    {SLICE_INIT("{}{}"), 2, TRAILING},
    {SLICE_INIT("{} x"), 3, TRAILING},
    {SLICE_INIT("1,"), 1, TRAILING},
    {SLICE_INIT("[]]"), 2, TRAILING},
    {SLICE_INIT("null\0"), 4, TRAILING},
    {SLICE_INIT("1 2"), 2, TRAILING},
    {SLICE_INIT("// note\n1"), 0, NO_VALUE},
    {SLICE_INIT("/* note */1"), 0, NO_VALUE},
    {SLICE_INIT("1 // note"), 2, TRAILING},
    {SLICE_INIT("[1,# note\n2]"), 3, NO_VALUE},
};

static const struct broken LITERALS[] = {
    {SLICE_INIT("tru"), 0, LITERAL},
    {SLICE_INIT("[tRUE]"), 1, LITERAL},
    {SLICE_INIT("fals"), 0, LITERAL},
    {SLICE_INIT("nul"), 0, LITERAL},
    {SLICE_INIT("nan"), 0, LITERAL},
    {SLICE_INIT("TRUE"), 0, NO_VALUE},
    {SLICE_INIT("NaN"), 0, NO_VALUE},
    {SLICE_INIT("Infinity"), 0, NO_VALUE},
    {SLICE_INIT("undefined"), 0, NO_VALUE},
    {SLICE_INIT("truex"), 4, TRAILING},
    {SLICE_INIT("[nullnull]"), 5, NO_COMMA_ARRAY},
    {SLICE_INIT("01"), 0, ZERO},
    {SLICE_INIT("-01"), 1, ZERO},
    {SLICE_INIT("[00]"), 1, ZERO},
    {SLICE_INIT("-"), 1, MINUS},
    {SLICE_INIT("--1"), 1, MINUS},
    {SLICE_INIT("-a"), 1, MINUS},
    {SLICE_INIT("-Infinity"), 1, MINUS},
    {SLICE_INIT("-.5"), 1, MINUS},
    {SLICE_INIT("+1"), 0, NO_VALUE},
    {SLICE_INIT(".5"), 0, NO_VALUE},
    {SLICE_INIT("1."), 2, POINT},
    {SLICE_INIT("1.e5"), 2, POINT},
    {SLICE_INIT("1..5"), 2, POINT},
    {SLICE_INIT("1.5.5"), 3, TRAILING},
    {SLICE_INIT("1e"), 2, EXPONENT},
    {SLICE_INIT("1e+"), 3, EXPONENT},
    {SLICE_INIT("1E-x"), 3, EXPONENT},
    {SLICE_INIT("1e5.5"), 3, TRAILING},
    {SLICE_INIT("0x10"), 1, TRAILING},
    {SLICE_INIT("[1_000]"), 2, NO_COMMA_ARRAY},
    {SLICE_INIT("1\xC3\xA4"), 1, TRAILING},
};

static const struct broken STRINGS[] = {
    {SLICE_INIT("\""), 1, NO_END},
    {SLICE_INIT("\"abc"), 4, NO_END},
    {SLICE_INIT("\"abc\\\""), 6, NO_END},
    {SLICE_INIT("\"abc\\"), 4, NO_END},
    {SLICE_INIT("{\"abc"), 5, NO_END},
    {SLICE_INIT("'abc'"), 0, NO_VALUE},
    {SLICE_INIT("\"a\nb\""), 2, CONTROL},
    {SLICE_INIT("\"a\tb\""), 2, CONTROL},
    {SLICE_INIT("\"a\0b\""), 2, CONTROL},
    {SLICE_INIT("\"0123456789abcdef\x1F\""), 17, CONTROL},
    {SLICE_INIT("{\"a\r\":1}"), 3, CONTROL},
    {SLICE_INIT("\"\\x41\""), 1, ESCAPE},
    {SLICE_INIT("\"\\a\""), 1, ESCAPE},
    {SLICE_INIT("\"\\'\""), 1, ESCAPE},
    {SLICE_INIT("\"\\N\""), 1, ESCAPE},
    {SLICE_INIT("\"\\U0041\""), 1, ESCAPE},
    {SLICE_INIT("\"\\\n\""), 1, ESCAPE},
    {SLICE_INIT("\"\\\0\""), 1, ESCAPE},
    {SLICE_INIT("\"\\\xC3\xA4\""), 1, ESCAPE},
    {SLICE_INIT("\"ab\\u\""), 3, HEX},
    {SLICE_INIT("\"\\u004\""), 1, HEX},
    {SLICE_INIT("\"\\u004"), 1, HEX},
    {SLICE_INIT("\"\\u00g1\""), 1, HEX},
    {SLICE_INIT("\"\\u 041\""), 1, HEX},
    {SLICE_INIT("\"\\u+041\""), 1, HEX},
    {SLICE_INIT("\"\\u-041\""), 1, HEX},
    {SLICE_INIT("\"\\u004\xB1\""), 1, HEX},
    {SLICE_INIT("\"\\u{41}\""), 1, HEX},
    {SLICE_INIT("\"\\u004@\""), 1, HEX},
    {SLICE_INIT("\"\\u004`\""), 1, HEX},
    {SLICE_INIT("\"\\u004/\""), 1, HEX},
    {SLICE_INIT("\"\\u004:\""), 1, HEX},
    {SLICE_INIT("\"\\u004G\""), 1, HEX},
    {SLICE_INIT("\"\\ud83d\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ud83dx\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ud83d\\n\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ud83d\\u0041\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ud83d\\ud83d\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ud83d\\ude0\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ud83d\\ude0"), 1, SURROGATE},
    {SLICE_INIT("\"\\ude00\""), 1, SURROGATE},
    {SLICE_INIT("\"\\ude00\\ude00\""), 1, SURROGATE},
    {SLICE_INIT("\"x\\ude00\\ud83d\""), 2, SURROGATE},
    {SLICE_INIT("\"\\uDBFF\\uE000\""), 1, SURROGATE},
    {SLICE_INIT("\"a\x80\""), 2, UTF8},
    {SLICE_INIT("\"\xC0\xAF\""), 1, UTF8},
    {SLICE_INIT("\"\xE0\x80\xAF\""), 1, UTF8},
    {SLICE_INIT("\"\xED\xA0\x80\""), 1, UTF8},
    {SLICE_INIT("\"\xED\xA0\xBD\xED\xB8\x80\""), 1, UTF8},
    {SLICE_INIT("\"\xF4\x90\x80\x80\""), 1, UTF8},
    {SLICE_INIT("\"ok \xC3\xA4 \xC3\""), 7, UTF8},
    {SLICE_INIT("\"\xE2\x82"), 1, UTF8},
    {SLICE_INIT("{\"\xFF\":1}"), 2, UTF8},
    {SLICE_INIT("\"0123456789abcdef0123456789abcde\xFF\""), 32, UTF8},
};

// Reads, and skips, in memory of the input's own size; both must find the same fault.
static void assert_broken(const struct broken *row)
{
  struct arena arena = {0};
  struct strbuf out = {0};
  struct jsontext_reader reader;
  char *copy = malloc(row->json.size + (row->json.size == 0));
  memcpy(copy, row->json.data, row->json.size);
  struct slice input = slice_make(copy, row->json.size);
  jsontext_reader_init(&reader, input, JSONTEXT_MAX_DEPTH, &arena);
  render(&reader, &out);
  cr_assert_not_null(reader.error, "accepted: %.*s", SLICE_ARG(row->json));
  cr_assert_str_eq(reader.error, row->error, "\"%.*s\": %s", SLICE_ARG(row->json), reader.error);
  cr_assert_eq(reader.error_offset, row->offset, "\"%.*s\": at %zu", SLICE_ARG(row->json), reader.error_offset);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_ERROR, "an error stays");
  cr_assert_not(jsontext_skip_value(&reader, NULL), "an error stays");
  cr_assert_eq(reader.error_offset, row->offset, "the first error stays");

  jsontext_reader_init(&reader, input, JSONTEXT_MAX_DEPTH, &arena);
  bool sound = jsontext_skip_value(&reader, NULL) && jsontext_read(&reader) == JSONTEXT_END;
  cr_assert_not(sound, "skipped: %.*s", SLICE_ARG(row->json));
  cr_assert_eq(reader.error_offset, row->offset, "skipped \"%.*s\": at %zu", SLICE_ARG(row->json), reader.error_offset);
  free(copy);
  strbuf_free(&out);
  arena_free(&arena);
}

Test(jsontext_reader, broken_structure_is_refused_at_its_place)
{
  for (size_t i = 0; i < ARRAY_LEN(STRUCTURE); i++)
    assert_broken(&STRUCTURE[i]);
}

Test(jsontext_reader, broken_literals_and_numbers_are_refused_at_their_place)
{
  for (size_t i = 0; i < ARRAY_LEN(LITERALS); i++)
    assert_broken(&LITERALS[i]);
}

Test(jsontext_reader, broken_strings_are_refused_at_their_place)
{
  for (size_t i = 0; i < ARRAY_LEN(STRINGS); i++)
    assert_broken(&STRINGS[i]);
}

Test(jsontext_reader, every_cut_of_a_document_is_an_error)
{
  struct slice whole = SLICE("{\"a\":[1.5e+3,\"x\\u00e4\\ud83d\\ude00\xC3\xA4\",true,false,null,{}],\"b\":{\"c\":[]}}");
  for (size_t size = 0; size < whole.size; size++) {
    struct arena arena = {0};
    struct jsontext_reader reader;
    char *copy = malloc(size + (size == 0));
    memcpy(copy, whole.data, size);
    jsontext_reader_init(&reader, slice_make(copy, size), JSONTEXT_MAX_DEPTH, &arena);
    enum jsontext_token token;
    do {
      token = jsontext_read(&reader);
    } while (token != JSONTEXT_ERROR && token != JSONTEXT_END);
    cr_assert_eq(token, JSONTEXT_ERROR, "%zu bytes are taken for the whole", size);
    cr_assert_leq(reader.error_offset, size);
    free(copy);
    arena_free(&arena);
  }
}

// `levels` brackets, alternately of arrays and objects, and back.
static void nest(struct strbuf *out, unsigned levels)
{
  for (unsigned i = 0; i < levels; i++)
    strbuf_add_string(out, i % 2 == 0 ? "[" : "{\"k\":");
  strbuf_add_string(out, "0");
  for (unsigned i = levels; i-- > 0;)
    strbuf_add_string(out, i % 2 == 0 ? "]" : "}");
}

static enum jsontext_token read_to_end(struct slice json, unsigned max_depth, size_t *error_offset)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, json, max_depth, &arena);
  enum jsontext_token token;
  do {
    token = jsontext_read(&reader);
  } while (token != JSONTEXT_ERROR && token != JSONTEXT_END);
  *error_offset = reader.error_offset;
  arena_free(&arena);
  return token;
}

Test(jsontext_reader, nesting_is_bounded_as_told)
{
  static const unsigned DEPTHS[] = {1, 2, 31, 32, 33, 63, 64};
  for (size_t i = 0; i < ARRAY_LEN(DEPTHS); i++) {
    struct strbuf json = {0};
    size_t offset;
    nest(&json, DEPTHS[i]);
    cr_assert_eq(read_to_end(strbuf_slice(&json), DEPTHS[i], &offset), JSONTEXT_END, "%u levels", DEPTHS[i]);
    strbuf_clear(&json);
    nest(&json, DEPTHS[i] + 1);
    cr_assert_eq(read_to_end(strbuf_slice(&json), DEPTHS[i], &offset), JSONTEXT_ERROR, "%u levels", DEPTHS[i] + 1);
    // Two levels take six bytes.
    cr_assert_eq(offset, DEPTHS[i] / 2 * 6 + DEPTHS[i] % 2, "at the bracket that is one too many");
    strbuf_free(&json);
  }
}

Test(jsontext_reader, no_caller_gets_more_than_the_highest_depth)
{
  struct strbuf json = {0};
  size_t offset;
  nest(&json, JSONTEXT_MAX_DEPTH + 1);
  cr_assert_eq(read_to_end(strbuf_slice(&json), 1000, &offset), JSONTEXT_ERROR);
  strbuf_clear(&json);
  nest(&json, 100000);
  cr_assert_eq(read_to_end(strbuf_slice(&json), 1000, &offset), JSONTEXT_ERROR,
               "a hostile depth is an error, no crash");
  strbuf_free(&json);
}

Test(jsontext_reader, neighbours_on_one_level_may_be_of_either_kind)
{
  // Each neighbour sets the bit of its level again.
  assert_reads(SLICE("[{\"a\":1},[2],{\"b\":3},[4]]"), SLICE("[ { a: #1 } [ #2 ] { b: #3 } [ #4 ] ]"));
}

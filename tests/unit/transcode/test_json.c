// proto3 JSON in and out: for each text, what comes back after JSON -> wire -> JSON, or what is said against it.
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/wire.h"
#include "tests/support/contract/fixture.h"

// Expects a part of the JSON that comes back, because only the members of All that differ from an empty one matter.
static void expect_part(const char *json, const char *part)
{
  struct outcome outcome = fixture_round_trip(fixture_message("t.v1.All"), json);
  cr_assert(outcome.status == STATUS_OK, "%s: %s", json, outcome.violations);
  cr_assert(strstr(outcome.json, part) != NULL, "%s: %s has no %s", json, outcome.json, part);
}

static void expect_absent(const char *json, const char *part)
{
  struct outcome outcome = fixture_round_trip(fixture_message("t.v1.All"), json);
  cr_assert(outcome.status == STATUS_OK, "%s: %s", json, outcome.violations);
  cr_assert(strstr(outcome.json, part) == NULL, "%s: %s has %s", json, outcome.json, part);
}

static void expect_violation(const char *json, const char *violations)
{
  struct outcome outcome = fixture_round_trip(fixture_message("t.v1.All"), json);
  cr_assert(outcome.status == STATUS_INVALID_ARGUMENT, "%s is accepted", json);
  cr_assert_str_eq(outcome.violations, violations, "%s: %s", json, outcome.violations);
}

Test(json, whole_numbers)
{
  static const char *const CASES[][2] = {
      {"{\"int32Value\":-2147483648}", "\"int32Value\":-2147483648"},
      {"{\"int32Value\":\"17\"}", "\"int32Value\":17"},
      {"{\"int32Value\":1.0}", "\"int32Value\":1,"},
      {"{\"int32Value\":1e2}", "\"int32Value\":100"},
      {"{\"int32Value\":1e+2}", "\"int32Value\":100"},
      {"{\"int32Value\":1E+0}", "\"int32Value\":1,"},
      {"{\"int32Value\":150e-1}", "\"int32Value\":15,"},
      {"{\"int32Value\":-0}", "\"int32Value\":0"},
      {"{\"int32Value\":0e99999999999}", "\"int32Value\":0"},
      {"{\"int64Value\":9223372036854775807}", "\"int64Value\":\"9223372036854775807\""},
      {"{\"int64Value\":\"-9223372036854775808\"}", "\"int64Value\":\"-9223372036854775808\""},
      {"{\"uint64Value\":\"18446744073709551615\"}", "\"uint64Value\":\"18446744073709551615\""},
      {"{\"fixed64Value\":18446744073709551615}", "\"fixed64Value\":\"18446744073709551615\""},
      {"{\"fixed32Value\":4294967295}", "\"fixed32Value\":4294967295"},
      {"{\"sfixed32Value\":-1}", "\"sfixed32Value\":-1"},
      {"{\"sfixed64Value\":-1}", "\"sfixed64Value\":\"-1\""},
      {"{\"sint32Value\":-2147483648}", "\"sint32Value\":-2147483648"},
      {"{\"sint64Value\":\"-5\"}", "\"sint64Value\":\"-5\""},
      {"{\"uint32_value\":7}", "\"uint32Value\":7"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    expect_part(CASES[i][0], CASES[i][1]);
}

Test(json, numbers_out_of_range_or_not_whole)
{
  static const char *const BAD_INT32[] = {"2147483648", "-2147483649", "1.5",  "1e-1",   "1e10",  "\"\"",
                                          "\" 1\"",     "\"0x1\"",     "true", "\"01\"", "1e9999"};
  char json[64];
  for (size_t i = 0; i < ARRAY_LEN(BAD_INT32); i++) {
    snprintf(json, sizeof(json), "{\"int32Value\":%s}", BAD_INT32[i]);
    expect_violation(json, "int32Value: must be a whole number of 32 bits");
  }
  expect_violation("{\"int32Value\":[1,{\"a\":2}]}", "int32Value: must be a whole number of 32 bits");
  expect_violation("{\"uint32Value\":-1}", "uint32Value: must be a whole number of 32 bits without a sign");
  expect_violation("{\"uint64Value\":18446744073709551616}",
                   "uint64Value: must be a whole number of 64 bits without a sign");
  expect_violation("{\"int64Value\":9223372036854775808}", "int64Value: must be a whole number of 64 bits");
}

Test(json, floats)
{
  expect_part("{\"doubleValue\":0.1}", "\"doubleValue\":0.1,");
  expect_part("{\"doubleValue\":\"1.5e300\"}", "\"doubleValue\":1.5e+300");
  expect_part("{\"doubleValue\":\"NaN\"}", "\"doubleValue\":\"NaN\"");
  expect_part("{\"doubleValue\":\"-Infinity\"}", "\"doubleValue\":\"-Infinity\"");
  expect_part("{\"floatValue\":\"Infinity\"}", "\"floatValue\":\"Infinity\"");
  expect_part("{\"floatValue\":3.4}", "\"floatValue\":3.4,");
  // As many digits as it takes to read the same number again.
  expect_part("{\"doubleValue\":0.30000000000000004}", "\"doubleValue\":0.30000000000000004,");
  expect_part("{\"doubleValue\":1234567.25}", "\"doubleValue\":1234567.25,");
  expect_part("{\"floatValue\":13.1485815}", "\"floatValue\":13.1485815,");
  expect_part("{\"floatValue\":0.0115709435}", "\"floatValue\":0.0115709435,");
  expect_violation("{\"doubleValue\":1e400}", "doubleValue: is out of the range of a 64-bit float");
  expect_violation("{\"floatValue\":1e40}", "floatValue: is out of the range of a 32-bit float");
  expect_violation("{\"doubleValue\":\"0x10\"}",
                   "doubleValue: must be a number, or \"NaN\", \"Infinity\" or \"-Infinity\"");
  expect_violation("{\"doubleValue\":true}", "doubleValue: must be a number");
}

Test(json, every_type_refuses_other_tokens_whatever_stands_before_them)
{
  expect_violation("{\"numbers\":[1,true,{},[2]]}",
                   "numbers[1]: must be a whole number of 32 bits\nnumbers[2]: must be a whole number of 32 bits\n"
                   "numbers[3]: must be a whole number of 32 bits");
  expect_violation("{\"doubles\":[1,true,{}]}", "doubles[1]: must be a number\ndoubles[2]: must be a number");
  expect_violation("{\"texts\":[\"a\",true,2]}", "texts[1]: must be a string\ntexts[2]: must be a string");
  expect_violation("{\"flags\":[true,1,\"true\"]}", "flags[1]: must be true or false\nflags[2]: must be true or false");
  expect_violation("{\"colours\":[1,true]}",
                   "colours[1]: must be one of: COLOUR_DARK, COLOUR_UNSPECIFIED, COLOUR_BLUE, COLOUR_RED");
  expect_violation("{\"colours\":[\"COLOUR_RED\",{}]}",
                   "colours[1]: must be one of: COLOUR_DARK, COLOUR_UNSPECIFIED, COLOUR_BLUE, COLOUR_RED");
}

Test(json, bools_strings_bytes_enums)
{
  expect_part("{\"boolValue\":true}", "\"boolValue\":true");
  expect_violation("{\"boolValue\":\"true\"}", "boolValue: must be true or false");
  expect_part("{\"stringValue\":\"a\\u00e9\\n\"}", "\"stringValue\":\"a\xc3\xa9\\n\"");
  expect_violation("{\"stringValue\":1}", "stringValue: must be a string");
  expect_violation("{\"stringValue\":\"a\\u0000\"}", "stringValue: must not contain the character U+0000");
  expect_part("{\"bytesValue\":\"-_8=\"}", "\"bytesValue\":\"+/8=\"");
  expect_part("{\"bytesValue\":\"+/8\"}", "\"bytesValue\":\"+/8=\"");
  expect_violation("{\"bytesValue\":\"*\"}", "bytesValue: must be base64");
  expect_part("{\"colour\":\"COLOUR_RED\"}", "\"colour\":\"COLOUR_RED\"");
  expect_part("{\"colour\":-1}", "\"colour\":\"COLOUR_DARK\"");
  expect_part("{}", "\"colour\":\"COLOUR_UNSPECIFIED\"");
  expect_violation("{\"colour\":\"RED\"}",
                   "colour: must be one of: COLOUR_DARK, COLOUR_UNSPECIFIED, COLOUR_BLUE, COLOUR_RED");
  expect_part("{\"colour\":2}", "\"colour\":2,");
  expect_part("{\"colours\":[-1,99]}", "\"colours\":[\"COLOUR_DARK\",99]");
  expect_violation("{\"colour\":2147483648}",
                   "colour: must be one of: COLOUR_DARK, COLOUR_UNSPECIFIED, COLOUR_BLUE, COLOUR_RED");
}

Test(json, names)
{
  expect_part("{\"string_value\":\"x\"}", "\"stringValue\":\"x\"");
  expect_part("{\"other\":\"x\"}", "\"other\":\"x\"");
  expect_part("{\"renamed\":\"x\"}", "\"other\":\"x\"");
  expect_part("{\"far\":\"x\"}", "\"far\":\"x\"");
  expect_violation("{\"nope\":{\"a\":[1]}}", "nope: is not a field that is known here");
  expect_violation("{\"\":1}", ": is not a field that is known here");
  expect_violation("{\"int32Value\":1,\"int32_value\":1}", "int32_value: must not be given twice");
  expect_violation("{\"int32Value\":null,\"int32Value\":1}", "int32Value: must not be given twice");
}

Test(json, null_is_unset)
{
  expect_absent("{\"sub\":null,\"time\":null,\"maybe\":null,\"wrappedInt\":null}", "sub\":");
  expect_part("{\"numbers\":null,\"counts\":null,\"stringValue\":null}", "\"numbers\":[]");
  expect_violation("{\"numbers\":[1,null]}", "numbers[1]: must not be null");
  expect_violation("{\"subs\":[null]}", "subs[0]: must not be null");
  expect_violation("{\"counts\":{\"a\":null}}", "counts.a: must not be null");
}

Test(json, presence)
{
  expect_part("{\"maybe\":0}", "\"maybe\":0");
  expect_absent("{}", "\"maybe\"");
  expect_part("{\"second\":0}", "\"second\":0");
  expect_part("{\"sub\":{}}", "\"sub\":{\"name\":\"\"}");
  expect_part("{\"wrappedInt\":0}", "\"wrappedInt\":\"0\"");
  expect_part("{\"wrappedString\":\"\"}", "\"wrappedString\":\"\"");
  expect_part("{\"empty\":{}}", "\"empty\":{}");
  expect_violation("{\"empty\":{\"a\":1}}", "empty.a: is not a field that is known here");
}

Test(json, oneofs)
{
  expect_part("{\"first\":\"a\",\"second\":null}", "\"first\":\"a\"");
  expect_violation("{\"first\":\"a\",\"second\":1}",
                   "second: must not be set together with another field of its group");
  expect_violation("{\"sub\":{\"inner\":{\"depth\":1}}}", "sub.inner.kind: one of its fields is required: left, right");
}

Test(json, lists)
{
  expect_part("{\"numbers\":[3,-1,\"300\"]}", "\"numbers\":[3,-1,300]");
  expect_part("{\"numbers\":[0]}", "\"numbers\":[0]");
  expect_part("{\"texts\":[\"\",\"b\"]}", "\"texts\":[\"\",\"b\"]");
  expect_part("{\"subs\":[{\"name\":\"a\"},{}]}", "\"subs\":[{\"name\":\"a\"},{\"name\":\"\"}]");
  expect_part("{\"doubles\":[1.5,\"NaN\"]}", "\"doubles\":[1.5,\"NaN\"]");
  expect_part("{\"colours\":[\"COLOUR_RED\",0]}", "\"colours\":[\"COLOUR_RED\",\"COLOUR_UNSPECIFIED\"]");
  expect_part("{\"flags\":[true,false],\"fixed\":[1,2]}", "\"flags\":[true,false],\"fixed\":[1,2]");
  expect_part("{\"times\":[\"2026-01-02T03:04:05Z\"]}", "\"times\":[\"2026-01-02T03:04:05Z\"]");
  expect_violation("{\"numbers\":1}", "numbers: must be a list");
  expect_violation("{\"numbers\":[1,2,1]}", "numbers[2]: must not be the same as an item before it");
  expect_violation("{\"numbers\":[null,true,1,2,1]}",
                   "numbers[0]: must not be null\nnumbers[1]: must be a whole number of 32 bits\n"
                   "numbers[4]: must not be the same as an item before it");
  expect_violation("{\"subs\":[{},{\"name\":\"123456789\",\"inner\":{\"depth\":10,\"left\":\"\"}}]}",
                   "subs[1].name: must be at most 8 characters\nsubs[1].inner.depth: must be at most 9");
}

Test(json, long_lists_are_compared_and_capped)
{
  struct strbuf json = {0};
  strbuf_add_string(&json, "{\"numbers\":[");
  for (unsigned i = 0; i < 600; i++)
    strbuf_printf(&json, "%u,", i);
  strbuf_add_string(&json, "77]}");
  expect_violation(strbuf_cstring(&json), "numbers[600]: must not be the same as an item before it");
  strbuf_clear(&json);
  strbuf_add_string(&json, "{\"texts\":[\"\"");
  for (unsigned i = 0; i < 1000; i++)
    strbuf_add_string(&json, ",\"\"");
  strbuf_add_string(&json, "]}");
  expect_violation(strbuf_cstring(&json), "texts: must have at most 1000 items");
  strbuf_free(&json);
}

Test(json, maps)
{
  expect_part("{\"counts\":{\"a\":1,\"\":2}}", "\"counts\":{\"a\":1,\"\":2}");
  expect_part("{\"byNumber\":{\"-3\":{\"name\":\"x\"}}}", "\"byNumber\":{\"-3\":{\"name\":\"x\"}}");
  expect_part("{\"byFlag\":{\"true\":\"t\",\"false\":\"f\"}}", "\"byFlag\":{\"true\":\"t\",\"false\":\"f\"}");
  expect_part("{\"coloursByName\":{\"sky\":\"COLOUR_BLUE\",\"none\":0}}",
              "\"coloursByName\":{\"sky\":\"COLOUR_BLUE\",\"none\":\"COLOUR_UNSPECIFIED\"}");
  expect_violation("{\"counts\":[]}", "counts: must be an object");
  expect_violation("{\"counts\":{\"a\":1,\"a\":2}}", "counts: must not have the same key twice");
  expect_violation("{\"byNumber\":{\"1\":{},\"1.0\":{}}}", "byNumber: must not have the same key twice");
  expect_violation("{\"byNumber\":{\"x\":{}}}", "byNumber.x: its key must be a whole number of 32 bits");
  expect_violation("{\"byNumber\":{\"0\":{},\"x\":{},\"y\":{}}}",
                   "byNumber.x: its key must be a whole number of 32 bits\n"
                   "byNumber.y: its key must be a whole number of 32 bits");
  expect_violation("{\"byNumber\":{\"0\":{},\"1\":{},\"0.0\":{}}}", "byNumber: must not have the same key twice");
  expect_violation("{\"counts\":{\"a\\u0000\":1}}", "counts.a: its key must not contain the character U+0000");
  expect_violation("{\"byNumber\":{\"1\":{\"nope\":1}}}", "byNumber.1.nope: is not a field that is known here");
}

Test(json, well_known_types)
{
  expect_part("{\"time\":\"2026-01-02T03:04:05.5+01:00\"}", "\"time\":\"2026-01-02T02:04:05.500Z\"");
  expect_violation("{\"time\":\"2026-02-30T00:00:00Z\"}", "time: must be a time, such as 2026-01-02T03:04:05Z");
  expect_violation("{\"time\":{\"seconds\":1}}", "time: must be a string");
  expect_part("{\"duration\":\"1.5s\"}", "\"duration\":\"1.500s\"");
  expect_part("{\"duration\":\"-0.000001s\"}", "\"duration\":\"-0.000001s\"");
  expect_part("{\"duration\":\"315576000000s\"}", "\"duration\":\"315576000000s\"");
  expect_violation("{\"duration\":\"315576000001s\"}", "duration: must be seconds with an s, such as 1.5s");
  expect_violation("{\"duration\":\"1\"}", "duration: must be seconds with an s, such as 1.5s");
  expect_part("{\"mask\":\"name,createTime.inMs\"}", "\"mask\":\"name,createTime.inMs\"");
  expect_part("{\"mask\":\"\"}", "\"mask\":\"\"");
  expect_violation("{\"mask\":\"create__time\"}",
                   "mask: must be field paths separated by commas, such as name,createTime");
  expect_part("{\"wrappedBool\":true}", "\"wrappedBool\":true");
  expect_violation("{\"wrappedString\":\"a\\u0000\"}", "wrappedString: must not contain the character U+0000");
  expect_violation("{\"wrappedInt\":\"x\"}", "wrappedInt: must be a whole number of 64 bits");
}

Test(json, free_form_objects)
{
  expect_part("{\"object\":{ \"b\" : [1.50 , {\"x\":null}], \"a\":\"\\u0041\" }}",
              "\"object\":{\"b\":[1.50,{\"x\":null}],\"a\":\"A\"}");
  expect_absent("{}", "\"object\"");
  expect_part("{\"objects\":[{},{\"a\":1}]}", "\"objects\":[{},{\"a\":1}]");
  expect_violation("{\"object\":\"{}\"}", "object: must be an object");
  expect_violation("{\"object\":[]}", "object: must be an object");
  expect_violation("{\"object\":{\"a\":{\"b\":1,\"b\":2}}}", "object: must not have the same key twice in one object");
  expect_violation("{\"object\":{\"a\":\"\\u0000\"}}", "object: must not contain the character U+0000");
  expect_violation("{\"object\":{\"a\\u0000\":1}}", "object: must not contain the character U+0000");
}

Test(json, depth_of_free_form_objects)
{
  struct strbuf json = {0};
  for (unsigned levels = 32; levels <= 33; levels++) {
    strbuf_clear(&json);
    strbuf_add_string(&json, "{\"object\":{\"a\":");
    for (unsigned i = 1; i < levels; i++)
      strbuf_add_byte(&json, '[');
    for (unsigned i = 1; i < levels; i++)
      strbuf_add_byte(&json, ']');
    strbuf_add_string(&json, "}}");
    if (levels == 32)
      expect_part(strbuf_cstring(&json), "[[[[");
    else
      expect_violation(strbuf_cstring(&json), "object: must be nested at most 32 levels deep");
  }
  strbuf_free(&json);
}

Test(json, broken_text_is_placed_by_line_and_column)
{
  expect_violation("{\n  \"int32Value\": 1,\n}",
                   ": is not valid JSON at line 3, column 1: a key in quotes must follow a comma");
  expect_violation(" ", ": is not valid JSON at line 1, column 2: the text ends where a value must come");
  expect_violation("{} x", ": is not valid JSON at line 1, column 4: nothing may follow the document");
  expect_violation("{\"stringValue\":\"\xff\"}", ": is not valid JSON at line 1, column 17: invalid UTF-8");
  expect_violation("[]", ": must be an object");
  expect_violation("null", ": must be an object");
}

Test(json, of_a_text_that_breaks_off_nothing_else_is_told)
{
  static const char *const TEXTS[] = {"{\"counts\":{\"a\":1,\"a\":2", "{\"numbers\":[7,7",
                                      "{\"object\":{\"a\":1,\"a\":2", "{\"sub\":{\"inner\":{", "{\"byNumber\":{\"1\":"};
  for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
    struct outcome outcome = fixture_round_trip(fixture_message("t.v1.All"), TEXTS[i]);
    cr_assert_eq(outcome.status, STATUS_INVALID_ARGUMENT, "%s", TEXTS[i]);
    const char *start = ": is not valid JSON at line 1, column ";
    cr_expect_eq(strncmp(outcome.violations, start, strlen(start)), 0, "%s: %s", TEXTS[i], outcome.violations);
    cr_expect_null(strchr(outcome.violations, '\n'), "%s: %s", TEXTS[i], outcome.violations);
  }
}

Test(json, all_trouble_is_told_at_once)
{
  expect_violation("{\"int32Value\":\"x\",\"nope\":1,\"boolValue\":0}",
                   "int32Value: must be a whole number of 32 bits\nnope: is not a field that is known here\n"
                   "boolValue: must be true or false");
}

Test(json, ignored_and_secret_fields)
{
  struct outcome outcome = fixture_round_trip(fixture_message("t.v1.All"), "{\"ignored\":[1,2],\"secret\":\"s3\"}");
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_assert(strstr(outcome.json, "s3") == NULL, "a secret was written out");
  cr_assert(outcome.wire.size == 2 + 1 + 2, "the secret alone is on the wire");
}

Test(json, an_empty_message_is_an_empty_object)
{
  struct outcome outcome = fixture_round_trip(fixture_message("google.protobuf.Empty"), "{}");
  cr_assert_str_eq(outcome.json, "{}");
}

// ---- wire bytes that no encoder of this suite writes ----

static enum status to_json(const char *message, struct strbuf *wire, struct strbuf *json)
{
  strbuf_clear(json);
  enum status status = transcode_wire_to_json(fixture_message(message), strbuf_slice(wire), json);
  fixture_expect_same_pieces(fixture_message(message), strbuf_slice(wire),
                             status == STATUS_OK ? strbuf_cstring(json) : NULL);
  strbuf_clear(wire);
  return status;
}

Test(wire, any_legal_encoding_is_read)
{
  struct strbuf wire = {0};
  struct strbuf json = {0};
  // An embedded message in two parts, with other fields out of order between them.
  wire_write_bytes(&wire, 1, SLICE("first"));
  wire_write_bytes(&wire, 2, SLICE("\x08\x05"));
  wire_write_bytes(&wire, 1, SLICE("last"));
  wire_write_bytes(&wire, 99, SLICE("unknown"));
  wire_write_bytes(&wire, 2, SLICE("\x12\x01L"));
  cr_assert(to_json("t.v1.Sub", &wire, &json) == STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&json), "{\"name\":\"last\",\"inner\":{\"depth\":5,\"left\":\"L\"}}");
  // The last field of a oneof counts.
  wire_write_bytes(&wire, 2, SLICE("l"));
  wire_write_bytes(&wire, 3, SLICE("r"));
  cr_assert(to_json("t.v1.Inner", &wire, &json) == STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&json), "{\"depth\":0,\"right\":\"r\"}");
  // Packed and single values of one list, and a map key that comes twice.
  wire_write_varint(&wire, 18, 1);
  wire_write_bytes(&wire, 18, SLICE("\x02\x03"));
  wire_write_bytes(&wire, 21, SLICE("\x0a\x01k\x10\x01"));
  wire_write_bytes(&wire, 21, SLICE("\x0a\x01k\x10\x02"));
  // A map's value in two parts, and one that is not there.
  wire_write_bytes(&wire, 22,
                   SLICE("\x08\x01\x12\x03\x0a\x01"
                         "a\x12\x06\x12\x04\x08\x05\x12\x00"));
  wire_write_bytes(&wire, 22, SLICE("\x08\x02"));
  wire_write_varint(&wire, 12, 77);
  cr_assert(to_json("t.v1.All", &wire, &json) == STATUS_OK);
  cr_assert(strstr(strbuf_cstring(&json), "\"numbers\":[1,2,3]") != NULL);
  cr_assert(strstr(strbuf_cstring(&json), "\"counts\":{\"k\":2}") != NULL);
  cr_assert(strstr(strbuf_cstring(&json), "\"colour\":77") != NULL);
  cr_assert(strstr(strbuf_cstring(&json), "\"byNumber\":{\"1\":{\"name\":\"a\",\"inner\":{\"depth\":5,\"left\":\"\"}},"
                                          "\"2\":{\"name\":\"\"}}") != NULL,
            "%s", strbuf_cstring(&json));
  strbuf_free(&wire);
  strbuf_free(&json);
}

Test(wire, garbage_is_internal_and_leaves_nothing)
{
  static const struct slice GARBAGE[] = {
      SLICE_INIT("\x0a"),  // a length is missing
      SLICE_INIT("\x0a\x05"
                 "ab"),            // more is promised than is there
      SLICE_INIT("\x08\x01"),      // a number where a string belongs
      SLICE_INIT("\x0a\x01\xff"),  // not valid UTF-8
      SLICE_INIT("\x12\x02\x08"),  // an embedded message cut off
      SLICE_INIT("\x0b"),          // a group
  };
  struct strbuf json = {0};
  for (size_t i = 0; i < ARRAY_LEN(GARBAGE); i++) {
    strbuf_clear(&json);
    strbuf_add_string(&json, "kept");
    cr_assert(transcode_wire_to_json(fixture_message("t.v1.Sub"), GARBAGE[i], &json) == STATUS_INTERNAL, "%zu", i);
    cr_assert_str_eq(strbuf_cstring(&json), "kept");
    fixture_expect_same_pieces(fixture_message("t.v1.Sub"), GARBAGE[i], NULL);
  }
  struct strbuf wire = {0};
  wire_write_bytes(&wire, 37, SLICE("{\"a\":1} trailing"));
  cr_assert(to_json("t.v1.All", &wire, &json) == STATUS_INTERNAL);
  wire_write_bytes(&wire, 37, SLICE("[1]"));
  cr_assert(to_json("t.v1.All", &wire, &json) == STATUS_INTERNAL);
  wire_write_bytes(&wire, 28, SLICE("\x10\xff\xff\xff\xff\x07"));
  cr_assert(to_json("t.v1.All", &wire, &json) == STATUS_INTERNAL, "nanos out of range");
  strbuf_free(&wire);
  strbuf_free(&json);
}

Test(wire, a_full_buffer_is_an_error)
{
  struct strbuf wire = {0};
  struct strbuf json;
  strbuf_init(&json, 20);
  wire_write_bytes(&wire, 1, SLICE("0123456789012345678901234"));
  cr_assert(transcode_wire_to_json(fixture_message("t.v1.Sub"), strbuf_slice(&wire), &json) == STATUS_INTERNAL);
  strbuf_free(&wire);
  strbuf_free(&json);
}

// ---- headers and Location ----

static void remember_header(void *arg, const char *name, struct slice value)
{
  strbuf_printf(arg, "%s: " SLICE_FMT "\n", name, SLICE_ARG(value));
}

Test(wire, response_headers_and_location)
{
  struct arena arena = {0};
  struct strbuf wire = {0};
  struct strbuf text = {0};
  const struct contract_method *create =
      contract_method_by_name(fixture_bulkhead(), SLICE("item.v1.ItemService/CreateItem"));
  wire_write_bytes(&wire, 1, SLICE("a/b"));
  wire_write_bytes(&wire, 12, SLICE("v7"));
  cr_assert(transcode_response_headers(create->output, strbuf_slice(&wire), &arena, remember_header, &text) ==
            STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&text), "ETag: \"v7\"\n");
  strbuf_clear(&text);
  cr_assert(transcode_location(create, strbuf_slice(&wire), &text) == STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&text), "/v1/items/a%2Fb");
  strbuf_clear(&text);
  strbuf_clear(&wire);
  wire_write_bytes(&wire, 12, SLICE("v\r\nSet-Cookie: x"));
  cr_assert(transcode_response_headers(create->output, strbuf_slice(&wire), &arena, remember_header, &text) ==
            STATUS_INTERNAL);
  cr_assert(transcode_location(create, strbuf_slice(&wire), &text) == STATUS_INTERNAL);
  cr_assert(text.size == 0);
  arena_free(&arena);
  strbuf_free(&wire);
  strbuf_free(&text);
}

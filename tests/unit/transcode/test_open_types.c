// Messages that hold themselves, and Google's messages of any content, between JSON and wire bytes.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/wire.h"
#include "common/contract/rules.h"
#include "tests/support/contract/fixture.h"

static const char CONTRACT[] = "service S {\n"
                               "  rpc Find(Open) returns (Open) {\n"
                               "    option (google.api.http) = {get: \"/v1/open\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "}\n"
                               "message Open {\n"
                               "  google.protobuf.Struct object = 1;\n"
                               "  google.protobuf.Value value = 2;\n"
                               "  google.protobuf.ListValue list = 3;\n"
                               "  google.protobuf.Any any = 4;\n"
                               "  oneof choice {\n"
                               "    google.protobuf.NullValue nothing = 5;\n"
                               "    string text = 6;\n"
                               "  }\n"
                               "  repeated google.protobuf.Value values = 7;\n"
                               "  map<string, google.protobuf.Value> by_name = 8;\n"
                               "  Open inner = 9;\n"
                               "  repeated Open more = 10;\n"
                               "  google.protobuf.Duration time = 12;\n"
                               "  google.protobuf.StringValue wrapped = 13;\n"
                               "  google.protobuf.Empty empty = 14;\n"
                               "  optional Thing thing = 15;\n"
                               "  map<string, string> words = 17;\n"
                               "  Colour colour = 18 [(bulkhead.v1.field).defined_only = true];\n"
                               "}\n"
                               "enum Colour {\n"
                               "  COLOUR_UNSPECIFIED = 0;\n"
                               "  COLOUR_RED = 1;\n"
                               "}\n"
                               "message Thing {\n"
                               "  string name = 1 [(bulkhead.v1.field).max_length = 3];\n"
                               "  string key = 2 [(bulkhead.v1.field).secret = true];\n"
                               "  string owner = 3 [(bulkhead.v1.field).output_only = true];\n"
                               "}\n";

static const struct contract *contract;
static const struct contract_message *message;
static struct arena arena;
static struct strbuf wire;
static struct strbuf json;

static void setup(void)
{
  contract = fixture_contract(CONTRACT);
  message = contract_message_by_name(contract, SLICE("t.v1.Open"));
  cr_assert_not_null(message);
  arena_init(&arena);
  strbuf_init(&wire, 0);
  strbuf_init(&json, 0);
}

static void teardown(void)
{
  strbuf_free(&json);
  strbuf_free(&wire);
  arena_free(&arena);
}

TestSuite(open_types, .init = setup, .fini = teardown);

static const struct transcode_profile SHORT = {.omits_defaults = true};

// Reads a text and writes it back, without defaults. Returns what is said against it, or the text.
static const char *translate_as(const char *text, const struct transcode_profile *profile)
{
  struct violations violations;
  violations_init(&violations, &arena);
  strbuf_clear(&wire);
  strbuf_clear(&json);
  if (transcode_message_from_json(message, slice_from_string(text), profile, &arena, &wire, &violations) != STATUS_OK)
    return arena_printf(&arena, SLICE_FMT ": " SLICE_FMT, SLICE_ARG(violations.items[0].field),
                        SLICE_ARG(violations.items[0].description));
  cr_assert_eq(transcode_wire_to_json_as(message, strbuf_slice(&wire), &SHORT, &json), STATUS_OK, "%s", text);
  return strbuf_cstring(&json);
}

static void expect(const char *text, const char *expected)
{
  const char *found = translate_as(text, NULL);
  cr_expect_str_eq(found, expected, "%s: %s", text, found);
}

static void expect_same(const char *text)
{
  expect(text, text);
}

Test(open_types, json_of_any_form)
{
  static const char *const VALUES[] = {"null",
                                       "true",
                                       "false",
                                       "1.5",
                                       "-3",
                                       "\"a\"",
                                       "\"\"",
                                       "{}",
                                       "[]",
                                       "[null]",
                                       "{\"a\":[]}",
                                       "[[],{}]",
                                       "{\"a\":null,\"b\":{\"c\":[1,\"x\",false,{\"d\":\"e\"}]},\"\":0}"};
  for (size_t i = 0; i < ARRAY_LEN(VALUES); i++) {
    expect_same(arena_printf(&arena, "{\"value\":%s}", VALUES[i]));
    expect_same(arena_printf(&arena, "{\"list\":[%s]}", VALUES[i]));
    expect_same(arena_printf(&arena, "{\"object\":{\"a\":%s}}", VALUES[i]));
    expect_same(arena_printf(&arena, "{\"values\":[%s,%s]}", VALUES[i], VALUES[i]));
    expect_same(arena_printf(&arena, "{\"byName\":{\"a\":%s}}", VALUES[i]));
  }
  expect("{\"object\":null,\"list\":null}", "{}");
  expect("{\"object\":[]}", "object: must be an object");
  expect("{\"list\":{}}", "list: must be a list");
  expect("{\"value\":1e400}", "value: is out of the range of a 64-bit float");
  expect("{\"object\":{\"a\":1,\"a\":2}}", "object: must not have the same key twice");
  expect("{\"object\":{\"a\\u0000\":1}}", "object.a: must not contain the character U+0000");
  expect("{\"value\":[\"a\\u0000\"]}", "value[0]: must not contain the character U+0000");
  expect("{\"words\":{\"a\":null}}", "words.a: must not be null");
}

Test(open_types, lists_and_objects_of_any_form_are_bounded)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "{\"list\":[0");
  for (int i = 0; i < 1000; i++)
    strbuf_add_string(&text, ",0");
  strbuf_add_string(&text, "]}");
  expect(strbuf_cstring(&text), "list: must have at most 1000 items");
  strbuf_clear(&text);
  strbuf_add_string(&text, "{\"object\":{\"0\":0");
  for (int i = 1; i <= 1000; i++)
    strbuf_printf(&text, ",\"%d\":0", i);
  strbuf_add_string(&text, "}}");
  expect(strbuf_cstring(&text), "object: must have at most 1000 items");
  strbuf_free(&text);
}

Test(open_types, null_is_a_value_of_null_value)
{
  expect_same("{\"nothing\":null}");
  expect("{\"nothing\":\"NULL_VALUE\"}", "{\"nothing\":null}");
  expect("{\"nothing\":null,\"text\":\"a\"}", "text: must not be set together with another field of its group");
  expect("{\"nothing\":1.5}", "nothing: must be one of: NULL_VALUE");
}

Test(open_types, numbers_that_json_lacks_are_not_written)
{
  static const uint64_t BITS[] = {UINT64_C(0x7FF0000000000000), UINT64_C(0xFFF0000000000000),
                                  UINT64_C(0x7FF8000000000000)};
  for (size_t i = 0; i < ARRAY_LEN(BITS); i++) {
    strbuf_clear(&wire);
    size_t mark = wire_begin_nested(&wire, 2);
    wire_write_fixed64(&wire, 2, BITS[i]);
    wire_end_nested(&wire, mark);
    cr_expect_eq(transcode_wire_to_json(message, strbuf_slice(&wire), &json), STATUS_INTERNAL);
  }
}

#define TYPE "type.googleapis.com/"

Test(open_types, an_any_holds_a_message_of_the_contracts)
{
  expect_same("{\"any\":{\"@type\":\"" TYPE "t.v1.Thing\",\"name\":\"a\"}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "google.protobuf.Duration\",\"value\":\"1.500s\"}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "google.protobuf.StringValue\",\"value\":\"a\"}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "google.protobuf.Struct\",\"value\":{\"a\":[1]}}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "google.protobuf.Value\",\"value\":null}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "google.protobuf.Empty\"}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "google.protobuf.Any\",\"value\":{\"@type\":\"x/t.v1.Thing\"}}}");
  expect_same("{\"any\":{\"@type\":\"" TYPE "t.v1.Open\",\"any\":{\"@type\":\"x/t.v1.Thing\",\"name\":\"b\"}}}");
  expect_same("{\"any\":{}}");
  // The type may stand anywhere in the object.
  expect("{\"any\":{\"name\":\"a\",\"@type\":\"x/t.v1.Thing\"}}",
         "{\"any\":{\"@type\":\"x/t.v1.Thing\",\"name\":\"a\"}}");
  expect("{\"any\":{\"value\":\"2s\",\"@type\":\"x/google.protobuf.Duration\"}}",
         "{\"any\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"2s\"}}");
}

Test(open_types, what_an_any_holds_is_judged_as_everywhere)
{
  static const char UNKNOWN[] =
      "any.@type: names no type that is known here; write one such as type.googleapis.com/item.v1.Item";
  expect("{\"any\":{\"@type\":\"x/t.v1.Nothing\"}}", UNKNOWN);
  expect("{\"any\":{\"@type\":\"t.v1.Thing\"}}", UNKNOWN);
  expect("{\"any\":{\"@type\":\"/t.v1.Thing\"}}", UNKNOWN);
  expect("{\"any\":{\"@type\":\"\"}}", UNKNOWN);
  expect("{\"any\":{\"@type\":1}}", UNKNOWN);
  expect("{\"any\":{\"name\":\"a\"}}",
         "any.@type: is required: it names the type, such as type.googleapis.com/item.v1.Item");
  expect("{\"any\":{\"@type\":\"x/t.v1.Thing\",\"@type\":\"x/t.v1.Thing\"}}",
         "any.@type: is not a field that is known here");
  expect("{\"any\":{\"@type\":\"x/t.v1.Thing\",\"nope\":1}}", "any.nope: is not a field that is known here");
  expect("{\"any\":{\"@type\":\"x/t.v1.Thing\",\"name\":\"long\"}}", "any.name: must be at most 3 characters");
  expect("{\"any\":{\"@type\":\"x/google.protobuf.Duration\"}}",
         "any: must have a member value beside @type: the type has no fields in JSON");
  expect("{\"any\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1s\",\"value\":\"1s\"}}",
         "any.value: must not be given twice");
  expect("{\"any\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1\"}}",
         "any.value: must be seconds with an s, such as 1.5s");
  // What only the service sets is left out, and secrets are not written.
  expect("{\"any\":{\"@type\":\"x/t.v1.Thing\",\"owner\":\"a\",\"key\":\"b\"}}",
         "{\"any\":{\"@type\":\"x/t.v1.Thing\"}}");
}

static const char *repeat(const char *before, const char *inside, const char *after, unsigned times)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  for (unsigned i = 0; i < times; i++)
    strbuf_add_string(&text, before);
  strbuf_add_string(&text, inside);
  for (unsigned i = 0; i < times; i++)
    strbuf_add_string(&text, after);
  const char *kept = arena_string(&arena, strbuf_slice(&text));
  strbuf_free(&text);
  return kept;
}

static void expect_depth(const char *text, bool is_accepted)
{
  const char *found = translate_as(text, NULL);
  if (is_accepted)
    cr_expect_str_eq(found, text);
  else
    cr_expect_not_null(strstr(found, "is nested too deeply; 32 messages may lie inside each other"), "%s: %s", text,
                       found);
}

Test(open_types, messages_nest_as_deep_as_whoever_unpacks_them_can_bear)
{
  expect_depth(repeat("{\"inner\":", "{}", "}", 32), true);
  expect_depth(repeat("{\"inner\":", "{}", "}", 33), false);
  expect_depth(repeat("{\"more\":[", "{}", "]}", 31), true);
  // A list inside a Value lies two messages deeper, an object three.
  expect_depth(arena_printf(&arena, "{\"value\":%s}", repeat("[", "1", "]", 15)), true);
  expect_depth(arena_printf(&arena, "{\"value\":%s}", repeat("[", "1", "]", 16)), false);
  expect_depth(arena_printf(&arena, "{\"value\":%s}", repeat("{\"a\":", "1", "}", 10)), true);
  expect_depth(arena_printf(&arena, "{\"value\":%s}", repeat("{\"a\":", "1", "}", 11)), false);
}

Test(open_types, what_nests_too_deeply_is_not_written_and_does_not_pass)
{
  for (unsigned depth = 32; depth <= 33; depth++) {
    struct strbuf inside;
    strbuf_init(&inside, 0);
    for (unsigned i = 0; i < depth; i++) {
      struct strbuf outside;
      strbuf_init(&outside, 0);
      wire_write_bytes(&outside, 9, strbuf_slice(&inside));
      strbuf_free(&inside);
      inside = outside;
    }
    struct slice passed;
    enum status wanted = depth == 32 ? STATUS_OK : STATUS_INTERNAL;
    strbuf_clear(&json);
    cr_expect_eq(transcode_wire_to_json(message, strbuf_slice(&inside), &json), wanted, "%u", depth);
    fixture_expect_same_pieces(message, strbuf_slice(&inside), depth == 32 ? strbuf_cstring(&json) : NULL);
    cr_expect_eq(transcode_response_to_wire(message, strbuf_slice(&inside), &wire, &passed), wanted);
    strbuf_free(&inside);
  }
}

Test(open_types, what_an_any_holds_passes_as_protobuf_as_in_json)
{
  struct strbuf thing;
  struct slice passed;
  strbuf_init(&thing, 0);
  wire_write_bytes(&thing, 1, SLICE("a"));
  wire_write_bytes(&thing, 2, SLICE("key"));
  size_t mark = wire_begin_nested(&wire, 4);
  wire_write_bytes(&wire, 1, SLICE("x/t.v1.Thing"));
  wire_write_bytes(&wire, 2, strbuf_slice(&thing));
  wire_end_nested(&wire, mark);
  cr_expect_eq(transcode_response_to_wire(message, strbuf_slice(&wire), &json, &passed), STATUS_OK);
  cr_expect_null(memmem(passed.data, passed.size, "key", 3));
  cr_expect_not_null(memmem(passed.data, passed.size, "x/t.v1.Thing", 12));
  strbuf_clear(&wire);
  mark = wire_begin_nested(&wire, 4);
  wire_write_bytes(&wire, 1, SLICE("x/t.v1.Unknown"));
  wire_end_nested(&wire, mark);
  cr_expect_eq(transcode_response_to_wire(message, strbuf_slice(&wire), &json, &passed), STATUS_INTERNAL);
  strbuf_free(&thing);
}

Test(open_types, any_json_is_no_parameter)
{
  static const char *const NAMES[] = {"object", "value", "list", "any"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
    const char *query = arena_printf(&arena, "%s=1", NAMES[i]);
    struct outcome outcome =
        fixture_request(contract, (struct exchange){.http_method = "GET", .path = "/v1/open", .query = query});
    cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(outcome.violations,
                     arena_printf(&arena,
                                  "%s: cannot be a parameter: its type holds any JSON, which only a request's body can",
                                  NAMES[i]));
  }
  struct outcome nested = fixture_request(
      contract, (struct exchange){.http_method = "GET", .path = "/v1/open", .query = "inner.inner.inner.text=a"});
  cr_expect_eq(nested.status, STATUS_OK, "%s", nested.violations);
}

Test(open_types, numbers_of_enums_are_known_where_a_rule_says_so)
{
  expect_same("{\"colour\":\"COLOUR_RED\"}");
  expect("{\"colour\":1}", "{\"colour\":\"COLOUR_RED\"}");
  expect("{\"colour\":2}", "colour: must be one of: COLOUR_UNSPECIFIED, COLOUR_RED");
}

Test(open_types, a_profile_is_as_lenient_as_it_says)
{
  const struct transcode_profile ignoring = {.ignores_unknown = true};
  cr_expect_str_eq(translate_as("{\"nope\":{\"a\":[1]},\"text\":\"a\"}", &ignoring), "{\"text\":\"a\"}");
  cr_expect_str_eq(translate_as("{\"colour\":\"COLOUR_NEW\"}", &ignoring), "{}");
  expect("{\"text\":\"a\\u0000\"}", "text: must not contain the character U+0000");
  const struct transcode_profile with_nul = {.takes_nul = true};
  cr_expect_str_eq(translate_as("{\"text\":\"a\\u0000\"}", &with_nul), "{\"text\":\"a\\u0000\"}");
}

Test(open_types, a_later_entry_of_a_map_replaces_an_earlier_one)
{
  enum { ENTRIES = 20000 };
  for (unsigned i = 0; i < ENTRIES; i++) {
    char key[16];
    int size = snprintf(key, sizeof(key), "%u", i % (ENTRIES / 2));
    size_t mark = wire_begin_nested(&wire, 17);
    wire_write_bytes(&wire, 1, slice_make(key, (size_t)size));
    wire_write_bytes(&wire, 2, i < ENTRIES / 2 ? SLICE("old") : SLICE("new"));
    wire_end_nested(&wire, mark);
  }
  cr_assert_eq(transcode_wire_to_json_as(message, strbuf_slice(&wire), &SHORT, &json), STATUS_OK);
  cr_expect_null(strstr(strbuf_cstring(&json), "old"));
  cr_expect(slice_starts_with(strbuf_slice(&json), SLICE("{\"words\":{\"0\":\"new\",\"1\":\"new\",")));
}

// ---- messages of proto2 ----

static const char WITH_OLD[] = "import \"google/protobuf/descriptor.proto\";\n"
                               "message Open {\n"
                               "  google.protobuf.FieldOptions options = 1;\n"
                               "  google.protobuf.DescriptorProto type = 2;\n"
                               "}\n";

Test(open_types, a_message_of_proto2_says_what_is_set)
{
  message = contract_message_by_name(fixture_contract(WITH_OLD), SLICE("t.v1.Open"));
  // What is set stays, also where it is the default; what is not stays away.
  expect_same("{\"options\":{\"ctype\":\"STRING\",\"deprecated\":false}}");
  expect_same("{\"type\":{\"name\":\"\",\"nestedType\":[{\"name\":\"a\",\"field\":[{\"number\":0}]}]}}");
  strbuf_clear(&json);
  cr_expect_eq(transcode_wire_to_json(message, SLICE("\x0a\x00"), &json), STATUS_OK);
  cr_expect_str_eq(strbuf_cstring(&json), "{\"options\":{\"uninterpretedOption\":[]}}");
}

Test(open_types, a_message_of_proto2_has_closed_enums_and_what_it_requires)
{
  message = contract_message_by_name(fixture_contract(WITH_OLD), SLICE("t.v1.Open"));
  expect_same("{\"options\":{\"ctype\":\"CORD\"}}");
  expect("{\"options\":{\"ctype\":9}}", "options.ctype: must be one of: STRING, CORD, STRING_PIECE");
  expect("{\"options\":{\"uninterpretedOption\":[{\"name\":[{\"namePart\":\"a\"}]}]}}",
         "options.uninterpretedOption[0].name[0].isExtension: is required");
  expect_same("{\"options\":{\"uninterpretedOption\":[{\"name\":[{\"namePart\":\"\",\"isExtension\":false}]}]}}");
}

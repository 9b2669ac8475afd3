// The body of a reply where the route's response_body names a field of the response.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/base/wire.h"
#include "tests/support/contract/fixture.h"

static const char *const FIELDS[] = {"text",    "flag",  "number", "large", "colour",  "bytes",   "maybe",
                                     "numbers", "texts", "parts",  "times", "colours", "counts",  "by_name",
                                     "part",    "time",  "span",   "mask",  "empty",   "wrapped", "object",
                                     "objects", "one",   "mail",   "other"};

static const char MESSAGES[] =
    "message Q { string id = 1; }\n"
    "message Part { string name = 1; repeated int32 sizes = 2; }\n"
    "enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_BLUE = 1; }\n"
    "message All {\n"
    "  string text = 1; bool flag = 2; int32 number = 3; int64 large = 4; Colour colour = 5; bytes bytes = 6;\n"
    "  optional int32 maybe = 7; repeated int32 numbers = 8; repeated string texts = 9; repeated Part parts = 10;\n"
    "  repeated google.protobuf.Timestamp times = 11; repeated Colour colours = 12; map<string, int32> counts = 13;\n"
    "  map<string, Part> by_name = 14; Part part = 15; google.protobuf.Timestamp time = 16;\n"
    "  google.protobuf.Duration span = 17; google.protobuf.FieldMask mask = 18; google.protobuf.Empty empty = 19;\n"
    "  google.protobuf.StringValue wrapped = 20;\n"
    "  string object = 21 [(bulkhead.v1.field) = {format: FORMAT_JSON_OBJECT}];\n"
    "  repeated string objects = 22 [(bulkhead.v1.field) = {format: FORMAT_JSON_OBJECT}];\n"
    "  oneof choice { int32 one = 23; Part other = 24; }\n"
    "  string mail = 25 [(bulkhead.v1.field) = {format: FORMAT_EMAIL}];\n"
    "}\n";

// Every field of the message in JSON, and as it is when nothing is set.
static const struct {
  const char *field;
  const char *set;
  const char *unset;
} VALUES[] = {
    {"text", "\"a \\\"b\\\"\"", "\"\""},
    {"flag", "true", "false"},
    {"number", "-7", "0"},
    {"large", "\"9007199254740993\"", "\"0\""},
    {"colour", "\"COLOUR_BLUE\"", "\"COLOUR_UNSPECIFIED\""},
    {"bytes", "\"aGk=\"", "\"\""},
    {"maybe", "0", "null"},
    {"numbers", "[1,2,3]", "[]"},
    {"texts", "[\"a\",\"\"]", "[]"},
    {"parts", "[{\"name\":\"p\",\"sizes\":[1]},{\"name\":\"\",\"sizes\":[]}]", "[]"},
    {"times", "[\"2026-01-02T03:04:05Z\",\"1970-01-01T00:00:00Z\"]", "[]"},
    {"colours", "[\"COLOUR_BLUE\",\"COLOUR_UNSPECIFIED\"]", "[]"},
    {"counts", "{\"a\":1,\"b\":0}", "{}"},
    {"by_name", "{\"x\":{\"name\":\"p\",\"sizes\":[]}}", "{}"},
    {"part", "{\"name\":\"p\",\"sizes\":[4]}", "{\"name\":\"\",\"sizes\":[]}"},
    {"time", "\"2026-01-02T03:04:05Z\"", "null"},
    {"span", "\"1.500s\"", "null"},
    {"mask", "\"a,bC\"", "null"},
    {"empty", "{}", "{}"},
    {"wrapped", "\"w\"", "null"},
    {"object", "{\"k\":[1]}", "{}"},
    {"objects", "[{},{\"k\":1}]", "[]"},
    {"one", "0", "null"},
    {"mail", "\"a@b.example\"", "\"\""},
    {"other", "{\"name\":\"\",\"sizes\":[]}", "{\"name\":\"\",\"sizes\":[]}"},
};

static const struct contract *contract;
static struct arena arena;

// Loads a contract with a route for each field.
static void setup(void)
{
  arena_init(&arena);
  const char *text = "service S { rpc Get(Q) returns (All) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                     "option (google.api.http) = {get: \"/all\"\n";
  for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++)
    text = arena_printf(&arena, "%sadditional_bindings {get: \"/%s\" response_body: \"%s\"}\n", text, FIELDS[i],
                        FIELDS[i]);
  contract = fixture_contract(arena_printf(&arena, "%s}; } }\n%s", text, MESSAGES));
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(response_body, .init = setup, .fini = teardown);

static const struct contract_binding *binding_of(const char *field)
{
  struct contract_route route;
  cr_assert_eq(
      contract_route(contract, SLICE("GET"), slice_from_string(arena_printf(&arena, "/%s", field)), &route, NULL),
      STATUS_OK);
  return route.binding;
}

static void expect_in_pieces(const struct transcode_body *body, const char *expected)
{
  struct strbuf json;
  strbuf_init(&json, 0);
  strbuf_add_string(&json, "kept ");
  struct transcode_pieces *pieces = transcode_pieces_begin(body, &arena, &json);
  bool is_done = false;
  enum status status = STATUS_OK;
  while (status == STATUS_OK && !is_done)
    status = transcode_pieces_write(pieces, 1, &is_done);
  cr_expect_eq(status, expected == NULL ? STATUS_INTERNAL : STATUS_OK);
  cr_expect_str_eq(strbuf_cstring(&json), arena_printf(&arena, "kept %s", expected == NULL ? "" : expected));
  strbuf_free(&json);
}

// Expects the body that the route for a field makes of these bytes; NULL: that they are no response.
static void expect_body(const char *field, struct slice wire, const char *expected)
{
  struct transcode_body body;
  struct strbuf json;
  strbuf_init(&json, 0);
  enum status status = transcode_find_body(binding_of(field), wire, &body);
  if (status == STATUS_OK) {
    expect_in_pieces(&body, expected);
    status = transcode_body_to_json(&body, &json);
  }
  cr_expect_eq(status, expected == NULL ? STATUS_INTERNAL : STATUS_OK, "%s", field);
  cr_expect_str_eq(strbuf_cstring(&json), expected == NULL ? "" : expected, "%s: %s", field, strbuf_cstring(&json));
  strbuf_free(&json);
}

static struct slice write_wire(const char *field, const char *value)
{
  const struct contract_message *all = contract_message_by_name(contract, SLICE("t.v1.All"));
  struct outcome outcome = fixture_round_trip(all, arena_printf(&arena, "{\"text\":\"t\",\"%s\":%s}", field, value));
  cr_assert_eq(outcome.status, STATUS_OK, "%s: %s", field, outcome.violations);
  return outcome.wire;
}

Test(response_body, is_the_value_of_any_field)
{
  cr_assert_eq(ARRAY_LEN(VALUES), ARRAY_LEN(FIELDS));
  for (size_t i = 0; i < ARRAY_LEN(VALUES); i++) {
    const char *field = VALUES[i].field;
    struct slice wire = strcmp(field, "text") == 0 ? SLICE("\x0a\x05"
                                                           "a \"b\"")
                                                   : write_wire(field, VALUES[i].set);
    expect_body(field, wire, VALUES[i].set);
  }
}

Test(response_body, of_a_field_that_is_not_set_is_its_default)
{
  for (size_t i = 0; i < ARRAY_LEN(VALUES); i++)
    expect_body(VALUES[i].field, SLICE(""), VALUES[i].unset);
  // Another member of the oneof is set.
  expect_body("one", write_wire("other", "{}"), "null");
}

Test(response_body, of_bytes_that_are_no_response_is_none)
{
  expect_body("texts", SLICE("\x4a\x7f"), NULL);
  expect_body("texts", SLICE("\x4a\x01\xff"), NULL);
  expect_body("numbers", SLICE("\x0a\x7f"), NULL);
  expect_body("part", SLICE("\x0a\x7f"), NULL);
  expect_body("number",
              SLICE("\x1a\x01"
                    "a"),
              NULL);
}

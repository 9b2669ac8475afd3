// The gateway and the services find the same violations in a request: the gateway in its JSON, a service in the message
// that the gateway would have sent if it had no rules.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/compiler.h"
#include "tests/support/contract/fixture.h"
#include "tests/support/contract/service_rules.h"

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Create(CreateRequest) returns (Thing) {\n"
    "    option (google.api.http) = {post: \"/v1/things\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Update(UpdateRequest) returns (Thing) {\n"
    "    option (google.api.http) = {patch: \"/v1/things/{thing.id}\" body: \"thing\"\n"
    "                                additional_bindings {put: \"/v1/things\" body: \"*\"}};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message CreateRequest {\n"
    "  Thing thing = 1 [(bulkhead.v1.field).required = true];\n"
    "  repeated Thing others = 2;\n"
    "}\n"
    "message UpdateRequest {\n"
    "  Thing thing = 1 [(bulkhead.v1.field).required = true];\n"
    "  google.protobuf.FieldMask update_mask = 2;\n"
    "  Part beside = 3;\n"
    "}\n"
    "message Thing {\n"
    "  string id = 1 [(bulkhead.v1.field) = {output_only: true format: FORMAT_UUID}];\n"
    "  string name = 2 [(bulkhead.v1.field) = {required: true max_length: 8}];\n"
    "  string fixed_key = 3 [(bulkhead.v1.field) = {required: true immutable: true min_length: 2}];\n"
    "  int32 size = 4 [(bulkhead.v1.field) = {minimum: {value: -5} maximum: {value: -1}}];\n"
    "  repeated string tags = 5 [(bulkhead.v1.field) = {min_items: 1 unique_items: true format: FORMAT_LINE}];\n"
    "  optional string note = 6 [(bulkhead.v1.field) = {min_length: 2}];\n"
    "  Part part = 7;\n"
    "  repeated Part parts = 8 [(bulkhead.v1.field).max_items = 2];\n"
    "  Part fixed_part = 9 [(bulkhead.v1.field).immutable = true];\n"
    "  oneof delivery_kind {\n"
    "    option (bulkhead.v1.oneof) = {required: true};\n"
    "    string pick_up = 10 [(bulkhead.v1.field) = {min_length: 3}];\n"
    "    Part parcel = 11;\n"
    "  }\n"
    "  oneof fixed_kind {\n"
    "    option (bulkhead.v1.oneof) = {required: true};\n"
    "    string first = 12 [(bulkhead.v1.field).immutable = true];\n"
    "    string second = 13 [(bulkhead.v1.field).immutable = true];\n"
    "  }\n"
    "  bytes data = 14 [(bulkhead.v1.field).max_length = 2];\n"
    "  optional bool agreed = 15 [(bulkhead.v1.field).required = true];\n"
    "  map<string, Part> by_name = 16;\n"
    "  map<int32, Part> by_number = 17;\n"
    "  map<bool, Part> by_flag = 18;\n"
    "  map<uint64, Part> by_size = 19;\n"
    "  Colour any_colour = 20;\n"
    "  Colour known_colour = 21 [(bulkhead.v1.field).defined_only = true];\n"
    "  repeated Colour known_colours = 22 [(bulkhead.v1.field) = {defined_only: true unique_items: true}];\n"
    "  map<string, Colour> colours = 23;\n"
    "}\n"
    "enum Colour {\n"
    "  option allow_alias = true;\n"
    "  COLOUR_UNSPECIFIED = 0;\n"
    "  COLOUR_RED = 7;\n"
    "  COLOUR_SCARLET = 7;\n"
    "  COLOUR_DARK = -2;\n"
    "}\n"
    "message Part {\n"
    "  string label = 1 [(bulkhead.v1.field).required = true];\n"
    "  int64 ratio = 2 [(bulkhead.v1.field) = {minimum: {value: 1}}];\n"
    "  string serial = 3 [(bulkhead.v1.field).immutable = true];\n"
    "  oneof side_kind {\n"
    "    option (bulkhead.v1.oneof) = {required: true};\n"
    "    string left = 4;\n"
    "    string right = 5;\n"
    "  }\n"
    "}\n";

#define ID "01936b5e-7c1a-7d3e-9f00-000000000001"
#define PART "{\"label\":\"a\",\"ratio\":2,\"left\":\"\"}"
#define REST "\"size\":-1,\"tags\":[\"a\"],\"agreed\":false,\"pickUp\":\"abc\""
#define WHOLE "\"name\":\"a\",\"fixedKey\":\"abc\",\"first\":\"\"," REST

static const char *const THINGS[] = {
    "{}",
    "{" WHOLE "}",
    "{" WHOLE ",\"part\":" PART ",\"parts\":[" PART "],\"fixedPart\":" PART "}",
    "{" WHOLE ",\"part\":{},\"parts\":[{},{\"label\":\"\",\"left\":\"\"}],\"fixedPart\":{}}",
    "{" WHOLE ",\"part\":null,\"note\":null}",
    "{\"name\":null,\"size\":null}",
    "{\"name\":\"\",\"size\":0,\"tags\":[],\"note\":\"\",\"agreed\":true}",
    "{\"name\":\"123456789\",\"size\":-6,\"tags\":[\"\",\"b\",\"b\"],\"note\":\"a\",\"data\":\"YWJj\"}",
    "{\"fixedKey\":\"a\"}",
    "{\"fixedKey\":\"\"}",
    "{\"fixedKey\":null}",
    "{\"fixedPart\":" PART "}",
    "{\"fixedPart\":{\"label\":\"a\"}}",
    "{\"first\":\"\"}",
    "{\"first\":\"a\",\"name\":\"a\"}",
    "{\"pickUp\":\"a\"}",
    "{\"pickUp\":null}",
    "{\"parcel\":null}",
    "{\"parcel\":{}}",
    "{\"parcel\":{\"label\":\"a\"}}",
    "{\"parcel\":{\"right\":\"\"}}",
    "{\"part\":{}}",
    "{\"part\":null}",
    "{\"part\":{\"label\":\"\"}}",
    "{\"part\":{\"ratio\":0}}",
    "{\"part\":{\"left\":null}}",
    "{\"part\":{\"left\":null,\"right\":\"\"}}",
    "{\"part\":{\"serial\":\"a\"}}",
    "{\"parts\":[" PART "," PART "," PART "]}",
    "{\"parts\":[{\"serial\":\"a\"}]}",
    "{\"agreed\":null}",
    "{" WHOLE ",\"byName\":{\"a\":{\"serial\":\"a\"},\"\":{}}}",
    "{" WHOLE ",\"byNumber\":{\"-5\":{\"ratio\":0},\"7\":" PART "}}",
    "{" WHOLE ",\"anyColour\":99,\"knownColour\":7,\"knownColours\":[\"COLOUR_SCARLET\",-2]}",
    "{" WHOLE ",\"knownColour\":-1,\"knownColours\":[8,0,8],\"colours\":{\"a\":5}}",
    "{\"knownColour\":1}",
    "{" WHOLE ",\"byFlag\":{\"true\":{},\"false\":{}},\"bySize\":{\"18446744073709551615\":{}}}",
};

static const char *const MASKS[] = {
    "",

    "name",
    "fixedKey",
    "size,tags,note",
    "part",
    "part.left",
    "part.label,part.ratio",
    "part.serial",
    "parts",
    "fixedPart.label",
    "pickUp",
    "parcel",
    "parcel.label",
    "first",
    "agreed,data",
    "pickUp,parcel.right",
    "name,fixedKey,part.serial",
};

static struct arena arena;
static const struct contract *contract;
static const struct contract *bare;  // the same contract without rules

// Removes the rules of fields and oneofs from a contract's text.
static char *remove_rules(const char *text)
{
  char *out = arena_string(&arena, slice_from_string(text));
  for (char *at; (at = strstr(out, "[(bulkhead.v1.field)")) != NULL;)
    memset(at, ' ', (size_t)(strchr(at, ']') - at) + 1);
  for (char *at; (at = strstr(out, "option (bulkhead.v1.oneof)")) != NULL;)
    memset(at, ' ', (size_t)(strchr(at, ';') - at) + 1);
  return out;
}

static void setup(void)
{
  arena_init(&arena);
  contract = fixture_contract(CONTRACT);
  bare = fixture_contract(remove_rules(CONTRACT));
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(same_verdicts, .init = setup, .fini = teardown);

static int compare_lines(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Sorts violations, a line each, and puts `prefix` in front of their fields.
static const char *sort_lines(const char *text, const char *prefix)
{
  const char *lines[128];
  size_t count = 0;
  for (char *at = arena_string(&arena, slice_from_string(text)), *next; *at != '\0'; at = next) {
    next = at + strcspn(at, "\n");
    if (*next != '\0')
      *next++ = '\0';
    cr_assert_lt(count, ARRAY_LEN(lines));
    lines[count++] = arena_printf(&arena, "%s%s", prefix, at);
  }
  qsort(lines, count, sizeof(lines[0]), compare_lines);
  const char *sorted = "";
  for (size_t i = 0; i < count; i++)
    sorted = arena_printf(&arena, "%s%s\n", sorted, lines[i]);
  return sorted;
}

// Returns the violations that a service finds in the wire bytes of a request.
static const char *validate_wire(const char *request, struct slice wire)
{
  const struct contract_message *message = contract_message_by_name(contract, slice_from_string(request));
  const struct message_rules *rules = service_rules_make(message, &arena);
  ProtobufCMessage *unpacked =
      protobuf_c_message_unpack(rules->descriptor, NULL, wire.size, (const uint8_t *)wire.data);
  cr_assert(unpacked != NULL);
  struct violations violations;
  violations_init(&violations, &arena);
  validate_message(rules, unpacked, &violations);
  const char *text = "";
  for (size_t i = 0; i < violations.count; i++)
    text = arena_printf(&arena, "%s" SLICE_FMT ": " SLICE_FMT "\n", text, SLICE_ARG(violations.items[i].field),
                        SLICE_ARG(violations.items[i].description));
  protobuf_c_message_free_unpacked(unpacked, NULL);
  return text;
}

// Expects the same violations from the gateway, whose fields are below `prefix`, and from the service.
static void expect_same(const char *request, const char *prefix, struct exchange exchange)
{
  struct outcome gateway = fixture_request(contract, exchange);
  struct outcome sent = fixture_request(bare, exchange);
  // Only the gateway can tell what a client left out from what it emptied, so such a request reaches no service.
  if (sent.status != STATUS_OK && strstr(sent.violations, "is named in the update mask") != NULL)
    return;
  cr_assert(sent.status == STATUS_OK, "%s %s: %s", exchange.path, exchange.body, sent.violations);
  const char *by_gateway = sort_lines(gateway.violations, prefix);
  const char *by_service = sort_lines(validate_wire(request, sent.wire), "");
  cr_expect_str_eq(by_gateway, by_service, "%s %s?%s %s\n-- gateway:\n%s-- service:\n%s", exchange.http_method,
                   exchange.path, exchange.query == NULL ? "" : exchange.query, exchange.body, by_gateway, by_service);
}

Test(same_verdicts, in_what_is_created)
{
  for (size_t i = 0; i < ARRAY_LEN(THINGS); i++) {
    const char *body = arena_printf(&arena, "{\"thing\":%s,\"others\":[%s]}", THINGS[i], THINGS[i]);
    expect_same("t.v1.CreateRequest", "", (struct exchange){"POST", "/v1/things", NULL, body, NULL, false});
  }
  expect_same("t.v1.CreateRequest", "", (struct exchange){"POST", "/v1/things", NULL, "{}", NULL, false});
}

Test(same_verdicts, in_a_patch_whose_body_is_its_mask)
{
  for (size_t i = 0; i < ARRAY_LEN(THINGS); i++)
    expect_same("t.v1.UpdateRequest", "thing.",
                (struct exchange){"PATCH", "/v1/things/" ID, NULL, THINGS[i], NULL, false});
}

Test(same_verdicts, in_an_update_with_a_mask)
{
  for (size_t i = 0; i < ARRAY_LEN(THINGS); i++)
    for (size_t j = 0; j < ARRAY_LEN(MASKS); j++) {
      const char *body = arena_printf(&arena, "{\"thing\":%s,\"updateMask\":\"%s\",\"beside\":{\"serial\":\"a\"}}",
                                      THINGS[i], MASKS[j]);
      expect_same("t.v1.UpdateRequest", "", (struct exchange){"PUT", "/v1/things", NULL, body, NULL, false});
    }
  expect_same("t.v1.UpdateRequest", "", (struct exchange){"PUT", "/v1/things", NULL, "{}", NULL, false});
}

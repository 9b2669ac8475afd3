// Request messages that come as one JSON object, without a route.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

static const char CONTRACT[] = "service S {\n"
                               "  rpc Update(UpdateRequest) returns (Thing) {\n"
                               "    option (google.api.http) = {patch: \"/v1/{thing.id}\" body: \"thing\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "}\n"
                               "message UpdateRequest {\n"
                               "  Thing thing = 1 [(bulkhead.v1.field).required = true];\n"
                               "  string etag = 2 [(bulkhead.v1.field).from_header = \"If-Match\"];\n"
                               "  google.protobuf.FieldMask update_mask = 3;\n"
                               "  repeated Thing others = 4;\n"
                               "  string note = 5 [(bulkhead.v1.field).format = FORMAT_JSON_OBJECT];\n"
                               "}\n"
                               "message Thing {\n"
                               "  string id = 1 [(bulkhead.v1.field) = {format: FORMAT_UUID output_only: true}];\n"
                               "  string owner = 2 [(bulkhead.v1.field).output_only = true];\n"
                               "  string name = 3 [(bulkhead.v1.field) = {required: true max_length: 4}];\n"
                               "}\n";

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define THING "{\"id\":\"" ID "\",\"owner\":\"me\",\"name\":\"Lamp\"}"

static struct outcome decode(const char *body, const char *if_match)
{
  const struct contract *contract = fixture_contract(CONTRACT);
  return fixture_json_request(contract_method_by_name(contract, SLICE("t.v1.S/Update")),
                              (struct exchange){.body = body, .if_match = if_match});
}

static void expect_json(struct outcome outcome, const char *json)
{
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_expect_str_eq(outcome.json, json);
}

static void expect_violations(struct outcome outcome, const char *violations)
{
  cr_assert(outcome.status == STATUS_INVALID_ARGUMENT, "accepted as %s", outcome.json);
  cr_expect_str_eq(outcome.violations, violations);
}

Test(json_request, what_a_route_has_in_its_path_is_taken_and_all_else_that_the_service_sets_is_not)
{
  expect_json(decode("{\"thing\":" THING ",\"others\":[" THING "]}", NULL),
              "{\"thing\":{\"id\":\"" ID "\",\"owner\":\"\",\"name\":\"Lamp\"},\"etag\":\"\","
              "\"others\":[{\"owner\":\"\",\"name\":\"Lamp\"}]}");
}

Test(json_request, ids_are_held_to_their_rules)
{
  expect_violations(decode("{\"thing\":{\"id\":\"7\",\"name\":\"Lamp\"}}", NULL),
                    "thing.id: must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
}

Test(json_request, a_field_of_a_header_may_be_in_the_object_too)
{
  const char *json = "{\"thing\":{\"id\":\"" ID "\",\"owner\":\"\",\"name\":\"Lamp\"},\"etag\":\"e1\",\"others\":[]}";
  expect_json(decode("{\"thing\":" THING "}", "\"e1\""), json);
  expect_json(decode("{\"thing\":" THING ",\"etag\":\"e1\"}", NULL), json);
  expect_json(decode("{\"thing\":" THING ",\"etag\":\"e1\"}", "\"e1\""), json);
  expect_violations(decode("{\"thing\":" THING ",\"etag\":\"e2\"}", "\"e1\""),
                    "etag: must be the same as in the header, or absent");
}

Test(json_request, a_text_that_is_an_object_comes_as_a_text)
{
  expect_json(decode("{\"thing\":" THING ",\"note\":\"{\\\"a\\\":1}\"}", NULL),
              "{\"thing\":{\"id\":\"" ID
              "\",\"owner\":\"\",\"name\":\"Lamp\"},\"etag\":\"\",\"others\":[],\"note\":{\"a\":1}}");
  cr_expect_eq(decode("{\"thing\":" THING ",\"note\":{\"a\":1}}", NULL).status, STATUS_INVALID_ARGUMENT);
  cr_expect_eq(decode("{\"thing\":" THING ",\"note\":\"[]\"}", NULL).status, STATUS_INVALID_ARGUMENT);
}

Test(json_request, rules_hold_for_what_the_mask_names)
{
  expect_violations(decode("{\"thing\":{\"id\":\"" ID "\"}}", NULL), "thing.name: is required");
  expect_violations(decode("{\"thing\":{\"id\":\"" ID "\",\"name\":\"Lamps\"},\"updateMask\":\"name\"}", NULL),
                    "thing.name: must be at most 4 characters");
}

Test(json_request, it_is_an_object_that_the_contract_knows)
{
  expect_violations(decode("", NULL), ": must not be empty: this method takes a JSON body, {} at least");
  expect_violations(decode("[]", NULL), ": must be an object");
  expect_violations(decode("{\"thing\":" THING ",\"none\":1}", NULL), "none: is not a field that is known here");
}

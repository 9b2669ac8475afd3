// Examples: each request's example is accepted by the transcoder that the gateway uses, rules and all.
#include <criterion/criterion.h>

#include "tests/unit/openapi/document.h"

// Sends the example of an operation's body through the transcoder.
static struct outcome send_example(const struct contract *contract, const char *method, const char *path,
                                   const char *key)
{
  struct slice json = write_document(contract);
  struct slice body = VALUE(json, "paths", path, key, "requestBody", "content", "application/json", "example");
  const char *filled = arena_string(&document_arena, slice_from_string(path));
  size_t brace = slice_find(slice_from_string(path), '{', 0);
  if (path[brace] != '\0')
    filled = arena_printf(&document_arena, "%.*s01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", (int)brace, path);
  struct outcome outcome = fixture_request(
      contract, (struct exchange){.http_method = method, .path = filled, .body = arena_string(&document_arena, body)});
  cr_assert(outcome.status == STATUS_OK, "%s %s with " SLICE_FMT ": %s", method, path, SLICE_ARG(body),
            outcome.violations);
  return outcome;
}

Test(examples, of_the_real_contracts_are_accepted)
{
  const struct contract *contract = fixture_bulkhead();
  send_example(contract, "POST", "/v1/users", "post");
  send_example(contract, "PATCH", "/v1/users/{id}", "patch");
  send_example(contract, "POST", "/v1/auth/login", "post");
  send_example(contract, "POST", "/v1/auth/refresh", "post");
  send_example(contract, "POST", "/v1/items", "post");
  send_example(contract, "POST", "/v1/items:batchCreate", "post");
  struct outcome patch = send_example(contract, "PATCH", "/v1/items/{id}", "patch");
  // A tried PATCH must not carry a precondition that never holds.
  cr_assert_not(holds(slice_from_string(patch.json), "etag\":\"5"), "%s", patch.json);
  cr_assert(holds(slice_from_string(patch.json), "\"tags\":[\"brass\"]"), "%s", patch.json);
}

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Make(Hard) returns (Hard) {\n"
    "    option (google.api.http) = {post: \"/hard\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Get(GetHard) returns (Hard) {\n"
    "    option (google.api.http) = {get: \"/hard/{id}/{name=shelves/*}\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_BLUE = 3; COLOUR_RED = 4; }\n"
    "message GetHard { string id = 1 [(bulkhead.v1.field) = {format: FORMAT_UUID}]; string name = 2;\n"
    "  string filter = 3 [(bulkhead.v1.field) = {example: \"x\"}];\n"
    "  string wanted = 4 [(bulkhead.v1.field) = {required: true}]; }\n"
    "message Hard {\n"
    "  string long_text = 1 [(bulkhead.v1.field) = {required: true min_length: 40}];\n"
    "  string short_text = 2 [(bulkhead.v1.field) = {required: true max_length: 2}];\n"
    "  string token = 3 [(bulkhead.v1.field) = {required: true format: FORMAT_URL_TOKEN min_length: 30}];\n"
    "  string line_of_text = 4 [(bulkhead.v1.field) = {required: true format: FORMAT_LINE max_length: 8}];\n"
    "  string email = 5 [(bulkhead.v1.field) = {required: true format: FORMAT_EMAIL}];\n"
    "  string id = 6 [(bulkhead.v1.field) = {required: true format: FORMAT_UUID}];\n"
    "  string price = 7 [(bulkhead.v1.field) = {required: true format: FORMAT_DECIMAL}];\n"
    "  string currency = 8 [(bulkhead.v1.field) = {required: true format: FORMAT_CURRENCY}];\n"
    "  string object = 9 [(bulkhead.v1.field) = {required: true format: FORMAT_JSON_OBJECT}];\n"
    "  string word = 10 [(bulkhead.v1.field) = {required: true one_of: \"\" one_of: \"up\" one_of: \"down\"}];\n"
    "  int32 number = 11 [(bulkhead.v1.field) = {required: true minimum: {value: 7}}];\n"
    "  int64 negative = 12 [(bulkhead.v1.field) = {required: true maximum: {value: -5}}];\n"
    "  uint32 any_number = 13 [(bulkhead.v1.field) = {required: true}];\n"
    "  double ratio = 14 [(bulkhead.v1.field) = {required: true}];\n"
    "  Colour colour = 15 [(bulkhead.v1.field) = {required: true}];\n"
    "  bytes bytes = 16 [(bulkhead.v1.field) = {required: true min_length: 5}];\n"
    "  repeated string names = 17 [(bulkhead.v1.field) = {min_items: 3 unique_items: true max_length: 4}];\n"
    "  repeated int32 numbers = 18 [(bulkhead.v1.field) = {required: true min_items: 2 unique_items: true}];\n"
    "  repeated string ids = 19 [(bulkhead.v1.field) = {required: true min_items: 2 unique_items: true "
    "format: FORMAT_UUID}];\n"
    "  google.protobuf.Timestamp time = 20 [(bulkhead.v1.field) = {required: true}];\n"
    "  google.protobuf.Duration duration = 21 [(bulkhead.v1.field) = {required: true}];\n"
    "  google.protobuf.Int64Value wrapped = 22 [(bulkhead.v1.field) = {required: true}];\n"
    "  map<int32, string> texts = 23 [(bulkhead.v1.field) = {required: true}];\n"
    "  Inner inner = 24 [(bulkhead.v1.field) = {required: true}];\n"
    "  Other other = 25;\n"
    "  optional bool flag = 26 [(bulkhead.v1.field) = {required: true}];\n"
    "}\n"
    "message Inner {\n"
    "  oneof choice { option (bulkhead.v1.oneof) = {required: true}; string left = 1; string right = 2; }\n"
    "}\n"
    "message Other { string shown = 1 [(bulkhead.v1.field) = {example: \"as \\\"said\\\"\"}]; string not_shown = 2; "
    "}\n";

Test(examples, that_are_made_up_keep_the_rules)
{
  struct outcome outcome = send_example(load_contract(CONTRACT), "POST", "/hard", "post");
  struct slice sent = slice_from_string(outcome.json);
  cr_assert(holds(sent, "\"shown\":\"as \\\"said\\\"\"") && holds(sent, "\"notShown\":\"\""), "%s", outcome.json);
  cr_assert(holds(sent, "\"colour\":\"COLOUR_BLUE\""), "%s", outcome.json);
}

Test(examples, of_parameters_fill_in_what_is_required)
{
  struct slice json = write_document(load_contract(CONTRACT));
  struct slice parameters = VALUE(json, "paths", "/hard/{id}/{name}", "get", "parameters");
  cr_assert(holds(parameters, "\"example\":\"01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b\""));
  cr_assert(holds(parameters, "\"example\":\"shelves/example\""), SLICE_FMT, SLICE_ARG(parameters));
  cr_assert(holds(parameters, "\"example\":\"wanted\""));
  // A list that is tried as the page fills it in must not be filtered by an example.
  cr_assert_not(holds(parameters, "\"x\""));
}

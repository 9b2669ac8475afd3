// What a message looks like in a reply, in a request that creates and in a PATCH.
#include <criterion/criterion.h>

#include "tests/unit/openapi/document.h"

// ---- the real contracts ----

Test(shapes, a_reply_requires_what_is_always_sent)
{
  struct slice json = write_document(fixture_bulkhead());
  struct slice required = VALUE(json, "components", "schemas", "item.v1.Item", "required");
  static const char *const ALWAYS[] = {"id", "ownerId", "description", "tags", "quantity", "etag", "createTime"};
  for (size_t i = 0; i < ARRAY_LEN(ALWAYS); i++)
    cr_assert(holds(required, arena_printf(&document_arena, "\"%s\"", ALWAYS[i])), "%s: " SLICE_FMT, ALWAYS[i],
              SLICE_ARG(required));
  // JSON leaves out an empty price, because "" is not a number.
  cr_assert_not(holds(required, "\"price\""));
  EXPECT_VALUE("[\"items\",\"nextPageToken\"]", json, "components", "schemas", "item.v1.ListItemsResponse", "required");
  EXPECT_VALUE("[\"accessToken\",\"tokenType\",\"expiresIn\",\"refreshToken\"]", json, "components", "schemas",
               "auth.v1.TokenResponse", "required");
}

Test(shapes, a_request_has_no_fields_of_the_service)
{
  struct slice json = write_document(fixture_bulkhead());
  struct slice create = VALUE(json, "components", "schemas", "item.v1.ItemCreate", "properties");
  struct slice update = VALUE(json, "components", "schemas", "item.v1.ItemUpdate", "properties");
  static const char *const OWN[] = {"\"id\"", "\"ownerId\"", "\"createTime\"", "\"updateTime\""};
  for (size_t i = 0; i < ARRAY_LEN(OWN); i++)
    cr_assert(!holds(create, OWN[i]) && !holds(update, OWN[i]), "%s", OWN[i]);
  cr_assert(holds(create, "\"sku\"") && holds(update, "\"sku\""));
  // In a PATCH an entity tag is a precondition; what is created has none yet.
  cr_assert(holds(update, "\"etag\"") && !holds(create, "\"etag\""));
}

Test(shapes, a_patch_requires_nothing)
{
  struct slice json = write_document(fixture_bulkhead());
  EXPECT_VALUE("\"#/components/schemas/item.v1.ItemUpdate\"", json, "paths", "/v1/items/{id}", "patch", "requestBody",
               "content", "application/json", "schema", "$ref");
  cr_assert_not(holds(VALUE(json, "components", "schemas", "item.v1.ItemUpdate"), "\"required\""));
}

Test(shapes, requests_admit_no_unknown_field)
{
  struct slice json = write_document(fixture_bulkhead());
  EXPECT_VALUE("false", json, "components", "schemas", "item.v1.ItemCreate", "additionalProperties");
  EXPECT_VALUE("false", json, "components", "schemas", "auth.v1.LoginRequest", "additionalProperties");
  cr_assert_not(holds(VALUE(json, "components", "schemas", "user.v1.User"), "additionalProperties"));
}

Test(shapes, an_optional_text_may_be_cleared)
{
  struct slice json = write_document(fixture_bulkhead());
  EXPECT_VALUE("\"^$|^[A-Z]{3}$\"", json, "components", "schemas", "item.v1.ItemUpdate", "properties", "currency",
               "pattern");
  EXPECT_VALUE("\"^[A-Z]{3}$\"", json, "components", "schemas", "item.v1.Item", "properties", "currency", "pattern");
}

// ---- what the real contracts do not have ----

static const char CONTRACT[] = "service S {\n"
                               "  rpc Create(Thing) returns (Thing) {\n"
                               "    option (google.api.http) = {post: \"/things/{shelf}\" body: \"*\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "  rpc Update(UpdateThing) returns (Thing) {\n"
                               "    option (google.api.http) = {patch: \"/things/{thing.id}\" body: \"thing\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "  rpc Take(Only) returns (google.protobuf.Empty) {\n"
                               "    option (google.api.http) = {post: \"/only\" body: \"*\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "}\n"
                               "message Thing {\n"
                               "  string id = 1 [(bulkhead.v1.field) = {output_only: true}];\n"
                               "  string shelf = 2;\n"
                               "  string password = 3 [(bulkhead.v1.field) = {secret: true required: true}];\n"
                               "  string maybe = 4 [(bulkhead.v1.field) = {format: FORMAT_LINE}];\n"
                               "  string surely = 5 [(bulkhead.v1.field) = {format: FORMAT_LINE required: true}];\n"
                               "  Part part = 6;\n"
                               "  repeated Part parts = 7;\n"
                               "  map<string, Part> by_name = 8;\n"
                               "  oneof choice { string left = 9; string right = 10; }\n"
                               "  string fixed = 11 [(bulkhead.v1.field) = {immutable: true}];\n"
                               "  optional int32 weight = 12 [(bulkhead.v1.field) = {minimum: {value: 1}}];\n"
                               "}\n"
                               "message Part { string name = 1 [(bulkhead.v1.field) = {required: true}]; }\n"
                               "message ThingUpdate { string name = 1; }\n"
                               "message UpdateThing {\n"
                               "  Thing thing = 1;\n"
                               "  google.protobuf.FieldMask update_mask = 2;\n"
                               "}\n"
                               "message Only { Deep deep = 1; ThingUpdate other = 2; }\n"
                               "message Deep { int32 number = 1; }\n";

Test(shapes, a_secret_is_in_requests_only)
{
  struct slice json = write_document(load_contract(CONTRACT));
  cr_assert_not(holds(VALUE(json, "components", "schemas", "t.v1.Thing"), "password"));
  EXPECT_VALUE("[\"password\",\"surely\"]", json, "components", "schemas", "t.v1.ThingCreate", "required");
}

Test(shapes, presence_makes_a_field_of_a_reply_optional)
{
  struct slice json = write_document(load_contract(CONTRACT));
  EXPECT_VALUE("[\"id\",\"shelf\",\"surely\",\"parts\",\"byName\",\"fixed\"]", json, "components", "schemas",
               "t.v1.Thing", "required");
}

Test(shapes, an_optional_field_may_be_null_in_a_patch)
{
  struct slice json = write_document(load_contract(CONTRACT));
  EXPECT_VALUE("[{\"type\":\"integer\",\"format\":\"int32\",\"minimum\":1},{\"type\":\"null\"}]", json, "components",
               "schemas", "t.v1.ThingUpdate_", "properties", "weight", "anyOf");
  EXPECT_VALUE("\"integer\"", json, "components", "schemas", "t.v1.ThingCreate", "properties", "weight", "type");
  EXPECT_VALUE("\"integer\"", json, "components", "schemas", "t.v1.Thing", "properties", "weight", "type");
}

Test(shapes, an_immutable_field_is_not_in_a_patch)
{
  struct slice json = write_document(load_contract(CONTRACT));
  VALUE(json, "components", "schemas", "t.v1.ThingCreate", "properties", "fixed");
  cr_assert_not(holds(VALUE(json, "components", "schemas", "t.v1.ThingUpdate_"), "\"fixed\""));
}

Test(shapes, what_the_path_fills_is_not_in_the_body)
{
  struct slice json = write_document(load_contract(CONTRACT));
  cr_assert_not(holds(VALUE(json, "components", "schemas", "t.v1.ThingCreate", "properties"), "\"shelf\""));
}

Test(shapes, a_patch_goes_into_messages_and_replaces_lists)
{
  struct slice json = write_document(load_contract(CONTRACT));
  // A message of the contract has the name already.
  const char *update = "t.v1.ThingUpdate_";
  EXPECT_VALUE("\"#/components/schemas/t.v1.PartUpdate\"", json, "components", "schemas", update, "properties", "part",
               "$ref");
  EXPECT_VALUE("\"#/components/schemas/t.v1.PartCreate\"", json, "components", "schemas", update, "properties", "parts",
               "items", "$ref");
  EXPECT_VALUE("\"#/components/schemas/t.v1.PartCreate\"", json, "components", "schemas", update, "properties",
               "byName", "additionalProperties", "$ref");
  cr_assert_not(holds(VALUE(json, "components", "schemas", "t.v1.PartUpdate"), "\"required\""));
}

Test(shapes, a_message_of_requests_alone_keeps_its_name)
{
  struct slice json = write_document(load_contract(CONTRACT));
  EXPECT_VALUE("\"#/components/schemas/t.v1.Deep\"", json, "components", "schemas", "t.v1.Only", "properties", "deep",
               "$ref");
}

// ---- which requests are updates ----

static const char CHANGES[] =
    "service S {\n"
    "  rpc Replace(Change) returns (Thing) {\n"
    "    option (google.api.http) = {put: \"/replaced/{name}\" body: \"thing\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Patch(Change) returns (Thing) {\n"
    "    option (google.api.http) = {patch: \"/patched/{name}\" body: \"thing\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc PatchAll(AllAtOnce) returns (Thing) {\n"
    "    option (google.api.http) = {patch: \"/all/{name}\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message Change { string name = 1; Thing thing = 2; google.protobuf.FieldMask update_mask = 3; }\n"
    "message AllAtOnce { string name = 1; Thing thing = 2; google.protobuf.FieldMask update_mask = 3; }\n"
    "message Thing { string text = 1 [(bulkhead.v1.field) = {required: true}]; }\n";

static void expect_body(const char *path, const char *method, const char *schema)
{
  struct slice json = write_document(load_contract(CHANGES));
  struct slice found =
      VALUE(json, "paths", path, method, "requestBody", "content", "application/json", "schema", "$ref");
  cr_assert(holds(found, schema), "%s %s: " SLICE_FMT, method, path, SLICE_ARG(found));
}

Test(shapes, only_a_patch_of_one_field_under_a_mask_is_an_update)
{
  expect_body("/patched/{name}", "patch", "t.v1.ThingUpdate\"");
  expect_body("/replaced/{name}", "put", "t.v1.ThingCreate\"");
  expect_body("/all/{name}", "patch", "t.v1.AllAtOnce\"");
}

// ---- oneofs ----

static const char ONEOFS[] =
    "service S {\n"
    "  rpc Create(Poll) returns (Poll) {\n"
    "    option (google.api.http) = {post: \"/polls\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Update(UpdatePoll) returns (Poll) {\n"
    "    option (google.api.http) = {patch: \"/polls/{poll.id}\" body: \"poll\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Vote(Ballot) returns (google.protobuf.Empty) {\n"
    "    option (google.api.http) = {post: \"/ballots/{by_mail}\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message Poll {\n"
    "  string id = 1 [(bulkhead.v1.field) = {output_only: true}];\n"
    "  oneof choice { option (bulkhead.v1.oneof) = {required: true}; string left = 2; string right_hand = 3; }\n"
    "  optional int32 weight = 4;\n"
    "}\n"
    "message UpdatePoll { Poll poll = 1; google.protobuf.FieldMask update_mask = 2; }\n"
    "message Ballot {\n"
    "  oneof way { string by_mail = 1; string by_hand = 2; }\n"
    "  oneof paper { string red = 3; string blue = 4; }\n"
    "  oneof ink { option (bulkhead.v1.oneof) = {required: true}; string black = 5; }\n"
    "  oneof lonely { string alone = 6; }\n"
    "}\n";

#define MEMBER(name) "{\"required\":[\"" name "\"],\"properties\":{\"" name "\":{}},\"unevaluatedProperties\":true}"
#define AT_MOST_ONE(a, b) "[" MEMBER(a) "," MEMBER(b) "," NONE_OF(a, b) "]"
#define NONE_OF(a, b) "{\"not\":{\"anyOf\":[{\"required\":[\"" a "\"]},{\"required\":[\"" b "\"]}]}}"

Test(shapes, a_required_oneof_takes_exactly_one_member_on_create)
{
  struct slice json = write_document(load_contract(ONEOFS));
  EXPECT_VALUE("[" MEMBER("left") "," MEMBER("rightHand") "]", json, "components", "schemas", "t.v1.PollCreate",
               "oneOf");
}

Test(shapes, a_patch_and_a_reply_hold_at_most_one_member_of_a_oneof)
{
  struct slice json = write_document(load_contract(ONEOFS));
  EXPECT_VALUE(AT_MOST_ONE("left", "rightHand"), json, "components", "schemas", "t.v1.PollUpdate", "oneOf");
  EXPECT_VALUE(AT_MOST_ONE("left", "rightHand"), json, "components", "schemas", "t.v1.Poll", "oneOf");
}

// The path sets by_mail, so nothing of that oneof is left for the body; a oneof of one optional member limits nothing.
Test(shapes, every_oneof_of_a_message_is_told_except_those_that_the_path_fills)
{
  struct slice json = write_document(load_contract(ONEOFS));
  EXPECT_VALUE("[{\"oneOf\":" AT_MOST_ONE("red", "blue") "},"
                                                         "{\"oneOf\":[" MEMBER("black") "]}]",
               json, "components", "schemas", "t.v1.Ballot", "allOf");
}

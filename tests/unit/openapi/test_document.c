// The OpenAPI document as a whole: well formed, every reference leads somewhere, and what the contract says is in it.
#include <criterion/criterion.h>

#include "common/base/jsontext_reader.h"
#include "tests/unit/openapi/document.h"

// Walks the whole document: no key comes twice in an object, every $ref resolves, every operationId is unique.
static void check_document(struct slice json)
{
  struct jsontext_reader reader;
  struct slice open_keys[JSONTEXT_MAX_DEPTH][256];
  size_t counts[JSONTEXT_MAX_DEPTH + 1] = {0};
  struct slice ids[256];
  size_t id_count = 0;
  jsontext_reader_init(&reader, json, JSONTEXT_MAX_DEPTH, &document_arena);
  for (enum jsontext_token token = jsontext_read(&reader); token != JSONTEXT_END; token = jsontext_read(&reader)) {
    cr_assert(token != JSONTEXT_ERROR, "%s at %zu", reader.error, reader.error_offset);
    if (token == JSONTEXT_OBJECT_BEGIN)
      counts[reader.depth] = 0;
    if (token != JSONTEXT_KEY)
      continue;
    struct slice key = reader.text;
    size_t *count = &counts[reader.depth];
    for (size_t i = 0; i < *count; i++)
      cr_assert(!slice_equal(open_keys[reader.depth - 1][i], key), "the key " SLICE_FMT " twice", SLICE_ARG(key));
    cr_assert(*count < 256);
    open_keys[reader.depth - 1][(*count)++] = key;
    if (slice_equal(key, SLICE("$ref"))) {
      cr_assert(jsontext_read(&reader) == JSONTEXT_STRING);
      static const struct slice START = SLICE_INIT("#/components/");
      cr_assert(slice_starts_with(reader.text, START));
      struct slice rest = slice_skip(reader.text, START.size);
      size_t slash = slice_find(rest, '/', 0);
      VALUE(json, "components", arena_string(&document_arena, slice_make(rest.data, slash)),
            arena_string(&document_arena, slice_skip(rest, slash + 1)));
    } else if (slice_equal(key, SLICE("operationId"))) {
      cr_assert(jsontext_read(&reader) == JSONTEXT_STRING);
      for (size_t i = 0; i < id_count; i++)
        cr_assert(!slice_equal(ids[i], reader.text), SLICE_FMT " twice", SLICE_ARG(reader.text));
      ids[id_count++] = reader.text;
    }
  }
  cr_assert(id_count > 0);
}

Test(openapi, documents_are_whole)
{
  check_document(write_document(fixture_bulkhead()));
  check_document(write_document(fixture_test()));
}

Test(openapi, operations_of_the_real_contracts)
{
  struct slice json = write_document(fixture_bulkhead());
  EXPECT_VALUE("\"3.1.0\"", json, "openapi");
  EXPECT_VALUE("\"ItemService_GetItem\"", json, "paths", "/v1/items/{id}", "get", "operationId");
  EXPECT_VALUE("\"One item\"", json, "paths", "/v1/items/{id}", "get", "summary");
  // A comment's lines are no lines of the summary.
  cr_assert(holds(VALUE(json, "paths", "/v1/users/{id}:suspend", "post", "summary"), "and nobody can sign in to it"));
  EXPECT_VALUE("[{\"bearer\":[\"items:read\"]}]", json, "paths", "/v1/items/{id}", "get", "security");
  EXPECT_VALUE("[{\"bearer\":[\"users:read:any\"]}]", json, "paths", "/v1/users", "get", "security");
  EXPECT_VALUE("\"items:write\"", json, "paths", "/v1/items/{id}", "delete", "x-permission");
  EXPECT_VALUE("\"items:write:any\"", json, "paths", "/v1/items/{id}", "delete", "x-permission-any");
  EXPECT_VALUE("true", json, "paths", "/v1/items/{id}", "delete", "x-every-user");
  cr_assert(holds(VALUE(json, "paths", "/v1/items/{id}", "delete", "description"), "for what belongs to others"));
  EXPECT_VALUE("[]", json, "paths", "/v1/auth/login", "post", "security");
  // {item.id} and {id} are one path, whose parameter has the first one's name.
  EXPECT_VALUE("\"ItemService_UpdateItem\"", json, "paths", "/v1/items/{id}", "patch", "operationId");
  struct slice parameters = VALUE(json, "paths", "/v1/items/{id}", "patch", "parameters");
  cr_assert(slice_starts_with(parameters, SLICE("[{\"name\":\"id\",\"in\":\"path\",\"required\":true,")));
  cr_assert(holds(parameters, "\"If-Match\""));
  EXPECT_VALUE("\"At most 524288 bytes.\"", json, "paths", "/v1/items", "post", "requestBody", "description");
  EXPECT_VALUE("\"#/components/schemas/item.v1.ItemCreate\"", json, "paths", "/v1/items", "post", "requestBody",
               "content", "application/json", "schema", "$ref");
  VALUE(json, "paths", "/v1/items", "post", "responses", "201", "headers", "Location");
  VALUE(json, "paths", "/v1/items", "post", "responses", "201", "headers", "ETag");
  EXPECT_VALUE("\"#/components/responses/Problem\"", json, "paths", "/v1/items", "post", "responses", "default",
               "$ref");
  EXPECT_VALUE("\"Deletes an item.\"", json, "paths", "/v1/items/{id}", "delete", "responses", "204", "description");
  VALUE(json, "paths", "/v1/items:batchCreate", "post");
}

Test(openapi, title_license_and_tags_are_the_contracts)
{
  struct slice json = write_document(fixture_bulkhead());
  EXPECT_VALUE("\"Bulkhead\"", json, "info", "title");
  EXPECT_VALUE("{\"name\":\"Apache-2.0\",\"identifier\":\"Apache-2.0\"}", json, "info", "license");
  VALUE(json, "info", "contact", "name");
  cr_assert(holds(VALUE(json, "info", "description"), "Accounts, tokens and items over REST."));
  cr_assert(holds(VALUE(json, "tags"), "{\"name\":\"Items\",\"description\":\"A catalogue of items."));
  EXPECT_VALUE("[\"Items\"]", json, "paths", "/v1/items", "get", "tags");
}

Test(openapi, a_contract_without_a_title_has_a_plain_one)
{
  struct slice json = write_document(fixture_test());
  EXPECT_VALUE("{\"title\":\"API\",\"version\":\"1\"}", json, "info");
  EXPECT_VALUE("[\"Test\"]", json, "paths", "/v1/all", "post", "tags");
}

Test(openapi, schemas_hold_the_rules)
{
  struct slice json = write_document(fixture_bulkhead());
  const char *item = "item.v1.Item";
  EXPECT_VALUE("{\"type\":\"integer\",\"format\":\"int32\",\"minimum\":0,\"examples\":[12]}", json, "components",
               "schemas", item, "properties", "quantity");
  EXPECT_VALUE("{\"type\":\"string\",\"format\":\"date-time\",\"readOnly\":true}", json, "components", "schemas", item,
               "properties", "createTime");
  EXPECT_VALUE("[{\"colour\": \"brass\"}]", json, "components", "schemas", item, "properties", "attributes",
               "examples");
  EXPECT_VALUE("64", json, "components", "schemas", item, "properties", "tags", "maxItems");
  EXPECT_VALUE("64", json, "components", "schemas", item, "properties", "tags", "items", "maxLength");
  EXPECT_VALUE("\"email\"", json, "components", "schemas", "auth.v1.LoginRequest", "properties", "email", "format");
  EXPECT_VALUE("true", json, "components", "schemas", "auth.v1.LoginRequest", "properties", "password", "writeOnly");
  EXPECT_VALUE("true", json, "components", "schemas", item, "properties", "attributes", "additionalProperties");
  EXPECT_VALUE("[\"email\",\"password\"]", json, "components", "schemas", "auth.v1.LoginRequest", "required");
}

Test(openapi, unusual_contracts)
{
  struct slice json = write_document(fixture_test());
  EXPECT_VALUE("\"TestService_QueryAll_2\"", json, "paths", "/v1/{name}:read", "get", "operationId");
  EXPECT_VALUE("\"TestService_QueryAll_4\"", json, "paths", "/v1/shelves/{segment3}/{name}", "get", "operationId");
  struct slice parameters = VALUE(json, "paths", "/v1/query", "get", "parameters");
  cr_assert(holds(parameters, "\"nested.deep.number\""));
  cr_assert_not(holds(parameters, "hidden"));
  EXPECT_VALUE("\"Everything at once. And a second sentence.\"",
               slice_skip(slice_make(VALUE(json, "tags").data, VALUE(json, "tags").size - 1), 1), "description");
  EXPECT_VALUE("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\",\"format\":\"int32\"}}", json,
               "components", "schemas", "t.v1.All", "properties", "counts");
  EXPECT_VALUE("[\"COLOUR_UNSPECIFIED\",\"COLOUR_BLUE\",\"COLOUR_RED\",\"COLOUR_DARK\"]", json, "components", "schemas",
               "t.v1.Colour", "enum");
}

static const char RULES[] = "service S {\n"
                            "  rpc Take(Ruled) returns (google.protobuf.Empty) {\n"
                            "    option (google.api.http) = {post: \"/ruled\" body: \"*\"};\n"
                            "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                            "  }\n"
                            "}\n"
                            "enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_BLUE = 3; }\n"
                            "message Ruled {\n"
                            "  string wanted = 1 [(bulkhead.v1.field) = {required: true}];\n"
                            "  string long_text = 2 [(bulkhead.v1.field) = {required: true min_length: 40}];\n"
                            "  string any_text = 3;\n"
                            "  Colour colour = 4;\n"
                            "  string word = 5 [(bulkhead.v1.field) = {one_of: \"up\" one_of: \"down\"}];\n"
                            "}\n";

Test(openapi, schemas_of_texts_and_enums_in_requests)
{
  struct slice json = write_document(load_contract(RULES));
  const char *ruled = "t.v1.Ruled";
  EXPECT_VALUE("1", json, "components", "schemas", ruled, "properties", "wanted", "minLength");
  EXPECT_VALUE("40", json, "components", "schemas", ruled, "properties", "longText", "minLength");
  EXPECT_VALUE("{\"type\":\"string\"}", json, "components", "schemas", ruled, "properties", "anyText");
  EXPECT_VALUE("{\"$ref\":\"#/components/schemas/t.v1.Colour\"}", json, "components", "schemas", ruled, "properties",
               "colour");
  EXPECT_VALUE("[\"COLOUR_UNSPECIFIED\",\"COLOUR_BLUE\"]", json, "components", "schemas", "t.v1.Colour", "enum");
  EXPECT_VALUE("[\"up\",\"down\"]", json, "components", "schemas", ruled, "properties", "word", "enum");
}

Test(openapi, a_rest_in_the_middle_is_a_parameter)
{
  struct slice json = write_document(
      load_contract("service S { rpc Get(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
                    " option (google.api.http) = {get: \"/v1/{name=shops/**/goods}/{day}:read\""
                    " additional_bindings {get: \"/v1/days/**/{day}\"}}; } }\n"
                    "message Q { string name = 1; string day = 2; }\n"));
  struct slice parameters = VALUE(json, "paths", "/v1/{name}/{day}:read", "get", "parameters");
  cr_assert(holds(parameters, "\"shops/example/goods\""));
  parameters = VALUE(json, "paths", "/v1/days/{segment3}/{day}", "get", "parameters");
  cr_assert(holds(parameters, "\"segment3\""));
}

Test(openapi, lists_of_well_known_types_are_parameters)
{
  struct slice json = write_document(
      load_contract("service S { rpc Get(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
                    " option (google.api.http) = {get: \"/v1/q\"}; } }\n"
                    "message Q { repeated google.protobuf.Timestamp times = 1; repeated Part parts = 2; "
                    "google.protobuf.Empty e = 3; }\n"
                    "message Part { string name = 1; }\n"));
  struct slice parameters = VALUE(json, "paths", "/v1/q", "get", "parameters");
  cr_expect(holds(parameters, "{\"name\":\"times\",\"in\":\"query\",\"schema\":{\"type\":\"array\",\"items\":{\"type\":"
                              "\"string\",\"format\":\"date-time\"}}}"),
            SLICE_FMT, SLICE_ARG(parameters));
  cr_expect_not(holds(parameters, "parts"));
  cr_expect_not(holds(parameters, "\"e\""));
}

Test(openapi, a_route_for_any_method_is_an_operation_of_each_that_is_free)
{
  struct slice json = write_document(load_contract(
      "service S { rpc Get(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
      " option (google.api.http) = {custom: {kind: \"*\" path: \"/v1/any\"} additional_bindings {custom: {kind: "
      "\"*\" path: \"/v1/{day}\"}}}; }\n"
      " rpc Put(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
      " option (google.api.http) = {put: \"/v1/any\" additional_bindings {custom: {kind: \"FIND\" path: "
      "\"/v1/any\"}}}; } }\n"
      "message Q { string day = 1; }\n"));
  static const char *const HTTP_METHODS[] = {"get", "post", "delete", "patch"};
  for (size_t i = 0; i < ARRAY_LEN(HTTP_METHODS); i++) {
    struct slice id = VALUE(json, "paths", "/v1/any", HTTP_METHODS[i], "operationId");
    cr_expect(holds(id, "S_Get_") && holds(id, HTTP_METHODS[i]), SLICE_FMT, SLICE_ARG(id));
  }
  EXPECT_VALUE("\"S_Put\"", json, "paths", "/v1/any", "put", "operationId");
  EXPECT_VALUE("\"S_Get_2_put\"", json, "paths", "/v1/{day}", "put", "operationId");
  cr_expect_not(holds(VALUE(json, "paths", "/v1/any"), "\"find\""));
}

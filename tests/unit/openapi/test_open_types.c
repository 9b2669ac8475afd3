// Messages that hold themselves, and Google's messages of any content, in the document.
#include <criterion/criterion.h>

#include "tests/unit/openapi/document.h"

static const char CONTRACT[] = "service TreeService {\n"
                               "  rpc Plant(Tree) returns (Tree) {\n"
                               "    option (google.api.http) = {post: \"/v1/trees\" body: \"*\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "  rpc Find(Tree) returns (Tree) {\n"
                               "    option (google.api.http) = {get: \"/v1/trees\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "}\n"
                               "message Tree {\n"
                               "  string name = 1 [(bulkhead.v1.field) = {required: true example: \"oak\"}];\n"
                               "  repeated Tree children = 2 [(bulkhead.v1.field).required = true];\n"
                               "  map<string, Tree> named = 3 [(bulkhead.v1.field).required = true];\n"
                               "  Leaf leaf = 4;\n"
                               "  google.protobuf.Struct object = 5;\n"
                               "  google.protobuf.Value value = 6;\n"
                               "  google.protobuf.ListValue list = 7;\n"
                               "  google.protobuf.Any any = 8 [(bulkhead.v1.field).required = true];\n"
                               "  google.protobuf.NullValue nothing = 9;\n"
                               "  oneof choice {\n"
                               "    option (bulkhead.v1.oneof).required = true;\n"
                               "    Tree graft = 10;\n"
                               "    string text = 11;\n"
                               "  }\n"
                               "}\n"
                               "message Leaf {\n"
                               "  Tree tree = 1 [(bulkhead.v1.field).required = true];\n"
                               "  int32 size = 2 [(bulkhead.v1.field).example = \"3\"];\n"
                               "}\n";

Test(open_types, a_message_that_holds_itself_has_one_schema)
{
  struct slice json = write_document(load_contract(CONTRACT));
  static const char REF[] = "\"#/components/schemas/t.v1.Tree\"";
  struct slice properties = VALUE(json, "components", "schemas", "t.v1.Tree", "properties");
  EXPECT_VALUE("\"#/components/schemas/t.v1.Tree\"", properties, "children", "items", "$ref");
  EXPECT_VALUE("\"#/components/schemas/t.v1.Tree\"", properties, "named", "additionalProperties", "$ref");
  cr_expect(holds(VALUE(json, "components", "schemas", "t.v1.Leaf", "properties", "tree"), REF));
}

Test(open_types, an_example_ends_where_a_message_comes_again)
{
  struct slice json = write_document(load_contract(CONTRACT));
  struct slice example =
      VALUE(json, "paths", "/v1/trees", "post", "requestBody", "content", "application/json", "example");
  cr_expect(slice_equal(example, SLICE("{\"name\":\"oak\",\"leaf\":{\"size\":3},\"any\":{},\"text\":\"text\"}")),
            SLICE_FMT, SLICE_ARG(example));
}

Test(open_types, any_json_has_schemas_of_any_json)
{
  struct slice json = write_document(load_contract(CONTRACT));
  struct slice properties = VALUE(json, "components", "schemas", "t.v1.Tree", "properties");
  EXPECT_VALUE("{\"type\":\"object\",\"additionalProperties\":true}", properties, "object");
  EXPECT_VALUE("{}", properties, "value");
  EXPECT_VALUE("{\"type\":\"array\",\"items\":{}}", properties, "list");
  EXPECT_VALUE("{\"type\":\"object\",\"additionalProperties\":true,\"properties\":{\"@type\":{\"type\":\"string\"}}}",
               properties, "any");
  EXPECT_VALUE("{\"type\":\"null\"}", properties, "nothing");
}

Test(open_types, parameters_are_fields_of_one_value)
{
  struct slice json = write_document(load_contract(CONTRACT));
  struct slice parameters = VALUE(json, "paths", "/v1/trees", "get", "parameters");
  cr_expect(holds(parameters, "\"name\":\"leaf.size\""));
  static const char *const ABSENT[] = {"\"object", "\"value\"",   "\"list",    "\"any",
                                       "\"graft",  "\"leaf.tree", "\"children"};
  for (size_t i = 0; i < ARRAY_LEN(ABSENT); i++)
    cr_expect_not(holds(parameters, arena_printf(&document_arena, "\"name\":%s", ABSENT[i])), "%s", ABSENT[i]);
}

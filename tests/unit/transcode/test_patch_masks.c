// The update mask that is gathered from the body of a PATCH, for fields of every kind.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

static const char CONTRACT[] = "service S {\n"
                               "  rpc Update(UpdateRequest) returns (Thing) {\n"
                               "    option (google.api.http) = {patch: \"/v1/things\" body: \"thing\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "}\n"
                               "message UpdateRequest {\n"
                               "  Thing thing = 1;\n"
                               "  google.protobuf.FieldMask update_mask = 2;\n"
                               "}\n"
                               "message Thing {\n"
                               "  string name = 1;\n"
                               "  map<string, Part> parts = 2;\n"
                               "  google.protobuf.Struct object = 3;\n"
                               "  google.protobuf.Value value = 4;\n"
                               "  google.protobuf.Any any = 5;\n"
                               "  google.protobuf.Empty nothing = 6;\n"
                               "  oneof choice {\n"
                               "    string text = 7;\n"
                               "    Part part = 8;\n"
                               "    google.protobuf.Empty none = 9;\n"
                               "  }\n"
                               "  Thing inner_thing = 10;\n"
                               "  repeated Part list = 11;\n"
                               "  string attributes = 12 [(bulkhead.v1.field).format = FORMAT_JSON_OBJECT];\n"
                               "}\n"
                               "message Part {\n"
                               "  string label = 1;\n"
                               "  int32 size = 2;\n"
                               "}\n";

static struct arena arena;

static void expect_mask(const struct contract *contract, const char *body, bool merge_patch, const char *expected)
{
  struct outcome outcome = fixture_request(
      contract,
      (struct exchange){.http_method = "PATCH", .path = "/v1/things", .body = body, .merge_patch = merge_patch});
  const char *got = outcome.status == STATUS_OK ? outcome.json : outcome.violations;
  const char *part = outcome.status == STATUS_OK ? arena_printf(&arena, "\"updateMask\":\"%s\"", expected) : expected;
  cr_expect(strstr(got, part) != NULL, "%s: %s", body, got);
}

Test(patch_masks, name_what_the_body_holds)
{
  static const char *const CASES[][2] = {
      {"{\"parts\":{\"a\":{\"label\":\"b\"}}}", "parts"},
      {"{\"parts\":{}}", "parts"},
      {"{\"parts\":null,\"object\":null,\"value\":null,\"any\":null,\"nothing\":null}",
       "parts,object,value,any,nothing"},
      {"{\"object\":{\"a\":{\"b\":1}}}", "object"},
      {"{\"object\":{}}", "object"},
      {"{\"value\":{\"a\":1}}", "value"},
      {"{\"value\":[null]}", "value"},
      {"{\"any\":{\"@type\":\"x/t.v1.Part\",\"label\":\"a\"}}", "any"},
      {"{\"nothing\":{}}", "nothing"},
      {"{\"none\":{}}", "none"},
      {"{\"text\":\"\"}", "text"},
      {"{\"text\":null,\"part\":{\"label\":\"a\"}}", "text,part.label"},
      {"{\"part\":{}}", "part"},
      {"{\"part\":null}", "part"},
      {"{\"innerThing\":{\"innerThing\":{\"part\":{\"size\":1}},\"parts\":{}}}",
       "innerThing.innerThing.part.size,innerThing.parts"},
      {"{\"list\":[{\"label\":\"a\"}]}", "list"},
      {"{\"attributes\":{\"a\":1},\"innerThing\":{\"attributes\":{}}}", "attributes,innerThing.attributes"},
  };
  const struct contract *contract = fixture_contract(CONTRACT);
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    expect_mask(contract, CASES[i][0], false, CASES[i][1]);
  arena_free(&arena);
}

Test(patch_masks, of_a_merge_patch_name_what_it_can_say)
{
  static const char WHOLE[] = "is replaced as a whole, which a merge patch cannot say; send it as application/json, or "
                              "null to empty it";
  static const char *const CASES[][2] = {
      {"{\"parts\":{\"a\":null}}", WHOLE},
      {"{\"object\":{\"a\":null}}", WHOLE},
      {"{\"value\":{\"a\":null}}", WHOLE},
      {"{\"any\":{}}", WHOLE},
      {"{\"innerThing\":{\"attributes\":{\"a\":null}}}", WHOLE},
      {"{\"innerThing\":{\"object\":{}}}", WHOLE},
      {"{\"value\":[1]}", "value"},
      {"{\"value\":null,\"object\":null}", "value,object"},
      {"{\"attributes\":{\"a\":null}}", "attributes.*"},
      {"{\"part\":{\"label\":null}}", "part.label"},
  };
  const struct contract *contract = fixture_contract(CONTRACT);
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    expect_mask(contract, CASES[i][0], true, CASES[i][1]);
  arena_free(&arena);
}

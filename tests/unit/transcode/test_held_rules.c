// Which values the rules of a contract hold for: what is left out, zero and empty values, items of lists, and what the
// mask of an update names.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "tests/support/contract/fixture.h"

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Create(CreateRequest) returns (Thing) {\n"
    "    option (google.api.http) = {post: \"/v1/things\" body: \"thing\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Update(UpdateRequest) returns (Thing) {\n"
    "    option (google.api.http) = {patch: \"/v1/things/{thing.id}\" body: \"thing\"\n"
    "                                additional_bindings {patch: \"/v1/things\" body: \"*\"}\n"
    "                                additional_bindings {delete: \"/v1/things/{thing.name}\"}};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc UpdateMany(UpdateManyRequest) returns (Thing) {\n"
    "    option (google.api.http) = {post: \"/v1/things:updateMany\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc List(ListRequest) returns (Thing) {\n"
    "    option (google.api.http) = {get: \"/v1/things\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message CreateRequest { Thing thing = 1 [(bulkhead.v1.field).required = true]; }\n"
    "message UpdateRequest {\n"
    "  string reason = 1;\n"
    "  Thing thing = 2 [(bulkhead.v1.field).required = true];\n"
    "  google.protobuf.FieldMask update_mask = 3;\n"
    "  Part other = 4;\n"
    "}\n"
    "message UpdateManyRequest { repeated UpdateRequest requests = 1; }\n"
    "message ListRequest {\n"
    "  int32 least = 1 [(bulkhead.v1.field).minimum.value = 5];\n"
    "  optional int32 maybe = 2 [(bulkhead.v1.field).minimum.value = 5];\n"
    "  string kind = 3 [(bulkhead.v1.field) = {one_of: \"\" one_of: \"a\"}];\n"
    "  string word = 4 [(bulkhead.v1.field).format = FORMAT_LINE];\n"
    "  repeated string words = 5 [(bulkhead.v1.field).format = FORMAT_LINE];\n"
    "}\n"
    "message Thing {\n"
    "  string id = 1 [(bulkhead.v1.field) = {output_only: true format: FORMAT_UUID}];\n"
    "  string name = 2 [(bulkhead.v1.field) = {required: true max_length: 8}];\n"
    "  string key = 3 [(bulkhead.v1.field) = {required: true immutable: true}];\n"
    "  int32 size = 4 [(bulkhead.v1.field) = {minimum: {value: -5} maximum: {value: -1}}];\n"
    "  string code = 5 [(bulkhead.v1.field).min_length = 3];\n"
    "  bytes data = 6 [(bulkhead.v1.field).min_length = 1];\n"
    "  repeated string tags = 7 [(bulkhead.v1.field) = {min_items: 1 unique_items: true format: FORMAT_LINE}];\n"
    "  optional string note = 8 [(bulkhead.v1.field) = {min_length: 2}];\n"
    "  optional int32 rank = 9 [(bulkhead.v1.field) = {minimum: {value: 5}}];\n"
    "  Part part = 10;\n"
    "  repeated Part parts = 11;\n"
    "  string mail = 12 [(bulkhead.v1.field).format = FORMAT_EMAIL];\n"
    "  uint64 version = 13 [(bulkhead.v1.field) = {output_only: true minimum: {value: 1}}];\n"
    "  repeated int32 numbers = 14 [(bulkhead.v1.field).minimum.value = 5];\n"
    "  map<string, int32> counts = 15 [(bulkhead.v1.field).min_items = 1];\n"
    "}\n"
    "message Part {\n"
    "  string label = 1 [(bulkhead.v1.field).required = true];\n"
    "  int32 ratio = 2 [(bulkhead.v1.field).minimum.value = 1];\n"
    "  string mark = 3 [(bulkhead.v1.field).immutable = true];\n"
    "  oneof kind {\n"
    "    option (bulkhead.v1.oneof).required = true;\n"
    "    string left = 4;\n"
    "    int32 right = 5 [(bulkhead.v1.field).minimum.value = 5];\n"
    "  }\n"
    "}\n";

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
// The members that a thing needs beside name and key.
#define REST "\"size\":-1,\"code\":\"abc\",\"data\":\"YQ==\",\"tags\":[\"a\"],\"counts\":{\"a\":1}"
#define WHOLE "{\"name\":\"n\",\"key\":\"k\"," REST "}"

static void expect(struct exchange exchange, const char *violations)
{
  static const struct contract *contract;
  if (contract == NULL)
    contract = fixture_contract(CONTRACT);
  struct outcome outcome = fixture_request(contract, exchange);
  const char *body = exchange.body == NULL ? "" : exchange.body;
  cr_expect_str_eq(outcome.violations, violations, "%s %s %s:\n%s\ninstead of\n%s", exchange.http_method, exchange.path,
                   body, outcome.violations, violations);
}

static void expect_create(const char *body, const char *violations)
{
  expect((struct exchange){.http_method = "POST", .path = "/v1/things", .body = body}, violations);
}

static void expect_patch(const char *body, const char *violations)
{
  expect((struct exchange){.http_method = "PATCH", .path = "/v1/things/" ID, .body = body}, violations);
}

static void expect_masked(const char *mask, const char *body, const char *violations)
{
  expect((struct exchange){.http_method = "PATCH", .path = "/v1/things/" ID, .query = mask, .body = body}, violations);
}

static void expect_whole_patch(const char *body, const char *violations)
{
  expect((struct exchange){.http_method = "PATCH", .path = "/v1/things", .body = body}, violations);
}

static void expect_list(const char *query, const char *violations)
{
  expect((struct exchange){.http_method = "GET", .path = "/v1/things", .query = query}, violations);
}

// ---- creating ----

// The violations of a thing without any value.
static const char EVERYTHING_MISSING[] = "name: is required\n"
                                         "key: is required\n"
                                         "size: must be at most -1\n"
                                         "code: must be at least 3 characters\n"
                                         "data: must not be empty\n"
                                         "tags: must have at least 1 items\n"
                                         "counts: must have at least 1 items";

Test(held_rules, everything_that_is_missing_is_named_at_once)
{
  expect_create("{}", EVERYTHING_MISSING);
  expect_create(WHOLE, "");
}

Test(held_rules, null_zero_and_empty_values_are_those_of_a_field_left_out)
{
  expect_create("{\"name\":null,\"key\":null,\"size\":null,\"code\":null,\"data\":null,\"tags\":null,\"counts\":null}",
                EVERYTHING_MISSING);
  expect_create("{\"name\":\"\",\"key\":\"\",\"size\":0,\"code\":\"\",\"data\":\"\",\"tags\":[],\"counts\":{}}",
                EVERYTHING_MISSING);
}

Test(held_rules, a_field_with_presence_may_be_absent_and_is_held_when_it_is_there)
{
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"note\":null,\"rank\":null}", "");
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"note\":\"\",\"rank\":0}",
                "note: must be at least 2 characters\nrank: must be at least 5");
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"note\":\"ab\",\"rank\":5}", "");
}

Test(held_rules, formats_admit_the_empty_text_but_not_in_lists)
{
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"mail\":\"\"}", "");
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"mail\":\"x\"}",
                "mail: must be an e-mail address, such as ada@example.com");
  expect_create("{\"name\":\"n\",\"key\":\"k\",\"size\":-1,\"code\":\"abc\",\"data\":\"YQ==\",\"counts\":{\"a\":1},"
                "\"tags\":[\"a\",\"\",\" b\"]}",
                "tags[1]: must not be empty\n"
                "tags[2]: must have no control characters, and no white space at either end");
}

Test(held_rules, items_of_lists_are_values_also_when_they_are_zero)
{
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"numbers\":[5,0,6,4]}",
                "numbers[1]: must be at least 5\nnumbers[3]: must be at least 5");
}

Test(held_rules, messages_are_held_when_they_are_there)
{
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST
                ",\"part\":{},\"parts\":[{\"label\":\"a\",\"ratio\":1,\"left\":\"\"},{}]}",
                "part.label: is required\n"
                "part.ratio: must be at least 1\n"
                "part.kind: one of its fields is required: left, right\n"
                "parts[1].label: is required\n"
                "parts[1].ratio: must be at least 1\n"
                "parts[1].kind: one of its fields is required: left, right");
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"part\":{\"label\":\"a\",\"ratio\":1,\"right\":0}}",
                "part.right: must be at least 5");
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"part\":{\"label\":\"a\",\"ratio\":1,\"left\":null}}",
                "part.kind: one of its fields is required: left, right");
}

Test(held_rules, parameters_are_held_like_bodies)
{
  expect_list("", "least: must be at least 5");
  expect_list("least=5", "");
  expect_list("least=0&maybe=0", "least: must be at least 5\nmaybe: must be at least 5");
  expect_list("least=5&kind=&word=&words=a&words=", "words: must not be empty");
  expect_list("least=5&kind=b", "kind: must be one of: a");
}

// ---- updating ----

Test(held_rules, a_patch_is_held_for_what_its_body_holds)
{
  expect_patch("{}", "");
  expect_patch("{\"mail\":\"\"}", "");
  expect_patch("{\"name\":\"new\"}", "");
  expect_patch("{\"name\":\"\",\"size\":0,\"code\":\"\",\"data\":\"\",\"tags\":[]}",
               "name: is required\n"
               "size: must be at most -1\n"
               "code: must be at least 3 characters\n"
               "data: must not be empty\n"
               "tags: must have at least 1 items");
  expect_patch("{\"name\":null,\"size\":null,\"tags\":null,\"rank\":null,\"note\":null}",
               "name: is required\n"
               "size: must be at most -1\n"
               "tags: must have at least 1 items");
}

Test(held_rules, a_patch_of_a_nested_message_is_held_for_what_it_holds)
{
  expect_patch("{\"part\":{\"ratio\":2}}", "");
  expect_patch("{\"part\":{\"label\":\"\",\"ratio\":-1}}", "part.label: is required\npart.ratio: must be at least 1");
  expect_patch("{\"part\":{\"left\":null}}", "part.kind: one of its fields is required: left, right");
  expect_patch("{\"part\":{\"right\":4}}", "part.right: must be at least 5");
  // {} and null write the message as a whole.
  expect_patch("{\"part\":{}}", "part.label: is required\n"
                                "part.ratio: must be at least 1\n"
                                "part.kind: one of its fields is required: left, right");
  expect_patch("{\"part\":null}", "");
  // A list is written as a whole, too.
  expect_patch("{\"parts\":[{\"label\":\"a\"}]}",
               "parts[0].ratio: must be at least 1\nparts[0].kind: one of its fields is required: left, right");
}

Test(held_rules, an_immutable_field_cannot_be_patched)
{
  expect_patch("{\"key\":\"new\"}", "key: cannot be changed by an update; leave it out");
  expect_patch("{\"name\":\"\",\"key\":null}", "name: is required\nkey: cannot be changed by an update; leave it out");
  expect_patch("{\"part\":{\"mark\":\"m\"}}", "part.mark: cannot be changed by an update; leave it out");
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST
                ",\"part\":{\"label\":\"a\",\"ratio\":1,\"left\":\"\",\"mark\":\"m\"}}",
                "");
}

Test(held_rules, a_mask_of_the_clients_own_says_what_is_held)
{
  expect_masked("updateMask=name", "{\"name\":\"n\",\"size\":7,\"code\":\"x\",\"parts\":[{}],\"tags\":[\"\",\"\"]}",
                "");
  expect_masked("updateMask=name,size", "{\"code\":\"x\"}", "name: is required\nsize: must be at most -1");
  expect_masked("updateMask=", "{\"name\":\"much too long\"}", "name: must be at most 8 characters");
  expect_masked("updateMask=part.ratio", "{\"part\":{\"ratio\":0}}", "part.ratio: must be at least 1");
  expect_masked("updateMask=part.ratio", "{\"part\":{\"ratio\":1}}", "");
  expect_masked("updateMask=part.right", "{\"part\":{\"label\":\"\"}}",
                "part.kind: one of its fields is required: left, right");
  expect_masked("updateMask=part", "{\"part\":{\"left\":\"\"}}",
                "part.label: is required\npart.ratio: must be at least 1");
  expect_masked("updateMask=partX", "{\"part\":{}}", "");
}

Test(held_rules, a_mask_that_cannot_be_read_holds_back_no_rule)
{
  expect_masked("updateMask=name,a__b", "{\"name\":\"n\",\"size\":0}",
                "updateMask: must be field paths separated by commas, such as name,createTime\n"
                "size: must be at most -1\n"
                "code: must be at least 3 characters\n"
                "data: must not be empty\n"
                "tags: must have at least 1 items\n"
                "counts: must have at least 1 items");
}

Test(held_rules, a_mask_may_not_name_an_immutable_field)
{
  expect_masked("updateMask=key", "{}", "key: cannot be changed by an update; leave it out");
  expect_masked("updateMask=name", "{\"name\":\"n\",\"key\":\"same\"}", "");
  expect_masked("updateMask=part.mark", "{\"part\":{\"mark\":\"m\"}}",
                "part.mark: cannot be changed by an update; leave it out");
}

Test(held_rules, what_a_mask_leaves_out_must_still_have_its_form)
{
  expect_masked("updateMask=name", "{\"name\":\"n\",\"size\":\"x\",\"colour\":1,\"tags\":[null]}",
                "size: must be a whole number of 32 bits\n"
                "colour: is not a field that is known here\n"
                "tags[0]: must not be null");
}

Test(held_rules, the_path_is_held_whatever_the_mask_says)
{
  expect((struct exchange){.http_method = "PATCH", .path = "/v1/things/7", .body = "{}"},
         "id: must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
  expect((struct exchange){.http_method = "DELETE", .path = "/v1/things/much-too-long", .query = "updateMask=size"},
         "thing.name: must be at most 8 characters\nthing.size: must be at most -1");
}

Test(held_rules, a_mask_in_the_body_is_found_wherever_it_stands)
{
  expect_whole_patch("{\"thing\":{\"size\":0},\"updateMask\":\"name\"}", "thing.name: is required");
  expect_whole_patch("{\"updateMask\":\"size\",\"thing\":{\"size\":0}}", "thing.size: must be at most -1");
  expect_whole_patch("{\"thing\":{\"size\":0},\"update_mask\":\"\"}", "");
  expect_whole_patch("{\"thing\":null,\"updateMask\":\"\"}", "thing: is required");
}

Test(held_rules, without_a_mask_all_is_written_but_what_is_immutable)
{
  expect_whole_patch("{\"thing\":{\"name\":\"n\"," REST ",\"key\":\"same\"}}", "");
  expect_whole_patch("{\"thing\":{" REST "},\"updateMask\":null}", "thing.name: is required");
  expect_whole_patch("{\"thing\":{" REST "},\"updateMask\":7}",
                     "thing.name: is required\nupdateMask: must be a string");
}

Test(held_rules, the_mask_is_about_the_first_message_only)
{
  expect_whole_patch("{\"thing\":{},\"updateMask\":\"\",\"reason\":\"\",\"other\":{\"label\":\"a\",\"left\":\"\"}}",
                     "other.ratio: must be at least 1");
}

Test(held_rules, each_update_of_many_has_a_mask_of_its_own)
{
  expect((struct exchange){.http_method = "POST",
                           .path = "/v1/things:updateMany",
                           .body = "{\"requests\":[{\"thing\":{\"size\":0},\"updateMask\":\"name\"},"
                                   "{\"thing\":{\"size\":0},\"updateMask\":\"size\"}]}"},
         "requests[0].thing.name: is required\nrequests[1].thing.size: must be at most -1");
}

Test(held_rules, an_item_of_the_wrong_type_is_named_for_that_only)
{
  expect_create("{\"name\":\"n\",\"key\":\"k\"," REST ",\"numbers\":[\"x\",7,[1],6]}",
                "numbers[0]: must be a whole number of 32 bits\nnumbers[2]: must be a whole number of 32 bits");
}

Test(held_rules, what_is_beyond_the_cap_of_a_map_is_only_counted)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body,
                    "{\"name\":\"n\",\"key\":\"k\",\"size\":-1,\"code\":\"abc\",\"data\":\"YQ==\",\"tags\":[\"a\"],"
                    "\"counts\":{\"k0\":\"x\"");
  for (unsigned i = 1; i < 999; i++)
    strbuf_printf(&body, ",\"k%u\":1", i);
  strbuf_add_string(&body, ",\"k999\":\"y\",\"k1000\":\"z\"}}");
  expect_create(strbuf_cstring(&body), "counts.k0: must be a whole number of 32 bits\n"
                                       "counts.k999: must be a whole number of 32 bits\n"
                                       "counts: must have at most 1000 items");
  strbuf_free(&body);
}

Test(held_rules, a_mask_without_a_message_to_update_leaves_nothing_out)
{
  const struct contract *contract =
      fixture_contract("service S { rpc Put(M) returns (M) { option (google.api.http) = {patch: \"/v1/m\" body: \"*\"};"
                       " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
                       "message M { string name = 1 [(bulkhead.v1.field).required = true];"
                       " google.protobuf.FieldMask update_mask = 2; repeated Part parts = 3; }\n"
                       "message Part { string label = 1 [(bulkhead.v1.field).required = true]; }\n");
  struct outcome outcome = fixture_request(
      contract,
      (struct exchange){.http_method = "PATCH", .path = "/v1/m", .body = "{\"updateMask\":\"x\",\"parts\":[{}]}"});
  cr_expect_str_eq(outcome.violations, "parts[0].label: is required\nname: is required", "%s", outcome.violations);
}

// ---- oneofs ----

Test(held_rules, a_message_may_have_many_oneofs)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "service S { rpc Put(M) returns (M) {"
                           " option (google.api.http) = {put: \"/v1/m\" body: \"*\"};"
                           " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
                           "message M {\n");
  for (unsigned i = 0; i < 128; i++)
    strbuf_printf(&text, "oneof of_%u { %s string a%u = %u; string b%u = %u; }\n", i,
                  i % 64 == 5 ? "option (bulkhead.v1.oneof).required = true;" : "", i, 2 * i + 1, i, 2 * i + 2);
  strbuf_add_string(&text, "}\n");
  const struct contract *contract = fixture_contract(strbuf_cstring(&text));
  strbuf_free(&text);
  static const struct {
    const char *body;
    const char *violations;
  } CASES[] = {
      {"{}", "of5: one of its fields is required: a5, b5\nof69: one of its fields is required: a69, b69"},
      {"{\"a5\":\"\"}", "of69: one of its fields is required: a69, b69"},
      {"{\"a69\":\"\"}", "of5: one of its fields is required: a5, b5"},
      {"{\"a5\":\"\",\"b69\":\"\",\"a0\":\"\",\"a64\":\"\",\"b127\":\"\"}", ""},
      {"{\"a5\":\"\",\"b69\":\"\",\"a64\":\"\",\"b64\":\"\",\"a127\":\"\",\"b127\":\"\"}",
       "b64: must not be set together with another field of its group\n"
       "b127: must not be set together with another field of its group"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct outcome outcome =
        fixture_request(contract, (struct exchange){.http_method = "PUT", .path = "/v1/m", .body = CASES[i].body});
    cr_expect_str_eq(outcome.violations, CASES[i].violations, "%s: %s", CASES[i].body, outcome.violations);
  }
}

// ---- the mask that a PATCH gathers ----

Test(held_rules, a_required_mask_is_filled_from_the_body)
{
  const struct contract *contract = fixture_contract(
      "service S { rpc Update(U) returns (T) {"
      " option (google.api.http) = {patch: \"/v1/t/{t.id}\" body: \"t\"};"
      " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
      "message U { T t = 1; google.protobuf.FieldMask update_mask = 2 [(bulkhead.v1.field).required = true]; }\n"
      "message T { string id = 1; string name = 2; }\n");
  struct outcome plain = fixture_request(
      contract, (struct exchange){.http_method = "PATCH", .path = "/v1/t/7", .body = "{\"name\":\"n\"}"});
  cr_assert_str_eq(plain.json, "{\"t\":{\"id\":\"7\",\"name\":\"n\"},\"updateMask\":\"name\"}");
  // A body that repeats what the path says adds nothing.
  struct outcome repeated = fixture_request(
      contract, (struct exchange){.http_method = "PATCH", .path = "/v1/t/7", .body = "{\"id\":\"7\",\"name\":\"n\"}"});
  cr_assert(slice_equal(repeated.wire, plain.wire));
}

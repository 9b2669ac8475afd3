// Bodies that are left out, and those whose message has a JSON form of its own.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "tests/support/contract/fixture.h"

Test(bodies, that_are_left_out_are_an_empty_message)
{
  const struct contract *contract = fixture_contract(
      "service S { rpc All(R) returns (R) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
      " option (google.api.http) = {post: \"/all/{id}\" body: \"*\""
      " additional_bindings {delete: \"/all/{id}\" body: \"*\"} additional_bindings {put: \"/all/{id}\" body: \"*\"}"
      " additional_bindings {custom: {kind: \"*\" path: \"/any/{id}\"} body: \"*\"}"
      " additional_bindings {post: \"/part/{id}\" body: \"part\"} additional_bindings {post: \"/list\" body: \"list\"}"
      " additional_bindings {post: \"/inside/{part.name}\" body: \"part\"}}; }\n"
      " rpc Need(N) returns (R) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
      " option (google.api.http) = {post: \"/need\" body: \"*\" additional_bindings {post: \"/needed\" body: "
      "\"part\"}}; } }\n"
      "message R { string id = 1; Part part = 2; repeated string list = 3; }\n"
      "message N { string id = 1 [(bulkhead.v1.field).required = true];"
      " Part part = 2 [(bulkhead.v1.field).required = true]; }\n"
      "message Part { string name = 1; }\n");
  fixture_expect_json(contract, (struct exchange){.http_method = "POST", .path = "/all/7"},
                      "{\"id\":\"7\",\"list\":[]}");
  fixture_expect_json(contract, (struct exchange){.http_method = "DELETE", .path = "/all/7"},
                      "{\"id\":\"7\",\"list\":[]}");
  fixture_expect_json(contract, (struct exchange){.http_method = "PUT", .path = "/any/7"},
                      "{\"id\":\"7\",\"list\":[]}");
  fixture_expect_json(contract, (struct exchange){.http_method = "POST", .path = "/part/7", .query = "list=a"},
                      "{\"id\":\"7\",\"list\":[\"a\"]}");
  fixture_expect_json(contract, (struct exchange){.http_method = "POST", .path = "/list"}, "{\"id\":\"\",\"list\":[]}");
  fixture_expect_json(contract, (struct exchange){.http_method = "POST", .path = "/inside/x"},
                      "{\"id\":\"\",\"part\":{\"name\":\"x\"},\"list\":[]}");
  fixture_expect_violations(contract, (struct exchange){.http_method = "POST", .path = "/all/7", .query = "list=a"},
                            "list: is not a parameter that is known here");
  fixture_expect_violations(contract, (struct exchange){.http_method = "POST", .path = "/need"},
                            "id: is required\npart: is required");
  static const char NEEDED[] = ": must not be empty: this method takes a JSON body, {} at least";
  fixture_expect_violations(contract, (struct exchange){.http_method = "POST", .path = "/needed", .query = "id=7"},
                            NEEDED);
  fixture_expect_violations(contract, (struct exchange){.http_method = "PUT", .path = "/all/7"}, NEEDED);
  // White space is no JSON, but it is no empty body either.
  fixture_expect_violations(contract, (struct exchange){.http_method = "POST", .path = "/all/7", .body = " "},
                            ": is not valid JSON at line 1, column 2: the text ends where a value must come");
}

Test(bodies, may_be_messages_with_a_json_form_of_their_own)
{
  static const char *const TYPES[] = {"Empty", "Struct", "Value", "ListValue", "Timestamp", "StringValue", "FieldMask"};
  struct strbuf text = {0};
  strbuf_add_string(&text, "service S { ");
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
    strbuf_printf(&text,
                  "rpc M%zu(google.protobuf.%s) returns (google.protobuf.Empty) {"
                  " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
                  " option (google.api.http) = {post: \"/%s\" body: \"*\"}; }\n",
                  i, TYPES[i], TYPES[i]);
  strbuf_add_string(&text, "}\n");
  const struct contract *contract = fixture_contract(strbuf_cstring(&text));
  strbuf_free(&text);
  static const char *const GOOD[][3] = {
      {"/Empty", "{}", "{}"},
      {"/Empty", NULL, "{}"},
      {"/Struct", "{\"a\":[1,null,{\"b\":true}]}", "{\"a\":[1,null,{\"b\":true}]}"},
      {"/Struct", NULL, "{}"},
      {"/Value", "[\"x\"]", "[\"x\"]"},
      {"/Value", "null", "null"},
      {"/ListValue", " [1,2] ", "[1,2]"},
      {"/Timestamp", "\"2026-01-02T03:04:05Z\"", "\"2026-01-02T03:04:05Z\""},
      {"/StringValue", "\"x\"", "\"x\""},
      {"/FieldMask", "\"a,bC\"", "\"a,bC\""},
  };
  for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
    fixture_expect_json(contract, (struct exchange){.http_method = "POST", .path = GOOD[i][0], .body = GOOD[i][1]},
                        GOOD[i][2]);
  static const char *const BAD[][3] = {
      {"/Empty", "{\"a\":1}", "a: is not a field that is known here"},
      {"/Empty", "[]", ": must be an object"},
      {"/Struct", "[]", ": must be an object"},
      {"/Value", NULL, ": must not be empty: this method takes a JSON value"},
      {"/ListValue", "{}", ": must be a list"},
      {"/Timestamp", "\"x\"", ": must be a time, such as 2026-01-02T03:04:05Z"},
      {"/Timestamp", NULL, ": must not be empty: this method takes a JSON value"},
      {"/Timestamp", "null", ": must be a string"},
      {"/StringValue", "1", ": must be a string"},
  };
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    fixture_expect_violations(contract, (struct exchange){.http_method = "POST", .path = BAD[i][0], .body = BAD[i][1]},
                              BAD[i][2]);
  fixture_expect_violations(contract, (struct exchange){.http_method = "POST", .path = "/Value", .body = "1 2"},
                            ": is not valid JSON at line 1, column 3: nothing may follow the document");
}

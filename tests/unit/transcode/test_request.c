// HTTP requests to messages, on the real contracts and on test.proto.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "tests/support/contract/fixture.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define OTHER_ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6c"

static struct exchange get(const char *path, const char *query)
{
  return (struct exchange){.http_method = "GET", .path = path, .query = query};
}

static struct exchange patch(const char *path, const char *body)
{
  return (struct exchange){.http_method = "PATCH", .path = path, .body = body};
}

Test(request, path_variable_fills_its_field)
{
  fixture_expect_json(fixture_bulkhead(), get("/v1/items/" ID, NULL), "{\"id\":\"" ID "\"}");
}

Test(request, path_variable_is_percent_decoded)
{
  fixture_expect_json(fixture_bulkhead(), get("/v1/items/%301936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", NULL),
                      "{\"id\":\"" ID "\"}");
}

Test(request, path_variable_keeps_its_rules)
{
  fixture_expect_violations(fixture_bulkhead(), get("/v1/items/7", NULL),
                            "id: must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
  fixture_expect_violations(fixture_bulkhead(), get("/v1/items/%zz", NULL),
                            "id: has a broken percent escape\nid: is required");
}

Test(request, query_parameters)
{
  fixture_expect_json(fixture_bulkhead(),
                      get("/v1/items", "pageSize=20&page_token=a.b&q=red+%2Blamp&orderBy=name%20desc"),
                      "{\"pageSize\":20,\"pageToken\":\"a.b\",\"category\":\"\",\"tag\":\"\",\"q\":\"red +lamp\","
                      "\"orderBy\":\"name desc\"}");
  fixture_expect_violations(
      fixture_bulkhead(), get("/v1/items", "pageSize=201&pagesize=1&orderBy=price&&q=a&q=b"),
      "pagesize: is not a parameter that is known here\n"
      "q: must not be given twice\n"
      "pageSize: must be at most 200\n"
      "orderBy: must be one of: createTime, createTime asc, createTime desc, updateTime, updateTime asc, "
      "updateTime desc, name, name asc, name desc, quantity, quantity asc, quantity desc");
  fixture_expect_violations(fixture_bulkhead(), get("/v1/items", "q=%ff"), "q: must be valid UTF-8");
  fixture_expect_violations(fixture_bulkhead(), get("/v1/items", "%ff=1&q=%4"),
                            "?: a parameter's name has a broken percent escape or is no valid UTF-8\n"
                            "q: has a broken percent escape");
}

Test(request, query_parameters_of_every_shape)
{
  struct outcome outcome = fixture_request(
      fixture_test(), get("/v1/query", "numbers=3&numbers=1&colour=COLOUR_BLUE&flag=true&since=2026-01-02T03:04:05Z"
                                       "&nested.textValue=abc&nested.deep.number=-7&limit=5&one=x&ratio=1.5&token=YQ"));
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_assert_str_eq(outcome.json,
                   "{\"name\":\"\",\"path\":\"\",\"numbers\":[3,1],\"colour\":\"COLOUR_BLUE\",\"flag\":true,"
                   "\"since\":\"2026-01-02T03:04:05Z\","
                   "\"nested\":{\"textValue\":\"abc\",\"deep\":{\"number\":\"-7\"}},\"limit\":5,\"one\":\"x\","
                   "\"ratio\":1.5,\"token\":\"YQ==\",\"labels\":{},\"list\":[],\"hidden\":\"\"}");
  fixture_expect_violations(fixture_test(),
                            get("/v1/query", "nested=1&labels=a&labels.a=1&nested.textValue=abcde&one=1&two=2"
                                             "&numbers=1&numbers=2&numbers=3&numbers=4&hidden=x&flag=1"),
                            "nested: is not a parameter that is known here\n"
                            "labels: is not a parameter that is known here\n"
                            "labels.a: is not a parameter that is known here\n"
                            "numbers: must have at most 3 items\n"
                            "flag: must be true or false\n"
                            "two: must not be set together with another field of its group\n"
                            "nested.textValue: must be at most 4 characters");
}

Test(request, parameters_of_well_known_types_are_checked)
{
  fixture_expect_violations(fixture_test(), get("/v1/query", "since=yesterday&limit=many"),
                            "since: must be a time, such as 2026-01-02T03:04:05Z\n"
                            "limit: must be a whole number of 32 bits");
}

Test(request, parameters_go_to_the_message_that_they_name)
{
  const struct contract *contract = fixture_contract(
      "service S { rpc Get(Q) returns (Q) {"
      " option (google.api.http) = {get: \"/v1/{left.id}\"};"
      " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
      "message Q { Part left = 1; Part right = 2; string id = 3; google.protobuf.StringValue word = 4; }\n"
      "message Part { string id = 1; Inner inner = 2; }\n"
      "message Inner { string id = 1; }\n");
  fixture_expect_json(
      contract, get("/v1/a", "right.id=b&right.inner.id=c&id=d&left.inner.id=e&word=f"),
      "{\"left\":{\"id\":\"a\",\"inner\":{\"id\":\"e\"}},\"right\":{\"id\":\"b\",\"inner\":{\"id\":\"c\"}},"
      "\"id\":\"d\",\"word\":\"f\"}");
  fixture_expect_violations(contract, get("/v1/a", "word=%ff"), "word: must be valid UTF-8");
}

Test(request, values_of_a_list_that_must_differ)
{
  const struct contract *contract = fixture_contract(
      "service S { rpc Get(Q) returns (Q) {"
      " option (google.api.http) = {get: \"/v1/q\"};"
      " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
      "message Q { repeated int32 ids = 1 [(bulkhead.v1.field) = {unique_items: true max_items: 3}]; }\n");
  fixture_expect_json(contract, get("/v1/q", "ids=1&ids=2&ids=3"), "{\"ids\":[1,2,3]}");
  fixture_expect_violations(contract, get("/v1/q", "ids=1&ids=2&ids=1"),
                            "ids: must not be given twice with the same value");
  fixture_expect_violations(contract, get("/v1/q", "ids=x&ids=y"),
                            "ids: must be a whole number of 32 bits\nids: must be a whole number of 32 bits");
  fixture_expect_violations(contract, get("/v1/q", "ids=1&ids=2&ids=1&ids=4"), "ids: must have at most 3 items");
}

Test(request, too_many_parameters)
{
  struct strbuf query = {0};
  for (unsigned i = 0; i < 300; i++)
    strbuf_add_string(&query, "numbers=1&");
  fixture_expect_violations(fixture_test(), get("/v1/query", strbuf_cstring(&query)),
                            "?: must have at most 256 parameters\nnumbers: must have at most 3 items");
  strbuf_free(&query);
}

Test(request, the_path_wins_over_query_and_body)
{
  fixture_expect_json(fixture_bulkhead(), get("/v1/items/" ID, "id=" ID), "{\"id\":\"" ID "\"}");
  fixture_expect_violations(fixture_bulkhead(), get("/v1/items/" ID, "id=" OTHER_ID),
                            "id: must be the same as in the path, or absent");
  struct outcome outcome =
      fixture_request(fixture_bulkhead(), patch("/v1/items/" ID, "{\"id\":\"" ID "\",\"name\":\"Lamp\"}"));
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_assert(strstr(outcome.json, "\"updateMask\":\"name\"") != NULL, "%s", outcome.json);
  cr_assert(strstr(outcome.json, "{\"item\":{\"id\":\"" ID "\"") == outcome.json, "%s", outcome.json);
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, "{\"name\":\"Lamp\",\"id\":\"" OTHER_ID "\"}"),
                            "id: must be the same as in the path, or absent");
  outcome = fixture_request(fixture_bulkhead(), patch("/v1/items/" ID, "{\"id\":null}"));
  cr_assert(strstr(outcome.json, "{\"item\":{\"id\":\"" ID "\"") == outcome.json, "%s", outcome.json);
}

Test(request, update_mask_of_a_patch)
{
  static const struct {
    const char *query;
    const char *body;
    const char *mask;
  } CASES[] = {
      {NULL, "{\"longName\":\"a\",\"tags\":[]}", "\"updateMask\":\"longName,tags\""},
      {NULL, "{\"longName\":null}", "\"updateMask\":\"longName\""},
      {NULL, "{\"nested\":{\"textValue\":\"a\",\"deep\":{\"number\":1}}}",
       "\"updateMask\":\"nested.textValue,nested.deep.number\""},
      {NULL, "{\"nested\":{\"deep\":{}}}", "\"updateMask\":\"nested.deep\""},
      {NULL, "{\"nested\":null}", "\"updateMask\":\"nested\""},
      {NULL, "{}", "\"updateMask\":\"\""},
      {NULL, "{\"id\":\"x\"}", "\"updateMask\":\"\""},
      {"updateMask=longName", "{\"longName\":\"a\",\"tags\":[]}", "\"updateMask\":\"longName\""},
      // An empty one is the same as none (AIP-134): a client that sends it loses no change.
      {"updateMask=", "{\"longName\":\"a\"}", "\"updateMask\":\"longName\""},
      {"updateMask", "{\"longName\":\"a\"}", "\"updateMask\":\"longName\""},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange exchange = patch("/v1/things/x", CASES[i].body);
    exchange.query = CASES[i].query;
    struct outcome outcome = fixture_request(fixture_test(), exchange);
    cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
    cr_assert(strstr(outcome.json, CASES[i].mask) != NULL, "%s: %s", CASES[i].body, outcome.json);
  }
}

Test(request, a_mask_of_the_clients_own)
{
  static const struct {
    const char *query;
    const char *body;
    const char *result;  // what the request message has, or the violations
  } CASES[] = {
      {"updateMask=long_name", "{\"longName\":\"a\"}", "\"updateMask\":\"longName\""},
      {"update_mask=longName,nested.text_value", "{\"longName\":\"a\",\"nested\":{\"textValue\":\"b\"}}",
       "\"updateMask\":\"longName,nested.textValue\""},
      {"updateMask=*", "{\"longName\":\"a\"}", "\"updateMask\":\"*\""},
      {"updateMask=longName", "{\"longName\":null}", "\"updateMask\":\"longName\""},
      {"updateMask=longName", "{\"longName\":\"\"}", "\"updateMask\":\"longName\""},
      {"updateMask=longName,tags", "{\"tags\":[]}",
       "longName: is named in the update mask, so the body must have it; null empties it"},
      {"updateMask=nested", "{}", "nested: is named in the update mask, so the body must have it; null empties it"},
      {"updateMask=nested.deep.number", "{\"nested\":{\"deep\":{}}}",
       "nested.deep.number: is named in the update mask, so the body must have it; null empties it"},
      {"updateMask=nested.textValue", "{\"nested\":null}", "\"updateMask\":\"nested.textValue\""},
      {"updateMask=id", "{}", "\"updateMask\":\"id\""},
      {"updateMask=long__name", "{}", "updateMask: must be field paths"},
      {"updateMask=_long", "{}", "updateMask: must be field paths"},
      {"updateMask=long_", "{}", "updateMask: must be field paths"},
      {"updateMask=long_Name", "{}", "updateMask: must be field paths"},
      {"updateMask=LongName", "{}", "updateMask: must be field paths"},
      {"updateMask=nested.*", "{}", "updateMask: must be field paths"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange exchange = patch("/v1/things/x", CASES[i].body);
    exchange.query = CASES[i].query;
    struct outcome outcome = fixture_request(fixture_test(), exchange);
    const char *got = outcome.status == STATUS_OK ? outcome.json : outcome.violations;
    cr_expect(strstr(got, CASES[i].result) != NULL, "%s: %s", CASES[i].query, got);
  }
}

Test(request, a_merge_patch_changes_what_it_holds_and_empties_by_null)
{
  static const struct {
    const char *body;
    const char *result;  // what the request message has, or the violations
  } CASES[] = {
      {"{\"longName\":\"a\",\"tags\":null}", "\"updateMask\":\"longName,tags\""},
      {"{\"nested\":{\"textValue\":null}}", "\"updateMask\":\"nested.textValue\""},
      {"{\"nested\":null}", "\"updateMask\":\"nested\""},
      {"{}", "\"updateMask\":\"\""},
      {"{\"nested\":{\"deep\":{}}}", "\"updateMask\":\"\""},
      {"[]", "must be an object"},
      {"null", "must not be null"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange exchange = patch("/v1/things/x", CASES[i].body);
    exchange.merge_patch = true;
    struct outcome outcome = fixture_request(fixture_test(), exchange);
    const char *got = outcome.status == STATUS_OK ? outcome.json : outcome.violations;
    cr_expect(strstr(got, CASES[i].result) != NULL, "%s: %s", CASES[i].body, got);
  }
}

// The service that has the object changes members of it.
Test(request, a_merge_patch_names_the_members_of_a_clients_own_object)
{
  struct exchange exchange = patch("/v1/items/" ID, "{\"name\":\"Lamp\",\"attributes\":{\"colour\":null}}");
  struct outcome outcome = fixture_request(fixture_bulkhead(), exchange);
  cr_assert(strstr(outcome.json, "\"updateMask\":\"name,attributes\"") != NULL, "%s", outcome.json);
  exchange.merge_patch = true;
  outcome = fixture_request(fixture_bulkhead(), exchange);
  cr_assert(strstr(outcome.json, "\"updateMask\":\"name,attributes.*\"") != NULL, "%s", outcome.json);
  cr_assert(strstr(outcome.json, "\"attributes\":{\"colour\":null}") != NULL, "%s", outcome.json);
  exchange.query = "updateMask=attributes";
  fixture_expect_violations(
      fixture_bulkhead(), exchange,
      "attributes: is replaced as a whole, which a merge patch cannot say; send it as application/json, "
      "or null to empty it");
  exchange.query = NULL;
  exchange.body = "{\"attributes\":null}";
  outcome = fixture_request(fixture_bulkhead(), exchange);
  cr_assert(strstr(outcome.json, "\"updateMask\":\"attributes\"") != NULL, "%s", outcome.violations);
}

Test(request, what_comes_in_a_header_comes_nowhere_else)
{
  const struct contract *contract = fixture_contract(
      "service S { rpc Put(Q) returns (Q) {"
      " option (google.api.http) = {put: \"/v1/q\" body: \"*\"};"
      " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
      "message Q { string note = 1; string if_match = 2 [(bulkhead.v1.field) = {from_header: \"If-Match\"}]; }\n");
  struct exchange put = {.http_method = "PUT", .path = "/v1/q", .body = "{\"note\":\"a\"}", .if_match = "\"v7\""};
  struct outcome outcome = fixture_request(contract, put);
  cr_assert(strstr(outcome.json, "\"ifMatch\":\"v7\"") != NULL, "%s", outcome.json);
  put.body = "{\"note\":\"a\",\"ifMatch\":\"v7\"}";
  fixture_expect_violations(contract, put, "ifMatch: is not a field that is known here");
  put.body = "{\"if_match\":\"v8\"}";
  fixture_expect_violations(contract, put, "if_match: is not a field that is known here");
  fixture_expect_violations(fixture_bulkhead(),
                            (struct exchange){.http_method = "DELETE", .path = "/v1/items/" ID, .query = "if_match=v7"},
                            "if_match: is not a parameter that is known here");
}

Test(request, ids_are_the_same_in_either_case)
{
  const char *upper = "/v1/items/01936B5E-7C1A-7D3E-9F00-1C2D3E4F5A6B";
  fixture_expect_json(fixture_bulkhead(), get(upper, NULL), "{\"id\":\"" ID "\"}");
  fixture_expect_json(fixture_bulkhead(), get(upper, "id=" ID), "{\"id\":\"" ID "\"}");
  struct outcome outcome = fixture_request(fixture_bulkhead(), patch(upper, "{\"id\":\"" ID "\"}"));
  cr_assert(strstr(outcome.json, "{\"item\":{\"id\":\"" ID "\"") == outcome.json, "%s", outcome.json);
  outcome = fixture_request(fixture_bulkhead(), get("/v1/items", "ownerId=01936B5E-7C1A-7D3E-9F00-1C2D3E4F5A6B"));
  cr_assert(strstr(outcome.json, "\"ownerId\":\"" ID "\"") != NULL, "%s", outcome.json);
}

Test(request, violations_in_a_body_field_are_named_as_in_the_body)
{
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, "{\"name\":\" a\",\"tags\":[\"b\",\"b\"]}"),
                            "name: must have no control characters, and no white space at either end\n"
                            "tags[1]: must not be the same as an item before it");
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, "null"), ": must not be null");
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, "[]"), ": must be an object");
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, ""),
                            ": must not be empty: this method takes a JSON body, {} at least");
}

Test(request, if_match)
{
  static const struct {
    const char *header;
    const char *result;  // what the request message has, or the violation
  } CASES[] = {
      {"\"v7\"", "\"ifMatch\":\"v7\""},
      {"*", "\"ifMatch\":\"*\""},
      {" \"v7\" ", "\"ifMatch\":\"v7\""},
      {"W/\"v7\"", "\"ifMatch\":\"W/\\\"v7\\\"\""},
      {"\"a\", \"b\"", "\"ifMatch\":\"\\\"a\\\", \\\"b\\\"\""},
      {"\"\"", "\"ifMatch\":\"\\\"\\\"\""},
      {"v7", "If-Match: must be entity tags in quotes, separated by commas, or *"},
      {"\"a\" \"b\"", "If-Match: must be entity tags in quotes, separated by commas, or *"},
      {"", "If-Match: must be entity tags in quotes, separated by commas, or *"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange exchange = {.http_method = "DELETE", .path = "/v1/items/" ID, .if_match = CASES[i].header};
    struct outcome outcome = fixture_request(fixture_bulkhead(), exchange);
    const char *got = outcome.status == STATUS_OK ? outcome.json : outcome.violations;
    cr_assert(strstr(got, CASES[i].result) != NULL, "%s: %s", CASES[i].header, got);
  }
  struct exchange both = {
      .http_method = "DELETE", .path = "/v1/items/" ID, .query = "ifMatch=v8", .if_match = "\"v7\""};
  fixture_expect_violations(fixture_bulkhead(), both, "ifMatch: is not a parameter that is known here");
}

Test(request, whole_bodies)
{
  fixture_expect_json(
      fixture_bulkhead(),
      (struct exchange){.http_method = "POST", .path = "/v1/auth/logout", .body = "{\"refreshToken\":\"abc\"}"}, "{}");
  fixture_expect_violations(fixture_bulkhead(),
                            (struct exchange){.http_method = "POST",
                                              .path = "/v1/auth/login",
                                              .query = "email=a",
                                              .body = "{\"email\":\"nobody\",\"pasword\":\"x\"}"},
                            "email: is not a parameter that is known here\n"
                            "email: must be an e-mail address, such as ada@example.com\n"
                            "pasword: is not a field that is known here\n"
                            "password: is required");
  fixture_expect_violations(fixture_bulkhead(),
                            (struct exchange){.http_method = "GET", .path = "/v1/items/" ID, .body = "{}"},
                            ": must be empty: this method takes no body");
}

Test(request, a_body_is_one_json_document_and_nothing_else)
{
  static const struct {
    const char *body;
    const char *violation;
  } CASES[] = {
      {"{\"refreshToken\":\"abc\"} x", ": is not valid JSON at line 1, column 24: nothing may follow the document"},
      {"{\"refreshToken\":\"abc\"}{}", ": is not valid JSON at line 1, column 23: nothing may follow the document"},
      {"{\"refreshToken\":\n\"abc\"", ": is not valid JSON at line 2, column 6: a comma or } must follow a value"},
      {"{\"refreshToken\" \"abc\"}", ": is not valid JSON at line 1, column 17: a colon must follow a key"},
      {" ", ": is not valid JSON at line 1, column 2: the text ends where a value must come"},
      {"x", ": is not valid JSON at line 1, column 1: a value must come here"},
      {"[\"abc\"]", ": must be an object"},
      {"\"abc\"", ": must be an object"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    fixture_expect_violations(
        fixture_bulkhead(), (struct exchange){.http_method = "POST", .path = "/v1/auth/logout", .body = CASES[i].body},
        CASES[i].violation);
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, "{\"name\":\"Lamp\"}]"),
                            ": is not valid JSON at line 1, column 16: nothing may follow the document");
  fixture_expect_violations(fixture_bulkhead(), patch("/v1/items/" ID, "{\"name\":\"Lamp\""),
                            ": is not valid JSON at line 1, column 15: a comma or } must follow a value");
}

Test(request, batches_name_the_item)
{
  fixture_expect_violations(
      fixture_bulkhead(),
      (struct exchange){.http_method = "POST",
                        .path = "/v1/items:batchCreate",
                        .body = "{\"items\":[{\"sku\":\"a\",\"name\":\"b\"},"
                                "{\"sku\":\"a\",\"quantity\":-1,\"attributes\":{}},"
                                "{\"sku\":\"a\",\"name\":\"b\",\"price\":\"1,5\"}]}"},
      "items[1].quantity: must be at least 0\n"
      "items[1].name: is required\n"
      "items[2].price: must be a decimal number with up to 15 digits before and up to 4 after the point");
}

Test(request, only_the_first_twenty_violations_are_kept)
{
  struct strbuf body = {0};
  strbuf_add_string(&body, "{\"items\":[{\"sku\":\"a\",\"name\":\"b\"}");
  for (unsigned i = 0; i < 30; i++)
    strbuf_add_string(&body, ",{\"sku\":\"a\",\"name\":\"b\",\"x\":1}");
  strbuf_add_string(&body, "]}");
  struct outcome outcome = fixture_request(
      fixture_bulkhead(),
      (struct exchange){.http_method = "POST", .path = "/v1/items:batchCreate", .body = strbuf_cstring(&body)});
  size_t lines = 1;
  for (const char *at = outcome.violations; *at != '\0'; at++)
    lines += *at == '\n';
  cr_assert(lines == VIOLATIONS_MAX);
  cr_assert(strstr(outcome.violations, "items[20].x: is not a field that is known here") != NULL);
  strbuf_free(&body);
}

Test(request, variables_of_several_segments_keep_their_slashes)
{
  struct outcome outcome = fixture_request(fixture_test(), get("/v1/shelves/a%20b/books/c%2Fd:read", NULL));
  cr_assert(strstr(outcome.json, "\"name\":\"shelves/a b/books/c%2Fd\"") != NULL, "%s", outcome.json);
  outcome = fixture_request(fixture_test(), get("/v1/files/a/b%2f%41", NULL));
  cr_assert(strstr(outcome.json, "\"path\":\"a/b%2fA\"") != NULL, "%s", outcome.json);
  outcome = fixture_request(fixture_test(), get("/v1/files", NULL));
  cr_assert(strstr(outcome.json, "\"path\":\"\"") != NULL, "%s", outcome.json);
}

Test(request, a_body_may_be_a_list)
{
  struct outcome outcome = fixture_request(
      fixture_test(), (struct exchange){.http_method = "PUT", .path = "/v1/lists/n", .body = "[\"a\",\"b\"]"});
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_assert(strstr(outcome.json, "\"list\":[\"a\",\"b\"]") != NULL, "%s", outcome.json);
  fixture_expect_violations(
      fixture_test(), (struct exchange){.http_method = "PUT", .path = "/v1/lists/n", .query = "list=c", .body = "[1]"},
      "list: is not a parameter that is known here\n[0]: must be a string");
}

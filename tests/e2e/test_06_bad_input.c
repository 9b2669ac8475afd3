// Hostile and mistaken requests: the right status, a problem that names the place, never a 5xx.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"

struct bad_body {
  const char *what;
  const char *body;
  size_t size;        // 0: strlen
  const char *field;  // the field that a violation must name; NULL accepts any
};

static void assert_refused(const struct account *account, const struct bad_body *bad)
{
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = account->token, .body = bad->body, .body_size = bad->size);
  cr_assert_eq(reply.status, 400, "%s: %d %s", bad->what, reply.status, reply.body);
  assert_problem(&reply, "INVALID_ARGUMENT");
  if (bad->field != NULL)
    assert_violation(&reply, bad->field);
}

Test(e2e_06_bad_input, a_body_is_read_strictly)
{
  struct account ada = account_create();
  static const struct bad_body CASES[] = {
      {"empty", " ", 0, NULL},
      {"cut off", "{\"sku\":", 0, NULL},
      {"not an object", "[1]", 0, NULL},
      {"trailing comma", "{\"sku\":\"a\",}", 0, NULL},
      {"two documents", "{\"sku\":\"a\",\"name\":\"b\"} {}", 0, NULL},
      {"comment", "{/* */\"sku\":\"a\"}", 0, NULL},
      {"unknown field", "{\"sku\":\"a\",\"name\":\"b\",\"colour\":\"red\"}", 0, "colour"},
      {"same field twice", "{\"sku\":\"a\",\"name\":\"b\",\"sku\":\"c\"}", 0, "sku"},
      {"number for text", "{\"sku\":1,\"name\":\"b\"}", 0, "sku"},
      {"text for a number", "{\"sku\":\"a\",\"name\":\"b\",\"quantity\":\"many\"}", 0, "quantity"},
      {"fraction for a whole number", "{\"sku\":\"a\",\"name\":\"b\",\"quantity\":1.5}", 0, "quantity"},
      {"out of range", "{\"sku\":\"a\",\"name\":\"b\",\"quantity\":2147483648}", 0, "quantity"},
      {"negative", "{\"sku\":\"a\",\"name\":\"b\",\"quantity\":-1}", 0, "quantity"},
      {"object for a list", "{\"sku\":\"a\",\"name\":\"b\",\"tags\":{}}", 0, "tags"},
      {"null in a list", "{\"sku\":\"a\",\"name\":\"b\",\"tags\":[null]}", 0, "tags[0]"},
      {"list for an object", "{\"sku\":\"a\",\"name\":\"b\",\"attributes\":[]}", 0, "attributes"},
      {"bad price", "{\"sku\":\"a\",\"name\":\"b\",\"price\":\"1,5\",\"currency\":\"EUR\"}", 0, "price"},
      {"bad currency", "{\"sku\":\"a\",\"name\":\"b\",\"price\":\"1.5\",\"currency\":\"euro\"}", 0, "currency"},
      {"bad UTF-8", "{\"sku\":\"a\xff\",\"name\":\"b\"}", 0, NULL},
      {"overlong UTF-8", "{\"sku\":\"a\xc0\xaf\",\"name\":\"b\"}", 0, NULL},
      {"lone surrogate", "{\"sku\":\"\\ud800\",\"name\":\"b\"}", 0, NULL},
      {"zero byte escaped", "{\"sku\":\"a\\u0000b\",\"name\":\"b\"}", 0, "sku"},
      {"zero byte raw", "{\"sku\":\"a\0b\",\"name\":\"b\"}", 24, NULL},
      {"control character", "{\"sku\":\"a\\nb\",\"name\":\"b\"}", 0, "sku"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    assert_refused(&ada, &CASES[i]);
}

Test(e2e_06_bad_input, deep_nesting_is_refused_not_followed)
{
  struct account ada = account_create();
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body, "{\"sku\":\"a\",\"name\":\"b\",\"attributes\":");
  for (int i = 0; i < 20000; i++)
    strbuf_add_string(&body, "{\"a\":");
  strbuf_add_string(&body, "1");
  for (int i = 0; i < 20001; i++)
    strbuf_add_string(&body, "}");
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token, .body = strbuf_cstring(&body));
  strbuf_free(&body);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
}

Test(e2e_06_bad_input, a_malformed_body_is_placed_by_line_and_column)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token, .body = "{\"sku\": \"a\",\n  \"name\" \"b\"}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  cr_assert(strstr(reply.body, "line 2") != NULL, "%s", reply.body);
}

Test(e2e_06_bad_input, oversized_bodies_are_refused)
{
  struct account ada = account_create();
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body, "{\"sku\":\"a\",\"name\":\"b\",\"description\":\"");
  for (int i = 0; i < 5 * 1024 * 1024 / 16; i++)
    strbuf_add_string(&body, "0123456789abcdef");
  strbuf_add_string(&body, "\"}");
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token, .body = strbuf_cstring(&body));
  strbuf_free(&body);
  ASSERT_STATUS(reply, 413);
  cr_assert(strstr(http_header(&reply, "Content-Type"), "application/problem+json") != NULL);
}

Test(e2e_06_bad_input, long_texts_are_refused_by_their_characters)
{
  struct account ada = account_create();
  char name[257 * 2 + 1] = "";
  for (int i = 0; i < 257; i++)
    memcpy(name + 2 * i, "ü", 2);
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token, .body = text("{\"sku\":\"a\",\"name\":\"%s\"}", name));
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "name");
  name[256 * 2] = '\0';
  item_create(&ada, text("{\"sku\":\"a\",\"name\":\"%s\"}", name));
}

Test(e2e_06_bad_input, a_known_path_with_another_method_says_which_are_allowed)
{
  struct http_reply reply = HTTP(.method = "PUT", .path = "/v1/items/x", .body = "{}");
  ASSERT_STATUS(reply, 405);
  const char *allow = http_header(&reply, "Allow");
  cr_assert_not_null(allow);
  cr_assert(strstr(allow, "GET") != NULL && strstr(allow, "PATCH") != NULL && strstr(allow, "DELETE") != NULL, "%s",
            allow);
  cr_assert(strstr(http_header(&reply, "Content-Type"), "application/problem+json") != NULL);
}

Test(e2e_06_bad_input, unknown_paths_are_not_found)
{
  static const char *const PATHS[] = {"/",
                                      "/v1",
                                      "/v1/items/a/b",
                                      "/v2/items",
                                      "/v1/items:unknown",
                                      "/v1//items",
                                      "/v1/items/%00",
                                      "/%2e%2e/etc/passwd",
                                      "/v1/auth/credentials",
                                      "/auth.v1.AuthService/CreateCredential"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i]);
    cr_assert(reply.status >= 400 && reply.status < 500, "%s: %d", PATHS[i], reply.status);
    cr_assert(strstr(http_header(&reply, "Content-Type"), "application/problem+json") != NULL, "%s: %s", PATHS[i],
              reply.headers);
  }
}

Test(e2e_06_bad_input, an_id_that_is_none_is_named)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/items/42", .token = ada.token);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "id");
}

Test(e2e_06_bad_input, a_body_must_be_json)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token, .body = "sku=a", .content_type = "text/plain");
  ASSERT_STATUS(reply, 415);
  cr_assert(strstr(http_header(&reply, "Content-Type"), "application/problem+json") != NULL);
}

Test(e2e_06_bad_input, what_the_service_sets_cannot_be_set)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token,
           .body = text("{\"sku\":\"%s\",\"name\":\"b\",\"id\":\"01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b\","
                        "\"ownerId\":\"01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b\",\"createTime\":\"2001-01-01T00:00:00Z\"}",
                        fresh_word()));
  ASSERT_STATUS(reply, 201);
  cr_assert_str_eq(http_json(&reply, "ownerId"), ada.id);
  cr_assert_str_neq(http_json(&reply, "id"), "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
}

Test(e2e_06_bad_input, chunked_bodies_are_read_and_bad_chunks_are_not)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token, .headers = {"Transfer-Encoding: chunked"},
                                 .body = text("{\"sku\":\"%s\",\"name\":\"b\"}", fresh_word()));
  ASSERT_STATUS(reply, 201);
  struct http_reply unknown = HTTP(.path = "/v1/items", .token = ada.token, .headers = {"Transfer-Encoding: chunked"},
                                   .body = "{\"colour\":1}");
  ASSERT_PROBLEM(unknown, 400, "INVALID_ARGUMENT");
  assert_violation(&unknown, "colour");
}

// A chunked body of no bytes is no body, also where none is taken.
Test(e2e_06_bad_input, an_empty_chunked_body_is_none)
{
  struct account ada = account_create();
  struct http_request request = {.method = "GET",
                                 .path = "/v1/users/me",
                                 .token = ada.token,
                                 .body = "",
                                 .headers = {"Transfer-Encoding: chunked"}};
  ASSERT_STATUS(http_send(&request), 200);
  request.body = "{}";
  struct http_reply refused = http_send(&request);
  ASSERT_PROBLEM(refused, 400, "INVALID_ARGUMENT");
  cr_assert_str_eq(http_json(&refused, "reason"), "UNEXPECTED_BODY");
}

// A POST that needs nothing takes no body for {}, announced or not; what would change something needs one.
Test(e2e_06_bad_input, no_body_is_an_empty_message)
{
  struct account ada = account_create();
  struct http_request request = {.method = "POST", .path = "/v1/auth/sessions:revokeOthers", .token = ada.token};
  ASSERT_STATUS(http_send(&request), 204);
  request.body = "";
  request.headers[0] = "Transfer-Encoding: chunked";
  ASSERT_STATUS(http_send(&request), 204);
  request = (struct http_request){.method = "POST", .path = "/v1/items", .token = ada.token};
  ASSERT_PROBLEM(http_send(&request), 400, "INVALID_ARGUMENT");
  request = (struct http_request){.method = "PATCH", .path = "/v1/users/me", .token = ada.token};
  struct http_reply refused = http_send(&request);
  ASSERT_PROBLEM(refused, 400, "INVALID_ARGUMENT");
  cr_assert(strstr(refused.body, "must not be empty") != NULL, "%s", refused.body);
}

Test(e2e_06_bad_input, an_idempotency_key_comes_once_and_is_not_empty)
{
  struct account ada = account_create();
  struct http_request request = {.path = "/v1/items",
                                 .token = ada.token,
                                 .body = text("{\"sku\":\"%s\",\"name\":\"b\"}", fresh_word()),
                                 .headers = {"Idempotency-Key;"}};
  struct http_reply reply = http_send(&request);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "Idempotency-Key");
  request.headers[0] = "Idempotency-Key: a";
  request.headers[1] = "Idempotency-Key: b";
  reply = http_send(&request);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "Idempotency-Key");
}

Test(e2e_06_bad_input, a_body_of_two_types_is_refused)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token, .headers = {"Content-Type: text/plain"},
                                 .body = text("{\"sku\":\"%s\",\"name\":\"b\"}", fresh_word()));
  ASSERT_STATUS(reply, 415);
}

Test(e2e_06_bad_input, pages_of_the_gateway_are_only_read)
{
  static const char *const PATHS[] = {"/healthz", "/openapi.json", "/docs", "/docs/docs.css"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.method = "DELETE", .path = PATHS[i]);
    ASSERT_STATUS(reply, 405);
    cr_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, OPTIONS", "%s", PATHS[i]);
  }
}

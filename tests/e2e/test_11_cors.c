// Scripts of other origins. tests/run starts the stack with CORS_ORIGINS for two of them.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"

#define APP "https://app.example.com"
#define FROM_APP "Origin: " APP

static void assert_readable(const struct http_reply *reply, const char *what)
{
  const char *origin = http_header(reply, "Access-Control-Allow-Origin");
  cr_assert_not_null(origin, "%s: %s", what, reply->headers);
  cr_assert_str_eq(origin, APP, "%s", what);
  const char *exposed = http_header(reply, "Access-Control-Expose-Headers");
  static const char *const NAMES[] = {"ETag", "Location", "Retry-After", "RateLimit", "X-Request-Id"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
    cr_assert(exposed != NULL && strstr(exposed, NAMES[i]) != NULL, "%s: %s", what, reply->headers);
  cr_assert_null(http_header(reply, "Access-Control-Allow-Credentials"), "%s", what);
}

Test(e2e_11_cors, a_script_of_a_listed_origin_reads_successes)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/users/me", .token = ada.token, .headers = {FROM_APP});
  ASSERT_STATUS(reply, 200);
  assert_readable(&reply, "a success");
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token, .headers = {"Origin: http://localhost:3000"}), 200);
}

Test(e2e_11_cors, a_script_reads_problems_also_those_of_the_server_itself)
{
  struct http_reply none = HTTP(.path = "/v1/items", .headers = {FROM_APP});
  ASSERT_STATUS(none, 401);
  assert_readable(&none, "401");
  struct http_reply nowhere = HTTP(.path = "/nowhere", .headers = {FROM_APP});
  ASSERT_STATUS(nowhere, 404);
  assert_readable(&nowhere, "404");
  struct strbuf body;
  strbuf_init(&body, 0);
  for (int i = 0; i < 5 * 1024 * 1024 / 16; i++)
    strbuf_add_string(&body, "0123456789abcdef");
  struct http_reply large = HTTP(.path = "/v1/users", .body = strbuf_cstring(&body), .headers = {FROM_APP});
  strbuf_free(&body);
  ASSERT_STATUS(large, 413);
  assert_readable(&large, "413");
  struct http_reply file = HTTP(.path = "/docs/none", .headers = {FROM_APP});
  ASSERT_STATUS(file, 404);
  assert_readable(&file, "a file that is not there");
}

Test(e2e_11_cors, a_script_reads_the_document_and_the_files)
{
  static const char *const PATHS[] = {"/openapi.json", "/docs", "/docs/docs.css", "/healthz"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i], .headers = {FROM_APP});
    ASSERT_STATUS(reply, 200);
    assert_readable(&reply, PATHS[i]);
  }
}

Test(e2e_11_cors, a_preflight_learns_what_the_path_takes)
{
  struct http_reply reply = HTTP(.method = "OPTIONS", .path = "/v1/items/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b",
                                 .headers = {FROM_APP, "Access-Control-Request-Method: PATCH",
                                             "Access-Control-Request-Headers: authorization,content-type,if-match"});
  ASSERT_STATUS(reply, 204);
  cr_assert_str_eq(http_header(&reply, "Access-Control-Allow-Origin"), APP);
  cr_assert_str_eq(http_header(&reply, "Access-Control-Allow-Methods"), "GET, HEAD, PATCH, DELETE, OPTIONS");
  const char *allowed = http_header(&reply, "Access-Control-Allow-Headers");
  static const char *const NAMES[] = {"Authorization", "Content-Type",    "If-Match",
                                      "If-None-Match", "Idempotency-Key", "Request-Timeout"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
    cr_assert(strstr(allowed, NAMES[i]) != NULL, "%s", allowed);
  cr_assert_str_eq(http_header(&reply, "Access-Control-Max-Age"), "7200");
}

Test(e2e_11_cors, a_script_of_another_origin_reads_nothing)
{
  static const char *const ORIGINS[] = {"Origin: https://evil.example", "Origin: null",
                                        "Origin: https://app.example.com.evil.example",
                                        "Origin: http://app.example.com"};
  for (size_t i = 0; i < ARRAY_LEN(ORIGINS); i++) {
    struct http_reply preflight =
        HTTP(.method = "OPTIONS", .path = "/v1/items", .headers = {ORIGINS[i], "Access-Control-Request-Method: POST"});
    cr_assert_null(http_header(&preflight, "Access-Control-Allow-Origin"), "%s", ORIGINS[i]);
    cr_assert_null(http_header(&preflight, "Access-Control-Allow-Methods"), "%s", ORIGINS[i]);
    struct http_reply reply = HTTP(.path = "/v1/items", .headers = {ORIGINS[i]});
    cr_assert_null(http_header(&reply, "Access-Control-Allow-Origin"), "%s", ORIGINS[i]);
    cr_assert_str_eq(http_header(&reply, "Vary"), "Origin");
  }
}

Test(e2e_11_cors, any_origin_reads_where_the_setting_says_so)
{
  setenv("CORS_ORIGINS", "*", 1);
  struct gateway_place gateway = gateway_start("gateway-41");
  struct http_reply reply =
      HTTP(.base_url = gateway.plain_url, .path = "/v1/items", .headers = {"Origin: https://any.example"});
  gateway_stop(&gateway);
  ASSERT_STATUS(reply, 401);
  cr_assert_str_eq(http_header(&reply, "Access-Control-Allow-Origin"), "*");
  cr_assert_null(http_header(&reply, "Access-Control-Allow-Credentials"));
}

Test(e2e_11_cors, no_origin_reads_without_the_setting)
{
  // An empty value takes away what the stack was started with.
  setenv("CORS_ORIGINS", "", 1);
  struct gateway_place gateway = gateway_start("gateway-42");
  struct http_reply reply = HTTP(.base_url = gateway.plain_url, .path = "/v1/items", .headers = {FROM_APP});
  struct http_reply preflight = HTTP(.base_url = gateway.plain_url, .method = "OPTIONS", .path = "/v1/items",
                                     .headers = {FROM_APP, "Access-Control-Request-Method: POST"});
  gateway_stop(&gateway);
  ASSERT_STATUS(reply, 401);
  cr_assert_null(http_header(&reply, "Access-Control-Allow-Origin"));
  cr_assert_null(http_header(&reply, "Vary"));
  ASSERT_STATUS(preflight, 204);
  cr_assert_null(http_header(&preflight, "Access-Control-Allow-Origin"));
}

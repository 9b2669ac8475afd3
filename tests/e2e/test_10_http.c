// HTTP as its clients expect it (RFC 9110): methods, preconditions, masks, ways to write a path.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"

#define SOME_ITEM "/v1/items/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

// ---- methods ----

Test(e2e_10_http, options_tells_the_methods_of_a_path)
{
  static const char *const ALLOWED[][2] = {{SOME_ITEM, "GET, HEAD, PATCH, DELETE, OPTIONS"},
                                           {"/v1/items", "GET, HEAD, POST, OPTIONS"},
                                           {"/v1/items:batchCreate", "POST, OPTIONS"},
                                           {"/openapi.json", "GET, HEAD, OPTIONS"},
                                           {"/docs", "GET, HEAD, OPTIONS"},
                                           {"/healthz", "GET, HEAD, OPTIONS"}};
  for (size_t i = 0; i < ARRAY_LEN(ALLOWED); i++) {
    struct http_reply reply = HTTP(.method = "OPTIONS", .path = ALLOWED[i][0]);
    ASSERT_STATUS(reply, 204);
    cr_assert_str_eq(http_header(&reply, "Allow"), ALLOWED[i][1], "%s", ALLOWED[i][0]);
  }
  struct http_reply item = HTTP(.method = "OPTIONS", .path = SOME_ITEM);
  cr_assert_str_eq(http_header(&item, "Accept-Patch"), "application/merge-patch+json, application/json");
  struct http_reply items = HTTP(.method = "OPTIONS", .path = "/v1/items");
  cr_assert_null(http_header(&items, "Accept-Patch"));
  struct http_reply nothing = HTTP(.method = "OPTIONS", .path = "/v1/nothing");
  ASSERT_PROBLEM(nothing, 404, "NOT_FOUND");
}

Test(e2e_10_http, methods_that_nobody_takes_learn_all_that_the_path_has)
{
  static const char *const METHODS[] = {"TRACE", "CONNECT", "BREW", "PUT", "PROPFIND"};
  for (size_t i = 0; i < ARRAY_LEN(METHODS); i++) {
    struct http_reply reply = HTTP(.method = METHODS[i], .path = SOME_ITEM);
    ASSERT_PROBLEM(reply, 405, "UNIMPLEMENTED");
    cr_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, PATCH, DELETE, OPTIONS", "%s", METHODS[i]);
  }
}

// ---- paths ----

Test(e2e_10_http, a_verb_may_be_percent_encoded)
{
  ASSERT_STATUS(HTTP(.method = "POST", .path = "/v1/items:batch%43reate"), 401);
  ASSERT_STATUS(HTTP(.method = "POST", .path = "/v1/items%3AbatchCreate"), 404);
  ASSERT_STATUS(HTTP(.path = "/v1%2Fitems"), 404);
}

Test(e2e_10_http, paths_with_dot_segments_lead_nowhere)
{
  static const char *const PATHS[] = {"/v1/../v1/items", "/v1/%2e%2e/v1/items", "/v1/./items", "/v1//items",
                                      "//v1/items",      "/v1/items/..",        "/v1/items/",  "/v1/users/.%2E/items"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i]);
    ASSERT_PROBLEM(reply, 404, "NOT_FOUND");
  }
  struct http_reply above = HTTP(.path = "/../v1/items");
  ASSERT_PROBLEM(above, 400, "INVALID_ARGUMENT");
}

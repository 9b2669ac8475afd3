// Calls of Connect as a client sees them that has nothing but HTTP. npm's clients make others
// (tests/web/rpc_clients.test.ts).
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"

#define GET_ITEM "/item.v1.ItemService/GetItem"

static const char *query_of(const char *id)
{
  return text(GET_ITEM "?connect=v1&encoding=json&message=%%7B%%22id%%22%%3A%%22%s%%22%%7D", id);
}

static void assert_code(const struct http_reply *reply, int status, const char *code)
{
  ASSERT_STATUS(*reply, status);
  cr_expect_str_eq(http_header(reply, "Content-Type"), "application/json");
  cr_expect_str_eq(http_json(reply, "code"), code);
}

Test(e2e_27_connect, a_post_of_json_is_answered_in_json)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct http_reply reply = HTTP(.path = GET_ITEM, .token = ada.token, .body = text("{\"id\":\"%s\"}", id),
                                 .headers = {"Connect-Protocol-Version: 1"});
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_json(&reply, "name"), "Lamp");
  cr_expect_str_eq(http_json(&reply, "id"), id);
  struct http_reply none =
      HTTP(.path = GET_ITEM, .token = ada.token, .body = "{\"id\":\"01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b\"}");
  assert_code(&none, 404, "not_found");
  cr_expect_str_eq(http_json(&none, "details[0].type"), "google.rpc.ErrorInfo");
}

Test(e2e_27_connect, a_get_has_the_etag_of_rest)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct http_reply reply = HTTP(.path = query_of(id), .token = ada.token);
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_json(&reply, "name"), "Lamp");
  struct http_reply rest = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  cr_expect_str_eq(http_header(&reply, "ETag"), http_header(&rest, "ETag"));
  cr_expect_str_eq(http_header(&reply, "Cache-Control"), http_header(&rest, "Cache-Control"));
  struct http_reply same = HTTP(.path = query_of(id), .token = ada.token,
                                .headers = {text("If-None-Match: %s", http_header(&reply, "ETag"))});
  ASSERT_STATUS(same, 304);
}

Test(e2e_27_connect, an_empty_body_is_an_empty_message)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/auth.v1.SessionService/ListSessions", .token = ada.token,
                                 .content_type = "application/proto", .body = "");
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_header(&reply, "Content-Type"), "application/proto");
}

Test(e2e_27_connect, what_is_refused_before_the_call_is_told_in_the_same_way)
{
  struct account ada = account_create();
  struct strbuf body;
  strbuf_init(&body, 0);
  for (int i = 0; i < 5 * 1024 * 1024 / 16; i++)
    strbuf_add_string(&body, "0123456789abcdef");
  struct http_reply large = HTTP(.path = GET_ITEM, .token = ada.token, .body = strbuf_cstring(&body));
  strbuf_free(&body);
  assert_code(&large, 429, "resource_exhausted");
  // nginx itself refuses this.
  struct http_reply trace = HTTP(.method = "TRACE", .path = GET_ITEM);
  assert_code(&trace, 405, "unimplemented");
  cr_expect_str_eq(http_header(&trace, "Allow"), "GET, HEAD, POST, OPTIONS");
}

Test(e2e_27_connect, scripts_of_listed_origins_may_call)
{
  struct http_reply reply = HTTP(.method = "OPTIONS", .path = GET_ITEM,
                                 .headers = {"Origin: https://app.example.com", "Access-Control-Request-Method: POST"});
  ASSERT_STATUS(reply, 204);
  cr_expect_str_eq(http_header(&reply, "Access-Control-Allow-Methods"), "GET, HEAD, POST, OPTIONS");
  static const char *const NAMES[] = {"Connect-Protocol-Version", "Connect-Timeout-Ms", "Content-Type"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
    cr_expect_not_null(strstr(http_header(&reply, "Access-Control-Allow-Headers"), NAMES[i]), "%s", NAMES[i]);
}

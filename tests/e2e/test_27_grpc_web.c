// Calls of gRPC-Web as a client sees them that looks at the bytes. npm's clients make others
// (tests/web/rpc_clients.test.ts).
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/strbuf.h"
#include "tests/support/http.h"

#define GET_ITEM "/item.v1.ItemService/GetItem"
#define END "grpc-status: 0\r\n"

// The frame of a GetItemRequest, whose only field has 36 characters.
#define FRAME_BYTES (5 + 38)
static const char *frame_of(const char *id)
{
  static char frame[FRAME_BYTES + 1] = "\0\0\0\0\46\n\44";
  memcpy(frame + 7, id, 36);
  return frame;
}

static void assert_ends_well(struct slice body, const char *id)
{
  cr_assert_gt(body.size, sizeof(END) + 10);
  cr_expect_not_null(memmem(body.data, body.size, id, 36));
  const char *end = body.data + body.size - (sizeof(END) - 1) - 5;
  cr_expect_eq((unsigned char)*end, 0x80);
  cr_expect_arr_eq(end + 5, END, sizeof(END) - 1);
}

Test(e2e_27_grpc_web, is_spoken_over_http_1_1)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct http_reply reply = HTTP(.path = GET_ITEM, .token = ada.token, .content_type = "application/grpc-web+proto",
                                 .body = frame_of(id), .body_size = FRAME_BYTES);
  ASSERT_STATUS(reply, 200);
  cr_expect_eq(reply.http_version, CURL_HTTP_VERSION_1_1);
  cr_expect_str_eq(http_header(&reply, "Content-Type"), "application/grpc-web+proto");
  assert_ends_well(slice_make(reply.body, reply.body_size), id);
}

Test(e2e_27_grpc_web, is_base64_as_text)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct strbuf text, bytes;
  strbuf_init(&text, 0);
  strbuf_init(&bytes, 0);
  base64_encode(slice_make(frame_of(id), FRAME_BYTES), &text);
  struct http_reply reply = HTTP(.path = GET_ITEM, .token = ada.token, .content_type = "application/grpc-web-text",
                                 .body = strbuf_cstring(&text));
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_header(&reply, "Content-Type"), "application/grpc-web-text+proto");
  cr_assert(base64_decode(slice_make(reply.body, reply.body_size), &bytes));
  assert_ends_well(strbuf_slice(&bytes), id);
  strbuf_free(&bytes);
  strbuf_free(&text);
}

Test(e2e_27_grpc_web, a_body_that_is_too_large_is_refused_in_the_body)
{
  struct account ada = account_create();
  struct strbuf body;
  strbuf_init(&body, 0);
  for (int i = 0; i < 5 * 1024 * 1024 / 16; i++)
    strbuf_add_string(&body, "0123456789abcdef");
  struct http_reply reply =
      HTTP(.path = GET_ITEM, .token = ada.token, .content_type = "application/grpc-web", .body = strbuf_cstring(&body));
  strbuf_free(&body);
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_header(&reply, "Content-Type"), "application/grpc-web+proto");
  cr_expect_not_null(memmem(reply.body, reply.body_size, "grpc-status: 8\r\n", 16));
}

Test(e2e_27_grpc_web, scripts_of_listed_origins_may_call)
{
  struct http_reply reply = HTTP(.method = "OPTIONS", .path = GET_ITEM,
                                 .headers = {"Origin: https://app.example.com", "Access-Control-Request-Method: POST",
                                             "Access-Control-Request-Headers: authorization,content-type,x-grpc-web"});
  ASSERT_STATUS(reply, 204);
  cr_expect_not_null(strstr(http_header(&reply, "Access-Control-Allow-Methods"), "POST"));
  const char *allowed = http_header(&reply, "Access-Control-Allow-Headers");
  static const char *const NAMES[] = {"X-Grpc-Web", "X-User-Agent", "Grpc-Timeout", "Content-Type", "Authorization"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
    cr_expect_not_null(strstr(allowed, NAMES[i]), "%s is not in %s", NAMES[i], allowed);
  struct http_reply call = HTTP(.path = GET_ITEM, .content_type = "application/grpc-web",
                                .body = frame_of("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"), .body_size = FRAME_BYTES,
                                .headers = {"Origin: https://app.example.com"});
  ASSERT_STATUS(call, 200);
  cr_expect_not_null(strstr(http_header(&call, "Access-Control-Expose-Headers"), "Grpc-Status-Details-Bin"));
}

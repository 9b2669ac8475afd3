// Calls of gRPC as a client sees them that looks at the bytes. grpc-js makes those without TLS
// (tests/web/grpc.test.ts).
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <string.h>

#include "tests/support/gateway.h"
#include "tests/support/http.h"

#define GET_ITEM "/item.v1.ItemService/GetItem"

static struct gateway_place gateway;

static void stop_gateway(void)
{
  if (gateway.name != NULL)
    gateway_stop(&gateway);
}

// Calls GetItem. The request's only field has 36 characters, so the message has 38 bytes.
static struct http_reply get_item(const char *base_url, const char *token, const char *id, long http_version)
{
  char frame[5 + 38] = "\0\0\0\0\46\n\44";
  memcpy(frame + 7, id, 36);
  return HTTP(.path = GET_ITEM, .base_url = base_url, .token = token, .content_type = "application/grpc", .body = frame,
              .body_size = sizeof(frame), .headers = {"TE: trailers"}, .http_version = http_version);
}

Test(e2e_27_grpc, is_at_the_port_of_https, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-62");
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct http_reply reply = get_item(NULL, ada.token, id, 0);
  ASSERT_STATUS(reply, 200);
  cr_expect_eq(reply.http_version, CURL_HTTP_VERSION_2_0);
  cr_expect_str_eq(http_header(&reply, "Content-Type"), "application/grpc");
  cr_expect_str_eq(http_header(&reply, "grpc-status"), "0", "it comes in the trailers");
  cr_assert_gt(reply.body_size, 5);
  cr_expect_eq(reply.body[0], 0);
  cr_expect_eq((size_t)(unsigned char)reply.body[3] * 256 + (unsigned char)reply.body[4], reply.body_size - 5);
  cr_expect_not_null(memmem(reply.body, reply.body_size, id, 36));
}

Test(e2e_27_grpc, over_http_1_1_is_refused_in_words_of_rest)
{
  struct http_reply reply = get_item(NULL, NULL, "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", CURL_HTTP_VERSION_1_1);
  ASSERT_PROBLEM(reply, 505, "UNIMPLEMENTED");
}

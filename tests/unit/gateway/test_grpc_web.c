// Calls of gRPC-Web, as bytes and as text, over HTTP/1.1: what differs from gRPC, whose tests hold for the rest.
#include <criterion/criterion.h>

#include "common/base/codec.h"
#include "common/base/wire.h"
#include "gateway/gzip.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(grpc_web, .init = open_all, .fini = close_all);

#define GET_ITEM "/item.v1.ItemService/GetItem"

static struct exchange_input web_input(const char *content_type)
{
  struct exchange_input input = fixture_input("POST", GET_ITEM);
  input.content_type = slice_from_string(content_type);
  input.has_body = true;
  input.authorization = fixture_bearer(fixture, "user", 900);
  return input;
}

static struct slice kept(struct strbuf *text)
{
  struct slice kept = arena_copy(&fixture->arena, strbuf_slice(text));
  strbuf_free(text);
  return kept;
}

static struct slice frame_of(char flags, struct slice message)
{
  struct strbuf frame;
  strbuf_init(&frame, 0);
  const char prefix[5] = {flags, 0, 0, (char)(message.size >> 8), (char)message.size};
  strbuf_add(&frame, slice_make(prefix, sizeof(prefix)));
  strbuf_add(&frame, message);
  return kept(&frame);
}

static struct slice text_of(struct slice bytes)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  base64_encode(bytes, &text);
  return kept(&text);
}

static struct slice get_item_request(void)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, SLICE(FIXTURE_ITEM_ID));
  return kept(&wire);
}

static enum exchange_next start_get(const char *content_type, struct slice body)
{
  struct exchange_input input = web_input(content_type);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  return exchange_body(exchange, body);
}

// Expects the body to be one message and the frame of an end that is good.
static void assert_answered(struct slice body, struct slice message)
{
  struct slice first = frame_of(0, message);
  cr_assert(slice_starts_with(body, first));
  cr_expect(slice_equal(slice_skip(body, first.size), frame_of((char)0x80, SLICE("grpc-status: 0\r\n"))));
}

// Expects the body to be the frame of an end, and returns its lines.
static struct slice assert_ended(const struct exchange_reply *reply)
{
  cr_expect_eq(reply->http_status, 200);
  cr_expect_not(reply->has_no_body);
  cr_assert_gt(reply->body.size, 5);
  cr_expect_eq((unsigned char)reply->body.data[0], 0x80);
  return slice_skip(reply->body, 5);
}

Test(grpc_web, a_call_in_bytes_ends_with_a_frame_that_tells_its_status)
{
  struct slice request = get_item_request();
  cr_assert_eq(start_get("application/grpc-web+proto", frame_of(0, request)), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, request));
  struct slice item = fixture_item(fixture, "Lamp", "e1");
  fixture_answer(fixture_call(fixture, 1), item);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect(slice_equal(reply->content_type, SLICE("application/grpc-web+proto")));
  cr_expect_eq(reply->trailers.count, 0);
  assert_answered(reply->body, item);
}

Test(grpc_web, a_call_in_text_is_base64_both_ways)
{
  struct slice request = get_item_request();
  cr_assert_eq(start_get("application/grpc-web-text", text_of(frame_of(0, request))), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, request));
  struct slice item = fixture_item(fixture, "Lamp", "e1");
  fixture_answer(fixture_call(fixture, 1), item);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect(slice_equal(reply->content_type, SLICE("application/grpc-web-text+proto")));
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  cr_assert(base64_decode(reply->body, &bytes));
  assert_answered(strbuf_slice(&bytes), item);
  strbuf_free(&bytes);
}

Test(grpc_web, a_failure_is_told_in_the_body)
{
  cr_assert_eq(start_get("application/grpc-web", frame_of(0, get_item_request())), EXCHANGE_WAITING);
  const struct rpc_status status = {
      .code = STATUS_NOT_FOUND, .reason = SLICE("ITEM_NOT_FOUND"), .message = SLICE("there is no item\r\n")};
  fixture_answer_status(fixture_call(fixture, 1), &status);
  struct slice lines = assert_ended(exchange_reply(exchange));
  cr_expect(slice_starts_with(lines, SLICE("grpc-status: 5\r\n"
                                           "grpc-message: there is no item%0D%0A\r\n"
                                           "grpc-status-details-bin: ")));
  cr_expect_eq(exchange_reply(exchange)->outcome, 404);
}

Test(grpc_web, text_that_is_not_base64_is_refused)
{
  cr_assert_eq(start_get("application/grpc-web-text", SLICE("*")), EXCHANGE_DONE);
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  cr_assert(base64_decode(exchange_reply(exchange)->body, &bytes));
  cr_expect(fixture_contains(strbuf_slice(&bytes), "grpc-status: 3\r\n"));
  cr_expect(fixture_contains(strbuf_slice(&bytes), "not base64"));
  strbuf_free(&bytes);
}

static struct slice say_gzip(void *arg, const char *name)
{
  (void)arg;
  return strcmp(name, "grpc-encoding") == 0 ? SLICE("gzip") : (struct slice){0};
}

Test(grpc_web, compressed_messages_are_expanded_also_in_text)
{
  struct slice request = get_item_request();
  struct strbuf packed;
  strbuf_init(&packed, 0);
  gzip_compress(request, &packed);
  struct exchange_input input = web_input("application/grpc-web-text");
  input.header = say_gzip;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, text_of(frame_of(1, kept(&packed)))), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, request));
}

Test(grpc_web, other_forms_of_messages_and_other_types_are_refused)
{
  struct exchange_input input = web_input("application/grpc-web+json");
  cr_expect(fixture_contains(assert_ended(start(input)), "grpc-status: 12\r\n"));
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  input = web_input("application/grpc-webs");
  input.path = SLICE("/v1/items");
  assert_problem(start(input), 415, "UNSUPPORTED_MEDIA_TYPE");
}

Test(grpc_web, a_body_in_text_may_have_a_third_more_bytes)
{
  struct exchange_input input = web_input("application/grpc-web-text");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  size_t in_text = exchange_body_limit(exchange);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  input = web_input("application/grpc-web");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  size_t in_bytes = exchange_body_limit(exchange);
  cr_expect_eq(in_text, (in_bytes + 2) / 3 * 4);
}

Test(grpc_web, what_nginx_refuses_is_told_in_the_same_way)
{
  struct exchange_input input = web_input("application/grpc-web");
  exchange_fail_http(exchange, &input, 413);
  cr_expect(fixture_contains(assert_ended(exchange_reply(exchange)), "grpc-status: 8\r\n"));
}

Test(grpc_web, a_preflight_of_a_method_is_answered)
{
  struct exchange_input input = fixture_input("OPTIONS", GET_ITEM);
  const struct exchange_reply *reply = start(input);
  cr_expect_eq(reply->http_status, 204);
  assert_header(reply, "Allow", "GET, HEAD, POST, OPTIONS");
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  input = fixture_input("OPTIONS", "/item.v1.ItemService/None");
  assert_problem(start(input), 404, "NO_SUCH_PATH");
}

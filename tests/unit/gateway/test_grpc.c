// Calls of gRPC: what reaches the service, how its answer leaves, and how each failure is told.
#include <criterion/criterion.h>

#include "common/base/codec.h"
#include "common/base/wire.h"
#include "gateway/gzip.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(grpc, .init = open_all, .fini = close_all);

#define GET_ITEM "/item.v1.ItemService/GetItem"

static struct exchange_input grpc_input(const char *path)
{
  struct exchange_input input = fixture_input("POST", path);
  input.content_type = SLICE("application/grpc");
  input.is_http2 = true;
  input.has_body = true;
  input.body_may_be_empty = true;
  return input;
}

// Returns the frame of a message.
static struct slice frame_of(struct slice message)
{
  char *frame = arena_alloc(&fixture->arena, 5 + message.size);
  memset(frame, 0, 5);
  frame[3] = (char)(message.size >> 8);
  frame[4] = (char)message.size;
  if (message.size > 0)
    memcpy(frame + 5, message.data, message.size);
  return slice_make(frame, 5 + message.size);
}

static struct slice get_item_request(const char *id)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, slice_from_string(id));
  struct slice kept = arena_copy(&fixture->arena, strbuf_slice(&wire));
  strbuf_free(&wire);
  return kept;
}

// Starts a call of GetItem with this body, signed in.
static enum exchange_next start_get(struct slice body)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  input.authorization = fixture_bearer(fixture, "user", 900);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  return exchange_body(exchange, body);
}

// Expects the reply to end with its headers and to have this status.
static const struct exchange_reply *assert_status(const char *status, const char *message_part)
{
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect(reply->has_no_body);
  cr_expect(slice_equal(reply->content_type, SLICE("application/grpc")));
  assert_header(reply, "grpc-status", status);
  struct slice message = fixture_header(reply, "grpc-message");
  cr_expect(fixture_contains(message, message_part), "the message is " SLICE_FMT, SLICE_ARG(message));
  return reply;
}

// Expects the status of the details to hold a text.
static void assert_details_contain(const struct exchange_reply *reply, const char *part)
{
  struct strbuf details;
  strbuf_init(&details, 0);
  cr_assert(base64_decode(fixture_header(reply, "grpc-status-details-bin"), &details));
  cr_expect(fixture_contains(strbuf_slice(&details), part), "no %s in the details", part);
  strbuf_free(&details);
}

Test(grpc, a_call_brings_the_service_its_message_and_the_client_the_answer)
{
  struct slice request = get_item_request(FIXTURE_ITEM_ID);
  cr_assert_eq(start_get(frame_of(request)), EXCHANGE_WAITING);
  struct fixture_call *call = fixture_call(fixture, 1);
  cr_expect_str_eq(call->method, "item.v1.ItemService/GetItem");
  cr_expect(slice_equal(call->payload, request));
  struct slice item = fixture_item(fixture, "Lamp", "e1");
  fixture_answer(call, item);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect(slice_equal(reply->content_type, SLICE("application/grpc")));
  cr_expect(slice_equal(reply->body, frame_of(item)));
  cr_expect(slice_equal(fixture_field(&reply->trailers, "grpc-status"), SLICE("0")));
}

Test(grpc, a_failure_of_the_service_is_told_with_its_reason)
{
  cr_assert_eq(start_get(frame_of(get_item_request(FIXTURE_ITEM_ID))), EXCHANGE_WAITING);
  const struct rpc_status status = {
      .code = STATUS_NOT_FOUND, .reason = SLICE("ITEM_NOT_FOUND"), .message = SLICE("there is no item 100% \n")};
  fixture_answer_status(fixture_call(fixture, 1), &status);
  const struct exchange_reply *reply = assert_status("5", "there is no item 100%25 %0A");
  assert_details_contain(reply, "type.googleapis.com/google.rpc.ErrorInfo");
  assert_details_contain(reply, "ITEM_NOT_FOUND");
  cr_expect_eq(reply->outcome, 404);
}

Test(grpc, violations_are_in_the_details)
{
  cr_assert_eq(start_get(frame_of(SLICE("\x0a\x02\xff\xff"))), EXCHANGE_DONE);
  const struct exchange_reply *reply = assert_status("3", "the request is not valid");
  assert_details_contain(reply, "type.googleapis.com/google.rpc.BadRequest");
  assert_details_contain(reply, "must be valid UTF-8");
}

Test(grpc, without_a_token_the_call_is_unauthenticated)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  (void)start(input);
  assert_details_contain(assert_status("16", ""), "TOKEN_MISSING");
}

Test(grpc, unknown_methods_are_unimplemented)
{
  static const char *const PATHS[] = {"/item.v1.ItemService/None", "/v1/items", "/"};
  for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
    struct exchange_input input = grpc_input(PATHS[i]);
    (void)start(input);
    assert_details_contain(assert_status("12", "there is no such method"), "NO_SUCH_METHOD");
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
}

Test(grpc, methods_for_services_only_do_not_exist)
{
  struct exchange_input input = grpc_input("/auth.v1.SessionService/ListEndings");
  const struct contract_method *method = NULL;
  for (size_t i = 0; i < contract_method_count(fixture->api->contract) && method == NULL; i++)
    if (contract_method(fixture->api->contract, i)->policy.access == ACCESS_INTERNAL)
      method = contract_method(fixture->api->contract, i);
  cr_assert_not_null(method);
  input.path = slice_from_string(arena_printf(&fixture->arena, "/" SLICE_FMT, SLICE_ARG(method->full_name)));
  (void)start(input);
  (void)assert_status("12", "there is no such method");
}

Test(grpc, other_methods_of_http_and_types_are_refused)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  input.method = SLICE("GET");
  (void)start(input);
  (void)assert_status("12", "by POST");
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  input = grpc_input(GET_ITEM);
  input.content_type = SLICE("application/grpc+json");
  (void)start(input);
  (void)assert_status("12", "application/grpc+proto");
}

Test(grpc, over_http_1_1_the_client_is_told_what_it_can_read)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  input.is_http2 = false;
  assert_problem(start(input), 505, "gRPC needs HTTP/2");
}

Test(grpc, bodies_that_are_not_one_message_are_refused)
{
  static const struct {
    struct slice body;
    const char *status;
    const char *message;
  } BODIES[] = {
      {SLICE_INIT(""), "3", "no whole message"},
      {SLICE_INIT("\0\0\0\0"), "3", "no whole message"},
      {SLICE_INIT("\0\0\0\0\x02z"), "3", "shorter than its prefix"},
      {SLICE_INIT("\0\0\0\0\0\0\0\0\0\0"), "12", "one message"},
      {SLICE_INIT("\x01\0\0\0\0"), "13", "grpc-encoding: gzip"},
      {SLICE_INIT("\x02\0\0\0\0"), "3", "neither 0 nor 1"},
  };
  for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
    cr_assert_eq(start_get(BODIES[i].body), EXCHANGE_DONE);
    (void)assert_status(BODIES[i].status, BODIES[i].message);
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
}

static struct slice say_gzip(void *arg, const char *name)
{
  (void)arg;
  return strcmp(name, "grpc-encoding") == 0 ? SLICE("gzip") : (struct slice){0};
}

// Starts a call of Login with this message, compressed.
static enum exchange_next start_compressed(struct slice message)
{
  struct strbuf packed;
  strbuf_init(&packed, 0);
  gzip_compress(message, &packed);
  struct slice frame = frame_of(strbuf_slice(&packed));
  strbuf_free(&packed);
  *(char *)(uintptr_t)frame.data = 1;
  struct exchange_input input = grpc_input("/auth.v1.AuthService/Login");
  input.header = say_gzip;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  return exchange_body(exchange, frame);
}

Test(grpc, compressed_messages_are_expanded)
{
  const struct slice login = SLICE("\x0a\x0f"
                                   "ada@example.com"
                                   "\x12\x06"
                                   "secret");
  cr_assert_eq(start_compressed(login), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, login));
}

Test(grpc, a_message_that_expands_to_more_than_the_method_takes_is_refused)
{
  static char zeros[8 * 1024 + 1];
  cr_assert_eq(start_compressed(slice_make(zeros, sizeof(zeros))), EXCHANGE_DONE);
  (void)assert_status("8", "8192 bytes at most");
}

Test(grpc, answers_are_never_stored)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  assert_header(start(input), "Cache-Control", "no-store");
}

Test(grpc, a_large_message_is_refused_before_it_is_read)
{
  struct exchange_input input = grpc_input("/auth.v1.AuthService/Login");
  input.body_bytes = 1 << 20;
  (void)start(input);
  (void)assert_status("8", "bytes at most");
}

Test(grpc, what_nginx_refuses_over_http_1_1_is_a_problem)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  input.is_http2 = false;
  exchange_fail_http(exchange, &input, 413);
  assert_problem(exchange_reply(exchange), 413, "BODY_TOO_LARGE");
}

Test(grpc, what_nginx_refuses_is_told_in_the_same_way)
{
  struct exchange_input input = grpc_input(GET_ITEM);
  exchange_fail_http(exchange, &input, 503);
  const struct exchange_reply *reply = assert_status("14", "");
  assert_header(reply, "Retry-After", "1");
}

// What becomes of a service's answer: status, headers, body.
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(replies, .init = open_all, .fini = close_all);

static const struct exchange_reply *answer(struct exchange_input input, struct slice payload)
{
  fixture_answer(start_call(input), payload);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  return exchange_reply(exchange);
}

static const struct exchange_reply *answer_item(struct exchange_input input, const char *etag)
{
  return answer(input, fixture_item(fixture, "Lamp", etag));
}

// ---- headers ----

Test(replies, a_header_with_a_control_character_never_goes_out)
{
  static const char *const BAD[] = {"v1\r\nSet-Cookie: a=b", "v1\n", "v\x01", "v\x1f", "v\x7f", "v\xc3\xa4"};
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
    struct exchange_input input = fixture_input("GET", ITEM_PATH);
    input.authorization = fixture_bearer(fixture, "user", 900);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
    fixture_answer(fixture_call(fixture, i + 1), fixture_item(fixture, "Lamp", BAD[i]));
    const struct exchange_reply *reply = exchange_reply(exchange);
    assert_problem(reply, 500, "INTERNAL");
    cr_assert_null(fixture_header(reply, "ETag").data, "%zu", i);
    cr_assert_not(reply->has_etag);
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
}

Test(replies, a_header_keeps_every_visible_character)
{
  assert_header(answer_item(fixture_input("GET", ITEM_PATH), "v!~1"), "ETag", "\"v!~1\"");
}

Test(replies, only_what_everybody_may_read_is_for_caches)
{
  // The method is public and without side effects, but its contract gives no cache lifetime.
  const struct exchange_reply *keys = answer(fixture_input("GET", "/.well-known/jwks.json"), fixture_key_set(fixture));
  assert_header(keys, "Cache-Control", "no-cache");
}

Test(replies, of_public_methods_with_side_effects_are_not_stored)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/logout");
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"refreshToken\":\"abc\"}")), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 1), (struct slice){0});
  assert_header(exchange_reply(exchange), "Cache-Control", "no-store");
  cr_assert_eq(exchange_reply(exchange)->http_status, 204);
}

// ---- HEAD and preconditions ----

Test(replies, head_is_answered_as_get)
{
  const struct exchange_reply *reply = answer_item(fixture_input("HEAD", ITEM_PATH), "v2");
  cr_assert_eq(reply->http_status, 200);
  cr_assert_str_eq(fixture_call(fixture, 1)->method, "item.v1.ItemService/GetItem");
  // The HTTP layer leaves the body out; its length is that of the GET.
  cr_assert(fixture_contains(reply->body, "\"name\":\"Lamp\""));
  assert_header(reply, "ETag", "\"v2\"");
}

Test(replies, head_heeds_if_none_match)
{
  struct exchange_input input = fixture_input("HEAD", ITEM_PATH);
  input.if_none_match = SLICE("\"v2\"");
  cr_assert_eq(answer_item(input, "v2")->http_status, 304);
}

Test(replies, another_etag_than_the_clients_brings_the_body)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.if_none_match = SLICE("\"v1\"");
  const struct exchange_reply *reply = answer_item(input, "v2");
  cr_assert_eq(reply->http_status, 200);
  cr_assert(fixture_contains(reply->body, "Lamp"));
}

Test(replies, without_an_etag_nothing_is_unmodified)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.if_none_match = SLICE("*");
  cr_assert_eq(answer_item(input, "")->http_status, 200);
}

Test(replies, a_change_is_never_unmodified)
{
  struct exchange_input input = fixture_input("PATCH", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  input.if_none_match = SLICE("*");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"quantity\":2}")), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 1), fixture_item(fixture, "Lamp", "v2"));
  cr_assert_eq(exchange_reply(exchange)->http_status, 200);
}

Test(replies, a_304_has_no_content_type)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.if_none_match = SLICE("*");
  const struct exchange_reply *reply = answer_item(input, "v2");
  cr_assert_eq(reply->http_status, 304);
  cr_assert_eq(reply->content_type.size, 0);
}

// ---- time ----

static uint64_t timeout_of(const char *path, const char *body)
{
  struct exchange_input input = fixture_input("POST", path);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  // The time that a slow client takes for its body does not count.
  fixture_now_us += 3000000;
  cr_assert_eq(exchange_body(exchange, slice_from_string(body)), EXCHANGE_WAITING);
  const struct fixture_call *call = fixture_call(fixture, 1);
  return call->deadline_us + (uint64_t)call->reply_wait_ms * 1000 - fixture_now_us;
}

Test(replies, a_method_has_its_own_timeout)
{
  cr_assert_eq(timeout_of("/v1/auth/login", "{\"email\":\"ada@example.com\",\"password\":\"x\"}"), 10000000);
}

Test(replies, a_batch_has_more_time)
{
  cr_assert_eq(timeout_of("/v1/items:batchCreate", "{\"items\":[{\"sku\":\"a\",\"name\":\"b\"}]}"), 30000000);
}

// ---- a service's errors ----

static const struct exchange_reply *answer_status(const struct rpc_status *status)
{
  fixture_answer_status(start_call(fixture_input("GET", ITEM_PATH)), status);
  return exchange_reply(exchange);
}

Test(replies, retry_after_is_rounded_up_to_seconds)
{
  static const struct {
    uint32_t ms;
    const char *seconds;
  } CASES[] = {{0, "1"}, {1, "1"}, {1000, "1"}, {1001, "2"}, {60000, "60"}};
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange_input input = fixture_input("GET", ITEM_PATH);
    input.authorization = fixture_bearer(fixture, "user", 900);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
    fixture_answer_status(fixture_call(fixture, i + 1),
                          &(struct rpc_status){.code = STATUS_UNAVAILABLE, .retry_after_ms = CASES[i].ms});
    assert_header(exchange_reply(exchange), "Retry-After", CASES[i].seconds);
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
}

Test(replies, too_much_is_429_with_advice)
{
  const struct exchange_reply *reply = answer_status(&(struct rpc_status){.code = STATUS_RESOURCE_EXHAUSTED});
  assert_problem(reply, 429, "RESOURCE_EXHAUSTED");
  assert_header(reply, "Retry-After", "1");
}

Test(replies, a_missing_resource_has_no_advice_and_no_challenge)
{
  const struct exchange_reply *reply = answer_status(&(struct rpc_status){.code = STATUS_NOT_FOUND});
  cr_assert_null(fixture_header(reply, "Retry-After").data);
  cr_assert_null(fixture_header(reply, "WWW-Authenticate").data);
}

Test(replies, a_call_that_the_service_gave_up_is_503)
{
  assert_problem(answer_status(&(struct rpc_status){.code = STATUS_CANCELLED}), 503, "CANCELLED");
}

Test(replies, a_caller_whom_the_service_does_not_know_is_challenged)
{
  const struct exchange_reply *reply =
      answer_status(&(struct rpc_status){.code = STATUS_UNAUTHENTICATED, .reason = SLICE("WRONG_CREDENTIALS")});
  assert_problem(reply, 401, "WRONG_CREDENTIALS");
  assert_header(reply, "WWW-Authenticate", "Bearer realm=\"bulkhead\"");
}

Test(replies, an_aborted_change_is_409_unless_it_was_a_precondition)
{
  assert_problem(answer_status(&(struct rpc_status){.code = STATUS_ABORTED, .reason = SLICE("SIGN_UP_EXPIRED")}), 409,
                 "SIGN_UP_EXPIRED");
}

Test(replies, every_failure_of_ours_is_a_500_without_details)
{
  static const enum status CODES[] = {STATUS_INTERNAL, STATUS_UNKNOWN, STATUS_DATA_LOSS};
  for (size_t i = 0; i < ARRAY_LEN(CODES); i++) {
    struct exchange_input input = fixture_input("GET", ITEM_PATH);
    input.authorization = fixture_bearer(fixture, "user", 900);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
    fixture_answer_status(fixture_call(fixture, i + 1),
                          &(struct rpc_status){.code = CODES[i], .message = SLICE("secret"), .reason = SLICE("INNER")});
    assert_problem(exchange_reply(exchange), 500, "an internal error occurred");
    cr_assert_not(fixture_contains(exchange_reply(exchange)->body, "secret"));
    cr_assert_not(fixture_contains(exchange_reply(exchange)->body, "INNER"));
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
}

// Ends the exchange with this answer and returns what was logged meanwhile.
static const char *log_of(const struct rpc_status *status, struct slice payload)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.request_id = SLICE("r-17");
  input.traceparent = SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  struct fixture_call *call = start_call(input);
  cr_redirect_stderr();
  if (status == NULL)
    fixture_answer(call, payload);
  else
    fixture_answer_status(call, status);
  return fixture_read_log();
}

static void expect_in_log(const char *log, const char *message)
{
  const char *const PARTS[] = {"\"level\":\"error\"", message, "\"requestId\":\"r-17\"",
                               "\"traceId\":\"0af7651916cd43dd8448eb211c80319c\"",
                               "\"method\":\"item.v1.ItemService/GetItem\""};
  for (size_t i = 0; i < ARRAY_LEN(PARTS); i++)
    cr_expect_not_null(strstr(log, PARTS[i]), "no %s in %s", PARTS[i], log);
}

Test(replies, that_do_not_fit_the_contract_are_logged_with_method_and_ids)
{
  expect_in_log(log_of(NULL, SLICE("\x0a\xff\xff\xff")), "a reply does not fit its contract");
}

Test(replies, of_our_failures_are_logged_with_the_details_that_the_client_does_not_get)
{
  const char *log = log_of(&(struct rpc_status){.code = STATUS_INTERNAL, .message = SLICE("no relation x")}, SLICE(""));
  expect_in_log(log, "the service failed, the client gets 500");
  cr_expect_not_null(strstr(log, "\"detail\":\"no relation x\""), "%s", log);
}

Test(replies, of_a_clients_own_mistakes_are_not_logged)
{
  cr_expect_str_eq(log_of(&(struct rpc_status){.code = STATUS_NOT_FOUND}, SLICE("")), "");
}

Test(replies, of_an_answer_that_cannot_be_read_keep_no_header_of_it)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 12, SLICE("v1"));
  // The name is not valid UTF-8.
  wire_write_bytes(&wire, 4, SLICE("\xff"));
  const struct exchange_reply *reply = answer(fixture_input("GET", ITEM_PATH), strbuf_slice(&wire));
  assert_problem(reply, 500, "INTERNAL");
  cr_assert_null(fixture_header(reply, "ETag").data);
  cr_assert_not(reply->has_etag);
  strbuf_free(&wire);
}

// An exchange step by step: what each refuses and how, what reaches the service, what comes back.
#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "common/base/wire.h"
#include "gateway/http_fields.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(exchange, .init = open_all, .fini = close_all);

// ---- route ----

Test(exchange, unknown_paths_are_404)
{
  assert_problem(start(fixture_input("GET", "/v1/nothing")), 404, "\"instance\":\"/v1/nothing\"");
  cr_assert_eq(fixture->call_count, 1);
}

Test(exchange, wrong_methods_are_405_and_say_what_is_allowed)
{
  const struct exchange_reply *reply = start(fixture_input("PUT", ITEM_PATH));
  assert_problem(reply, 405, "METHOD_NOT_ALLOWED");
  struct slice allow = fixture_header(reply, "Allow");
  cr_assert(fixture_contains(allow, "GET") && fixture_contains(allow, "PATCH") && fixture_contains(allow, "DELETE"));
}

// ---- every reply ----

Test(exchange, replies_carry_the_request_id_and_security_headers)
{
  struct exchange_input input = fixture_input("GET", "/nope");
  input.request_id = SLICE("my-id.1");
  const struct exchange_reply *reply = start(input);
  assert_header(reply, "X-Request-Id", "my-id.1");
  assert_header(reply, "X-Content-Type-Options", "nosniff");
  assert_header(reply, "Cache-Control", "no-store");
  assert_header(reply, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  cr_assert(fixture_contains(reply->body, "\"requestId\":\"my-id.1\""));
}

Test(exchange, a_bad_request_id_is_replaced)
{
  struct exchange_input input = fixture_input("GET", "/nope");
  input.request_id = SLICE("bad id\"");
  struct slice id = fixture_header(start(input), "X-Request-Id");
  cr_assert_eq(id.size, 36);
  cr_assert(request_id_valid(id));
}

// ---- authenticate ----

Test(exchange, without_a_token_the_challenge_has_no_error)
{
  const struct exchange_reply *reply = start(fixture_input("GET", ITEM_PATH));
  assert_problem(reply, 401, "an access token is required, as Authorization: Bearer");
  assert_header(reply, "WWW-Authenticate", "Bearer realm=\"bulkhead\"");
}

Test(exchange, an_expired_token_is_told_so)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  fixture_wall_us += INT64_C(1000) * 1000000;
  const struct exchange_reply *reply = start(input);
  assert_problem(reply, 401, "TOKEN_EXPIRED");
  cr_assert(fixture_contains(fixture_header(reply, "WWW-Authenticate"), "error=\"invalid_token\""));
}

Test(exchange, a_forged_token_is_refused_without_a_call)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  struct slice good = fixture_bearer(fixture, NULL, 900);
  char *forged = arena_string(&fixture->arena, good);
  // The changed character is in the middle of the signature, where every bit counts.
  forged[good.size - 20] = forged[good.size - 20] == 'A' ? 'B' : 'A';
  input.authorization = slice_make(forged, good.size);
  assert_problem(start(input), 401, "INVALID_TOKEN");
  cr_assert_eq(fixture->call_count, 1);
}

Test(exchange, a_public_method_takes_no_notice_of_a_token)
{
  struct exchange_input input = fixture_input("GET", "/.well-known/jwks.json");
  input.authorization = SLICE("Bearer nonsense");
  struct fixture_call *call = start_call(input);
  cr_assert_str_eq(call->method, "auth.v1.AuthService/GetJwks");
  cr_assert_eq(call->access_token.size, 0);
  fixture_answer(call, fixture_key_set(fixture));
  cr_assert_eq(exchange_reply(exchange)->http_status, 200);
  cr_assert(fixture_contains(exchange_reply(exchange)->body, "\"crv\":\"P-256\""));
}

Test(exchange, an_unknown_key_waits_for_fresh_keys_and_then_goes_on)
{
  fixture_now_us += KEYS_UNKNOWN_EVERY_US;
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_foreign_bearer(fixture);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 1), fixture_key_set(fixture));
  cr_assert_eq(fixture->progress_count, 1);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 401, "INVALID_TOKEN");
}

// While the keys rotate, an unknown key may be the new one: a client must not throw its session away because a fetch
// has failed.
Test(exchange, an_unknown_key_gets_503_while_the_keys_cannot_be_fetched)
{
  static const struct rpc_status unavailable = {.code = STATUS_UNAVAILABLE, .message = SLICE_INIT("no endpoint")};
  fixture_now_us += KEYS_UNKNOWN_EVERY_US;
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_foreign_bearer(fixture);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  fixture_answer_status(fixture_call(fixture, 1), &unavailable);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 503, "\"reason\":\"NOT_APPLIED\"");
}

Test(exchange, an_unknown_key_gets_503_while_the_keys_are_not_fetched_in_time)
{
  fixture_now_us += KEYS_UNKNOWN_EVERY_US;
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_foreign_bearer(fixture);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  fixture_now_us += KEYS_MAX_WAIT_US;
  gateway_process(fixture->gateway, fixture_now_us);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 503, "\"reason\":\"NOT_APPLIED\"");
}

Test(exchange_without_keys, waits_and_then_answers_503)
{
  fixture = fixture_open();
  exchange = fixture_exchange(fixture);
  gateway_process(fixture->gateway, fixture_now_us);
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  fixture_now_us += KEYS_MAX_WAIT_US;
  gateway_process(fixture->gateway, fixture_now_us);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 503, "\"reason\":\"NOT_APPLIED\"");
  assert_header(exchange_reply(exchange), "Retry-After", "1");
  close_all();
}

Test(exchange_without_keys, goes_on_when_they_come)
{
  fixture = fixture_open();
  exchange = fixture_exchange(fixture);
  gateway_process(fixture->gateway, fixture_now_us);
  struct exchange_input input = fixture_input("POST", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 0), fixture_key_set(fixture));
  cr_assert_eq(fixture->progress, EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"sku\":\"L\",\"name\":\"Lamp\"}")), EXCHANGE_WAITING);
  cr_assert_str_eq(fixture_call(fixture, 1)->method, "item.v1.ItemService/CreateItem");
  close_all();
}

// ---- authorise ----

Test(exchange, a_missing_permission_is_403)
{
  struct exchange_input input = fixture_input("GET", "/v1/users");
  input.authorization = fixture_bearer(fixture, "user", 900);
  const struct exchange_reply *reply = start(input);
  assert_problem(reply, 403, "PERMISSION_DENIED");
  cr_assert(fixture_contains(fixture_header(reply, "WWW-Authenticate"), "scope=\"users:read:any\""));
}

Test(exchange, the_role_opens)
{
  struct exchange_input input = fixture_input("GET", "/v1/users");
  input.authorization = fixture_bearer(fixture, "admin", 900);
  struct fixture_call *call = start_call(input);
  cr_assert_str_eq(call->method, "user.v1.UserService/ListUsers");
  cr_assert(slice_equal(call->access_token, slice_skip(input.authorization, strlen("Bearer "))));
}

// ---- body ----

Test(exchange, a_body_must_be_json)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/login");
  input.has_body = true;
  input.content_type = SLICE("text/plain");
  assert_problem(start(input), 415, "UNSUPPORTED_MEDIA_TYPE");
}

Test(exchange, a_body_where_none_belongs_is_400)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  assert_problem(start(input), 400, "UNEXPECTED_BODY");
}

// ---- translate ----

Test(exchange, violations_name_their_fields)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/login");
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"email\":\"nobody\",\"password\":\"x\"}")), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 400, "\"violations\":[{\"field\":\"email\"");
}

Test(exchange, an_unknown_query_parameter_is_400)
{
  struct exchange_input input = fixture_input("GET", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.query = SLICE("pagesize=5");
  assert_problem(start(input), 400, "pagesize");
}

Test(exchange, a_missing_body_is_400_where_something_is_needed)
{
  assert_problem(start(fixture_input("POST", "/v1/auth/login")), 400, "\"field\":\"password\"");
}

// ---- call ----

Test(exchange, the_call_carries_token_ids_and_deadline)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.request_id = SLICE("r-7");
  input.traceparent = SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  struct fixture_call *call = start_call(input);
  cr_assert_str_eq(call->service, "item");
  cr_assert_str_eq(call->method, "item.v1.ItemService/GetItem");
  cr_assert_eq(call->deadline_us, fixture_now_us + 5000000);
  cr_assert(slice_equal(call->access_token, slice_skip(input.authorization, strlen("Bearer "))));
  cr_assert(slice_equal_string(call->request_id, "r-7"));
  cr_assert(slice_starts_with(call->traceparent, SLICE("00-0af7651916cd43dd8448eb211c80319c-")));
  cr_assert_not(fixture_contains(call->traceparent, "b7ad6b7169203331"), "a span of its own");
  struct wire_reader reader = wire_reader_make(call->payload);
  struct wire_field field;
  cr_assert_eq(wire_read(&reader, &field), WIRE_FIELD);
  cr_assert_eq(field.number, 1);
  cr_assert(slice_equal_string(field.bytes, FIXTURE_ITEM_ID));
}

Test(exchange, a_client_that_goes_away_cancels_its_call)
{
  struct fixture_call *call = start_call(fixture_input("GET", ITEM_PATH));
  cr_assert_eq(fixture->gateway->in_flight, 1);
  exchange_close(&exchange);
  cr_assert(call->cancelled);
  cr_assert_eq(fixture->gateway->in_flight, 0);
  cr_assert_eq(fixture->progress_count, 0);
  struct slice labels[] = {SLICE("item.v1.ItemService/GetItem"), SLICE("499")};
  cr_assert_eq(read_metric(METRIC_HTTP_REQUESTS, labels, 2), 1);
}

// Starts the creation of an item with this Idempotency-Key and returns how far the exchange gets.
static enum exchange_next start_creation(struct slice key)
{
  struct exchange_input input = fixture_input("POST", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  input.idempotency_key = key;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  return exchange_body(exchange, SLICE("{\"sku\":\"s\",\"name\":\"n\"}"));
}

Test(exchange, a_bad_idempotency_key_is_400)
{
  cr_assert_eq(start_creation(SLICE("two words")), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 400, "Idempotency-Key");
}

Test(exchange, a_call_that_creates_carries_the_idempotency_key)
{
  cr_assert_eq(start_creation(SLICE("\"key-1\"")), EXCHANGE_WAITING);
  cr_assert(slice_equal_string(fixture_call(fixture, 1)->idempotency_key, "key-1"));
  cr_assert(fixture_call(fixture, 1)->is_repeatable);
}

Test(exchange, a_creation_without_a_key_is_not_sent_twice)
{
  cr_assert_eq(start_creation((struct slice){0}), EXCHANGE_WAITING);
  cr_assert_not(fixture_call(fixture, 1)->is_repeatable);
  cr_assert_eq(fixture_call(fixture, 1)->hedge_after_ms, 0);
}

Test(exchange, other_calls_carry_no_idempotency_key)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.idempotency_key = SLICE("two words");
  const struct fixture_call *call = start_call(input);
  cr_assert_eq(call->idempotency_key.size, 0);
  cr_assert(call->is_repeatable, "it is a read");
  cr_assert_eq(call->hedge_after_ms, 100, "as its contract says");
}

// ---- reply ----

static const struct exchange_reply *answer_item(struct exchange_input input)
{
  struct fixture_call *call = start_call(input);
  fixture_answer(call, fixture_item(fixture, "Lamp", "v2"));
  cr_assert(fixture->progress_count == 1 && fixture->progress == EXCHANGE_DONE);
  return exchange_reply(exchange);
}

Test(exchange, an_answer_becomes_json_with_its_etag)
{
  const struct exchange_reply *reply = answer_item(fixture_input("GET", ITEM_PATH));
  cr_assert_eq(reply->http_status, 200);
  cr_assert(slice_equal(reply->content_type, SLICE("application/json")));
  cr_assert(fixture_contains(reply->body, "\"name\":\"Lamp\""));
  assert_header(reply, "ETag", "\"v2\"");
  assert_header(reply, "Cache-Control", "private, no-cache");
  cr_assert(reply->has_etag);
  struct slice labels[] = {SLICE("item.v1.ItemService/GetItem"), SLICE("200")};
  cr_assert_eq(read_metric(METRIC_HTTP_REQUESTS, labels, 2), 1);
}

Test(exchange, what_the_client_has_already_is_304)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.if_none_match = SLICE("\"v1\", W/\"v2\"");
  const struct exchange_reply *reply = answer_item(input);
  cr_assert_eq(reply->http_status, 304);
  cr_assert_eq(reply->body.size, 0);
  assert_header(reply, "ETag", "\"v2\"");
}

Test(exchange, creating_answers_201_with_location)
{
  struct exchange_input input = fixture_input("POST", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"sku\":\"L\",\"name\":\"Lamp\"}")), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 1), fixture_item(fixture, "Lamp", "v1"));
  cr_assert_eq(exchange_reply(exchange)->http_status, 201);
  assert_header(exchange_reply(exchange), "Location", "/v1/items/" FIXTURE_ITEM_ID);
}

Test(exchange, deleting_answers_204_without_a_body)
{
  struct fixture_call *call = start_call(fixture_input("DELETE", ITEM_PATH));
  fixture_answer(call, (struct slice){0});
  cr_assert_eq(exchange_reply(exchange)->http_status, 204);
  cr_assert_eq(exchange_reply(exchange)->body.size, 0);
}

static const struct exchange_reply *answer_status(const struct rpc_status *status)
{
  fixture_answer_status(start_call(fixture_input("GET", ITEM_PATH)), status);
  return exchange_reply(exchange);
}

Test(exchange, a_services_error_keeps_reason_message_and_violations)
{
  struct violation violation = {SLICE("id"), SLICE("is unknown")};
  const struct exchange_reply *reply = answer_status(&(struct rpc_status){.code = STATUS_NOT_FOUND,
                                                                          .message = SLICE("there is no such item"),
                                                                          .reason = SLICE("ITEM_NOT_FOUND"),
                                                                          .violations = &violation,
                                                                          .violation_count = 1});
  assert_problem(reply, 404, "\"detail\":\"there is no such item\"");
  cr_assert(fixture_contains(reply->body, "\"reason\":\"ITEM_NOT_FOUND\""));
  cr_assert(fixture_contains(reply->body, "{\"field\":\"id\",\"description\":\"is unknown\"}"));
}

Test(exchange, an_idempotency_key_of_another_request_is_422)
{
  const struct rpc_status reused = {.code = STATUS_FAILED_PRECONDITION, .reason = SLICE("IDEMPOTENCY_KEY_REUSED")};
  assert_problem(answer_status(&reused), 422, "Unprocessable Content");
}

Test(exchange, a_stale_etag_is_412)
{
  assert_problem(answer_status(&(struct rpc_status){.code = STATUS_ABORTED, .reason = SLICE("ETAG_MISMATCH")}), 412,
                 "ETAG_MISMATCH");
}

Test(exchange, a_service_that_is_away_is_503_with_advice)
{
  const struct exchange_reply *reply =
      answer_status(&(struct rpc_status){.code = STATUS_UNAVAILABLE, .retry_after_ms = 2500});
  assert_problem(reply, 503, "UNAVAILABLE");
  assert_header(reply, "Retry-After", "3");
}

Test(exchange, a_deadline_is_504)
{
  assert_problem(answer_status(&(struct rpc_status){.code = STATUS_DEADLINE_EXCEEDED}), 504, "DEADLINE_EXCEEDED");
}

Test(exchange, what_broke_inside_is_not_told)
{
  const struct exchange_reply *reply =
      answer_status(&(struct rpc_status){.code = STATUS_INTERNAL, .message = SLICE("relation secret_table is gone")});
  assert_problem(reply, 500, "an internal error occurred");
  cr_assert_not(fixture_contains(reply->body, "secret_table"));
}

Test(exchange, an_answer_that_is_no_message_is_500)
{
  struct fixture_call *call = start_call(fixture_input("GET", ITEM_PATH));
  fixture_answer(call, SLICE("\x0a\xff\xff\xff"));
  assert_problem(exchange_reply(exchange), 500, "INTERNAL");
}

// ---- the HTTP layer's own refusals ----

Test(exchange, a_refusal_of_the_http_layer_keeps_the_request_id)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/login");
  input.request_id = SLICE("r-9");
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  exchange_fail_http(exchange, &input, 413);
  assert_problem(exchange_reply(exchange), 413, "\"requestId\":\"r-9\"");
}

static struct exchange_input make_login(uint64_t body_bytes)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/login");
  input.has_body = true;
  input.body_bytes = body_bytes;
  input.content_type = SLICE("application/json");
  return input;
}

Test(exchange, a_body_that_announces_more_than_its_method_takes_is_413_before_it_is_read)
{
  assert_problem(start(make_login(8193)), 413, "the body may have 8192 bytes at most");
}

Test(exchange, a_body_of_as_much_as_its_method_takes_is_read)
{
  struct exchange_input input = make_login(8192);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body_limit(exchange), 8192);
}

Test(exchange, a_body_that_turns_out_too_large_is_refused_like_one_that_said_so)
{
  struct exchange_input input = make_login(0);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  exchange_fail_http(exchange, &input, 413);
  assert_problem(exchange_reply(exchange), 413, "\"reason\":\"BODY_TOO_LARGE\"");
}

// nginx answers 500 where it cannot store a body.
Test(exchange, a_body_without_room_is_503)
{
  struct exchange_input input = make_login(0);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  exchange_fail_http(exchange, &input, 500);
  assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
  assert_header(exchange_reply(exchange), "Retry-After", "1");
}

Test(exchange, a_refusal_before_the_start_still_is_a_problem)
{
  struct exchange_input input = fixture_input("", "");
  exchange_fail_http(exchange, &input, 431);
  assert_problem(exchange_reply(exchange), 431, "\"reason\":\"HEADERS_TOO_LARGE\"");
}

Test(exchange, a_405_of_the_http_layer_says_what_is_allowed)
{
  struct exchange_input input = fixture_input("POST", "/docs");
  exchange_fail_http(exchange, &input, 405);
  assert_header(exchange_reply(exchange), "Allow", "GET, HEAD, OPTIONS");
}

Test(exchange, a_405_of_the_http_layer_on_a_route_says_what_the_route_allows)
{
  struct exchange_input input = fixture_input("TRACE", ITEM_PATH);
  exchange_fail_http(exchange, &input, 405);
  assert_header(exchange_reply(exchange), "Allow", "GET, HEAD, PATCH, DELETE, OPTIONS");
}

Test(exchange, memory_of_one_exchange_serves_the_next)
{
  answer_item(fixture_input("GET", ITEM_PATH));
  struct exchange *first = exchange;
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(exchange, first);
  assert_problem(start(fixture_input("GET", "/nope")), 404, "/nope");
}

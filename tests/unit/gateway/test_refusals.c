// What the gateway refuses before any service is asked.
#include <criterion/criterion.h>

#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(refusals, .init = open_all, .fini = close_all);

// ---- method and path ----

Test(refusals, allow_lists_every_method_of_the_path)
{
  assert_header(start(fixture_input("POST", ITEM_PATH)), "Allow", "GET, HEAD, PATCH, DELETE, OPTIONS");
}

Test(refusals, a_405_names_the_path_and_makes_no_call)
{
  assert_problem(start(fixture_input("DELETE", "/v1/items")), 405, "\"instance\":\"/v1/items\"");
  cr_assert_eq(fixture->call_count, 1);
}

Test(refusals, a_404_has_no_allow)
{
  const struct exchange_reply *reply = start(fixture_input("GET", "/v1/nothing"));
  assert_problem(reply, 404, "NO_SUCH_PATH");
  cr_assert_null(fixture_header(reply, "Allow").data);
}

Test(refusals, internal_methods_have_no_path)
{
  assert_problem(start(fixture_input("POST", "/auth.v1.AuthService/CreateCredential")), 404, "NO_SUCH_PATH");
}

// ---- tokens and roles ----

static const struct exchange_reply *list_users_as(const char *role)
{
  struct exchange_input input = fixture_input("GET", "/v1/users");
  input.authorization = fixture_bearer(fixture, role, 900);
  return start(input);
}

Test(refusals, a_role_must_match_as_a_whole)
{
  // None of these roles is "admin", which holds the permission that the method needs.
  static const char *const OTHERS[] = {"admi", "admin2", "dmin", "nimda", "adxin", "user"};
  for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++) {
    assert_problem(list_users_as(OTHERS[i]), 403, "PERMISSION_REQUIRED");
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
  cr_assert_eq(fixture->call_count, 1);
}

Test(refusals, a_caller_without_any_role_lacks_the_permission)
{
  assert_problem(list_users_as(""), 403, "PERMISSION_REQUIRED");
}

#define OTHER_USER "01936b5e-7c1a-7d3e-9f00-0000000000ff"

static struct exchange_input read_account(const char *path, const char *role)
{
  struct exchange_input input = fixture_input("GET", path);
  input.authorization = fixture_bearer(fixture, role, 900);
  return input;
}

Test(refusals, the_account_of_another_is_refused_before_the_service_is_called)
{
  assert_problem(start(read_account("/v1/users/" OTHER_USER, "user")), 403, "NOT_YOUR_ACCOUNT");
  cr_assert_eq(fixture->call_count, 1, "nothing but the keys was asked for");
}

Test(refusals, the_own_account_is_read)
{
  struct fixture_call *call = start_call(read_account("/v1/users/" FIXTURE_USER_ID, "user"));
  cr_assert_str_eq(call->method, "user.v1.UserService/GetUser");
}

Test(refusals, the_account_of_another_is_read_by_an_admin)
{
  struct fixture_call *call = start_call(read_account("/v1/users/" OTHER_USER, "admin"));
  cr_assert_str_eq(call->method, "user.v1.UserService/GetUser");
}

Test(refusals, a_malformed_token_is_named_in_the_challenge)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = SLICE("Bearer a b");
  const struct exchange_reply *reply = start(input);
  assert_problem(reply, 401, "INVALID_TOKEN");
  assert_header(
      reply, "WWW-Authenticate",
      "Bearer realm=\"bulkhead\", error=\"invalid_token\", error_description=\"the access token is malformed\"");
}

Test(refusals, another_scheme_is_no_token)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = SLICE("Basic YWRhOnNlY3JldA==");
  assert_problem(start(input), 401, "TOKEN_MISSING");
}

Test(refusals, a_token_is_good_until_it_expires)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  fixture_wall_us += INT64_C(899) * 1000000;
  start_call(input);
}

// ---- bodies ----

static struct exchange_input item_input(void)
{
  struct exchange_input input = fixture_input("POST", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  return input;
}

static struct slice content_encoding(void *coding, const char *name)
{
  return strcmp(name, "Content-Encoding") == 0 ? slice_from_string(coding) : (struct slice){0};
}

Test(refusals, a_body_with_a_content_coding_is_415)
{
  struct exchange_input input = item_input();
  input.header = content_encoding;
  input.header_arg = (void *)(uintptr_t) "gzip";
  const struct exchange_reply *reply = start(input);
  assert_problem(reply, 415, "without a content coding");
  assert_header(reply, "Accept-Encoding", "identity");
}

Test(refusals, a_body_of_another_type_is_415)
{
  struct exchange_input input = item_input();
  input.content_type = SLICE("text/plain");
  const struct exchange_reply *reply = start(input);
  assert_problem(reply, 415, "application/json");
  assert_header(reply, "Accept", "application/json");
}

Test(refusals, identity_is_no_content_coding)
{
  struct exchange_input input = item_input();
  input.header = content_encoding;
  input.header_arg = (void *)(uintptr_t) "Identity";
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
}

Test(refusals, the_token_is_checked_before_the_body_is_read)
{
  struct exchange_input input = item_input();
  input.authorization = (struct slice){0};
  assert_problem(start(input), 401, "TOKEN_MISSING");
}

Test(refusals, without_a_body_no_content_type_is_needed)
{
  start_call(fixture_input("DELETE", ITEM_PATH));
}

Test(refusals, a_missing_body_is_an_empty_message)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/sessions:revokeAll");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  struct fixture_call *call = start_call(input);
  cr_assert_str_eq(call->method, "auth.v1.SessionService/RevokeAllSessions");
}

// A request whose body has no announced size: chunked, or over HTTP/2.
static struct exchange_input streamed_input(const char *method, const char *path)
{
  struct exchange_input input = fixture_input(method, path);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.body_may_be_empty = true;
  return input;
}

Test(refusals, a_body_that_turns_out_empty_is_none)
{
  struct exchange_input input = streamed_input("GET", ITEM_PATH);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("")), EXCHANGE_WAITING);
  cr_assert_str_eq(fixture_call(fixture, 1)->method, "item.v1.ItemService/GetItem");
}

Test(refusals, a_body_that_turns_out_empty_is_an_empty_message)
{
  struct exchange_input input = streamed_input("POST", "/v1/auth/sessions:revokeAll");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("")), EXCHANGE_WAITING);
  cr_assert_str_eq(fixture_call(fixture, 1)->method, "auth.v1.SessionService/RevokeAllSessions");
}

Test(refusals, a_body_that_turns_out_to_be_one_is_refused_where_none_is_taken)
{
  struct exchange_input input = streamed_input("GET", ITEM_PATH);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{}")), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 400, "UNEXPECTED_BODY");
}

Test(refusals, a_body_that_arrives_without_a_type_is_415)
{
  struct exchange_input input = streamed_input("POST", "/v1/items");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{}")), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 415, "UNSUPPORTED_MEDIA_TYPE");
}

Test(refusals, a_body_of_another_type_is_refused_before_it_arrives)
{
  struct exchange_input input = streamed_input("POST", "/v1/items");
  input.content_type = SLICE("text/plain");
  assert_problem(start(input), 415, "UNSUPPORTED_MEDIA_TYPE");
}

// Whoever sends an empty key, or two, believes that a repeat is safe.
Test(refusals, an_idempotency_key_that_is_none_is_named)
{
  static const char *const KEYS[] = {"", "two values", "\"\""};
  for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
    struct exchange_input input = item_input();
    input.idempotency_key = slice_from_string(KEYS[i]);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
    cr_assert_eq(exchange_body(exchange, SLICE("{\"sku\":\"S\",\"name\":\"Lamp\"}")), EXCHANGE_DONE);
    assert_problem(exchange_reply(exchange), 400, "\"field\":\"Idempotency-Key\"");
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
  cr_assert_eq(fixture->call_count, 1);
}

Test(refusals, violations_beyond_the_cap_are_counted)
{
  struct exchange_input input = item_input();
  input.path = SLICE("/v1/items:batchCreate");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body, "{\"items\":[");
  for (int i = 0; i < 30; i++)
    strbuf_printf(&body, "%s{\"sku\":\"s%d\",\"name\":\"n\",\"quantity\":-1}", i == 0 ? "" : ",", i);
  strbuf_add_string(&body, "]}");
  cr_assert_eq(exchange_body(exchange, strbuf_slice(&body)), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 400, "10 more violations are not listed");
  cr_assert(fixture_contains(exchange_reply(exchange)->body, "items[19].quantity"));
  strbuf_free(&body);
}

// ---- the HTTP layer's own refusals ----

static int64_t count_of(const char *method, const char *code)
{
  struct slice labels[] = {slice_from_string(method), slice_from_string(code)};
  return (int64_t)read_metric(METRIC_HTTP_REQUESTS, labels, 2);
}

Test(refusals, of_the_http_layer_end_a_call_in_flight)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  struct fixture_call *call = start_call(input);
  exchange_fail_http(exchange, &input, 408);
  cr_assert(call->cancelled);
  cr_assert_eq(fixture->gateway->in_flight, 0);
  assert_problem(exchange_reply(exchange), 408, "DEADLINE_EXCEEDED");
  cr_assert_eq(count_of("item.v1.ItemService/GetItem", "408"), 1);
}

Test(refusals, of_the_http_layer_replace_a_reply_and_count_once)
{
  struct exchange_input input = fixture_input("GET", "/v1/nothing");
  start(input);
  exchange_fail_http(exchange, &input, 500);
  assert_problem(exchange_reply(exchange), 500, "INTERNAL");
  cr_assert_eq(count_of("none", "404"), 1);
  cr_assert_eq(count_of("none", "500"), 0);
  // Only the reply that goes out counts, so its headers must stand in it once.
  size_t ids = 0;
  for (size_t i = 0; i < exchange_reply(exchange)->headers.count; i++)
    ids += slice_equal(exchange_reply(exchange)->headers.items[i].name, SLICE("X-Request-Id"));
  cr_assert_eq(ids, 1);
}

Test(refusals, with_a_status_that_nobody_expects_count_as_other)
{
  struct exchange_input input = fixture_input("GET", "/");
  exchange_fail_http(exchange, &input, 418);
  assert_problem(exchange_reply(exchange), 418, "\"title\":\"Error\"");
  cr_assert_eq(count_of("none", "other"), 1);
}

Test(refusals, only_a_405_has_allow)
{
  struct exchange_input input = fixture_input("POST", "/docs");
  exchange_fail_http(exchange, &input, 414);
  cr_assert_null(fixture_header(exchange_reply(exchange), "Allow").data);
}

Test(refusals, a_client_that_leaves_after_the_reply_is_counted_once)
{
  start(fixture_input("GET", "/v1/nothing"));
  exchange_abandon(exchange);
  cr_assert_eq(count_of("none", "404"), 1);
  cr_assert_eq(count_of("none", "499"), 0);
}

Test(refusals, no_progress_comes_after_the_gateway_has_stopped)
{
  struct fixture_call *call = start_call(fixture_input("GET", ITEM_PATH));
  gateway_stop(fixture->gateway);
  fixture_answer(call, fixture_item(fixture, "Lamp", "v1"));
  cr_assert_eq(fixture->progress_count, 0);
}

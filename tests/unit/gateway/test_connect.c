// Calls of Connect without streams: by POST and GET, in JSON and protobuf, and how each failure is told.
#include <criterion/criterion.h>

#include "common/base/codec.h"
#include "common/base/wire.h"
#include "gateway/gzip.h"
#include "tests/unit/gateway/one_exchange.h"

#define ITEMS "/item.v1.ItemService/"
#define JSON_OF_ID "{\"id\":\"" FIXTURE_ITEM_ID "\"}"

struct test_header {
  const char *name;
  struct slice value;
};
static struct test_header headers[4];

static void open_without_headers(void)
{
  open_all();
  memset(headers, 0, sizeof(headers));
}

TestSuite(connect, .init = open_without_headers, .fini = close_all);

static struct slice find_header(void *arg, const char *name)
{
  (void)arg;
  for (size_t i = 0; i < ARRAY_LEN(headers); i++)
    if (headers[i].name != NULL && strcmp(headers[i].name, name) == 0)
      return headers[i].value;
  return (struct slice){0};
}

static struct exchange_input post(const char *path, const char *content_type)
{
  struct exchange_input input = fixture_input("POST", path);
  input.content_type = slice_from_string(content_type);
  input.has_body = true;
  input.header = find_header;
  input.authorization = fixture_bearer(fixture, "user", 900);
  return input;
}

static struct exchange_input get(const char *path, const char *query)
{
  struct exchange_input input = fixture_input("GET", path);
  input.query = slice_from_string(query);
  input.header = find_header;
  input.authorization = fixture_bearer(fixture, "user", 900);
  return input;
}

static struct slice kept(struct strbuf *text)
{
  struct slice kept = arena_copy(&fixture->arena, strbuf_slice(text));
  strbuf_free(text);
  return kept;
}

static struct slice get_item_request(void)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, SLICE(FIXTURE_ITEM_ID));
  return kept(&wire);
}

static void again(void)
{
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
}

static enum exchange_next send(struct exchange_input input, struct slice body)
{
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  return exchange_body(exchange, body);
}

// Answers the one call of the exchange with an item.
static const struct exchange_reply *answer_with_item(const char *method)
{
  struct fixture_call *call = fixture_call(fixture, 1);
  cr_expect_str_eq(call->method, method);
  fixture_answer(call, fixture_item(fixture, "Lamp", "e1"));
  return exchange_reply(exchange);
}

static const struct exchange_reply *assert_error(int http_status, const char *code, const char *part)
{
  const struct exchange_reply *reply = exchange_reply(exchange);
  const char *begin = arena_printf(&fixture->arena, "{\"code\":\"%s\",\"message\":\"", code);
  cr_assert(reply->http_status == http_status && slice_starts_with(reply->body, slice_from_string(begin)) &&
                fixture_contains(reply->body, part),
            "wanted %d %s with %s; it is %d: " SLICE_FMT, http_status, code, part, reply->http_status,
            SLICE_ARG(reply->body));
  cr_expect(slice_equal(reply->content_type, SLICE("application/json")));
  assert_header(reply, "Cache-Control", "no-store");
  return reply;
}

// Expects a detail of the error to hold a text.
static void assert_detail(const struct exchange_reply *reply, const char *type, const char *part)
{
  const char *begin = arena_printf(&fixture->arena, "{\"type\":\"google.rpc.%s\",\"value\":\"", type);
  const char *at = memmem(reply->body.data, reply->body.size, begin, strlen(begin));
  cr_assert_not_null(at, "no %s in " SLICE_FMT, type, SLICE_ARG(reply->body));
  struct slice rest = slice_skip(reply->body, (size_t)(at - reply->body.data) + strlen(begin));
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  cr_assert(base64_decode(slice_make(rest.data, slice_find(rest, '"', 0)), &bytes));
  cr_expect(fixture_contains(strbuf_slice(&bytes), part), "no %s in the %s", part, type);
  strbuf_free(&bytes);
}

// ---- by POST ----

Test(connect, a_call_in_json_is_answered_in_json)
{
  cr_assert_eq(send(post(ITEMS "GetItem", "application/json"), SLICE(JSON_OF_ID)), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, get_item_request()));
  const struct exchange_reply *reply = answer_with_item("item.v1.ItemService/GetItem");
  cr_expect_eq(reply->http_status, 200);
  cr_expect(slice_equal(reply->content_type, SLICE("application/json")));
  cr_expect(fixture_contains(reply->body, "\"name\":\"Lamp\""));
  assert_header(reply, "Cache-Control", "no-store");
  cr_expect_null(fixture_header(reply, "ETag").data, "a POST is never a condition of another");
}

Test(connect, a_text_that_is_an_object_in_rest_is_a_text_as_the_contract_has_it)
{
  cr_assert_eq(send(post(ITEMS "GetItem", "application/json"), SLICE(JSON_OF_ID)), EXCHANGE_WAITING);
  struct strbuf item;
  strbuf_init(&item, 0);
  strbuf_add(&item, fixture_item(fixture, "Lamp", "e1"));
  const struct contract_message *message = contract_message_by_name(fixture->api->contract, SLICE("item.v1.Item"));
  wire_write_bytes(&item, contract_field_by_name(message, SLICE("attributes"))->number, SLICE("{\"a\":1}"));
  fixture_answer(fixture_call(fixture, 1), kept(&item));
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect(fixture_contains(reply->body, "\"attributes\":\"{\\\"a\\\":1}\""), SLICE_FMT, SLICE_ARG(reply->body));
}

Test(connect, a_call_in_protobuf_is_answered_in_protobuf)
{
  cr_assert_eq(send(post(ITEMS "GetItem", "application/proto"), get_item_request()), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, get_item_request()));
  const struct exchange_reply *reply = answer_with_item("item.v1.ItemService/GetItem");
  cr_expect(slice_equal(reply->content_type, SLICE("application/proto")));
  cr_expect(slice_equal(reply->body, fixture_item(fixture, "Lamp", "e1")));
}

Test(connect, the_status_of_a_success_is_200_whatever_rest_has)
{
  cr_assert_eq(send(post(ITEMS "DeleteItem", "application/json"), SLICE(JSON_OF_ID)), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 1), (struct slice){0});
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect(slice_equal(reply->body, SLICE("{}")));
}

Test(connect, what_the_path_of_rest_names_is_in_the_message)
{
  struct exchange_input input = post(ITEMS "UpdateItem", "application/json");
  cr_assert_eq(send(input, SLICE("{\"item\":" JSON_OF_ID ",\"updateMask\":\"name\"}")), EXCHANGE_DONE);
  again();
  cr_assert_eq(send(input, SLICE("{\"item\":{\"id\":\"" FIXTURE_ITEM_ID "\",\"name\":\"Lamp\"},"
                                 "\"updateMask\":\"name\"}")),
               EXCHANGE_WAITING);
  cr_expect(fixture_contains(fixture_call(fixture, 1)->payload, FIXTURE_ITEM_ID));
}

Test(connect, a_body_that_is_left_out_is_an_empty_message_in_protobuf_only)
{
  struct exchange_input input = post(ITEMS "ListItems", "application/proto");
  input.has_body = false;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  again();
  input = post(ITEMS "ListItems", "application/json");
  input.has_body = false;
  (void)start(input);
  assert_detail(assert_error(400, "invalid_argument", "not valid"), "BadRequest", "must not be empty");
}

Test(connect, bodies_compressed_by_gzip_are_expanded)
{
  struct strbuf packed;
  strbuf_init(&packed, 0);
  gzip_compress(SLICE(JSON_OF_ID), &packed);
  headers[0] = (struct test_header){"Content-Encoding", SLICE("gzip")};
  cr_assert_eq(send(post(ITEMS "GetItem", "application/json"), kept(&packed)), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, get_item_request()));
}

Test(connect, other_codings_are_unimplemented)
{
  headers[0] = (struct test_header){"Content-Encoding", SLICE("br")};
  struct exchange_input input = post(ITEMS "GetItem", "application/json");
  assert_header((start(input), assert_error(415, "unimplemented", "gzip or identity")), "Accept-Encoding",
                "gzip, identity");
}

// ---- how failures are told ----

Test(connect, a_failure_of_the_service_has_its_code_and_reason)
{
  cr_assert_eq(send(post(ITEMS "GetItem", "application/proto"), get_item_request()), EXCHANGE_WAITING);
  const struct rpc_status status = {
      .code = STATUS_NOT_FOUND, .reason = SLICE("ITEM_NOT_FOUND"), .message = SLICE("there is no item \"x\"")};
  fixture_answer_status(fixture_call(fixture, 1), &status);
  assert_detail(assert_error(404, "not_found", "there is no item \\\"x\\\""), "ErrorInfo", "ITEM_NOT_FOUND");
}

Test(connect, the_http_status_is_that_of_the_code)
{
  static const struct {
    enum status code;
    struct slice reason;
    int http_status;
    const char *name;
    int outcome;
  } CASES[] = {
      {STATUS_ABORTED, SLICE_INIT("ETAG_MISMATCH"), 409, "aborted", 412},
      {STATUS_FAILED_PRECONDITION, SLICE_INIT("IDEMPOTENCY_KEY_REUSED"), 400, "failed_precondition", 422},
      {STATUS_CANCELLED, SLICE_INIT("X"), 499, "canceled", 503},
      {STATUS_UNAVAILABLE, SLICE_INIT("X"), 503, "unavailable", 503},
      {STATUS_INTERNAL, SLICE_INIT("X"), 500, "internal", 500},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    cr_assert_eq(send(post(ITEMS "GetItem", "application/proto"), get_item_request()), EXCHANGE_WAITING);
    const struct rpc_status status = {.code = CASES[i].code, .reason = CASES[i].reason, .message = SLICE("words")};
    fixture_answer_status(fixture_call(fixture, i + 1), &status);
    cr_expect_eq(assert_error(CASES[i].http_status, CASES[i].name, "")->outcome, CASES[i].outcome);
    again();
  }
}

Test(connect, when_to_try_again_is_in_the_details)
{
  cr_assert_eq(send(post(ITEMS "GetItem", "application/proto"), get_item_request()), EXCHANGE_WAITING);
  const struct rpc_status status = {.code = STATUS_RESOURCE_EXHAUSTED, .retry_after_ms = 2000};
  fixture_answer_status(fixture_call(fixture, 1), &status);
  const struct exchange_reply *reply = assert_error(429, "resource_exhausted", "");
  assert_header(reply, "Retry-After", "2");
  assert_detail(reply, "RetryInfo", "\x08\x02");
}

Test(connect, violations_are_those_of_rest)
{
  cr_assert_eq(send(post(ITEMS "CreateItem", "application/json"), SLICE("{\"item\":{\"name\":7},\"other\":1}")),
               EXCHANGE_DONE);
  const struct exchange_reply *reply = assert_error(400, "invalid_argument", "the request is not valid");
  assert_detail(reply, "BadRequest", "item.name");
  assert_detail(reply, "BadRequest", "item.sku");
  assert_detail(reply, "BadRequest", "is not a field that is known here");
}

Test(connect, without_a_token_the_call_is_unauthenticated)
{
  struct exchange_input input = post(ITEMS "GetItem", "application/json");
  input.authorization = (struct slice){0};
  (void)start(input);
  assert_detail(assert_error(401, "unauthenticated", "an access token is required"), "ErrorInfo", "TOKEN_MISSING");
}

Test(connect, a_time_limit_that_cannot_be_read_is_refused)
{
  struct exchange_input input = post(ITEMS "GetItem", "application/json");
  input.time_limits.connect_timeout_ms = SLICE("1s");
  (void)start(input);
  assert_detail(assert_error(400, "invalid_argument", ""), "BadRequest", "Connect-Timeout-Ms");
}

Test(connect, versions_other_than_1_are_refused)
{
  headers[0] = (struct test_header){"Connect-Protocol-Version", SLICE("2")};
  struct exchange_input input = post(ITEMS "GetItem", "application/json");
  (void)start(input);
  (void)assert_error(400, "invalid_argument", "Connect-Protocol-Version must be 1");
}

Test(connect, other_types_are_refused_with_those_that_are_taken)
{
  static const char *const TYPES[] = {"text/plain", "", "application/proto; charset=utf-8", "application/connect+json"};
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
    struct exchange_input input = post(ITEMS "GetItem", TYPES[i]);
    (void)start(input);
    assert_header(assert_error(415, "unimplemented", "content type"), "Accept-Post",
                  "application/json, application/proto");
    again();
  }
}

Test(connect, unknown_methods_are_unimplemented_where_connect_is_meant)
{
  struct exchange_input input = post(ITEMS "None", "application/proto");
  (void)start(input);
  (void)assert_error(404, "unimplemented", "there is no such method");
  again();
  headers[0] = (struct test_header){"Connect-Protocol-Version", SLICE("1")};
  input = post(ITEMS "None", "application/json");
  (void)start(input);
  (void)assert_error(404, "unimplemented", "there is no such method");
  again();
  input = get(ITEMS "None", "a=b&connect=v1");
  (void)start(input);
  (void)assert_error(404, "unimplemented", "there is no such method");
  again();
  headers[0] = (struct test_header){0};
  input = post(ITEMS "None", "application/json");
  assert_problem(start(input), 404, "NO_SUCH_PATH");
}

Test(connect, what_nginx_refuses_is_told_in_the_same_way)
{
  static const struct {
    int refused, told;
    const char *code;
  } CASES[] = {{413, 429, "resource_exhausted"}, {400, 400, "invalid_argument"},  {503, 503, "unavailable"},
               {429, 429, "resource_exhausted"}, {408, 504, "deadline_exceeded"}, {405, 405, "unimplemented"}};
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange_input input = post(ITEMS "GetItem", "application/proto");
    exchange_fail_http(exchange, &input, CASES[i].refused);
    (void)assert_error(CASES[i].told, CASES[i].code, "");
    again();
  }
}

// ---- by GET ----

#define GET_QUERY "connect=v1&encoding=json&message=%7B%22id%22%3A%22" FIXTURE_ITEM_ID "%22%7D"

Test(connect, a_method_that_changes_nothing_may_be_called_by_get)
{
  struct exchange_input input = get(ITEMS "GetItem", GET_QUERY);
  (void)start_call(input);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, get_item_request()));
  const struct exchange_reply *reply = answer_with_item("item.v1.ItemService/GetItem");
  cr_expect_eq(reply->http_status, 200);
  assert_header(reply, "ETag", "\"e1\"");
  assert_header(reply, "Cache-Control", "private, no-cache");
  cr_expect(reply->has_etag);
}

Test(connect, an_etag_that_the_client_has_saves_the_body)
{
  struct exchange_input input = get(ITEMS "GetItem", GET_QUERY);
  input.if_none_match = SLICE("\"e1\"");
  (void)start_call(input);
  cr_expect_eq(answer_with_item("item.v1.ItemService/GetItem")->http_status, 304);
}

static const char *query_of(struct slice message, const char *more)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(message, &text);
  const char *query = arena_printf(&fixture->arena, "encoding=proto&base64=1&message=" SLICE_FMT "%s",
                                   SLICE_ARG(strbuf_slice(&text)), more);
  strbuf_free(&text);
  return query;
}

Test(connect, the_message_of_a_get_may_be_protobuf_in_base64_and_compressed)
{
  struct exchange_input input = get(ITEMS "GetItem", query_of(get_item_request(), ""));
  (void)start_call(input);
  cr_expect(slice_equal(fixture_call(fixture, 1)->payload, get_item_request()));
  const struct exchange_reply *reply = answer_with_item("item.v1.ItemService/GetItem");
  cr_expect(slice_equal(reply->content_type, SLICE("application/proto")));
  again();
  struct strbuf packed;
  strbuf_init(&packed, 0);
  gzip_compress(get_item_request(), &packed);
  input = get(ITEMS "GetItem", query_of(kept(&packed), "&compression=gzip&connect=v1&unknown=1"));
  input.authorization = fixture_bearer(fixture, "user", 900);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  cr_expect(slice_equal(fixture_call(fixture, 2)->payload, get_item_request()));
}

Test(connect, queries_that_are_no_call_are_refused)
{
  static const struct {
    const char *query;
    int http_status;
    const char *code, *part;
  } CASES[] = {
      {"", 400, "invalid_argument", "encoding must come once"},
      {"encoding=json&encoding=json&message=", 400, "invalid_argument", "encoding must come once"},
      {"encoding=xml&message=", 415, "unimplemented", "encoding must be json or proto"},
      {"connect=v2&encoding=json&message=", 400, "invalid_argument", "connect must be v1"},
      {"encoding=json", 400, "invalid_argument", "message must come once"},
      {"encoding=json&message=%zz", 400, "invalid_argument", "message must come once"},
      {"encoding=proto&base64=1&message=*", 400, "invalid_argument", "not base64"},
      {"encoding=proto&base64=1&message=Cg&compression=br", 415, "unimplemented", "gzip or identity"},
      {"encoding=proto&base64=1&message=Cg&compression=gzip", 400, "invalid_argument", "not whole gzip"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct exchange_input input = get(ITEMS "GetItem", CASES[i].query);
    (void)start(input);
    (void)assert_error(CASES[i].http_status, CASES[i].code, CASES[i].part);
    again();
  }
}

Test(connect, a_method_that_may_change_something_is_called_by_post_only)
{
  struct exchange_input input = get(ITEMS "DeleteItem", GET_QUERY);
  assert_header((start(input), assert_error(405, "unimplemented", "by POST only")), "Allow", "POST, OPTIONS");
  again();
  input = post(ITEMS "GetItem", "application/json");
  input.method = SLICE("PUT");
  assert_header((start(input), assert_error(405, "unimplemented", "by POST")), "Allow", "GET, HEAD, POST, OPTIONS");
}

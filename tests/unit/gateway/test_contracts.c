// What the contracts of this repository do not use: cache lifetimes, parts of a response as the body, other statuses.
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/one_exchange.h"

static const char CONTRACT[] =
    "service TestService {\n"
    "  rpc GetLong(Request) returns (Reply) {\n"
    "    option (google.api.http) = {get: \"/long\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC cache_ttl_ms: 60000};\n"
    "    option idempotency_level = NO_SIDE_EFFECTS;\n"
    "  }\n"
    "  rpc GetShort(Request) returns (Reply) {\n"
    "    option (google.api.http) = {get: \"/short\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC cache_ttl_ms: 999};\n"
    "    option idempotency_level = NO_SIDE_EFFECTS;\n"
    "  }\n"
    "  rpc GetSecond(Request) returns (Reply) {\n"
    "    option (google.api.http) = {get: \"/second\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC cache_ttl_ms: 1000};\n"
    "    option idempotency_level = NO_SIDE_EFFECTS;\n"
    "  }\n"
    "  rpc GetSigned(Request) returns (Reply) {\n"
    "    option (google.api.http) = {get: \"/signed\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_AUTHENTICATED cache_ttl_ms: 60000};\n"
    "    option idempotency_level = NO_SIDE_EFFECTS;\n"
    "  }\n"
    "  rpc GetPart(Request) returns (Reply) {\n"
    "    option (google.api.http) = {get: \"/part\" response_body: \"part\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc GetNames(Request) returns (Names) {\n"
    "    option (google.api.http) = {get: \"/names\" response_body: \"names\"\n"
    "      additional_bindings {get: \"/count\" response_body: \"count\"}};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc MakeReply(Request) returns (Reply) {\n"
    "    option (google.api.http) = {post: \"/make\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC success_status: 202 location: \"/made/{name}\"};\n"
    "  }\n"
    "  rpc Change(Request) returns (Reply) {\n"
    "    option (google.api.http) = {get: \"/recent\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_AUTHENTICATED max_auth_age_s: 600};\n"
    "  }\n"
    "}\n"
    "message Request { string name = 1; }\n"
    "message Reply { string name = 1; Part part = 2; }\n"
    "message Names { repeated string names = 1; int64 count = 2;"
    " string etag = 3 [(bulkhead.v1.field) = {to_header: \"ETag\"}]; }\n"
    "message Part { string name = 1; string etag = 2 [(bulkhead.v1.field) = {to_header: \"ETag\"}]; }\n";

static void open_contract(void)
{
  fixture = fixture_open_with(CONTRACT);
  fixture_give_keys(fixture);
  exchange = fixture_exchange(fixture);
}

TestSuite(contracts, .init = open_contract, .fini = close_all);

static const struct exchange_reply *get(const char *path, struct slice payload)
{
  fixture_answer(start_call(fixture_input("GET", path)), payload);
  return exchange_reply(exchange);
}

Test(contracts, a_public_reply_may_be_cached_as_long_as_its_contract_says)
{
  assert_header(get("/long", SLICE("")), "Cache-Control", "public, max-age=60");
}

Test(contracts, less_than_a_second_is_no_lifetime)
{
  assert_header(get("/short", SLICE("")), "Cache-Control", "no-cache");
}

Test(contracts, a_second_is_a_lifetime)
{
  assert_header(get("/second", SLICE("")), "Cache-Control", "public, max-age=1");
}

Test(contracts, what_a_caller_must_sign_in_for_is_never_stored)
{
  assert_header(get("/signed", SLICE("")), "Cache-Control", "no-store");
}

static struct slice reply_with_parts(size_t count)
{
  static char bytes[256];
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, SLICE("outer"));
  for (size_t i = 0; i < count; i++) {
    size_t mark = wire_begin_nested(&wire, 2);
    wire_write_bytes(&wire, 1, i + 1 == count ? SLICE("last") : SLICE("first"));
    wire_write_bytes(&wire, 2, SLICE("v7"));
    wire_end_nested(&wire, mark);
  }
  cr_assert_leq(wire.size, sizeof(bytes));
  memcpy(bytes, wire.data, wire.size);
  struct slice copy = slice_make(bytes, wire.size);
  strbuf_free(&wire);
  return copy;
}

Test(contracts, a_part_of_the_response_is_the_body)
{
  const struct exchange_reply *reply = get("/part", reply_with_parts(1));
  cr_assert(slice_equal_string(reply->body, "{\"name\":\"last\",\"etag\":\"v7\"}"), SLICE_FMT, SLICE_ARG(reply->body));
  assert_header(reply, "ETag", "\"v7\"");
}

Test(contracts, the_last_part_counts)
{
  cr_assert(fixture_contains(get("/part", reply_with_parts(2))->body, "last"));
}

Test(contracts, a_part_that_is_not_there_is_empty)
{
  const struct exchange_reply *reply = get("/part", reply_with_parts(0));
  cr_assert(slice_equal_string(reply->body, "{\"name\":\"\",\"etag\":\"\"}"), SLICE_FMT, SLICE_ARG(reply->body));
}

// Makes a response with so many names.
static struct slice reply_with_names(struct strbuf *wire, size_t count)
{
  for (size_t i = 0; i < count; i++)
    wire_write_bytes(wire, 1, SLICE("a name of some length"));
  wire_write_varint(wire, 2, count);
  wire_write_bytes(wire, 3, SLICE("v3"));
  return strbuf_slice(wire);
}

// A value that is no message travels alone, and the response's other fields can still be headers.
Test(contracts, a_list_of_the_response_is_the_body)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  const struct exchange_reply *reply = get("/names", reply_with_names(&wire, 2));
  cr_expect(slice_equal_string(reply->body, "[\"a name of some length\",\"a name of some length\"]"), SLICE_FMT,
            SLICE_ARG(reply->body));
  cr_expect_eq(reply->http_status, 200);
  assert_header(reply, "ETag", "\"v3\"");
  strbuf_free(&wire);
}

Test(contracts, a_number_of_the_response_is_the_body)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  const struct exchange_reply *reply = get("/count", reply_with_names(&wire, 3));
  cr_expect(slice_equal_string(reply->body, "\"3\""), SLICE_FMT, SLICE_ARG(reply->body));
  strbuf_free(&wire);
}

Test(contracts, a_large_list_of_the_response_is_written_in_pieces)
{
  enum { NAMES = 20000 };
  struct strbuf wire;
  strbuf_init(&wire, 0);
  fixture_answer(start_call(fixture_input("GET", "/names")), reply_with_names(&wire, NAMES));
  memset(wire.data, 0xff, wire.size);
  strbuf_free(&wire);
  size_t pieces = 1;
  while (exchange_write(exchange) == EXCHANGE_WRITING)
    pieces++;
  cr_expect_gt(pieces, 3);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect_eq(reply->body.size, NAMES * strlen("\"a name of some length\",") + 1);
  cr_expect(fixture_contains(reply->body, "\"a name of some length\"]"));
}

Test(contracts, the_document_describes_such_bodies)
{
  struct slice document = strbuf_slice(&fixture->api->openapi);
  cr_expect(fixture_contains(document, "\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"));
  cr_expect(fixture_contains(document, "\"schema\":{\"type\":\"string\",\"format\":\"int64\""));
}

Test(contracts, a_broken_response_has_no_part)
{
  assert_problem(get("/part", SLICE("\x0a\x7f")), 500, "INTERNAL");
}

Test(contracts, success_may_have_another_status_and_a_location)
{
  struct exchange_input input = fixture_input("POST", "/make");
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"name\":\"x\"}")), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, 1), reply_with_parts(0));
  cr_assert_eq(exchange_reply(exchange)->http_status, 202);
  assert_header(exchange_reply(exchange), "Location", "/made/outer");
}

static struct exchange_input input_of_login(int64_t age_s)
{
  struct exchange_input input = fixture_input("GET", "/recent");
  fixture_auth_time = age_s < 0 ? 0 : fixture_wall_us / 1000000 - age_s;
  input.authorization = fixture_bearer(fixture, NULL, 900);
  return input;
}

Test(contracts, a_recent_login_is_let_in)
{
  fixture_answer(start_call(input_of_login(600)), reply_with_parts(0));
  cr_expect_eq(exchange_reply(exchange)->http_status, 200);
}

static void assert_login_too_old(int64_t age_s)
{
  const struct exchange_reply *reply = start(input_of_login(age_s));
  assert_problem(reply, 401, "\"reason\":\"LOGIN_TOO_OLD\"");
  assert_problem(reply, 401, "log in again and repeat the request");
  assert_header(reply, "WWW-Authenticate",
                "Bearer realm=\"bulkhead\", error=\"insufficient_user_authentication\", error_description=\"this needs "
                "a recent login; log in again and repeat the request with the new access token\", max_age=600");
}

Test(contracts, an_old_login_is_told_how_old_it_may_be)
{
  assert_login_too_old(601);
}

Test(contracts, a_token_that_does_not_say_when_its_user_logged_in_is_too_old)
{
  assert_login_too_old(-1);
}

Test(contracts, the_document_says_how_recent_a_login_must_be)
{
  struct slice document = strbuf_slice(&fixture->api->openapi);
  cr_expect(fixture_contains(document, "Needs a login that is not older than 600 seconds."));
  cr_expect(fixture_contains(document, "\"LOGIN_TOO_OLD\":{\"value\":{"));
  cr_expect(fixture_contains(document, "this needs a recent login; log in again and repeat the request with the new "
                                       "access token"));
}

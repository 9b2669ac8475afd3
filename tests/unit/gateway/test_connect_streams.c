// Streams of Connect: of the service, of the client, and both; in JSON and protobuf.
#include <criterion/criterion.h>

#include "common/base/codec.h"
#include "common/base/compiler.h"
#include "gateway/gzip.h"
#include "tests/unit/gateway/fixture.h"

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Watch(Question) returns (stream Answer) {\n"
    "    option idempotency_level = NO_SIDE_EFFECTS;\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Ask(stream Question) returns (stream Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC, max_body_bytes: 100};\n"
    "  }\n"
    "  rpc Import(stream Question) returns (Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Get(Question) returns (Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message Question { string text = 1; }\n"
    "message Answer { string text = 1; string hidden = 2 [(bulkhead.v1.field).secret = true]; }\n";

#define JSON "application/connect+json"
#define PROTO "application/connect+proto"
#define GOOD_END "\x02\0\0\0\x02{}"

static struct fixture *fixture;
static struct exchange *exchange;
static struct fixture_call *call;
static struct slice coding, version;

static struct slice find_header(void *arg, const char *name)
{
  (void)arg;
  if (strcmp(name, "Connect-Content-Encoding") == 0)
    return coding;
  return strcmp(name, "Connect-Protocol-Version") == 0 ? version : (struct slice){0};
}

static struct exchange_input post(const char *path, const char *content_type)
{
  struct exchange_input input = fixture_input("POST", path);
  input.content_type = slice_from_string(content_type);
  input.is_http2 = true;
  input.has_body = true;
  input.header = find_header;
  return input;
}

static void again(void)
{
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
}

// Opens the stream that a service sends.
static void open_watch(const char *content_type, struct slice body)
{
  again();
  struct exchange_input input = post("/test.v1.S/Watch", content_type);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, body), EXCHANGE_WAITING);
  call = fixture_call(fixture, fixture->call_count - 1);
  cr_assert_str_eq(call->method, "test.v1.S/Watch");
}

// Opens a stream that the client sends.
static void open_other(const char *path, const char *content_type)
{
  again();
  struct exchange_input input = post(path, content_type);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_STREAM);
  call = fixture_call(fixture, fixture->call_count - 1);
}

static void open_all(void)
{
  coding = version = (struct slice){0};
  fixture = fixture_open_with(CONTRACT);
  exchange = fixture_exchange(fixture);
}

static void close_all(void)
{
  exchange_close(&exchange);
  fixture_close(fixture);
}

TestSuite(connect_streams, .init = open_all, .fini = close_all);

static void assert_next(struct slice wanted)
{
  struct slice next = exchange_stream_next(exchange);
  cr_assert(slice_equal(next, wanted), "%zu bytes instead of %zu", next.size, wanted.size);
}

// Asserts that the bytes are the end of a stream with this error.
static void assert_end(struct slice end, const char *code, const char *part)
{
  cr_assert(end.size > 5 && end.data[0] == 2);
  cr_assert_eq((size_t)(unsigned char)end.data[3] << 8 | (unsigned char)end.data[4], end.size - 5);
  struct slice json = slice_skip(end, 5);
  cr_assert(slice_starts_with(json, SLICE("{\"error\":{\"code\":\"")), SLICE_FMT, SLICE_ARG(json));
  cr_assert(fixture_contains(json, code) && fixture_contains(json, part), "wanted %s with %s; it is " SLICE_FMT, code,
            part, SLICE_ARG(json));
}

// Asserts that the reply is the end of a stream alone.
static void assert_failed(const char *code, const char *part)
{
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_assert_eq(reply->http_status, 200);
  cr_assert(slice_starts_with(reply->content_type, SLICE("application/connect+")));
  assert_end(reply->body, code, part);
}

// Asserts that the reply is an error of a call without streams.
static void assert_refused(int http_status, const char *part)
{
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_assert_eq(reply->http_status, http_status);
  cr_assert(slice_equal(reply->content_type, SLICE("application/json")));
  cr_assert(slice_starts_with(reply->body, SLICE("{\"code\":\"unimplemented\"")));
  cr_assert(fixture_contains(reply->body, part), SLICE_FMT, SLICE_ARG(reply->body));
}

// ---- the service's stream ----

Test(connect_streams, messages_in_json_leave_as_they_come_without_secrets)
{
  open_watch(JSON, SLICE("\0\0\0\0\x0c{\"text\":\"x\"}"));
  cr_assert(slice_equal(call->payload, SLICE("\x0a\x01x")));
  fixture_send(call, SLICE("\x0a\x01y\x12\x01z"));
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect(slice_equal(reply->content_type, SLICE(JSON)));
  assert_next(SLICE("\0\0\0\0\x0c{\"text\":\"y\"}"));
  fixture_send(call, SLICE("\x0a\x01w"));
  fixture_answer(call, SLICE(""));
  assert_next(SLICE("\0\0\0\0\x0c{\"text\":\"w\"}" GOOD_END));
  assert_next(SLICE(""));
  cr_assert(exchange_stream_is_sent(exchange));
  cr_expect_eq(exchange_reply(exchange)->outcome, 200);
}

Test(connect_streams, messages_in_protobuf_leave_as_they_come_without_secrets)
{
  open_watch(PROTO, SLICE("\0\0\0\0\x03\x0a\x01x"));
  cr_assert(slice_equal(call->payload, SLICE("\x0a\x01x")));
  fixture_send(call, SLICE("\x0a\x01y\x12\x01z"));
  cr_expect(slice_equal(exchange_reply(exchange)->content_type, SLICE(PROTO)));
  fixture_answer(call, SLICE(""));
  assert_next(SLICE("\0\0\0\0\x03\x0a\x01y" GOOD_END));
}

Test(connect_streams, a_stream_without_messages_ends_well)
{
  open_watch(JSON, SLICE("\0\0\0\0\x02{}"));
  fixture_answer(call, SLICE(""));
  cr_assert_eq(fixture->progress, EXCHANGE_STREAMING);
  assert_next(SLICE(GOOD_END));
}

Test(connect_streams, a_failure_after_messages_is_in_the_last_envelope)
{
  open_watch(JSON, SLICE("\0\0\0\0\x02{}"));
  fixture_send(call, SLICE("\x0a\x01y"));
  assert_next(SLICE("\0\0\0\0\x0c{\"text\":\"y\"}"));
  const struct rpc_status status = {.code = STATUS_ABORTED, .reason = SLICE("GONE"), .message = SLICE("it is over")};
  fixture_answer_status(call, &status);
  assert_end(exchange_stream_next(exchange), "\"aborted\"", "it is over");
  assert_next(SLICE(""));
  cr_assert(exchange_stream_is_sent(exchange));
  cr_expect_eq(exchange_reply(exchange)->outcome, 409);
}

Test(connect_streams, a_failure_before_the_first_message_is_in_the_only_envelope)
{
  open_watch(PROTO, SLICE("\0\0\0\0\0"));
  const struct rpc_status status = {.code = STATUS_NOT_FOUND, .message = SLICE("nothing to watch")};
  fixture_answer_status(call, &status);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  assert_failed("\"not_found\"", "nothing to watch");
  cr_expect_eq(exchange_reply(exchange)->outcome, 404);
}

Test(connect_streams, a_message_that_does_not_fit_its_contract_ends_the_call)
{
  static const char *const TYPES[] = {JSON, PROTO};
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
    open_watch(TYPES[i], i == 0 ? SLICE("\0\0\0\0\x02{}") : SLICE("\0\0\0\0\0"));
    fixture_send(call, SLICE("\x0a\x7f"));
    cr_expect(call->cancelled);
    assert_end(exchange_stream_next(exchange), "\"internal\"", "details");
  }
}

Test(connect_streams, bodies_that_are_not_one_message_are_refused)
{
  static const struct {
    struct slice body;
    const char *code, *part;
  } WRONG[] = {
      {SLICE_INIT("\0\0\0\0"), "invalid_argument", "no whole message"},
      {SLICE_INIT("\0\0\0\0\x03{}"), "invalid_argument", "shorter than its prefix"},
      {SLICE_INIT("\0\0\0\0\x02{}\0\0\0\0\x02{}"), "unimplemented", "takes one message"},
      {SLICE_INIT("\x02\0\0\0\x02{}"), "invalid_argument", "must be 0 or 1"},
      {SLICE_INIT("\x01\0\0\0\x02{}"), "internal", "Connect-Content-Encoding: gzip"},
      {SLICE_INIT("\0\0\0\0\x02[]"), "invalid_argument", "not valid"},
  };
  for (size_t i = 0; i < ARRAY_LEN(WRONG); i++) {
    again();
    struct exchange_input input = post("/test.v1.S/Watch", JSON);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
    cr_assert_eq(exchange_body(exchange, WRONG[i].body), EXCHANGE_DONE, "case %zu", i);
    assert_failed(WRONG[i].code, WRONG[i].part);
  }
}

Test(connect_streams, a_call_without_a_body_has_no_message)
{
  struct exchange_input input = post("/test.v1.S/Watch", JSON);
  input.has_body = false;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_failed("invalid_argument", "no message");
}

Test(connect_streams, compressed_messages_are_taken_as_the_head_says)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add(&body, SLICE("\x01\0\0\0\0"));
  gzip_compress(SLICE("{\"text\":\"x\"}"), &body);
  body.data[4] = (char)(body.size - 5);
  coding = SLICE("gzip");
  open_watch(JSON, strbuf_slice(&body));
  cr_assert(slice_equal(call->payload, SLICE("\x0a\x01x")));
  open_other("/test.v1.S/Import", JSON);
  struct slice bytes = strbuf_slice(&body);
  cr_assert(exchange_feed(exchange, &bytes, false));
  cr_assert(call->written == 1 && slice_equal(call->last_written, SLICE("\x0a\x01x")));
  strbuf_free(&body);
}

Test(connect_streams, nothing_is_never_compressed)
{
  coding = SLICE("gzip");
  open_watch(PROTO, SLICE("\x01\0\0\0\0"));
  cr_assert_eq(call->payload.size, 0);
}

Test(connect_streams, other_codings_are_unimplemented)
{
  static const char *const PATHS[] = {"/test.v1.S/Watch", "/test.v1.S/Ask"};
  coding = SLICE("br");
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    again();
    struct exchange_input input = post(PATHS[i], PROTO);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
    assert_failed("\"unimplemented\"", "gzip or identity");
    cr_expect(slice_equal_string(fixture_header(exchange_reply(exchange), "Connect-Accept-Encoding"), "gzip"));
  }
}

Test(connect_streams, versions_other_than_1_are_refused)
{
  version = SLICE("2");
  struct exchange_input input = post("/test.v1.S/Watch", JSON);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_failed("invalid_argument", "Connect-Protocol-Version must be 1");
}

// ---- the client's stream ----

static bool feed(struct slice bytes, bool is_last)
{
  return exchange_feed(exchange, &bytes, is_last);
}

Test(connect_streams, messages_come_in_any_pieces)
{
  static const struct slice BYTES[] = {
      SLICE_INIT("\0\0\0\0\x0c{\"text\":\"x\"}\0\0\0\0\x02{}\0\0\0\0\x0c{\"text\":\"y\"}"),
      SLICE_INIT("\0\0\0\0\x03\x0a\x01x\0\0\0\0\0\0\0\0\0\x03\x0a\x01y"),
  };
  static const char *const TYPES[] = {JSON, PROTO};
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
    for (size_t size = 1; size <= BYTES[i].size; size++) {
      open_other("/test.v1.S/Ask", TYPES[i]);
      for (size_t at = 0; at < BYTES[i].size; at += size)
        cr_assert(feed(slice_make(BYTES[i].data + at, BYTES[i].size - at < size ? BYTES[i].size - at : size), false));
      cr_assert(call->written == 3 && slice_equal(call->last_written, SLICE("\x0a\x01y")));
    }
  }
}

Test(connect_streams, both_ways_messages_go_while_others_come)
{
  open_other("/test.v1.S/Ask", JSON);
  cr_assert(feed(SLICE("\0\0\0\0\x0c{\"text\":\"x\"}"), false));
  fixture_send(call, SLICE("\x0a\x01y"));
  assert_next(SLICE("\0\0\0\0\x0c{\"text\":\"y\"}"));
  cr_assert(feed(SLICE("\0\0\0\0\x0c{\"text\":\"z\"}"), false));
  cr_assert(call->written == 2 && slice_equal(call->last_written, SLICE("\x0a\x01z")));
  cr_assert(feed((struct slice){0}, true));
  cr_assert(call->is_half_closed);
  fixture_answer(call, SLICE(""));
  assert_next(SLICE(GOOD_END));
}

Test(connect_streams, the_answer_to_a_stream_is_one_message)
{
  open_other("/test.v1.S/Import", JSON);
  cr_assert(feed(SLICE("\0\0\0\0\x02{}"), true));
  fixture_answer(call, SLICE("\x0a\x01x\x12\x01y"));
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  cr_assert(slice_equal(exchange_reply(exchange)->body, SLICE("\0\0\0\0\x0c{\"text\":\"x\"}" GOOD_END)));
  open_other("/test.v1.S/Import", PROTO);
  cr_assert(feed((struct slice){0}, true));
  fixture_answer(call, SLICE("\x0a\x01x"));
  cr_assert(slice_equal(exchange_reply(exchange)->body, SLICE("\0\0\0\0\x03\x0a\x01x" GOOD_END)));
}

Test(connect_streams, what_is_no_stream_of_messages_ends_the_call)
{
  static const struct {
    struct slice bytes;
    const char *code, *part;
  } WRONG[] = {
      {SLICE_INIT("\0\0\0\0"), "invalid_argument", "shorter than its prefix"},
      {SLICE_INIT("\0\0\0\0\x02{"), "invalid_argument", "shorter than its prefix"},
      {SLICE_INIT("\0\0\0\0\x65"), "resource_exhausted", "100 bytes at most"},
      {SLICE_INIT("\x02\0\0\0\x02{}"), "invalid_argument", "must be 0 or 1"},
      {SLICE_INIT("\x03\0\0\0\x02{}"), "invalid_argument", "must be 0 or 1"},
      {SLICE_INIT("\x01\0\0\0\x01z"), "internal", "Connect-Content-Encoding: gzip"},
      {SLICE_INIT("\0\0\0\0\x0a{\"text\":1}"), "invalid_argument", "not valid"},
      {SLICE_INIT("\0\0\0\0\0"), "invalid_argument", "not valid"},
  };
  for (size_t i = 0; i < ARRAY_LEN(WRONG); i++) {
    open_other("/test.v1.S/Ask", JSON);
    cr_assert(feed(WRONG[i].bytes, true));
    cr_assert(call->cancelled && fixture->progress == EXCHANGE_DONE, "case %zu", i);
    assert_failed(WRONG[i].code, WRONG[i].part);
  }
}

Test(connect_streams, a_wrong_message_after_the_head_is_told_in_the_last_envelope)
{
  open_other("/test.v1.S/Ask", JSON);
  fixture_send(call, SLICE("\x0a\x01y"));
  assert_next(SLICE("\0\0\0\0\x0c{\"text\":\"y\"}"));
  cr_assert(feed(SLICE("\0\0\0\0\x02[]"), false));
  cr_assert(call->cancelled);
  assert_end(exchange_stream_next(exchange), "invalid_argument", "google.rpc.BadRequest");
}

// ---- which calls ----

Test(connect_streams, calls_without_streams_have_other_types)
{
  struct exchange_input input = post("/test.v1.S/Get", JSON);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_refused(415, "application/json or application/proto");
  cr_expect(slice_equal_string(fixture_header(exchange_reply(exchange), "Accept-Post"),
                               "application/json, application/proto"));
}

Test(connect_streams, calls_with_streams_are_refused_as_calls_without)
{
  static const char *const PATHS[] = {"/test.v1.S/Watch", "/test.v1.S/Ask", "/test.v1.S/Import"};
  static const char *const TYPES[] = {"application/json", "application/proto", "application/connect+xml", ""};
  for (size_t i = 0; i < ARRAY_LEN(PATHS) * ARRAY_LEN(TYPES); i++) {
    again();
    struct exchange_input input = post(PATHS[i % ARRAY_LEN(PATHS)], TYPES[i / ARRAY_LEN(PATHS)]);
    cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
    assert_refused(415, "application/connect+json or application/connect+proto");
    cr_expect(slice_equal_string(fixture_header(exchange_reply(exchange), "Accept-Post"), JSON ", " PROTO));
  }
}

Test(connect_streams, streams_are_called_by_post)
{
  struct exchange_input input = post("/test.v1.S/Watch", JSON);
  input.method = SLICE("GET");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_refused(405, "by POST");
  cr_expect(slice_equal_string(fixture_header(exchange_reply(exchange), "Allow"), "POST, OPTIONS"));
}

Test(connect_streams, methods_that_are_not_there_are_not_found)
{
  struct exchange_input input = post("/test.v1.S/None", PROTO);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_refused(404, "there is no such method");
}

Test(connect_streams, streams_both_ways_need_http_2)
{
  struct exchange_input input = post("/test.v1.S/Ask", JSON);
  input.is_http2 = false;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_refused(505, "need HTTP/2");
  again();
  input = post("/test.v1.S/Import", JSON);
  input.is_http2 = false;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_STREAM);
}

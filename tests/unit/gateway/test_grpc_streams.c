// Streams of gRPC: of the service, of the client, and both.
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/fixture.h"

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Watch(Question) returns (stream Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "  rpc Follow(Question) returns (stream Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_AUTHENTICATED};\n"
    "  }\n"
    "  rpc Ask(stream Question) returns (stream Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC, max_body_bytes: 100};\n"
    "  }\n"
    "  rpc Import(stream Question) returns (Answer) {\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC, max_body_bytes: 524288};\n"
    "  }\n"
    "}\n"
    "message Question { string text = 1; }\n"
    "message Answer { string text = 1; string hidden = 2 [(bulkhead.v1.field).secret = true]; }\n";

static struct fixture *fixture;
static struct exchange *exchange;
static struct fixture_call *call;

static struct exchange_input grpc_input(const char *path)
{
  struct exchange_input input = fixture_input("POST", path);
  input.content_type = SLICE("application/grpc+proto");
  input.is_http2 = true;
  input.has_body = true;
  return input;
}

// Opens the stream that a service sends.
static void open_stream(void)
{
  fixture = fixture_open_with(CONTRACT);
  exchange = fixture_exchange(fixture);
  struct exchange_input input = grpc_input("/test.v1.S/Watch");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("\0\0\0\0\0")), EXCHANGE_WAITING);
  call = fixture_call(fixture, fixture->call_count - 1);
  cr_assert_str_eq(call->method, "test.v1.S/Watch");
}

// Opens a stream that the client sends, in place of the other.
static void open_other(const char *path)
{
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  struct exchange_input input = grpc_input(path);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_STREAM);
  call = fixture_call(fixture, fixture->call_count - 1);
}

static void close_all(void)
{
  exchange_close(&exchange);
  fixture_close(fixture);
}

TestSuite(grpc_streams, .init = open_stream, .fini = close_all);

// Sends a message with this text, of less than 100 bytes.
static void send_text(const char *text)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, slice_from_string(text));
  fixture_send(call, strbuf_slice(&wire));
  strbuf_free(&wire);
}

static void assert_next(const char *bytes, size_t size)
{
  struct slice next = exchange_stream_next(exchange);
  cr_assert(slice_equal(next, slice_make(bytes, size)), "%zu bytes instead of %zu", next.size, size);
}
#define ASSERT_NEXT(text) assert_next(text, sizeof(text) - 1)

static void assert_trailer(const char *name, const char *value)
{
  struct slice found = fixture_field(&exchange_reply(exchange)->trailers, name);
  cr_assert(slice_equal_string(found, value), "%s: " SLICE_FMT " instead of %s", name, SLICE_ARG(found), value);
}

Test(grpc_streams, messages_leave_as_they_come_and_the_trailers_say_how_it_ended)
{
  send_text("one");
  cr_assert(fixture->progress_count == 1 && fixture->progress == EXCHANGE_STREAMING);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 200);
  cr_expect(slice_equal(reply->content_type, SLICE("application/grpc")));
  ASSERT_NEXT("\0\0\0\0\x05\x0a\x03one");
  ASSERT_NEXT("");
  cr_expect_not(exchange_stream_is_sent(exchange));
  send_text("two");
  fixture_answer(call, SLICE(""));
  cr_expect_not(exchange_stream_is_sent(exchange), "a message has not left yet");
  ASSERT_NEXT("\0\0\0\0\x05\x0a\x03two");
  ASSERT_NEXT("");
  cr_assert(exchange_stream_is_sent(exchange));
  assert_trailer("grpc-status", "0");
}

Test(grpc_streams, the_service_gets_credit_for_what_has_left)
{
  send_text("one");
  send_text("two");
  ASSERT_NEXT("\0\0\0\0\x05\x0a\x03one\0\0\0\0\x05\x0a\x03two");
  send_text("three");
  cr_expect_eq(call->taken_count, 0, "the client has taken nothing yet");
  ASSERT_NEXT("\0\0\0\0\x07\x0a\x05three");
  cr_expect(call->taken_count == 2 && call->taken_bytes == 10);
}

Test(grpc_streams, secrets_do_not_leave)
{
  fixture_send(call, SLICE("\x0a\x01x\x12\x01y"));
  ASSERT_NEXT("\0\0\0\0\x03\x0a\x01x");
}

Test(grpc_streams, a_failure_after_messages_is_in_the_trailers)
{
  send_text("one");
  const struct rpc_status status = {.code = STATUS_ABORTED, .reason = SLICE("GONE"), .message = SLICE("it is over")};
  fixture_answer_status(call, &status);
  ASSERT_NEXT("\0\0\0\0\x05\x0a\x03one");
  ASSERT_NEXT("");
  cr_assert(exchange_stream_is_sent(exchange));
  assert_trailer("grpc-status", "10");
  assert_trailer("grpc-message", "it is over");
}

Test(grpc_streams, a_failure_before_the_first_message_is_in_the_headers)
{
  const struct rpc_status status = {.code = STATUS_NOT_FOUND, .message = SLICE("nothing to watch")};
  fixture_answer_status(call, &status);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  cr_expect(exchange_reply(exchange)->has_no_body);
  cr_expect(slice_equal_string(fixture_header(exchange_reply(exchange), "grpc-status"), "5"));
}

Test(grpc_streams, a_stream_without_messages_ends_well)
{
  fixture_answer(call, SLICE(""));
  cr_assert_eq(fixture->progress, EXCHANGE_STREAMING);
  ASSERT_NEXT("");
  cr_assert(exchange_stream_is_sent(exchange));
  assert_trailer("grpc-status", "0");
}

Test(grpc_streams, a_message_that_does_not_fit_its_contract_ends_the_call)
{
  send_text("one");
  fixture_send(call, SLICE("\x0a\x7f"));
  cr_expect(call->cancelled);
  ASSERT_NEXT("\0\0\0\0\x05\x0a\x03one");
  ASSERT_NEXT("");
  cr_assert(exchange_stream_is_sent(exchange));
  assert_trailer("grpc-status", "13");
}

Test(grpc_streams, a_client_that_goes_cancels_the_call)
{
  send_text("one");
  exchange_abandon(exchange);
  cr_expect(call->cancelled);
  cr_expect_not(exchange_is_streaming(exchange));
}

// ---- the client's stream ----

static void assert_written(size_t count, const char *last)
{
  cr_assert_eq(call->written, count, "%zu messages were written", call->written);
  cr_assert(slice_equal_string(call->last_written, last));
}

static bool feed(struct slice bytes, bool is_last)
{
  bool is_used = exchange_feed(exchange, &bytes, is_last);
  cr_assert(is_used == (bytes.size == 0) || call->is_full || call->cancelled);
  return is_used;
}

Test(grpc_streams, messages_of_the_client_go_on_as_they_come)
{
  open_other("/test.v1.S/Ask");
  cr_assert(feed(SLICE("\0\0\0\0\x03\x0a\x01x"), false));
  assert_written(1, "\x0a\x01x");
  send_text("one");
  ASSERT_NEXT("\0\0\0\0\x05\x0a\x03one");
  cr_assert(feed(SLICE("\0\0\0\0\x03\x0a\x01y"), false));
  assert_written(2, "\x0a\x01y");
  cr_assert(feed((struct slice){0}, true));
  cr_assert(call->is_half_closed);
  fixture_answer(call, SLICE(""));
  ASSERT_NEXT("");
  cr_assert(exchange_stream_is_sent(exchange));
  assert_trailer("grpc-status", "0");
}

Test(grpc_streams, messages_come_in_any_pieces)
{
  static const struct slice bytes = SLICE_INIT("\0\0\0\0\x03\x0a\x01x\0\0\0\0\0\0\0\0\0\x03\x0a\x01y");
  for (size_t size = 1; size <= bytes.size; size++) {
    open_other("/test.v1.S/Ask");
    for (size_t at = 0; at < bytes.size; at += size)
      cr_assert(feed(slice_make(bytes.data + at, bytes.size - at < size ? bytes.size - at : size), false));
    assert_written(3, "\x0a\x01y");
  }
}

Test(grpc_streams, a_client_waits_for_a_service_that_takes_no_more)
{
  open_other("/test.v1.S/Ask");
  call->is_full = true;
  struct slice bytes = SLICE("\0\0\0\0\x03\x0a\x01x");
  cr_assert_not(exchange_feed(exchange, &bytes, true));
  cr_assert(bytes.size == 8 && call->written == 0 && !call->is_half_closed);
  fixture_take_more(call);
  cr_assert_eq(fixture->progress, EXCHANGE_WANT_STREAM);
  cr_assert(exchange_feed(exchange, &bytes, true));
  assert_written(1, "\x0a\x01x");
  cr_assert(call->is_half_closed);
}

Test(grpc_streams, the_answer_to_a_stream_is_one_message)
{
  open_other("/test.v1.S/Import");
  cr_assert(feed(SLICE("\0\0\0\0\0"), true));
  fixture_answer(call, SLICE("\x0a\x01x\x12\x01y"));
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  cr_assert(slice_equal(exchange_reply(exchange)->body, SLICE("\0\0\0\0\x03\x0a\x01x")));
  assert_trailer("grpc-status", "0");
}

Test(grpc_streams, what_is_no_stream_of_messages_ends_the_call)
{
  static const struct {
    struct slice bytes;
    const char *code, *detail;
  } WRONG[] = {
      {SLICE_INIT("\0\0\0\0"), "3", "shorter than its prefix"},
      {SLICE_INIT("\0\0\0\0\x02z"), "3", "shorter than its prefix"},
      {SLICE_INIT("\0\0\0\0\x65"), "8", "100 bytes at most"},
      {SLICE_INIT("\x02\0\0\0\0"), "3", "neither 0 nor 1"},
      {SLICE_INIT("\x01\0\0\0\0"), "13", "grpc-encoding: gzip"},
      {SLICE_INIT("\0\0\0\0\x01\x0a"), "3", "not valid"},
  };
  for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
    open_other("/test.v1.S/Ask");
    cr_assert(feed(WRONG[i].bytes, true));
    cr_assert(call->cancelled && fixture->progress == EXCHANGE_DONE, "case %zu", i);
    const struct exchange_reply *reply = exchange_reply(exchange);
    cr_expect(slice_equal_string(fixture_header(reply, "grpc-status"), WRONG[i].code), "case %zu", i);
    cr_expect(fixture_contains(fixture_header(reply, "grpc-message"), WRONG[i].detail), "case %zu", i);
  }
}

Test(grpc_streams, what_comes_after_the_end_is_thrown_away)
{
  open_other("/test.v1.S/Ask");
  const struct rpc_status status = {.code = STATUS_NOT_FOUND, .message = SLICE("nothing to ask")};
  fixture_answer_status(call, &status);
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  cr_assert(feed(SLICE("\0\0\0\0\x03\x0a\x01x"), true));
  cr_assert_eq(call->written, 0);
}

// ---- the number of streams, and their callers ----

Test(grpc_streams, a_caller_has_a_bounded_number_of_streams)
{
  struct exchange *all[STREAMS_OF_CALLER];
  struct exchange_input input = grpc_input("/test.v1.S/Import");
  // The stream that is open counts.
  for (size_t i = 1; i < STREAMS_OF_CALLER; i++) {
    all[i] = fixture_exchange(fixture);
    cr_assert_eq(exchange_start(all[i], &input), EXCHANGE_WANT_STREAM, "stream %zu", i);
  }
  struct exchange *more = fixture_exchange(fixture);
  cr_assert_eq(exchange_start(more, &input), EXCHANGE_DONE);
  cr_expect(slice_equal_string(fixture_header(exchange_reply(more), "grpc-status"), "8"));
  exchange_close(&more);
  fixture_answer(call, SLICE(""));
  more = fixture_exchange(fixture);
  cr_expect_eq(exchange_start(more, &input), EXCHANGE_WANT_STREAM);
  exchange_close(&more);
  for (size_t i = 1; i < STREAMS_OF_CALLER; i++)
    exchange_close(&all[i]);
  cr_expect_eq(fixture->gateway->stream_counts.all, 0);
}

Test(grpc_streams, messages_in_part_have_a_bound)
{
  enum { PART = 400 * 1024, MOST = STREAM_PARTS_OF_CALLER / PART + 1 };
  static char part[PART];
  part[3] = '\x70';  // of a message of 458,752 bytes
  memset(part + 1, 0, 4);
  part[2] = 7;
  struct exchange *all[MOST];
  struct exchange_input input = grpc_input("/test.v1.S/Import");
  bool is_refused = false;
  for (size_t i = 0; i < MOST; i++) {
    all[i] = fixture_exchange(fixture);
    cr_assert_eq(exchange_start(all[i], &input), EXCHANGE_WANT_STREAM);
    struct slice bytes = slice_make(part, PART);
    cr_assert(exchange_feed(all[i], &bytes, false));
    is_refused = fixture_call(fixture, fixture->call_count - 1)->cancelled;
    cr_expect_eq(is_refused, i == MOST - 1, "stream %zu", i);
  }
  for (size_t i = 0; i < MOST; i++)
    exchange_close(&all[i]);
  cr_expect_eq(fixture->gateway->stream_counts.parts, 0);
}

// Streams of REST: events, lines and arrays of a service, and lines of a client.
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/fixture.h"

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Watch(Question) returns (stream Answer) {\n"
    "    option (google.api.http) = {get: \"/v1/answers:watch\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC resume_field: \"token\"};\n"
    "  }\n"
    "  rpc Import(stream Answer) returns (Answer) {\n"
    "    option (google.api.http) = {post: \"/v1/answers:import\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC max_body_bytes: 100};\n"
    "  }\n"
    "}\n"
    "message Question { string last = 1 [(bulkhead.v1.field).from_header = \"Last-Event-ID\"]; }\n"
    "message Answer { string text = 1 [(bulkhead.v1.field).max_length = 10]; string token = 2; }\n";

static struct fixture *fixture;
static struct exchange *exchange;
static struct fixture_call *call;
static const char *accept;

static struct slice find_header(void *arg, const char *name)
{
  (void)arg;
  return strcmp(name, "Accept") == 0 && accept != NULL ? slice_from_string(accept) : (struct slice){0};
}

static void open_fixture(void)
{
  fixture = fixture_open_with(CONTRACT);
  exchange = fixture_exchange(fixture);
}

static void close_all(void)
{
  exchange_close(&exchange);
  fixture_close(fixture);
}

TestSuite(rest_streams, .init = open_fixture, .fini = close_all);

static enum exchange_next start(const char *method, const char *path, const char *content_type)
{
  struct exchange_input input = fixture_input(method, path);
  input.header = find_header;
  input.has_body = content_type != NULL;
  if (content_type != NULL)
    input.content_type = slice_from_string(content_type);
  return exchange_start(exchange, &input);
}

static void watch(const char *accepted)
{
  accept = accepted;
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(start("GET", "/v1/answers:watch", NULL), EXCHANGE_WAITING);
  call = fixture_call(fixture, fixture->call_count - 1);
}

static void import(void)
{
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(start("POST", "/v1/answers:import", "application/x-ndjson"), EXCHANGE_WANT_STREAM);
  call = fixture_call(fixture, fixture->call_count - 1);
}

static void send_answer(const char *text, const char *token)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, slice_from_string(text));
  wire_write_bytes(&wire, 2, slice_from_string(token));
  fixture_send(call, strbuf_slice(&wire));
  strbuf_free(&wire);
}

static void assert_next(const char *text)
{
  struct slice next = exchange_stream_next(exchange);
  cr_assert(slice_equal_string(next, text), "\"" SLICE_FMT "\" instead of \"%s\"", SLICE_ARG(next), text);
}

static void assert_type(const char *type)
{
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_assert_eq(reply->http_status, 200);
  cr_assert(slice_equal_string(reply->content_type, type));
}

Test(rest_streams, lines_leave_as_they_come)
{
  watch(NULL);
  send_answer("one", "1");
  assert_type("application/x-ndjson");
  assert_next("{\"text\":\"one\",\"token\":\"1\"}\n");
  send_answer("two", "2");
  fixture_answer(call, SLICE(""));
  assert_next("{\"text\":\"two\",\"token\":\"2\"}\n");
  assert_next("");
  cr_assert(exchange_stream_is_sent(exchange) && !exchange_reply(exchange)->is_cut);
}

Test(rest_streams, events_have_the_id_by_which_a_client_resumes)
{
  watch("text/event-stream");
  send_answer("one", "1");
  assert_type("text/event-stream");
  assert_next("id: 1\ndata: {\"text\":\"one\",\"token\":\"1\"}\n\n");
  send_answer("two", "an\nid");
  assert_next("data: {\"text\":\"two\",\"token\":\"an\\nid\"}\n\n");
  fixture_answer(call, SLICE(""));
  assert_next("event: end\ndata: {}\n\n");
}

Test(rest_streams, an_array_is_whole_when_the_stream_has_ended_well)
{
  watch("application/json");
  send_answer("one", "1");
  assert_type("application/json");
  send_answer("two", "2");
  fixture_answer(call, SLICE(""));
  assert_next("[{\"text\":\"one\",\"token\":\"1\"},{\"text\":\"two\",\"token\":\"2\"}]");
  watch("application/json");
  fixture_answer(call, SLICE(""));
  assert_next("[]");
}

// Fails the call after a message that was sent.
static void fail_after_one(const char *accepted)
{
  watch(accepted);
  send_answer("one", "1");
  (void)exchange_stream_next(exchange);
  const struct rpc_status status = {.code = STATUS_ABORTED, .reason = SLICE("GONE"), .message = SLICE("it is over")};
  fixture_answer_status(call, &status);
}

Test(rest_streams, a_failure_after_messages_is_told_and_cuts_the_reply_off)
{
  static const struct {
    const char *accept, *begin, *end;
    bool is_cut;
  } CASES[] = {{"text/event-stream", "event: problem\ndata: {\"type\"", "}\n\n", false},
               {"application/json", ",{\"type\"", "}\n", true},
               {"application/x-ndjson", "{\"type\"", "}\n", true}};
  for (size_t i = 0; i < 3; i++) {
    fail_after_one(CASES[i].accept);
    struct slice next = exchange_stream_next(exchange);
    cr_expect(slice_starts_with(next, slice_from_string(CASES[i].begin)), "case %zu: " SLICE_FMT, i, SLICE_ARG(next));
    cr_expect(fixture_contains(next, "\"reason\":\"GONE\"") && fixture_contains(next, CASES[i].end), "case %zu", i);
    (void)exchange_stream_next(exchange);
    cr_expect(exchange_stream_is_sent(exchange));
    cr_expect_eq(exchange_reply(exchange)->is_cut, CASES[i].is_cut, "case %zu", i);
  }
}

Test(rest_streams, silence_is_filled_with_what_is_no_message)
{
  watch("text/event-stream");
  exchange_stream_beat(exchange);
  cr_expect_eq(fixture->progress, EXCHANGE_STREAMING, "the head leaves");
  assert_next(":\n\n");
  watch("application/json");
  exchange_stream_beat(exchange);
  assert_next("[");
  send_answer("one", "1");
  exchange_stream_beat(exchange);
  assert_next("{\"text\":\"one\",\"token\":\"1\"}");
}

Test(rest_streams, what_the_client_does_not_accept_is_refused)
{
  accept = "text/html";
  cr_assert_eq(start("GET", "/v1/answers:watch", NULL), EXCHANGE_DONE);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 406);
  cr_expect(fixture_contains(reply->body, "text/event-stream"));
}

// ---- the client's stream ----

static bool feed(const char *text, bool is_last)
{
  struct slice bytes = slice_from_string(text);
  return exchange_feed(exchange, &bytes, is_last);
}

Test(rest_streams, lines_of_a_client_go_on_as_they_come)
{
  import();
  cr_assert(feed("{\"text\":\"one\"}\n{\"te", false));
  cr_assert_eq(call->written, 1);
  cr_assert(feed("xt\":\"two\"}\r\n\n\r\n{\"text\":\"three\"}", false));
  cr_assert_eq(call->written, 2);
  cr_assert(slice_equal(call->last_written, SLICE("\x0a\x03two")));
  cr_assert(feed("", true));
  cr_assert(call->written == 3 && call->is_half_closed, "the last line needs no end");
  fixture_answer(call, SLICE("\x0a\x01x"));
  cr_assert_eq(fixture->progress, EXCHANGE_DONE);
  cr_assert(slice_equal(exchange_reply(exchange)->body, SLICE("{\"text\":\"x\",\"token\":\"\"}")));
}

static void assert_refused(const char *lines, int http_status, const char *part)
{
  import();
  (void)feed(lines, true);
  cr_assert(call->cancelled && fixture->progress == EXCHANGE_DONE, "%s", lines);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, http_status);
  cr_expect(fixture_contains(reply->body, part), SLICE_FMT, SLICE_ARG(reply->body));
}

Test(rest_streams, a_line_that_is_no_message_is_named)
{
  assert_refused("{\"text\":\"one\"}\n{\"text\":1}\n", 400, "\"[1].text\"");
  assert_refused("{\"text\":\"more than ten characters\"}\n", 400, "\"[0].text\"");
  assert_refused("{}\n[]\n", 400, "\"[1]\"");
  assert_refused("{\"text\":\"1234567890123456789012345678901234567890123456789012345678901234567890"
                 "12345678901234567890123456789012345678901234567890\"}\n",
                 413, "100 bytes");
}

Test(rest_streams, a_client_must_say_that_it_sends_lines)
{
  cr_assert_eq(start("POST", "/v1/answers:import", "application/json"), EXCHANGE_DONE);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_expect_eq(reply->http_status, 415);
  cr_expect(slice_equal_string(fixture_header(reply, "Accept"), "application/x-ndjson"));
}

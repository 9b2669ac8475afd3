// What the gateway counts by protocol.
#include <criterion/criterion.h>

#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/fixture.h"

static const char CONTRACT[] = "service S {\n"
                               "  rpc Ask(stream Question) returns (stream Answer) {\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC, max_body_bytes: 100};\n"
                               "  }\n"
                               "}\n"
                               "message Question { string text = 1; }\n"
                               "message Answer { string text = 1; }\n";

static struct fixture *fixture;
static struct exchange *exchange;

static void open_all(void)
{
  fixture = fixture_open_with(CONTRACT);
  exchange = fixture_exchange(fixture);
}

static void close_all(void)
{
  exchange_close(&exchange);
  fixture_close(fixture);
}

TestSuite(metrics_by_protocol, .init = open_all, .fini = close_all);

static struct exchange_input input_of_type(const char *content_type)
{
  struct exchange_input input = fixture_input("POST", "/test.v1.S/Nothing");
  input.content_type = slice_from_string(content_type);
  input.is_http2 = true;
  return input;
}

// Returns how many requests of the protocol have counted with this status.
static int64_t requests(const char *protocol, const char *code)
{
  struct slice values[] = {slice_from_string(protocol), slice_from_string(code)};
  return read_metric(METRIC_HTTP_PROTOCOL_REQUESTS, values, 2);
}

static int64_t streams(const char *protocol)
{
  struct slice value = slice_from_string(protocol);
  return read_metric(METRIC_HTTP_STREAMS, &value, 1);
}

static int64_t of_streams(enum metric metric, const char *direction)
{
  struct slice values[] = {SLICE("grpc"), slice_from_string(direction)};
  return read_metric(metric, values, 2);
}

Test(metrics_by_protocol, each_request_counts_for_the_protocol_that_the_client_spoke)
{
  static const struct {
    const char *content_type, *protocol;
  } cases[] = {
      {"application/grpc", "grpc"},
      {"application/grpc-web+proto", "grpc-web"},
      {"application/grpc-web-text", "grpc-web-text"},
      {"application/json", "rest"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct exchange_input input = input_of_type(cases[i].content_type);
    (void)exchange_start(exchange, &input);
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
    cr_expect_eq(requests(cases[i].protocol, "404"), 1, "%s", cases[i].protocol);
  }
  struct exchange_input input = input_of_type("application/json");
  input.path = SLICE("/test.v1.S/Ask");
  (void)exchange_start(exchange, &input);
  cr_expect_eq(requests("connect", "415"), 1, "a method with streams");
  cr_expect_eq(requests("rest", "404"), 1);
}

Test(metrics_by_protocol, a_client_that_leaves_counts_for_its_protocol)
{
  struct exchange_input input = input_of_type("application/grpc");
  input.path = SLICE("/test.v1.S/Ask");
  input.has_body = true;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_STREAM);
  cr_expect_eq(streams("grpc"), 1);
  cr_expect_eq(streams("rest"), 0);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_expect_eq(streams("grpc"), 0);
  cr_expect_eq(requests("grpc", "499"), 1);
}

Test(metrics_by_protocol, messages_of_streams_count_each_way)
{
  struct exchange_input input = input_of_type("application/grpc");
  input.path = SLICE("/test.v1.S/Ask");
  input.has_body = true;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_STREAM);
  struct slice bytes = SLICE("\0\0\0\0\x05\x0a\x03one\0\0\0\0\x05\x0a\x03two");
  cr_assert(exchange_feed(exchange, &bytes, false));
  fixture_send(fixture_call(fixture, fixture->call_count - 1), SLICE("\x0a\x04late"));
  cr_expect_eq(of_streams(METRIC_STREAM_MESSAGES, "received"), 2);
  cr_expect_eq(of_streams(METRIC_STREAM_BYTES, "received"), 10);
  cr_expect_eq(of_streams(METRIC_STREAM_MESSAGES, "sent"), 1);
  cr_expect_eq(of_streams(METRIC_STREAM_BYTES, "sent"), 6);
  cr_expect_eq(exchange_facts(exchange).messages_received, 2);
  cr_expect_eq(exchange_facts(exchange).messages_sent, 1);
}

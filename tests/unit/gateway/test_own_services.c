// What the gateway answers by itself: its health, by every protocol.
#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "tests/unit/gateway/one_exchange.h"

static bool item_is_ready;

static bool is_ready(void *arg, const char *service)
{
  (void)arg;
  return item_is_ready || (service != NULL && strcmp(service, "item") != 0);
}

static void open_with_readiness(void)
{
  open_all();
  item_is_ready = true;
  // As gateway_create would have it.
  own_services_free(&fixture->gateway->own);
  fixture->gateway->own =
      own_services_create(&(struct own_services_options){.api = fixture->api, .is_ready = is_ready});
  fixture->gateway->own_backend = own_services_backend(fixture->gateway->own);
}

TestSuite(own_services, .init = open_with_readiness, .fini = close_all);

#define HEALTH "/grpc.health.v1.Health/"

static void process(void)
{
  gateway_process(fixture->gateway, fixture_now_us);
}

// Asks by Connect, in JSON.
static const struct exchange_reply *ask(const char *method, struct slice json)
{
  struct exchange_input input = fixture_input("POST", method);
  input.content_type = SLICE("application/json");
  input.has_body = true;
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, json), EXCHANGE_WAITING);
  cr_assert_eq(gateway_next_timeout_us(fixture->gateway), 0);
  process();
  return exchange_reply(exchange);
}

static void assert_body(const struct exchange_reply *reply, const char *body)
{
  cr_assert(slice_equal_string(reply->body, body), SLICE_FMT, SLICE_ARG(reply->body));
}

Test(own_services, health_is_that_of_all_services_or_of_one)
{
  assert_body(ask(HEALTH "Check", SLICE("{}")), "{\"status\":\"SERVING\"}");
  item_is_ready = false;
  assert_body(ask(HEALTH "Check", SLICE("{}")), "{\"status\":\"NOT_SERVING\"}");
  assert_body(ask(HEALTH "Check", SLICE("{\"service\":\"item.v1.ItemService\"}")), "{\"status\":\"NOT_SERVING\"}");
  assert_body(ask(HEALTH "Check", SLICE("{\"service\":\"auth.v1.AuthService\"}")), "{\"status\":\"SERVING\"}");
}

Test(own_services, services_that_nobody_may_call_are_unknown)
{
  static const char *const NAMES[] = {"none", "auth.v1.RateLimitService", "item"};
  for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
    const char *json = arena_printf(&fixture->arena, "{\"service\":\"%s\"}", NAMES[i]);
    const struct exchange_reply *reply = ask(HEALTH "Check", slice_from_string(json));
    cr_expect_eq(reply->http_status, 404, "%s: " SLICE_FMT, NAMES[i], SLICE_ARG(reply->body));
    cr_expect(fixture_contains(reply->body, "\"code\":\"not_found\""));
  }
}

Test(own_services, the_list_has_what_may_be_asked_for)
{
  item_is_ready = false;
  const struct exchange_reply *reply = ask(HEALTH "List", SLICE("{}"));
  cr_expect(fixture_contains(reply->body, "\"\":{\"status\":\"NOT_SERVING\"}"));
  cr_expect(fixture_contains(reply->body, "\"item.v1.ItemService\":{\"status\":\"NOT_SERVING\"}"));
  cr_expect(fixture_contains(reply->body, "\"auth.v1.AuthService\":{\"status\":\"SERVING\"}"));
  cr_expect(fixture_contains(reply->body, "\"grpc.health.v1.Health\":{\"status\":\"SERVING\"}"));
  cr_expect_not(fixture_contains(reply->body, "RateLimitService"));
}

// Starts a watch by gRPC.
static void start_watch(void)
{
  struct exchange_input input = fixture_input("POST", HEALTH "Watch");
  input.content_type = SLICE("application/grpc");
  input.is_http2 = true;
  input.has_body = true;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("\0\0\0\0\0")), EXCHANGE_WAITING);
}

static void assert_sent(const char *frame)
{
  struct slice sent = exchange_stream_next(exchange);
  cr_assert(slice_equal(sent, frame == NULL ? SLICE("") : slice_make(frame, 7)), "%zu bytes", sent.size);
}

#define IS_SERVING "\0\0\0\0\x02\x08\x01"
#define IS_NOT_SERVING "\0\0\0\0\x02\x08\x02"

Test(own_services, a_watch_is_told_the_status_and_each_change)
{
  start_watch();
  process();
  cr_assert(exchange_is_streaming(exchange));
  assert_sent(IS_SERVING);
  assert_sent(NULL);
  process();
  assert_sent(NULL);
  item_is_ready = false;
  fixture_now_us = gateway_next_timeout_us(fixture->gateway);
  cr_assert_neq(fixture_now_us, DEADLINE_NONE);
  process();
  assert_sent(IS_NOT_SERVING);
}

Test(own_services, a_watch_that_is_not_read_is_told_the_last_status_only)
{
  start_watch();
  process();
  for (int i = 0; i < 5; i++) {
    item_is_ready = !item_is_ready;
    fixture_now_us += 1000000;
    process();
  }
  assert_sent(IS_SERVING);
  assert_sent(NULL);
  process();
  assert_sent(IS_NOT_SERVING);
}

Test(own_services, a_watch_ends_with_its_time)
{
  start_watch();
  process();
  assert_sent(IS_SERVING);
  fixture_now_us += 601 * UINT64_C(1000000);
  process();
  assert_sent(NULL);
  cr_expect(exchange_stream_is_sent(exchange));
  exchange_end_stream(exchange);
  cr_expect(slice_equal(fixture_field(&exchange_reply(exchange)->trailers, "grpc-status"), SLICE("4")));
  cr_expect_eq(own_services_next_timeout_us(fixture->gateway->own), DEADLINE_NONE);
}

Test(own_services, a_client_that_goes_ends_its_watch)
{
  start_watch();
  process();
  exchange_close(&exchange);
  cr_expect_eq(own_services_next_timeout_us(fixture->gateway->own), DEADLINE_NONE);
  exchange = fixture_exchange(fixture);
}

// ---- reflection ----

static const char *reflection_method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

static void start_reflection(void)
{
  struct exchange_input input = fixture_input("POST", reflection_method);
  input.content_type = SLICE("application/grpc");
  input.is_http2 = true;
  input.has_body = true;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_STREAM);
}

// Asks by a field of the request, and returns what is sent back.
static struct slice ask_reflection(char field, const char *text, bool is_last)
{
  struct strbuf frame;
  strbuf_init(&frame, 0);
  size_t size = strlen(text);
  const char prefix[] = {0, 0, 0, 0, (char)(size + 2), (char)(field << 3 | 2), (char)size};
  strbuf_add(&frame, slice_make(prefix, sizeof(prefix)));
  strbuf_add_string(&frame, text);
  struct slice bytes = strbuf_slice(&frame);
  (void)exchange_feed(exchange, &bytes, is_last);
  cr_assert_eq(bytes.size, 0);
  strbuf_free(&frame);
  process();
  return exchange_stream_next(exchange);
}

enum { BY_NAME = 3, BY_SYMBOL = 4, LIST = 7 };

static void open_each_name(const char *method)
{
  reflection_method = method;
  start_reflection();
  struct slice services = ask_reflection(LIST, "", false);
  cr_expect(fixture_contains(services, "item.v1.ItemService"));
  cr_expect(fixture_contains(services, "grpc.health.v1.Health"));
  cr_expect_not(fixture_contains(services, "RateLimitService"));
}

Test(own_services, reflection_lists_what_may_be_called_by_both_of_its_names)
{
  open_each_name("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  open_each_name("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
}

Test(own_services, reflection_shows_files_without_what_only_services_may_call)
{
  start_reflection();
  struct slice file = ask_reflection(BY_SYMBOL, "auth.v1.AuthService", false);
  cr_expect(fixture_contains(file, "auth/v1/auth.proto"));
  cr_expect(fixture_contains(file, "Login"));
  cr_expect_not(fixture_contains(file, "RateLimitService"));
  cr_assert_eq(exchange_stream_next(exchange).size, 0);
  process();
  cr_expect(fixture_contains(ask_reflection(BY_SYMBOL, "auth.v1.RateLimitService", false), "there is no service"));
}

Test(own_services, reflection_ends_with_its_client_and_answers_the_last_question)
{
  start_reflection();
  cr_expect(fixture_contains(ask_reflection(BY_NAME, "none.proto", true), "there is no file none.proto"));
  cr_assert_eq(exchange_stream_next(exchange).size, 0);
  process();
  struct slice nothing = SLICE("");
  cr_expect(exchange_feed(exchange, &nothing, true));
  process();
  cr_assert(exchange_stream_is_sent(exchange));
  exchange_end_stream(exchange);
  cr_expect(slice_equal(fixture_field(&exchange_reply(exchange)->trailers, "grpc-status"), SLICE("0")));
}

Test(own_services, reflection_takes_no_question_while_answers_wait_to_be_read)
{
  start_reflection();
  (void)ask_reflection(LIST, "", false);
  // The answer is sent, and not taken before the next one is asked for.
  struct slice frame = SLICE("\0\0\0\0\2\72\0");
  struct slice bytes = frame;
  cr_expect_not(exchange_feed(exchange, &bytes, false));
  cr_expect_eq(bytes.size, frame.size);
  cr_assert_eq(exchange_stream_next(exchange).size, 0);
  size_t before = fixture->progress_count;
  process();
  cr_expect_gt(fixture->progress_count, before);
  cr_expect_eq(fixture->progress, EXCHANGE_WANT_STREAM);
  (void)exchange_feed(exchange, &bytes, false);
  cr_expect_eq(bytes.size, 0);
}

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
  cr_expect_not(fixture_contains(reply->body, "grpc.health"));
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

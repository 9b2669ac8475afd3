// The rate limits of one worker, with an auth service that answers as the test says.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/v1/auth.pb-c.h"
#include "gateway/limits.h"

#define SECOND_US UINT64_C(1000000)
#define USER SLICE("0193f5a0-0000-7000-8000-000000000001")
#define ADDRESS SLICE("192.0.2.7")

static uint64_t clock_us;

static uint64_t now_us(void)
{
  return clock_us;
}

// What the worker has asked for, last.
static struct {
  bool in_flight;
  size_t count;
  rpc_done_fn *done;
  void *arg;
  char key[160];
  int32_t charge;
  uint32_t wanted;
} asked;

static struct rpc_call *call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done, void *done_arg)
{
  (void)arg;
  cr_assert_not(asked.in_flight, "two calls for one bucket");
  Auth__V1__TakeShareRequest *request =
      auth__v1__take_share_request__unpack(NULL, options->payload.size, (const uint8_t *)options->payload.data);
  cr_assert_not_null(request);
  asked.in_flight = true;
  asked.count++;
  asked.done = done;
  asked.arg = done_arg;
  snprintf(asked.key, sizeof(asked.key), "%s", request->key);
  asked.charge = request->charge;
  asked.wanted = request->wanted;
  auth__v1__take_share_request__free_unpacked(request, NULL);
  return (struct rpc_call *)(void *)&asked;
}

static bool cancel(void *arg, struct rpc_call *cancelled)
{
  (void)arg;
  (void)cancelled;
  return true;
}

static struct backend backend = {.call = call, .cancel = cancel};
static struct gateway_metrics metrics;
static struct limits *limits;
static struct limit_answer answer;
static struct limit_wait wait;
static int woken;

static void wake(void *arg)
{
  (void)arg;
  woken++;
}

static void setup(void)
{
  clock_us = 1000 * SECOND_US;
  struct limits_options options = {.backend = &backend, .metrics = &metrics, .now_us = now_us};
  cr_assert(gcra_parse(SLICE("100/s burst 200"), &options.limits[LIMIT_READ]));
  cr_assert(gcra_parse(SLICE("2/s"), &options.limits[LIMIT_WRITE]));
  metrics.leases_ok = metrics_series(METRIC_RATE_LEASES, &SLICE("ok"), 1);
  metrics.leases_failed = metrics_series(METRIC_RATE_LEASES, &SLICE("failed"), 1);
  for (size_t i = 0; i < LIMIT_CLASS_COUNT; i++)
    metrics.limited[i] = metrics_single(METRIC_RPC_MALFORMED);
  limits = limits_create(&options);
  wait.wake = wake;
  limit_wait_init(&wait);
}

static void teardown(void)
{
  limits_free(&limits);
}

TestSuite(limits, .init = setup, .fini = teardown);

static enum limit_verdict take(enum limit_class kind, struct slice user, struct slice address)
{
  return limits_take(limits, &(struct limit_request){kind, user, address}, &wait, &answer);
}

static enum limit_verdict read_once(void)
{
  return take(LIMIT_READ, USER, ADDRESS);
}

static void expect_passes(int count)
{
  for (int i = 0; i < count; i++)
    cr_assert_eq(read_once(), LIMIT_PASSED, "request %d", i + 1);
}

static void reply_with(Auth__V1__RateLimitState *state)
{
  uint8_t payload[256];
  size_t size = auth__v1__rate_limit_state__pack(state, payload);
  const struct rpc_status ok = {.code = STATUS_OK};
  cr_assert(asked.in_flight);
  asked.in_flight = false;
  asked.done(asked.arg, &ok, slice_make(payload, size));
}

static void grant(uint32_t units, uint32_t remaining)
{
  Auth__V1__RateLimitState state = AUTH__V1__RATE_LIMIT_STATE__INIT;
  state.granted = units;
  state.remaining = remaining;
  reply_with(&state);
}

static void fail_call(void)
{
  const struct rpc_status away = {.code = STATUS_UNAVAILABLE};
  cr_assert(asked.in_flight);
  asked.in_flight = false;
  asked.done(asked.arg, &away, (struct slice){0});
}

Test(limits, no_setting_means_no_limits)
{
  const struct limits_options options = {.backend = &backend, .metrics = &metrics, .now_us = now_us};
  cr_assert_null(limits_create(&options));
  cr_assert_eq(limits_take(NULL, &(struct limit_request){LIMIT_READ, USER, ADDRESS}, &wait, &answer), LIMIT_OFF);
  cr_assert_eq(take(LIMIT_EXPENSIVE, USER, ADDRESS), LIMIT_OFF);
}

Test(limits, the_first_share_passes_before_any_answer_and_the_next_request_waits_for_it)
{
  // A tenth of a second at 100/s.
  expect_passes(10);
  cr_assert_eq(asked.count, 1);
  cr_assert_eq(asked.charge, 10);
  cr_assert_str_eq(asked.key, "r:u:0193f5a0-0000-7000-8000-000000000001");
  cr_assert_eq(read_once(), LIMIT_WAITS);
  grant(0, 190);
  cr_assert_eq(woken, 1);
  cr_assert_eq(read_once(), LIMIT_WAITS, "the first answer was about the credit");
  cr_assert_eq(asked.wanted, 11);
  grant(11, 179);
  cr_assert_eq(woken, 2);
  expect_passes(6);
}

// A share of one unit is not fetched ahead: what a worker holds is missing in the others.
Test(limits, of_a_small_limit_nothing_is_held_back)
{
  const struct slice nobody = {0};
  cr_assert_eq(take(LIMIT_WRITE, nobody, ADDRESS), LIMIT_PASSED);
  grant(0, 1);
  cr_assert_eq(take(LIMIT_WRITE, nobody, ADDRESS), LIMIT_WAITS);
  cr_assert_eq(asked.wanted, 1);
  grant(1, 0);
  cr_assert_eq(take(LIMIT_WRITE, nobody, ADDRESS), LIMIT_PASSED);
  cr_assert_not(asked.in_flight);
  cr_assert_eq(asked.count, 2);
}

Test(limits, more_is_fetched_before_the_share_is_spent)
{
  expect_passes(1);
  grant(0, 190);
  expect_passes(3);
  cr_assert_not(asked.in_flight);
  expect_passes(2);
  cr_assert(asked.in_flight);
  cr_assert_eq(asked.wanted, 10);
  grant(10, 180);
  expect_passes(8);
}

Test(limits, what_others_have_used_is_refused)
{
  expect_passes(10);
  Auth__V1__RateLimitState state = AUTH__V1__RATE_LIMIT_STATE__INIT;
  state.retry_after_us = 20000;
  reply_with(&state);
  cr_assert_eq(read_once(), LIMIT_REFUSED);
  cr_assert_eq(answer.retry_after_us, 20000);
  cr_assert_eq(answer.remaining, 0);
  cr_assert_eq(asked.count, 1, "a refused caller makes no calls");
  clock_us += 20000;
  cr_assert_eq(read_once(), LIMIT_WAITS);
  grant(10, 0);
  expect_passes(5);
}

Test(limits, credit_beyond_the_limit_goes_back_as_far_as_it_is_unspent)
{
  expect_passes(4);
  Auth__V1__RateLimitState state = AUTH__V1__RATE_LIMIT_STATE__INIT;
  state.overdrawn = 10;
  state.retry_after_us = 50000;
  reply_with(&state);
  cr_assert_eq(read_once(), LIMIT_REFUSED);
  clock_us += LIMITS_LEASE_US;
  // Six of the ten were not spent, and the new lease is worth ten.
  expect_passes(1);
  cr_assert_eq(asked.charge, 4);
}

Test(limits, one_worker_alone_lets_no_more_pass_than_the_limit)
{
  int passed = 0;
  for (int i = 0; i < 1000; i++) {
    enum limit_verdict verdict = read_once();
    if (asked.in_flight)
      grant(asked.wanted, 1000);
    passed += verdict == LIMIT_PASSED;
  }
  cr_assert_eq(passed, 200);
  cr_assert_eq(read_once(), LIMIT_REFUSED);
  cr_assert_eq(answer.retry_after_us, 10000);
}

Test(limits, without_the_auth_service_each_worker_limits_by_itself)
{
  expect_passes(10);
  cr_assert_eq(read_once(), LIMIT_WAITS);
  fail_call();
  cr_assert_eq(woken, 1);
  expect_passes(190);
  cr_assert_eq(read_once(), LIMIT_REFUSED);
  cr_assert_eq(asked.count, 1);
  // After a second the service is asked again.
  clock_us += LIMITS_AWAY_US;
  expect_passes(1);
  cr_assert_eq(asked.count, 2);
}

Test(limits, users_and_addresses_and_classes_count_apart)
{
  cr_assert_eq(take(LIMIT_WRITE, USER, ADDRESS), LIMIT_PASSED);
  fail_call();
  cr_assert_eq(take(LIMIT_WRITE, USER, ADDRESS), LIMIT_PASSED);
  cr_assert_eq(take(LIMIT_WRITE, USER, ADDRESS), LIMIT_REFUSED);
  cr_assert_eq(read_once(), LIMIT_PASSED);
  const struct slice nobody = {0};
  cr_assert_eq(take(LIMIT_WRITE, nobody, SLICE("2001:db8::1")), LIMIT_PASSED);
  cr_assert_eq(take(LIMIT_WRITE, nobody, SLICE("2001:db8::2")), LIMIT_PASSED);
  // The third address of one /64 finds nothing left.
  cr_assert_eq(take(LIMIT_WRITE, nobody, SLICE("2001:db8::3")), LIMIT_REFUSED);
  cr_assert_eq(take(LIMIT_WRITE, nobody, SLICE("2001:db8:0:1::3")), LIMIT_PASSED);
}

Test(limits, an_idle_caller_gives_what_it_has_not_spent_to_the_next_lease)
{
  expect_passes(3);
  grant(0, 190);
  clock_us += 2 * LIMITS_LEASE_US;
  expect_passes(1);
  // Seven are left of the ten, so that three make up a new share.
  cr_assert_eq(asked.charge, 3);
}

Test(limits, a_new_lease_keeps_no_more_than_its_share)
{
  expect_passes(10);
  grant(0, 190);
  cr_assert_eq(read_once(), LIMIT_WAITS);
  grant(60, 130);
  clock_us += LIMITS_LEASE_US;
  expect_passes(1);
  cr_assert_eq(asked.charge, -50);
}

Test(limits, a_request_that_has_stopped_waiting_asks_for_nothing)
{
  struct limit_wait gone = {.wake = wake};
  expect_passes(10);
  limit_wait_init(&gone);
  cr_assert_eq(limits_take(limits, &(struct limit_request){LIMIT_READ, USER, ADDRESS}, &gone, &answer), LIMIT_WAITS);
  cr_assert_eq(read_once(), LIMIT_WAITS);
  limit_wait_stop(&gone);
  grant(0, 190);
  cr_assert_eq(woken, 1);
  cr_assert_eq(read_once(), LIMIT_WAITS);
  cr_assert_eq(asked.wanted, 11);
}

Test(limits, a_flood_of_addresses_needs_no_more_memory)
{
  expect_passes(1);
  fail_call();
  const struct slice nobody = {0};
  for (int i = 0; i < 300000; i++) {
    char address[32];
    snprintf(address, sizeof(address), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
    cr_assert_eq(take(LIMIT_READ, nobody, slice_from_string(address)), LIMIT_PASSED);
  }
}

// A client's own deadline: how it is written, and what a request with one does.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "gateway/time_limits.h"
#include "tests/unit/gateway/one_exchange.h"

// ---- what is written ----

struct sample {
  const char *text;
  uint64_t us;  // 0: not accepted
};

static const struct sample SECONDS[] = {
    {"2", 2000000},
    {"0.25", 250000},
    {"0.000000001", 1},
    {"0.0000011", 2},
    {"007.5", 7500000},
    {"999999999.999999999", UINT64_C(1000000000000000)},
    {"", 0},
    {"0", 0},
    {"0.0", 0},
    {"1234567890", 0},
    {"1.1234567890", 0},
    {"1.", 0},
    {".5", 0},
    {"1,5", 0},
    {"-1", 0},
    {"+1", 0},
    {"1s", 0},
    {" 1", 0},
    {"1 ", 0},
    {"1e3", 0},
    {"1.5.5", 0},
    {"two values", 0},
};

static const struct sample GRPC[] = {
    {"1H", UINT64_C(3600000000)},
    {"99999999H", UINT64_C(359999996400000000)},
    {"2M", 120000000},
    {"3S", 3000000},
    {"250m", 250000},
    {"7u", 7},
    {"1n", 1},
    {"1001n", 2},
    {"", 0},
    {"0S", 0},
    {"S", 0},
    {"5", 0},
    {"123456789n", 0},
    {"1.5S", 0},
    {"1s", 0},
    {"1 S", 0},
    {"1SS", 0},
    {"-1S", 0},
};

static const struct sample CONNECT[] = {
    {"250", 250000},
    {"9999999999", UINT64_C(9999999999000)},
    {"", 0},
    {"0", 0},
    {"12345678901", 0},
    {"1.5", 0},
    {"250m", 0},
    {"-1", 0},
};

static void expect_sample(const struct time_limits *limits, const struct sample *sample, const char *name)
{
  uint64_t limit_us = 0;
  const struct violation *wrong = NULL;
  bool accepted = time_limits_read(limits, &limit_us, &wrong);
  cr_expect_eq(accepted, sample->us != 0, "%s: %s", name, sample->text);
  if (accepted)
    cr_expect_eq(limit_us, sample->us, "%s: %s", name, sample->text);
  else
    cr_expect(slice_equal_string(wrong->field, name), "%s: %s", name, sample->text);
}

Test(time_limits, are_read_strictly)
{
  for (size_t i = 0; i < ARRAY_LEN(SECONDS); i++)
    expect_sample(&(struct time_limits){.request_timeout = slice_from_string(SECONDS[i].text)}, &SECONDS[i],
                  "Request-Timeout");
  for (size_t i = 0; i < ARRAY_LEN(GRPC); i++)
    expect_sample(&(struct time_limits){.grpc_timeout = slice_from_string(GRPC[i].text)}, &GRPC[i], "Grpc-Timeout");
  for (size_t i = 0; i < ARRAY_LEN(CONNECT); i++)
    expect_sample(&(struct time_limits){.connect_timeout_ms = slice_from_string(CONNECT[i].text)}, &CONNECT[i],
                  "Connect-Timeout-Ms");
}

Test(time_limits, the_shortest_of_several_holds)
{
  uint64_t limit_us = 0;
  const struct violation *wrong = NULL;
  cr_assert(time_limits_read(&(struct time_limits){0}, &limit_us, &wrong));
  cr_assert_eq(limit_us, TIME_LIMIT_NONE);
  struct time_limits limits = {SLICE("3"), SLICE("2S"), SLICE("2500")};
  cr_assert(time_limits_read(&limits, &limit_us, &wrong));
  cr_assert_eq(limit_us, 2000000);
  limits.connect_timeout_ms = SLICE("soon");
  cr_assert_not(time_limits_read(&limits, &limit_us, &wrong));
  cr_assert(slice_equal_string(wrong->field, "Connect-Timeout-Ms"));
}

// ---- what a request does ----

TestSuite(time, .init = open_all, .fini = close_all);

static struct exchange_input limited(const char *method, const char *path, const char *seconds)
{
  struct exchange_input input = fixture_input(method, path);
  input.time_limits.request_timeout = slice_from_string(seconds);
  return input;
}

Test(time, a_clients_deadline_goes_with_the_call)
{
  cr_assert_eq(start_call(limited("GET", ITEM_PATH, "0.25"))->deadline_us, fixture_now_us + 250000);
}

Test(time, a_deadline_beyond_the_methods_own_is_cut_to_it)
{
  cr_assert_eq(start_call(limited("GET", ITEM_PATH, "3600"))->deadline_us, fixture_now_us + 5000000);
}

Test(time, a_read_is_answered_at_the_deadline)
{
  cr_assert_eq(start_call(limited("GET", ITEM_PATH, "0.25"))->reply_wait_ms, 0);
}

// Returns how long after the request's arrival a change is answered at the latest, in ms.
static uint64_t find_change_answer_ms(const char *seconds, uint32_t *reply_wait_ms)
{
  const struct fixture_call *call = start_call(limited("DELETE", ITEM_PATH, seconds));
  *reply_wait_ms = call->reply_wait_ms;
  return (call->deadline_us - fixture_now_us) / 1000 + call->reply_wait_ms;
}

Test(time, a_change_keeps_some_of_its_time_to_learn_what_has_become_of_it)
{
  uint32_t reply_wait_ms;
  cr_assert_eq(find_change_answer_ms("3", &reply_wait_ms), 3000);
  cr_assert_gt(reply_wait_ms, 300);
}

Test(time, a_change_with_little_time_uses_most_of_it)
{
  uint32_t reply_wait_ms;
  cr_assert_eq(find_change_answer_ms("0.2", &reply_wait_ms), 200);
  cr_assert_gt(reply_wait_ms, 0);
  cr_assert_leq(reply_wait_ms, 50);
}

Test(time, a_malformed_limit_is_400_and_names_the_header)
{
  assert_problem(start(limited("GET", ITEM_PATH, "soon")), 400, "\"field\":\"Request-Timeout\"");
  cr_assert(fixture_contains(exchange_reply(exchange)->body, "such as 2 or 0.25"));
}

static struct exchange_input limited_login(const char *seconds)
{
  struct exchange_input input = limited("POST", "/v1/auth/login", seconds);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  return input;
}

Test(time, what_a_body_takes_to_come_is_gone_from_the_limit)
{
  struct exchange_input input = limited_login("2");
  uint64_t begin_us = fixture_now_us;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  fixture_now_us += 1500000;
  cr_assert_eq(exchange_body(exchange, SLICE("{\"email\":\"ada@example.com\",\"password\":\"x\"}")), EXCHANGE_WAITING);
  const struct fixture_call *call = fixture_call(fixture, 1);
  cr_assert_eq(call->deadline_us + (uint64_t)call->reply_wait_ms * 1000, begin_us + 2000000);
}

Test(time, a_request_that_has_expired_is_not_even_decoded)
{
  struct exchange_input input = limited_login("2");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  fixture_now_us += 2000000;
  cr_assert_eq(exchange_body(exchange, SLICE("{\"no JSON")), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 504, "NOT_APPLIED");
  cr_assert_eq(fixture->call_count, 1, "the call for the keys alone");
}

Test(time, waiting_for_keys_ends_at_the_deadline)
{
  struct fixture *keyless = fixture_open();
  struct exchange *waiting = fixture_exchange(keyless);
  struct exchange_input input = limited("GET", ITEM_PATH, "0.25");
  input.authorization = fixture_bearer(keyless, NULL, 900);
  gateway_process(keyless->gateway, fixture_now_us);
  cr_assert_eq(exchange_start(waiting, &input), EXCHANGE_WAITING);
  uint64_t due_us = fixture_now_us + 250000;
  cr_assert_eq(gateway_next_timeout_us(keyless->gateway), due_us);
  fixture_now_us = due_us - 1;
  gateway_process(keyless->gateway, fixture_now_us);
  cr_assert_eq(keyless->progress_count, 0);
  fixture_now_us = due_us;
  gateway_process(keyless->gateway, fixture_now_us);
  cr_assert_eq(keyless->progress_count, 1);
  cr_assert_eq(keyless->progress, EXCHANGE_DONE);
  assert_problem(exchange_reply(waiting), 504, "NOT_APPLIED");
  // The keys come later, and nobody waits for them any more.
  fixture_answer(fixture_call(keyless, 0), fixture_key_set(keyless));
  cr_assert_eq(keyless->progress_count, 1);
  exchange_close(&waiting);
  fixture_close(keyless);
}

Test(time, a_call_in_flight_keeps_its_deadline_by_itself)
{
  struct fixture_call *call = start_call(limited("GET", ITEM_PATH, "0.25"));
  fixture_now_us += 300000;
  gateway_process(fixture->gateway, fixture_now_us);
  cr_assert_not(call->cancelled);
  cr_assert_eq(fixture->progress_count, 0);
}

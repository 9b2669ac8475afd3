// What an exchange keeps and tells: its facts for the logs, its memory for the next request.
#include <criterion/criterion.h>

#include "gateway/exchange_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(exchange_memory, .init = open_all, .fini = close_all);

Test(exchange_memory, facts_are_empty_before_the_request)
{
  struct exchange_facts facts = exchange_facts(exchange);
  cr_assert_eq(facts.request_id.size + facts.trace_id.size + facts.caller_id.size + facts.method.size, 0);
}

Test(exchange_memory, facts_name_request_trace_caller_and_method)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.request_id = SLICE("r-1");
  input.traceparent = SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  start_call(input);
  struct exchange_facts facts = exchange_facts(exchange);
  cr_assert(slice_equal_string(facts.request_id, "r-1"));
  cr_assert(slice_equal_string(facts.trace_id, "0af7651916cd43dd8448eb211c80319c"));
  cr_assert(slice_equal_string(facts.caller_id, FIXTURE_USER_ID));
  cr_assert(slice_equal_string(facts.method, "item.v1.ItemService/GetItem"));
  cr_assert(slice_equal_string(facts.rate_class, "read"));
  cr_assert_eq(facts.reason.size, 0, "nothing has failed");
}

Test(exchange_memory, facts_name_the_reason_of_a_problem)
{
  assert_problem(start(fixture_input("GET", "/v1/nothing")), 404, "NO_SUCH_PATH");
  struct exchange_facts facts = exchange_facts(exchange);
  cr_assert(slice_equal_string(facts.reason, "NO_SUCH_PATH"), SLICE_FMT, SLICE_ARG(facts.reason));
  cr_assert_eq(facts.rate_class.size, 0, "no route has matched");
}

Test(exchange_memory, facts_name_the_protocol_and_the_instance)
{
  struct fixture_call *call = start_call(fixture_input("GET", ITEM_PATH));
  cr_expect(slice_equal_string(exchange_facts(exchange).protocol, "rest"));
  cr_expect_eq(exchange_facts(exchange).instance.size, 0, "nobody has answered yet");
  fixture_answer_status(call, &(struct rpc_status){.code = STATUS_NOT_FOUND, .instance = SLICE("item-1")});
  struct slice instance = exchange_facts(exchange).instance;
  cr_expect(slice_equal_string(instance, "item-1"), SLICE_FMT, SLICE_ARG(instance));
}

Test(exchange_memory, the_instance_of_a_call_that_the_client_leaves_is_known)
{
  start_call(fixture_input("GET", ITEM_PATH));
  exchange_abandon(exchange);
  struct slice instance = exchange_facts(exchange).instance;
  cr_expect(slice_equal_string(instance, "played"), SLICE_FMT, SLICE_ARG(instance));
}

Test(exchange_memory, a_long_name_of_an_instance_is_cut_between_characters)
{
  struct fixture_call *call = start_call(fixture_input("GET", ITEM_PATH));
  char name[80];
  memset(name, 'a', sizeof(name));
  memcpy(name + INSTANCE_MAX_BYTES - 1, "\xc3\xa4", 2);
  fixture_answer_status(call,
                        &(struct rpc_status){.code = STATUS_NOT_FOUND, .instance = slice_make(name, sizeof(name))});
  cr_expect_eq(exchange_facts(exchange).instance.size, INSTANCE_MAX_BYTES - 1);
}

Test(exchange_memory, phases_are_told_apart)
{
  fixture_now_us += 1000;
  struct fixture_call *call = start_call(fixture_input("GET", ITEM_PATH));
  uint64_t prepared_us = exchange_phase_us(exchange, EXCHANGE_PHASE_PREPARE);
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_REPLY), 0);
  fixture_now_us += 2000;
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_SERVICE), 2000, "while the call goes on");
  fixture_answer_status(call, &(struct rpc_status){.code = STATUS_NOT_FOUND});
  fixture_now_us += 300;
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_PREPARE), prepared_us);
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_SERVICE), 2000);
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_REPLY), 300);
}

Test(exchange_memory, a_request_without_a_call_waits_for_no_service)
{
  fixture_now_us += 40;
  (void)start(fixture_input("GET", "/v1/nothing"));
  fixture_now_us += 5;
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_PREPARE), 40);
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_SERVICE), 0);
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_REPLY), 5);
}

Test(exchange_memory, a_client_that_leaves_has_waited_for_the_service_until_then)
{
  start_call(fixture_input("GET", ITEM_PATH));
  fixture_now_us += 70;
  exchange_abandon(exchange);
  fixture_now_us += 5;
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_SERVICE), 70);
  cr_expect_eq(exchange_phase_us(exchange, EXCHANGE_PHASE_REPLY), 5);
}

Test(exchange_memory, a_broken_traceparent_starts_a_trace_of_its_own)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.traceparent = SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad");
  start_call(input);
  struct slice trace = exchange_facts(exchange).trace_id;
  cr_assert_eq(trace.size, 32);
  cr_assert_not(slice_equal_string(trace, "0af7651916cd43dd8448eb211c80319c"));
}

Test(exchange_memory, verified_tokens_are_known_the_second_time)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  start_call(input);
  cr_assert_eq(read_single_metric(METRIC_TOKEN_CACHE_MISSES), 1);
  cr_assert_eq(read_single_metric(METRIC_TOKEN_CACHE_HITS), 0);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  cr_assert_eq(read_single_metric(METRIC_TOKEN_CACHE_MISSES), 1);
  cr_assert_eq(read_single_metric(METRIC_TOKEN_CACHE_HITS), 1);
}

Test(exchange_memory, nothing_of_a_request_reaches_the_next)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.request_id = SLICE("r-1");
  start_call(input);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  const struct exchange_reply *reply = start(fixture_input("GET", ITEM_PATH));
  assert_problem(reply, 401, "TOKEN_MISSING");
  cr_assert_eq(exchange_facts(exchange).caller_id.size, 0);
  cr_assert_not(slice_equal_string(exchange_facts(exchange).request_id, "r-1"));
}

Test(exchange_memory, a_large_buffer_is_not_kept)
{
  start_call(fixture_input("GET", ITEM_PATH));
  cr_assert_not_null(strbuf_reserve(&exchange->out, 1 << 20));
  cr_assert_not_null(strbuf_reserve(&exchange->wire, 1000));
  struct exchange *first = exchange;
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(exchange, first);
  cr_assert_leq(exchange->out.capacity, 65536);
  cr_assert_geq(exchange->wire.capacity, 1000);
}

Test(exchange_memory, many_requests_take_no_more_memory_than_one)
{
  struct exchange *first = exchange;
  for (int i = 0; i < 100; i++) {
    assert_problem(start(fixture_input("GET", "/v1/nothing")), 404, "NO_SUCH_PATH");
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
    cr_assert_eq(exchange, first);
  }
  // One standard block of the arena is kept.
  cr_assert_leq(exchange->arena.allocated_bytes, 8192);
}

Test(exchange_memory, a_bounded_number_of_closed_exchanges_is_kept)
{
  enum { MANY = 300, KEPT = 256 };
  struct exchange *all[MANY];
  for (size_t i = 0; i < MANY; i++)
    all[i] = fixture_exchange(fixture);
  for (size_t i = 0; i < MANY; i++)
    exchange_close(&all[i]);
  cr_assert_eq(fixture->gateway->spare_count, KEPT);
  struct exchange *taken = fixture_exchange(fixture);
  cr_assert_eq(fixture->gateway->spare_count, KEPT - 1);
  exchange_close(&taken);
}

static void open_and_close(size_t count)
{
  struct exchange *all[64];
  cr_assert_leq(count, 64);
  for (size_t i = 0; i < count; i++)
    all[i] = fixture_exchange(fixture);
  for (size_t i = 0; i < count; i++)
    exchange_close(&all[i]);
}

static size_t trim_spares(void)
{
  exchange_trim_spares(fixture->gateway);
  return fixture->gateway->spare_count;
}

Test(exchange_memory, closed_exchanges_that_no_request_needed_since_the_last_look_are_freed)
{
  open_and_close(50);
  cr_expect_eq(trim_spares(), 50, "all were in use since the last look");
  open_and_close(20);
  struct exchange *used_last = fixture->gateway->spare;
  cr_expect_eq(trim_spares(), 20, "the others were not needed");
  cr_expect_eq(fixture->gateway->spare, used_last);
  struct exchange *taken = fixture_exchange(fixture);
  cr_expect_eq(trim_spares(), 0, "idle ones were not needed beside the one in use");
  exchange_close(&taken);
  cr_expect_eq(trim_spares(), 1);
  cr_expect_eq(trim_spares(), 0);
  open_and_close(50);
  cr_expect_eq(fixture->gateway->spare_count, 50);
}

Test(exchange_memory, an_exchange_that_was_never_started_counts_as_left)
{
  exchange_close(&exchange);
  struct slice labels[] = {SLICE("none"), SLICE("499")};
  cr_assert_eq(read_metric(METRIC_HTTP_REQUESTS, labels, 2), 1);
  exchange = fixture_exchange(fixture);
}

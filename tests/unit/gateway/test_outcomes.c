// Every 503 and 504 says whether the request may be repeated.
#include <criterion/criterion.h>

#include "tests/unit/gateway/one_exchange.h"

TestSuite(outcomes, .init = open_all, .fini = close_all);

#define NOT_APPLIED "\"reason\":\"NOT_APPLIED\""
#define OUTCOME_UNKNOWN "\"reason\":\"OUTCOME_UNKNOWN\""

static const struct exchange_reply *fail_call(const char *http_method, enum status code, const char *reason)
{
  fixture_answer_status(start_call(fixture_input(http_method, ITEM_PATH)),
                        &(struct rpc_status){.code = code, .reason = slice_from_string(reason)});
  return exchange_reply(exchange);
}

Test(outcomes, what_the_service_knows_reaches_the_client)
{
  assert_problem(fail_call("DELETE", STATUS_DEADLINE_EXCEEDED, "NOT_APPLIED"), 504, NOT_APPLIED);
}

Test(outcomes, what_the_service_does_not_know_reaches_the_client)
{
  assert_problem(fail_call("DELETE", STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN"), 503, OUTCOME_UNKNOWN);
}

Test(outcomes, a_change_of_which_nothing_is_known_may_have_been_made)
{
  assert_problem(fail_call("DELETE", STATUS_CANCELLED, NULL), 503, OUTCOME_UNKNOWN);
}

Test(outcomes, a_foreign_reason_leaves_the_outcome_open)
{
  assert_problem(fail_call("DELETE", STATUS_UNAVAILABLE, "TAKING_A_BREAK"), 503, OUTCOME_UNKNOWN);
}

Test(outcomes, what_only_reads_has_applied_nothing)
{
  assert_problem(fail_call("GET", STATUS_DEADLINE_EXCEEDED, "OUTCOME_UNKNOWN"), 504, NOT_APPLIED);
}

Test(outcomes, other_failures_keep_their_reason)
{
  assert_problem(fail_call("DELETE", STATUS_NOT_FOUND, "ITEM_NOT_FOUND"), 404, "\"reason\":\"ITEM_NOT_FOUND\"");
}

Test(outcomes, a_request_that_the_http_layer_gives_up_before_the_call_has_applied_nothing)
{
  struct exchange_input input = fixture_input("DELETE", ITEM_PATH);
  exchange_fail_http(exchange, &input, 503);
  assert_problem(exchange_reply(exchange), 503, NOT_APPLIED);
}

Test(outcomes, a_request_that_the_http_layer_gives_up_during_the_call_may_have_been_made)
{
  struct exchange_input input = fixture_input("DELETE", ITEM_PATH);
  (void)start_call(input);
  exchange_fail_http(exchange, &input, 504);
  assert_problem(exchange_reply(exchange), 504, OUTCOME_UNKNOWN);
}

// The service has at least the 300 ms that its storage takes to find out.
Test(outcomes, the_reply_may_come_after_the_deadline_of_the_call_and_before_the_clients)
{
  const struct fixture_call *call = start_call(fixture_input("DELETE", ITEM_PATH));
  cr_assert_eq(call->deadline_us + (uint64_t)call->reply_wait_ms * 1000, fixture_now_us + 5000000);
  cr_assert_gt(call->reply_wait_ms, 300);
  cr_assert_leq(call->reply_wait_ms, 1000);
}

Test(outcomes, a_read_is_answered_at_the_methods_own_deadline)
{
  cr_assert_eq(start_call(fixture_input("GET", ITEM_PATH))->reply_wait_ms, 0);
}

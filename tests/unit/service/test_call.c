// What a handler says about a failure, and what the other side gets of it.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/service/call_internal.h"

static struct arena arena;
static struct call call;
static const struct slice roles[] = {SLICE_INIT("user"), SLICE_INIT("admin")};
static const struct rpc_context context = {
    .request_id = SLICE_INIT("request-1"),
    .traceparent = SLICE_INIT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    .caller_id = SLICE_INIT("user-1"),
    .caller_roles = roles,
    .caller_role_count = 2,
};

static void setup(void)
{
  arena_init(&arena);
  call_init(&call, NULL, &arena, &context);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(call, .init = setup, .fini = teardown);

#define EXPECT_SLICE(slice, text)                                                                                      \
  cr_expect(slice_equal_string((slice), (text)), "got \"" SLICE_FMT "\"", SLICE_ARG(slice))

Test(call, tells_the_handler_who_calls)
{
  EXPECT_SLICE(call_caller_id(&call), "user-1");
  EXPECT_SLICE(call.log_context.request_id, "request-1");
  cr_expect(call_caller_has_role(&call, "admin"));
  cr_expect_not(call_caller_has_role(&call, "adm"));
  EXPECT_SLICE(call.log_context.trace_id, "0af7651916cd43dd8448eb211c80319c");
}

Test(call, failure_carries_what_the_handler_said)
{
  char scratch[] = "sku 12";
  cr_expect_eq(call_fail(&call, STATUS_ALREADY_EXISTS, "SKU_TAKEN", "%s is taken", scratch), STATUS_ALREADY_EXISTS);
  call_violation(&call, "item.sku", scratch);
  // The handler's own memory may be gone by the time of the reply.
  scratch[0] = '?';
  struct rpc_status outcome = call_outcome(&call, STATUS_ALREADY_EXISTS);
  cr_expect_eq(outcome.code, STATUS_ALREADY_EXISTS);
  EXPECT_SLICE(outcome.message, "sku 12 is taken");
  EXPECT_SLICE(outcome.reason, "SKU_TAKEN");
  cr_assert_eq(outcome.violation_count, 1);
  EXPECT_SLICE(outcome.violations[0].field, "item.sku");
  EXPECT_SLICE(outcome.violations[0].description, "sku 12");
}

Test(call, failure_without_words_gets_safe_ones)
{
  struct rpc_status outcome = call_outcome(&call, STATUS_INTERNAL);
  EXPECT_SLICE(outcome.message, "an internal error; the service has logged it under the request id");
  EXPECT_SLICE(outcome.reason, "INTERNAL");
  cr_expect_eq(outcome.violation_count, 0);
  cr_expect_eq(outcome.retry_after_ms, 0);
}

Test(call, unavailable_always_says_when_to_come_back)
{
  cr_expect_gt(call_outcome(&call, STATUS_UNAVAILABLE).retry_after_ms, 0);
  call_keep_peer_status(&call, &(struct rpc_status){.code = STATUS_UNAVAILABLE, .retry_after_ms = 5});
  cr_expect_eq(call_fail_as_peer(&call, STATUS_UNAVAILABLE), STATUS_UNAVAILABLE);
  cr_expect_eq(call_outcome(&call, STATUS_UNAVAILABLE).retry_after_ms, 5);
}

static void expect_reason(enum status status, enum task_effect effect, const char *reason)
{
  call.effect = effect;
  EXPECT_SLICE(call_outcome(&call, status).reason, reason);
}

Test(call, a_failure_that_leaves_the_outcome_open_says_whether_it_may_be_repeated)
{
  static const enum status open[] = {STATUS_UNAVAILABLE, STATUS_DEADLINE_EXCEEDED, STATUS_CANCELLED};
  for (size_t i = 0; i < ARRAY_LEN(open); i++) {
    expect_reason(open[i], TASK_NO_EFFECT, "NOT_APPLIED");
    expect_reason(open[i], TASK_EFFECT_DONE, "OUTCOME_UNKNOWN");
    expect_reason(open[i], TASK_EFFECT_UNKNOWN, "OUTCOME_UNKNOWN");
  }
  expect_reason(STATUS_RESOURCE_EXHAUSTED, TASK_EFFECT_UNKNOWN, "RESOURCE_EXHAUSTED");
}

Test(call, what_a_peer_says_of_its_own_part_is_not_the_whole)
{
  call_keep_peer_status(&call, &(struct rpc_status){.code = STATUS_UNAVAILABLE, .reason = SLICE("NOT_APPLIED")});
  cr_expect_eq(call_fail_as_peer(&call, STATUS_UNAVAILABLE), STATUS_UNAVAILABLE);
  expect_reason(STATUS_UNAVAILABLE, TASK_EFFECT_DONE, "OUTCOME_UNKNOWN");
}

Test(call, a_method_that_only_reads_applies_nothing)
{
  static const struct rpc_method reads = {.no_side_effects = true};
  call.method = &reads;
  expect_reason(STATUS_DEADLINE_EXCEEDED, TASK_EFFECT_UNKNOWN, "NOT_APPLIED");
}

Test(call, a_peers_failure_can_become_ours)
{
  cr_expect_eq(call_fail_as_peer(&call, STATUS_NOT_FOUND), STATUS_NOT_FOUND);
  EXPECT_SLICE(call_outcome(&call, STATUS_NOT_FOUND).reason, "NOT_FOUND");

  char text[] = "taken";
  const struct violation violation = {.field = SLICE("email"), .description = slice_from_string(text)};
  const struct rpc_status peer = {.code = STATUS_ALREADY_EXISTS,
                                  .message = slice_from_string(text),
                                  .reason = SLICE("EMAIL_TAKEN"),
                                  .violations = &violation,
                                  .violation_count = 1,
                                  .retry_after_ms = 9};
  call_keep_peer_status(&call, &peer);
  text[0] = '?';
  cr_expect_eq(call_fail_as_peer(&call, STATUS_ALREADY_EXISTS), STATUS_ALREADY_EXISTS);
  struct rpc_status outcome = call_outcome(&call, STATUS_ALREADY_EXISTS);
  EXPECT_SLICE(outcome.message, "taken");
  EXPECT_SLICE(outcome.reason, "EMAIL_TAKEN");
  cr_expect_eq(outcome.retry_after_ms, 9);
  cr_assert_eq(outcome.violation_count, 1);
  EXPECT_SLICE(outcome.violations[0].description, "taken");
}

Test(call, what_too_much_is_for_tells_in_the_reason)
{
  EXPECT_SLICE(call_outcome(&call, STATUS_RESOURCE_EXHAUSTED).reason, "RESOURCE_EXHAUSTED");
  call.found_full = true;
  EXPECT_SLICE(call_outcome(&call, STATUS_RESOURCE_EXHAUSTED).reason, RPC_INSTANCE_FULL);
  EXPECT_SLICE(call_outcome(&call, STATUS_NOT_FOUND).reason, "NOT_FOUND");
  // A list that did not begin, because the lists before it were not read.
  call.found_unwanted = true;
  struct rpc_status unwanted = call_outcome(&call, STATUS_RESOURCE_EXHAUSTED);
  EXPECT_SLICE(unwanted.reason, RPC_TOO_MANY_UNREAD_BYTES);
  cr_expect_not_null(strstr(unwanted.message.data, "read them"), "it says what helps");
  EXPECT_SLICE(call_outcome(&call, STATUS_NOT_FOUND).reason, "NOT_FOUND");
  call.reason = SLICE("TOO_MANY_FAILURES");
  EXPECT_SLICE(call_outcome(&call, STATUS_RESOURCE_EXHAUSTED).reason, "TOO_MANY_FAILURES");
}

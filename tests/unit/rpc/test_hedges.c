// Calls that take long and are sent to a second instance: who answers, what becomes of the other request, and the cap.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/rpc/client_internal.h"
#include "common/rpc/request_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

// Short, so that the tests are; what they judge comes after it, however late.
#define HEDGE_MS 20

static const struct rpc_status not_begun = {
    .code = STATUS_UNAVAILABLE, .message = SLICE_INIT("not now"), .reason = SLICE_INIT(RPC_NOT_APPLIED)};
static const struct rpc_status broken = {.code = STATUS_INTERNAL, .message = SLICE_INIT("broken")};
static const struct rpc_status not_found = {.code = STATUS_NOT_FOUND, .message = SLICE_INIT("no such thing")};

static int64_t hedges(const char *event)
{
  struct slice labels[] = {SLICE("test"), slice_from_string(event)};
  return read_metric(METRIC_RPC_HEDGES, labels, 2);
}

static void answer(struct rig *rig, size_t index, const struct rpc_status *status, struct slice payload)
{
  struct rpc_request *request = rig->kept[index];
  rig->kept[index] = rig->kept[--rig->kept_count];
  rpc_request_reply(request, status, payload);
}

// Puts the request of a call's first attempt before that of its hedge, in whatever order the servers were turned.
static void sort_kept(struct rig *rig, const struct rpc_call *call)
{
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", rpc_server_port(rig->kept[0]->server));
  if (strcmp(url, call->attempt.endpoint->url) == 0)
    return;
  struct rpc_request *request = rig->kept[0];
  rig->kept[0] = rig->kept[1];
  rig->kept[1] = request;
}

static struct rpc_call *call_until_hedged(struct rig *rig, struct outcome *outcome)
{
  struct rpc_call *call = rig_call_hedged(rig, HEDGE_MS, TEST_DEADLINE_US, outcome);
  rig_until_kept(rig, 2);
  cr_assert_neq(rig->kept[0]->server, rig->kept[1]->server);
  sort_kept(rig, call);
  return call;
}

static bool has_no_hedge(struct rig *rig, void *arg)
{
  const struct rpc_call *call = arg;
  (void)rig;
  return call->hedge == NULL;
}

static bool was_cancelled(struct rig *rig, void *arg)
{
  return rig->cancels == *(size_t *)arg;
}

static void until_cancels(struct rig *rig, size_t count)
{
  rig_until(rig, was_cancelled, &count);
}

static size_t count_in_flight(const struct rig *rig)
{
  size_t count = 0;
  for (size_t i = 0; i < rig->client->channels->candidate_count; i++) {
    const struct balancer_candidate *candidate = rig->client->channels->candidates[i];
    cr_expect_eq(candidate->ejection.failures, 0, "a request that was cancelled is no failure");
    count += candidate->calls_in_flight;
  }
  return count;
}

// ---- who answers ----

Test(hedges, the_second_instance_answers_a_call_whose_first_one_takes_long)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  const struct rpc_call *call = call_until_hedged(&rig, &outcome);
  const char *second = call->hedge->endpoint->id;
  cr_expect_not(slice_equal_string(rpc_call_instance(call), second));
  answer(&rig, 1, NULL, SLICE("second"));
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_OK);
  cr_expect_str_eq(outcome.payload, "second");
  cr_expect_str_eq(outcome.instance, second);
  until_cancels(&rig, 1);
  cr_expect(hedges("sent") == 1 && hedges("won") == 1 && hedges("cancelled") == 1);
  cr_expect_eq(count_in_flight(&rig), 0);
  rig_stop(&rig);
}

Test(hedges, the_first_instance_may_still_answer_first)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  call_until_hedged(&rig, &outcome);
  answer(&rig, 0, NULL, SLICE("first"));
  rig_until_done(&rig, &outcome, 1);
  cr_expect_str_eq(outcome.payload, "first");
  until_cancels(&rig, 1);
  cr_expect(hedges("sent") == 1 && hedges("won") == 0 && hedges("cancelled") == 1);
  cr_expect_eq(count_in_flight(&rig), 0);
  rig_stop(&rig);
}

Test(hedges, a_call_that_is_answered_in_time_is_sent_once)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  rig_call_hedged(&rig, 60000, TEST_DEADLINE_US, &outcome);
  rig_until_kept(&rig, 1);
  rig_reply(&rig, 0);
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(rig.requests, 1);
  cr_expect_eq(hedges("sent"), 0);
  rig_stop(&rig);
}

Test(hedges, an_answer_that_is_no_failure_of_the_instance_ends_the_call)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  call_until_hedged(&rig, &outcome);
  answer(&rig, 1, &not_found, (struct slice){0});
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_NOT_FOUND);
  until_cancels(&rig, 1);
  rig_stop(&rig);
}

// ---- failures ----

Test(hedges, a_failure_of_one_request_waits_for_the_other)
{
  for (size_t failing = 0; failing < 2; failing++) {
    struct rig rig;
    rig_start_two(&rig);
    struct outcome outcome;
    struct rpc_call *call = call_until_hedged(&rig, &outcome);
    const struct rpc_server *left = rig.kept[1 - failing]->server;
    answer(&rig, failing, &broken, (struct slice){0});
    rig_until(&rig, has_no_hedge, call);
    cr_assert(!outcome.done && rig.kept_count == 1 && rig.kept[0]->server == left);
    answer(&rig, 0, NULL, SLICE("the other"));
    rig_until_done(&rig, &outcome, 1);
    cr_expect_str_eq(outcome.payload, "the other");
    cr_expect_eq(rig.requests, 2);
    rig_stop(&rig);
  }
}

Test(hedges, where_both_refuse_the_call_is_sent_once_more)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  struct rpc_call *call = call_until_hedged(&rig, &outcome);
  answer(&rig, 0, &not_begun, (struct slice){0});
  rig_until(&rig, has_no_hedge, call);
  answer(&rig, 0, &not_begun, (struct slice){0});
  rig_until_kept(&rig, 1);
  answer(&rig, 0, NULL, SLICE("at last"));
  rig_until_done(&rig, &outcome, 1);
  cr_expect_str_eq(outcome.payload, "at last");
  cr_expect_eq(rig.requests, 3);
  rig_stop(&rig);
}

Test(hedges, a_call_that_fails_everywhere_ends_with_the_last_failure)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  struct rpc_call *call = call_until_hedged(&rig, &outcome);
  answer(&rig, 0, &broken, (struct slice){0});
  rig_until(&rig, has_no_hedge, call);
  // The first request may have been carried out, whatever the second instance says of its own.
  answer(&rig, 0, &not_begun, (struct slice){0});
  rig_until_kept(&rig, 1);
  answer(&rig, 0, &not_begun, (struct slice){0});
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_expect_str_eq(outcome.reason, RPC_OUTCOME_UNKNOWN);
  rig_stop(&rig);
}

Test(hedges, an_instance_that_does_not_know_the_method_or_the_caller_waits_for_the_other)
{
  static const struct rpc_status foreign[] = {
      {.code = STATUS_UNIMPLEMENTED},
      {.code = STATUS_UNAUTHENTICATED, .reason = SLICE_INIT(RPC_UNPROVEN_CALLER)},
  };
  for (size_t i = 0; i < 2; i++) {
    struct rig rig;
    rig_start_two(&rig);
    struct outcome outcome;
    struct rpc_call *call = call_until_hedged(&rig, &outcome);
    answer(&rig, i, &foreign[i], (struct slice){0});
    rig_until(&rig, has_no_hedge, call);
    cr_assert_not(outcome.done);
    cr_expect_not(call->may_have_begun);
    answer(&rig, 0, &foreign[i], (struct slice){0});
    rig_until_done(&rig, &outcome, 1);
    cr_expect_eq(outcome.code, foreign[i].code, "both say so");
    rig_stop(&rig);
  }
}

Test(hedges, a_caller_whose_token_is_refused_need_not_wait_for_the_other)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  call_until_hedged(&rig, &outcome);
  answer(&rig, 0, &(struct rpc_status){.code = STATUS_UNAUTHENTICATED}, (struct slice){0});
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_UNAUTHENTICATED);
  until_cancels(&rig, 1);
  rig_stop(&rig);
}

// Breaks the connection of the instance that has kept this request.
static void break_connection(struct rig *rig, size_t index)
{
  struct rpc_server **server = rig->kept[index]->server == rig->server ? &rig->server : &rig->other;
  rig_reply(rig, index);
  rpc_server_free(server);
}

Test(hedges, a_connection_that_breaks_takes_one_request_only)
{
  for (size_t breaking = 0; breaking < 2; breaking++) {
    struct rig rig;
    rig_start_two(&rig);
    struct outcome outcome;
    call_until_hedged(&rig, &outcome);
    break_connection(&rig, breaking);
    rig_until_ready(&rig, 1);
    cr_assert_not(outcome.done);
    answer(&rig, 0, NULL, SLICE("the other"));
    rig_until_done(&rig, &outcome, 1);
    cr_expect_str_eq(outcome.payload, "the other");
    cr_expect_eq(rig.requests, 2);
    if (rig.server == NULL) {
      rig.server = rig.other;
      rig.other = NULL;
    }
    rig_stop(&rig);
  }
}

// ---- the end of a call ----

Test(hedges, both_requests_end_with_the_deadline_of_the_call)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  struct rpc_call *call = call_until_hedged(&rig, &outcome);
  // The deadline comes now, and soon after the requests have left.
  call->attempt.sent_us = call->hedge->sent_us = rig.client->now_us;
  call->deadline_us = call->give_up_us = rig.client->now_us;
  client_expire_call(rig.client, call);
  cr_assert(outcome.done);
  cr_expect_eq(outcome.code, STATUS_DEADLINE_EXCEEDED);
  cr_expect_str_eq(outcome.reason, RPC_OUTCOME_UNKNOWN);
  until_cancels(&rig, 2);
  cr_expect_eq(count_in_flight(&rig), 0);
  rig_stop(&rig);
}

Test(hedges, a_caller_that_cancels_cancels_both_requests)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  cr_expect(rpc_call_cancel(call_until_hedged(&rig, &outcome)));
  until_cancels(&rig, 2);
  cr_expect_eq(count_in_flight(&rig), 0);
  rig_stop(&rig);
}

Test(hedges, a_client_that_is_closed_forgets_both_requests)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  call_until_hedged(&rig, &outcome);
  rpc_client_free(&rig.client);
  cr_expect_eq(outcome.code, STATUS_CANCELLED);
  rig_stop(&rig);
}

// ---- where there is no hedge ----

static bool has_passed(struct rig *rig, void *arg)
{
  (void)rig;
  return clock_now_us() > *(uint64_t *)arg;
}

// Lets the time to hedge pass, and a few turns.
static void pass_hedge_time(struct rig *rig)
{
  uint64_t until_us = clock_now_us() + 4 * HEDGE_MS * UINT64_C(1000);
  rig_until(rig, has_passed, &until_us);
}

Test(hedges, the_only_instance_is_asked_once)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call_hedged(&rig, HEDGE_MS, TEST_DEADLINE_US, &outcome);
  rig_until_kept(&rig, 1);
  pass_hedge_time(&rig);
  cr_expect_eq(rig.requests, 1);
  rig_reply(&rig, 0);
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

// A few are always allowed; of these, half are kept for retries.
Test(hedges, are_no_more_than_half_of_the_budget_of_retries)
{
  enum { CALLS = 40 };
  static struct outcome outcomes[CALLS];
  struct rig rig;
  rig_start_two(&rig);
  for (size_t i = 0; i < CALLS; i++)
    rig_call_hedged(&rig, HEDGE_MS, TEST_DEADLINE_US, &outcomes[i]);
  rig_until_kept(&rig, CALLS + RETRY_BUDGET_MIN / 2);
  pass_hedge_time(&rig);
  cr_expect_eq(rig.requests, CALLS + RETRY_BUDGET_MIN / 2);
  cr_expect_eq(hedges("sent"), RETRY_BUDGET_MIN / 2);
  cr_expect_eq(hedges("over_budget"), CALLS - RETRY_BUDGET_MIN / 2);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, CALLS);
  rig_stop(&rig);
}

Test(hedges, leave_the_other_half_of_the_budget_to_retries)
{
  struct retry_budget budget = {0};
  size_t taken = 0;
  for (size_t i = 0; i < 1000; i++)
    retry_budget_note_call(&budget, 1000000);
  while (retry_budget_take_hedge(&budget, 1000000))
    taken++;
  cr_expect_eq(taken, 100);
  while (retry_budget_take(&budget, 1000000))
    taken++;
  cr_expect_eq(taken, 200);
  cr_expect_not(retry_budget_take_hedge(&budget, 1000000));
}

// ---- the choice ----

#define NOW_US UINT64_C(1000000000)

static struct balancer_candidate *pick_hedge(struct balancer_candidate *candidates, size_t count)
{
  struct balancer balancer = {0};
  struct balancer_candidate *all[4];
  for (size_t i = 0; i < count; i++)
    all[i] = &candidates[i];
  return balancer_pick_hedge(&balancer, all, count, &candidates[0], NOW_US);
}

Test(hedges, go_to_instances_that_do_well)
{
  struct balancer_candidate candidates[4] = {{.ready = true}, {.ready = true}, {.ready = true}, {.ready = true}};
  candidates[1].silent = true;
  candidates[2].ejection.until_us = NOW_US + 1;
  cr_expect_eq(pick_hedge(candidates, 4), &candidates[3]);
  candidates[3].full = true;
  cr_expect_null(pick_hedge(candidates, 4));
}

Test(hedges, are_not_sent_while_few_instances_do_well)
{
  struct balancer_candidate candidates[4] = {{.ready = true}, {.ready = true}, {.ready = true}, {.ready = true}};
  cr_expect_not_null(pick_hedge(candidates, 4));
  candidates[0].ejection.until_us = NOW_US + 1;
  cr_expect_not_null(pick_hedge(candidates, 4), "half of them do");
  candidates[2].ready = false;
  candidates[3].ready = false;
  cr_expect_null(pick_hedge(candidates, 4));
  cr_expect_null(pick_hedge(candidates, 2), "one is left, and the call is at the other");
  candidates[0].ejection.until_us = 0;
  cr_expect_null(pick_hedge(candidates, 1), "the call is there already");
}

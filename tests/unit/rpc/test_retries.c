// Calls that go to another instance by themselves, those that must not, and the budget of both.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/rpc/ejection_internal.h"
#include "common/rpc/outbox_internal.h"
#include "common/rpc/request_internal.h"
#include "common/rpc/retry_budget_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

#define SECOND_US UINT64_C(1000000)

static const struct rpc_status not_begun = {
    .code = STATUS_UNAVAILABLE, .message = SLICE_INIT("not now"), .reason = SLICE_INIT(RPC_NOT_APPLIED)};

static size_t count_kept(const struct rig *rig, const struct rpc_server *server)
{
  size_t count = 0;
  for (size_t i = 0; i < rig->kept_count; i++)
    count += rig->kept[i]->server == server ? 1 : 0;
  return count;
}

// Breaks the connection to the rig's own server in the middle of its calls: its replies are never flushed.
static void kill_server(struct rig *rig)
{
  for (size_t i = rig->kept_count; i-- > 0;)
    if (rig->kept[i]->server == rig->server)
      rig_reply(rig, i);
  rpc_server_free(&rig->server);
}

// Calls in flight at two servers. All together are fewer than fill a packet, so that no reply leaves by itself, however
// the balancer has shared them out.
enum { CALLS = RPC_FULL_FRAMES - 2 };

static struct outcome outcomes[CALLS];

static size_t call_both(struct rig *rig, struct rpc_call *(*call)(struct rig *, struct slice, struct outcome *))
{
  for (size_t i = 0; i < CALLS; i++) {
    call(rig, SLICE("x"), &outcomes[i]);
    if (i + 1 == CALLS / 2)
      rpc_client_flush(rig->client);
  }
  rig_until_kept(rig, CALLS);
  size_t in_flight = count_kept(rig, rig->server);
  cr_assert_gt(in_flight, 0);
  cr_assert_lt(in_flight, CALLS);
  return in_flight;
}

static size_t count_codes(enum status code)
{
  size_t count = 0;
  for (size_t i = 0; i < CALLS; i++)
    count += outcomes[i].code == code ? 1 : 0;
  return count;
}

static int64_t retries(const char *reason)
{
  struct slice labels[] = {SLICE("test"), slice_from_string(reason)};
  return read_metric(METRIC_RPC_RETRIES, labels, 2);
}

// ---- broken connections ----

Test(retries, repeatable_calls_of_a_killed_instance_are_answered_by_another)
{
  struct rig rig;
  rig_start_two(&rig);
  static struct outcome before[4 * CALLS];
  rig.answering = ANSWER_AT_ONCE;
  for (size_t i = 0; i < 4 * CALLS; i++)
    rig_call(&rig, SLICE("x"), &before[i]);
  rig_until_done(&rig, before, 4 * CALLS);
  rig.answering = ANSWER_LATER;
  size_t lost = call_both(&rig, rig_call_repeatable);
  kill_server(&rig);
  rig_until_kept(&rig, CALLS);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, CALLS);
  cr_assert_eq(count_codes(STATUS_OK), CALLS);
  cr_assert_eq(retries("broken"), (int64_t)lost);
  rig_stop(&rig);
}

Test(retries, other_calls_of_a_killed_instance_end_at_once_and_may_have_happened)
{
  struct rig rig;
  rig_start_two(&rig);
  size_t lost = call_both(&rig, rig_call);
  size_t requests = rig.requests;
  kill_server(&rig);
  rig_until_ready(&rig, 1);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, CALLS);
  cr_assert_eq(count_codes(STATUS_UNAVAILABLE), lost);
  cr_assert_eq(count_codes(STATUS_OK), CALLS - lost);
  for (size_t i = 0; i < CALLS; i++)
    if (outcomes[i].code != STATUS_OK)
      cr_assert_str_eq(outcomes[i].reason, RPC_OUTCOME_UNKNOWN);
  cr_assert_eq(rig.requests, requests);
  rig_stop(&rig);
}

// The second instance refuses what the first may have done.
Test(retries, a_refusal_says_nothing_about_an_earlier_attempt)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  rig_call_repeatable(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  struct rpc_server **first = rig.kept[0]->server == rig.server ? &rig.server : &rig.other;
  rig_reply(&rig, 0);
  rpc_server_free(first);
  rig_until_kept(&rig, 1);
  rpc_request_reply(rig.kept[0], &not_begun, (struct slice){0});
  rig.kept_count = 0;
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(outcome.reason, RPC_OUTCOME_UNKNOWN);
  if (rig.server == NULL) {
    rig.server = rig.other;
    rig.other = NULL;
  }
  rig_stop(&rig);
}

Test(retries, what_has_not_left_goes_over_the_next_connection_whatever_it_is)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  char url[64];
  snprintf(url, sizeof(url), "%s", rig_url(&rig));
  struct outcome outcome;
  // The payload of the call is gone when it is sent again.
  char payload[] = "unsent";
  rpc_server_free(&rig.server);
  rig_call(&rig, slice_from_string(payload), &outcome);
  memset(payload, '?', sizeof(payload) - 1);
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_str_eq(outcome.payload, "unsent");
  cr_assert_eq(rig.requests, 1);
  cr_assert_eq(retries("unsent"), 1);
  rig_stop(&rig);
}

// ---- instances that stand still ----

Test(retries, repeatable_calls_at_an_instance_that_stands_still_are_answered_by_another)
{
  struct rig rig;
  rig_start_two(&rig);
  static struct outcome before[4 * CALLS], write;
  rig.answering = ANSWER_AT_ONCE;
  for (size_t i = 0; i < 4 * CALLS; i++)
    rig_call(&rig, SLICE("x"), &before[i]);
  rig_until_done(&rig, before, 4 * CALLS);
  rig.answering = ANSWER_LATER;
  call_both(&rig, rig_call_repeatable);
  for (size_t i = rig.kept_count; i-- > 0;)
    if (rig.kept[i]->server == rig.other)
      rig_reply(&rig, i);
  rig.server_stopped = true;
  size_t standing = rig.kept_count;
  rig_until_kept(&rig, 2 * standing);
  for (size_t i = rig.kept_count; i-- > 0;)
    if (rig.kept[i]->server == rig.other)
      rig_reply(&rig, i);
  rig_until_done(&rig, outcomes, CALLS);
  cr_assert_eq(count_codes(STATUS_OK), CALLS);
  cr_assert_eq(retries("silent"), (int64_t)standing);
  rig_call(&rig, SLICE("x"), &write);
  rig_until_kept(&rig, standing + 1);
  cr_assert_eq(count_kept(&rig, rig.server), standing, "a new call goes to the other");
  rig_stop(&rig);
}

// ---- refusals ----

Test(retries, a_call_that_an_instance_has_not_begun_goes_to_another)
{
  struct rig rig;
  rig_start_two(&rig);
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  const struct rpc_server *first = rig.kept[0]->server;
  rpc_request_reply(rig.kept[0], &not_begun, (struct slice){0});
  rig.kept_count = 0;
  rig_until_kept(&rig, 1);
  cr_assert_neq(rig.kept[0]->server, first);
  rig_reply(&rig, 0);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_eq(retries("refused"), 1);
  rig_stop(&rig);
}

Test(retries, the_only_instance_is_not_asked_again)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call_repeatable(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  rpc_request_reply(rig.kept[0], &not_begun, (struct slice){0});
  rig.kept_count = 0;
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(outcome.reason, RPC_NOT_APPLIED);
  cr_assert_eq(rig.requests, 1);
  rig_stop(&rig);
}

static void refuse_all(struct rig *rig)
{
  while (rig->kept_count > 0)
    rpc_request_reply(rig->kept[--rig->kept_count], &not_begun, (struct slice){0});
}

Test(retries, where_all_refuse_the_requests_are_at_most_a_fifth_more)
{
  struct rig rig;
  rig_start_two(&rig);
  enum { ROUNDS = 60 };
  for (size_t round = 0; round < ROUNDS; round++) {
    for (size_t i = 0; i < CALLS; i++)
      rig_call_repeatable(&rig, SLICE("x"), &outcomes[i]);
    for (size_t turns = 0; count_codes(STATUS_UNAVAILABLE) < CALLS; turns++) {
      rig_turn(&rig);
      refuse_all(&rig);
      cr_assert_lt(turns, 10000);
    }
  }
  cr_assert_leq(rig.requests, ROUNDS * CALLS * 12 / 10);
  struct slice label = SLICE("test");
  cr_assert_gt(read_metric(METRIC_RPC_NOT_RETRIED, &label, 1), 0);
  rig_stop(&rig);
}

// ---- instances that fail ----

Test(retries, an_instance_that_fails_where_another_does_not_gets_no_calls_for_a_while)
{
  static const struct rpc_status broken = {.code = STATUS_INTERNAL, .message = SLICE_INIT("broken")};
  struct rig rig;
  rig_start_two(&rig);
  // Now and then it is tried again, after pauses that double from a quarter of a second on.
  enum { SINGLE = 40, TRIES = 3 };
  size_t failed = 0, late = 0;
  for (size_t i = 0; i < SINGLE; i++) {
    struct outcome outcome;
    rig_call(&rig, SLICE("x"), &outcome);
    rig_until_kept(&rig, 1);
    bool fails = rig.kept[0]->server == rig.server;
    if (fails)
      rpc_request_reply(rig.kept[0], &broken, (struct slice){0});
    else
      rpc_request_reply(rig.kept[0], NULL, SLICE("fine"));
    rig.kept_count = 0;
    rig_until_done(&rig, &outcome, 1);
    failed += fails ? 1 : 0;
    late += fails && i >= SINGLE / 2 ? 1 : 0;
  }
  cr_assert_gt(failed, 0);
  cr_assert_lt(failed, SINGLE / 4, "a failure that comes at once attracts calls");
  cr_assert_leq(late, TRIES);
  rig_stop(&rig);
}

static int64_t count_ejected(void)
{
  struct slice labels[] = {SLICE("test"), SLICE("failures")};
  return read_metric(METRIC_RPC_EJECTED, labels, 2);
}

static size_t count_done(void)
{
  size_t count = 0;
  for (size_t i = 0; i < CALLS; i++)
    count += outcomes[i].done ? 1 : 0;
  return count;
}

// One instance has as many calls in flight as it takes, and says so to each further one.
Test(retries, a_full_instance_is_not_ejected)
{
  static const struct rpc_status full = {.code = STATUS_RESOURCE_EXHAUSTED, .reason = SLICE_INIT(RPC_NOT_APPLIED)};
  struct rig rig;
  rig_start_two(&rig);
  size_t refused = 0;
  for (size_t round = 0; round < 20; round++) {
    for (size_t i = 0; i < CALLS; i++)
      rig_call(&rig, SLICE("x"), &outcomes[i]);
    for (size_t turns = 0; count_done() < CALLS; turns++) {
      cr_assert_lt(turns, 10000);
      rig_turn(&rig);
      while (rig.kept_count > 0) {
        struct rpc_request *request = rig.kept[--rig.kept_count];
        refused += request->server == rig.server ? 1 : 0;
        rpc_request_reply(request, request->server == rig.server ? &full : NULL, SLICE("fine"));
      }
    }
  }
  cr_assert_gt(refused, EJECTION_FAILURES);
  cr_assert_eq(count_ejected(), 0);
  rig_stop(&rig);
}

// ---- the budget ----

static size_t take_all(struct retry_budget *budget, uint64_t now_us)
{
  size_t count = 0;
  while (retry_budget_take(budget, now_us))
    count++;
  return count;
}

Test(retry_budget, allows_a_fifth_of_the_recent_calls)
{
  struct retry_budget budget = {0};
  uint64_t now_us = 5000 * SECOND_US;
  for (size_t i = 0; i < 1000; i++)
    retry_budget_note_call(&budget, now_us + i * 5000);
  cr_assert_eq(take_all(&budget, now_us + 5 * SECOND_US), 200);
}

Test(retry_budget, always_allows_a_few_in_ten_seconds)
{
  struct retry_budget budget = {0};
  uint64_t now_us = 123 * SECOND_US;
  cr_assert_eq(take_all(&budget, now_us), RETRY_BUDGET_MIN);
  cr_assert_eq(take_all(&budget, now_us + 9 * SECOND_US), 0);
  cr_assert_eq(take_all(&budget, now_us + 10 * SECOND_US), RETRY_BUDGET_MIN);
}

Test(retry_budget, forgets_calls_after_ten_seconds)
{
  struct retry_budget budget = {0};
  uint64_t now_us = 77 * SECOND_US;
  for (size_t i = 0; i < 1000; i++)
    retry_budget_note_call(&budget, now_us);
  cr_assert_eq(take_all(&budget, now_us + 10 * SECOND_US), RETRY_BUDGET_MIN);
  cr_assert_eq(take_all(&budget, now_us + 10000 * SECOND_US), RETRY_BUDGET_MIN);
}

// In any ten whole seconds, whatever the load, retries are at most a fifth of the calls and the few that are always
// allowed.
Test(retry_budget, holds_over_hours_of_a_changing_load)
{
  struct retry_budget budget = {0};
  uint64_t calls = 0, taken = 0, seed = 1;
  for (uint64_t step = 0; step < 4000000; step++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t now_us = step * 2000;
    if ((seed >> 33) % 1000 < 200 + step / 10000) {
      calls++;
      retry_budget_note_call(&budget, now_us);
    }
    taken += (seed >> 40) % 3 == 0 && retry_budget_take(&budget, now_us) ? 1 : 0;
  }
  cr_assert_leq(taken, calls / 5 + RETRY_BUDGET_MIN);
  cr_assert_geq(taken, calls / 6);
}

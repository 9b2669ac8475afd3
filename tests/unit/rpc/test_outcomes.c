// What a client can say of a call that no server has answered: whether it may have happened.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/client_internal.h"
#include "tests/unit/rpc/harness.h"

#define SECOND_US UINT64_C(1000000)

static uint64_t patient_end_us(void)
{
  return clock_now_us() + 60 * SECOND_US;
}

// ---- requests that have not left ----

// Calls with large requests to a server that does not read, until the network takes no more. The last ones wait
// in the outbox.
enum { CROWD = 2000, CROWD_BYTES = 20000 };

static struct outcome *crowd;

static void stall_server(struct rig *rig)
{
  rig_start(rig, &(struct rig_options){.max_unsent_bytes = SIZE_MAX});
  rig->server_stopped = true;
  crowd = calloc(CROWD, sizeof(*crowd));
  char *bytes = calloc(1, CROWD_BYTES);
  for (size_t i = 0; i < CROWD; i++) {
    rig_call(rig, slice_make(bytes, CROWD_BYTES), &crowd[i]);
    rpc_client_process(rig->client, clock_now_us());
    rpc_client_flush(rig->client);
  }
  free(bytes);
}

static void resume_server(struct rig *rig)
{
  rig->server_stopped = false;
  rig_until_done(rig, crowd, CROWD);
  for (size_t i = 0; i < CROWD; i++)
    cr_assert_eq(crowd[i].code, STATUS_OK);
  free(crowd);
}

Test(outcomes, a_request_that_has_not_left_at_its_deadline_never_does)
{
  struct rig rig;
  stall_server(&rig);
  struct outcome expired;
  uint64_t deadline_us = clock_now_us() + 20 * SECOND_US;
  rig_call_patiently(&rig, deadline_us, 400, &expired);
  rpc_client_flush(rig.client);
  rpc_client_process(rig.client, deadline_us - 1);
  cr_assert_not(expired.done);
  rpc_client_process(rig.client, deadline_us);
  cr_assert(expired.done, "there is no reply to wait for");
  cr_assert_eq(expired.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert_str_eq(expired.reason, RPC_NOT_APPLIED);
  resume_server(&rig);
  cr_assert_eq(rig.requests, CROWD);
  cr_assert_eq(rig.cancels, 0);
  rig_stop(&rig);
}

Test(outcomes, a_request_that_is_cancelled_before_it_has_left_never_does)
{
  struct rig rig;
  stall_server(&rig);
  struct outcome cancelled;
  cr_assert_not(rpc_call_cancel(rig_call(&rig, SLICE("x"), &cancelled)));
  resume_server(&rig);
  cr_assert_eq(rig.requests, CROWD);
  rig_stop(&rig);
}

Test(outcomes, calls_that_end_before_they_leave_leave_no_memory_behind)
{
  struct rig rig;
  stall_server(&rig);
  struct outcome cancelled;
  char *bytes = calloc(1, CROWD_BYTES);
  // Twice what a connection may have in flight.
  for (size_t i = 0; i < 8192; i++)
    rpc_call_cancel(rig_call(&rig, slice_make(bytes, CROWD_BYTES), &cancelled));
  struct outcome last;
  rig_call(&rig, SLICE("last"), &last);
  resume_server(&rig);
  rig_until_done(&rig, &last, 1);
  cr_assert_eq(last.code, STATUS_OK);
  cr_assert_eq(rig.requests, CROWD + 1);
  free(bytes);
  rig_stop(&rig);
}

Test(outcomes, without_an_endpoint_nothing_has_happened)
{
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  struct outcome waited, late;
  rig_call(&rig, SLICE("x"), &waited);
  rig_call_until(&rig, SLICE("x"), clock_now_us() - 1, &late);
  rpc_client_process(rig.client, clock_now_us() + 2 * SECOND_US);
  cr_assert_eq(waited.code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(waited.reason, RPC_NOT_APPLIED);
  cr_assert_eq(late.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert_str_eq(late.reason, RPC_NOT_APPLIED);
  rpc_client_free(&rig.client);
}

// ---- requests that have left ----

Test(outcomes, a_request_that_has_left_may_have_been_carried_out)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome expired, cancelled;
  uint64_t deadline_us = TEST_DEADLINE_US;
  rig_call_until(&rig, SLICE("x"), deadline_us, &expired);
  struct rpc_call *call = rig_call(&rig, SLICE("x"), &cancelled);
  rig_until_kept(&rig, 2);
  cr_assert(rpc_call_cancel(call));
  rpc_client_process(rig.client, deadline_us);
  cr_assert_eq(expired.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert_str_eq(expired.reason, RPC_OUTCOME_UNKNOWN);
  rig_stop(&rig);
}

Test(outcomes, a_reply_counts_for_as_long_after_the_deadline_as_the_caller_wants)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome answered, given_up;
  uint64_t deadline_us = TEST_DEADLINE_US;
  rig_call_patiently(&rig, deadline_us, 400, &answered);
  rig_call_patiently(&rig, deadline_us, 400, &given_up);
  rig_until_kept(&rig, 2);
  cr_assert_leq(rpc_request_deadline_us(rig.kept[0]), deadline_us, "the server does not know of it");
  rpc_client_process(rig.client, deadline_us + 399999);
  cr_assert_not(answered.done || given_up.done);
  cr_assert_leq(rpc_client_next_timeout_us(rig.client), deadline_us + 400000);
  rig_reply(&rig, 0);
  rig_until_done(&rig, &answered, 1);
  cr_assert_eq(answered.code, STATUS_OK);
  rpc_client_process(rig.client, deadline_us + 400000);
  cr_assert(given_up.done);
  cr_assert_eq(given_up.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert_str_eq(given_up.reason, RPC_OUTCOME_UNKNOWN);
  rig_stop(&rig);
}

// ---- time on the way ----

// The server's process is stopped while the request waits for it: its clock goes on.
Test(outcomes, a_request_that_waited_for_the_server_too_long_is_not_begun)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome expired, in_time;
  rig.server_stopped = true;
  uint64_t soon_us = clock_now_us() + 20 * SECOND_US;
  rig_call_patiently(&rig, soon_us, 100000, &expired);
  rig_call(&rig, SLICE("x"), &in_time);
  rpc_client_flush(rig.client);
  // The server wakes a second after the deadline.
  uint64_t end_us = patient_end_us();
  while (rig.requests == 0 && clock_now_us() < end_us) {
    rpc_server_process(rig.server, soon_us + SECOND_US);
    rpc_server_flush(rig.server);
  }
  rig_until_done(&rig, &expired, 1);
  cr_assert_eq(expired.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert_str_eq(expired.reason, RPC_NOT_APPLIED);
  cr_assert_eq(rig.requests, 1, "the other one has begun");
  rig_stop(&rig);
}

// ---- the end of a connection, and of the client ----

Test(outcomes, a_broken_connection_says_of_each_call_whether_it_had_left)
{
  struct rig rig;
  stall_server(&rig);
  rpc_server_free(&rig.server);
  rig_until_done(&rig, crowd, CROWD);
  size_t counts[2] = {0};
  for (size_t i = 0; i < CROWD; i++) {
    cr_assert_eq(crowd[i].code, STATUS_UNAVAILABLE);
    bool left = strcmp(crowd[i].reason, RPC_OUTCOME_UNKNOWN) == 0;
    cr_assert(left || strcmp(crowd[i].reason, RPC_NOT_APPLIED) == 0, "%s", crowd[i].reason);
    counts[left ? 1 : 0]++;
    cr_assert(!left || counts[0] == 0, "requests leave in order: the first ones have left, the last ones have not");
  }
  cr_assert_gt(counts[0], 0);
  cr_assert_gt(counts[1], 0);
  free(crowd);
  rpc_client_free(&rig.client);
}

Test(outcomes, a_client_that_closes_says_it_too)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome left, queued;
  rig_call(&rig, SLICE("left"), &left);
  rig_until_kept(&rig, 1);
  rig_call(&rig, SLICE("queued"), &queued);
  struct rpc_client *client = rig.client;
  rpc_client_free(&client);
  rig.client = NULL;
  cr_assert_eq(left.code, STATUS_CANCELLED);
  cr_assert_str_eq(left.reason, RPC_OUTCOME_UNKNOWN);
  cr_assert_eq(queued.code, STATUS_CANCELLED);
  cr_assert_str_eq(queued.reason, RPC_NOT_APPLIED);
  rig_stop(&rig);
}

// ---- callers without patience ----

static const struct balancer_candidate *find_load(const struct rig *rig)
{
  return &CONTAINER_OF(rig->client->endpoints.members.next, struct endpoint, node)->load;
}

// Makes a call that ends with its deadline, which comes after `patience_us`.
static void let_expire(struct rig *rig, uint64_t patience_us)
{
  struct outcome outcome;
  uint64_t before_us = clock_now_us();
  rig_call_until(rig, SLICE("x"), TEST_DEADLINE_US, &outcome);
  rig_until_kept(rig, rig->kept_count + 1);
  struct rpc_call *call = CONTAINER_OF(rig->client->timers.nodes[0], struct rpc_call, timer);
  call->attempt.sent_us = before_us;
  call->deadline_us = call->give_up_us = before_us + patience_us;
  heap_remove(&rig->client->timers, &call->timer);
  heap_insert(&rig->client->timers, &call->timer, call->deadline_us);
  rpc_client_process(rig->client, call->deadline_us);
  cr_assert_eq(outcome.code, STATUS_DEADLINE_EXCEEDED);
}

// Otherwise a client that gives its requests a millisecond would take one instance after the other from everybody.
Test(outcomes, callers_without_patience_do_not_make_an_instance_fail)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  for (size_t i = 0; i < 20; i++)
    let_expire(&rig, 1000);
  cr_assert_eq(find_load(&rig)->ejection.failures, 0);
  let_expire(&rig, 2 * SECOND_US);
  cr_assert_eq(find_load(&rig)->ejection.failures, 1);
  rig_stop(&rig);
}

Test(outcomes, a_call_that_expires_early_says_how_slow_its_instance_is_at_least)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  let_expire(&rig, 300000);
  // The method has not been answered yet, so its calls are said to cost a millisecond.
  cr_assert_gt(find_load(&rig)->slowness, 20);
  cr_assert_eq(find_load(&rig)->reply_us, 0);
  rig_stop(&rig);
}

Test(outcomes, a_call_that_its_caller_cancels_says_it_too)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  struct rpc_call *call = rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  call->attempt.sent_us -= 300000;
  cr_assert(rpc_call_cancel(call));
  cr_assert_gt(find_load(&rig)->slowness, 20);
  cr_assert_eq(find_load(&rig)->ejection.failures, 0);
  rig_stop(&rig);
}

// Calls over a real connection: orders, numbers, statuses, sizes, deadlines, cancellation.
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/observe/metrics.h"
#include "common/rpc/outbox_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

static bool was_cancelled(struct rig *rig, void *arg)
{
  (void)arg;
  return rig->cancels == 1;
}

Test(calls, an_answer_carries_the_payload)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  struct outcome outcome;
  rig_call(&rig, SLICE("hello"), &outcome);
  cr_assert(!outcome.done, "done never comes from inside rpc_client_call");
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_eq(outcome.payload_size, 5);
  cr_assert_arr_eq(outcome.payload, "hello", 5);
  rig_stop(&rig);
}

static bool is_readable(int fd, int timeout_ms)
{
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

static bool are_quiet(struct rig *rig, void *arg)
{
  (void)arg;
  return !is_readable(rpc_server_fd(rig->server), 0) && !is_readable(rpc_client_fd(rig->client), 0);
}

// The hosts sleep until the fds are readable.
Test(calls, a_request_wakes_the_server_and_its_answer_the_client)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &(struct rig_options){0});
  rig_call(&rig, SLICE("first"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  rig_until(&rig, are_quiet, NULL);
  rig_call(&rig, SLICE("second"), &outcome);
  rpc_client_flush(rig.client);
  cr_assert(is_readable(rpc_server_fd(rig.server), 60000));
  rpc_server_process(rig.server, clock_now_us());
  rpc_server_flush(rig.server);
  cr_assert(is_readable(rpc_client_fd(rig.client), 60000));
  rpc_client_process(rig.client, clock_now_us());
  cr_assert(outcome.done);
  rig_stop(&rig);
}

Test(calls, answers_may_come_in_any_order)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  static struct outcome outcomes[3];
  rig_call(&rig, SLICE("first"), &outcomes[0]);
  rig_call(&rig, SLICE("second"), &outcomes[1]);
  rig_call(&rig, SLICE("third"), &outcomes[2]);
  rig_until_kept(&rig, 3);
  rig_reply(&rig, 2);
  rig_until_done(&rig, &outcomes[2], 1);
  rig_reply(&rig, 0);
  rig_until_done(&rig, &outcomes[0], 1);
  rig_reply(&rig, 0);
  rig_until_done(&rig, &outcomes[1], 1);
  cr_assert_eq(outcomes[2].order, 1);
  cr_assert_arr_eq(outcomes[2].payload, "third", 5);
  cr_assert_eq(outcomes[0].order, 2);
  cr_assert_arr_eq(outcomes[0].payload, "first", 5);
  cr_assert_eq(outcomes[1].order, 3);
  cr_assert_arr_eq(outcomes[1].payload, "second", 6);
  rig_stop(&rig);
}

Test(calls, thousands_in_flight_each_get_their_own_answer)
{
  enum { CALLS = 4000 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome *outcomes = calloc(CALLS, sizeof(*outcomes));
  for (uint32_t i = 0; i < CALLS; i++)
    rig_call(&rig, slice_make(&i, sizeof(i)), &outcomes[i]);
  rig_until_kept(&rig, CALLS);
  cr_assert_eq(rpc_server_calls_in_flight(rig.server), CALLS);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, CALLS);
  for (uint32_t i = 0; i < CALLS; i++) {
    uint32_t got;
    memcpy(&got, outcomes[i].payload, sizeof(got));
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(got, i);
  }
  cr_assert_eq(rpc_server_calls_in_flight(rig.server), 0);
  free(outcomes);
  rig_stop(&rig);
}

Test(calls, calls_of_one_turn_leave_as_one_packet)
{
  enum { FEW = RPC_FULL_FRAMES - 1 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  struct slice label = SLICE("test");
  int64_t packets_before = read_metric(METRIC_RPC_CLIENT_PACKETS, &label, 1);
  int64_t frames_before = read_metric(METRIC_RPC_CLIENT_FRAMES, &label, 1);
  static struct outcome outcomes[FEW];
  for (size_t i = 0; i < FEW; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_until_done(&rig, outcomes, FEW);
  cr_assert_eq(read_metric(METRIC_RPC_CLIENT_PACKETS, &label, 1) - packets_before, 1);
  cr_assert_eq(read_metric(METRIC_RPC_CLIENT_FRAMES, &label, 1) - frames_before, FEW);
  rig_stop(&rig);
}

Test(calls, the_context_arrives_with_the_proven_name_as_the_peer)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER, .with_hellos = true});
  // What is said of user and program, beside their proofs, does not arrive.
  struct slice roles[] = {SLICE("user"), SLICE("admin")};
  struct rpc_context context = {
      .request_id = SLICE("r-1"),
      .traceparent = SLICE("00-11111111111111111111111111111111-2222222222222222-01"),
      .access_token = SLICE("a.b.c"),
      .caller_id = SLICE("u-1"),
      .caller_roles = roles,
      .caller_role_count = 2,
      .peer_service = SLICE("somebody else"),
      .idempotency_key = SLICE("k-1"),
  };
  struct outcome outcome = {0};
  rig_call(&rig, SLICE(""), &outcome);  // one without a context beside it
  rig_until_kept(&rig, 1);
  cr_assert(slice_equal_string(rpc_request_context(rig.kept[0])->peer_service, "tester"));
  cr_assert(slice_equal_string(rpc_request_method(rig.kept[0]), "test.v1.Test/Echo"));
  struct rpc_call_options options = {
      .service = "test", .method = SLICE("test.v1.Test/Other"), .deadline_us = TEST_DEADLINE_US, .context = &context};
  struct rpc_call *call = rpc_client_call(rig.client, &options, NULL, NULL);
  rig_until_kept(&rig, 2);
  const struct rpc_context *got = rpc_request_context(rig.kept[1]);
  cr_assert(slice_equal(got->request_id, context.request_id));
  cr_assert(slice_equal(got->traceparent, context.traceparent));
  cr_assert(slice_equal(got->access_token, context.access_token));
  cr_assert_eq(got->caller_id.size, 0);
  cr_assert(slice_equal(got->idempotency_key, context.idempotency_key));
  cr_assert(slice_equal_string(got->peer_service, "tester"));
  cr_assert_eq(got->caller_role_count, 0);
  rpc_call_cancel(call);
  rig_stop(&rig);
}

Test(calls, a_status_arrives_whole)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  struct violation violation = {.field = SLICE("items[3].sku"), .description = SLICE("must not be empty")};
  struct rpc_status status = {.code = STATUS_INVALID_ARGUMENT,
                              .message = SLICE("the request is invalid"),
                              .reason = SLICE("VALIDATION"),
                              .violations = &violation,
                              .violation_count = 1,
                              .retry_after_ms = 7};
  rpc_request_reply(rig.kept[0], &status, (struct slice){0});
  rig.kept_count = 0;
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_INVALID_ARGUMENT);
  cr_assert_str_eq(outcome.message, "the request is invalid");
  cr_assert_str_eq(outcome.reason, "VALIDATION");
  cr_assert_str_eq(outcome.field, "items[3].sku");
  cr_assert_eq(outcome.retry_after_ms, 7);
  rig_stop(&rig);
}

Test(calls, the_deadline_travels_and_ends_the_call)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  uint64_t deadline_us = TEST_DEADLINE_US;
  rig_call_until(&rig, SLICE("x"), deadline_us, &outcome);
  cr_assert_leq(rpc_client_next_timeout_us(rig.client), deadline_us);
  rig_until_kept(&rig, 1);
  // Both sides have the same clock, so only rounding up to whole milliseconds and the way here are added.
  cr_assert_gt(rpc_request_deadline_us(rig.kept[0]), deadline_us - 60 * UINT64_C(1000000));
  cr_assert_lt(rpc_request_deadline_us(rig.kept[0]), deadline_us + 60 * UINT64_C(1000000));
  rpc_client_process(rig.client, deadline_us - 1);
  cr_assert(!outcome.done);
  rpc_client_process(rig.client, deadline_us);
  cr_assert(outcome.done);
  cr_assert_eq(outcome.code, STATUS_DEADLINE_EXCEEDED);
  rpc_client_flush(rig.client);
  // The server hears of it, and its late answer ends nothing a second time.
  rig_until(&rig, was_cancelled, NULL);
  rig_reply_all(&rig);
  rig_call(&rig, SLICE("y"), &outcome);
  rig_until_kept(&rig, 1);
  rig_reply_all(&rig);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_arr_eq(outcome.payload, "y", 1);
  rig_stop(&rig);
}

Test(calls, a_deadline_that_has_passed_is_refused_without_a_request)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  struct outcome outcome;
  rig_call_until(&rig, SLICE("x"), clock_now_us() - 1, &outcome);
  struct pollfd fd = {.fd = rpc_client_fd(rig.client), .events = POLLIN};
  cr_assert_eq(poll(&fd, 1, 0), 1, "the host must process the refusal");
  cr_assert(!outcome.done);
  cr_assert_eq(rpc_client_next_timeout_us(rig.client), 0);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert_eq(rig.requests, 0);
  rig_stop(&rig);
}

Test(calls, a_cancel_reaches_the_server_and_done_is_not_called)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome cancelled, kept;
  struct rpc_call *call = rig_call(&rig, SLICE("cancelled"), &cancelled);
  rig_call(&rig, SLICE("kept"), &kept);
  rig_until_kept(&rig, 2);
  rpc_call_cancel(call);
  rig_until(&rig, was_cancelled, NULL);
  rig_reply_all(&rig);
  rig_until_done(&rig, &kept, 1);
  cr_assert_arr_eq(kept.payload, "kept", 4);
  cr_assert(!cancelled.done);
  rig_stop(&rig);
}

Test(calls, the_largest_message_passes_both_ways_and_one_more_byte_is_refused)
{
  enum { MAX = 1024 * 1024 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_message_bytes = MAX});
  char *bytes = malloc(MAX);
  memset(bytes, 'z', MAX);
  // The largest payload that is let through, found from the refusals.
  size_t size = MAX;
  struct outcome outcome;
  do {
    rig_call(&rig, slice_make(bytes, size), &outcome);
    rig_until_done(&rig, &outcome, 1);
  } while (outcome.code == STATUS_INVALID_ARGUMENT && --size > MAX - 1000);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_eq(outcome.payload_size, size);
  cr_assert_gt(size, MAX - 200);
  cr_assert_lt(size, MAX);
  free(bytes);
  rig_stop(&rig);
}

Test(calls, a_reply_that_is_too_large_becomes_internal)
{
  enum { MAX = 64 * 1024 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_message_bytes = MAX, .answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  static char bytes[MAX];
  rpc_request_reply(rig.kept[0], NULL, slice_make(bytes, sizeof(bytes)));
  rig.kept_count = 0;
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_INTERNAL);
  rig_stop(&rig);
}

Test(calls, large_and_small_ones_mix)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  enum { CALLS = 60 };
  static struct outcome outcomes[CALLS];
  size_t large = 300 * 1024;
  char *bytes = calloc(1, large);
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&rig, slice_make(bytes, i % 3 == 0 ? large : i * 1000), &outcomes[i]);
  rig_until_done(&rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++) {
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(outcomes[i].payload_size, i % 3 == 0 ? large : i * 1000);
  }
  free(bytes);
  rig_stop(&rig);
}

Test(calls, more_than_the_limit_in_flight_is_refused_by_the_client)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true, .answering = ANSWER_LATER});
  rig.client = rpc_client_create(&(struct rpc_client_options){.max_calls_in_flight = 4});
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_ready(&rig, 1);
  static struct outcome outcomes[5];
  for (size_t i = 0; i < 5; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_until_done(&rig, &outcomes[4], 1);
  cr_assert_eq(outcomes[4].code, STATUS_RESOURCE_EXHAUSTED);
  rig_until_kept(&rig, 4);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, 4);
  cr_assert_eq(outcomes[3].code, STATUS_OK);
  rig_stop(&rig);
}

Test(calls, more_than_the_limit_that_wait_for_an_endpoint_are_refused)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  rig.client = rpc_client_create(&(struct rpc_client_options){.max_calls_in_flight = 4});
  static struct outcome outcomes[6];
  for (size_t i = 0; i < 5; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_until_done(&rig, &outcomes[4], 1);
  cr_assert_eq(outcomes[4].code, STATUS_RESOURCE_EXHAUSTED);
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_done(&rig, outcomes, 4);
  for (size_t i = 0; i < 4; i++)
    cr_assert_eq(outcomes[i].code, STATUS_OK);
  rpc_client_set_endpoints(rig.client, "test", NULL, 0);
  rpc_call_cancel(rig_call(&rig, SLICE("x"), &outcomes[0]));
  for (size_t i = 0; i < 5; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_until_done(&rig, &outcomes[4], 1);
  cr_assert_eq(outcomes[4].code, STATUS_RESOURCE_EXHAUSTED);
  cr_assert_not(outcomes[3].done, "calls that have left count no more");
  rig_stop(&rig);
}

static int64_t count_ended(enum metric metric, const char *method, const char *status)
{
  const struct slice labels[] = {slice_from_string(method), slice_from_string(status)};
  return read_metric(metric, labels, 2);
}

static void reply_with(struct rig *rig, struct outcome *outcome, enum status code)
{
  rig_call(rig, SLICE("x"), outcome);
  rig_until_kept(rig, 1);
  rpc_request_reply(rig->kept[0], &(struct rpc_status){.code = code}, (struct slice){0});
  rig->kept_count = 0;
  rig_until_done(rig, outcome, 1);
}

Test(calls, both_sides_count_each_call_by_method_and_status)
{
  static const char method[] = "test.v1.Test/Echo";
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  reply_with(&rig, &outcome, STATUS_OK);
  reply_with(&rig, &outcome, STATUS_OK);
  reply_with(&rig, &outcome, STATUS_NOT_FOUND);
  cr_assert_eq(count_ended(METRIC_RPC_CLIENT_CALLS, method, "OK"), 2);
  cr_assert_eq(count_ended(METRIC_RPC_CLIENT_CALLS, method, "NOT_FOUND"), 1);
  cr_assert_eq(count_ended(METRIC_RPC_SERVER_CALLS, method, "OK"), 2);
  cr_assert_eq(count_ended(METRIC_RPC_SERVER_CALLS, method, "NOT_FOUND"), 1);
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  cr_assert_eq(read_single_metric(METRIC_RPC_SERVER_IN_FLIGHT), 1);
  rig_reply_all(&rig);
  cr_assert_eq(read_single_metric(METRIC_RPC_SERVER_IN_FLIGHT), 0);
  rig_stop(&rig);
}

Test(calls, a_method_that_the_server_does_not_implement_is_counted_without_its_name)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  reply_with(&rig, &outcome, STATUS_UNIMPLEMENTED);
  cr_assert_eq(outcome.code, STATUS_UNIMPLEMENTED);
  cr_assert_eq(count_ended(METRIC_RPC_SERVER_CALLS, "other", "UNIMPLEMENTED"), 1);
  cr_assert_eq(count_ended(METRIC_RPC_SERVER_CALLS, "test.v1.Test/Echo", "UNIMPLEMENTED"), 0);
  rig_stop(&rig);
}

Test(calls, freeing_the_client_ends_every_call_with_cancelled)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  static struct outcome outcomes[3];
  for (size_t i = 0; i < 3; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_until_kept(&rig, 3);
  rpc_client_free(&rig.client);
  cr_assert_null(rig.client);
  for (size_t i = 0; i < 3; i++)
    cr_assert_eq(outcomes[i].code, STATUS_CANCELLED);
  rig_stop(&rig);
}

struct chain {
  struct rig *rig;
  size_t left;
};

static void next_in_chain(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct chain *chain = arg;
  (void)payload;
  cr_assert_eq(status->code, STATUS_OK);
  if (--chain->left == 0)
    return;
  struct rpc_call_options options = {
      .service = "test", .method = SLICE("test.v1.Test/Echo"), .deadline_us = TEST_DEADLINE_US};
  rpc_client_call(chain->rig->client, &options, next_in_chain, chain);
}

static bool chain_ended(struct rig *rig, void *arg)
{
  (void)rig;
  return ((struct chain *)arg)->left == 0;
}

Test(calls, a_callback_may_start_the_next_call)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  struct chain chain = {.rig = &rig, .left = 51};
  next_in_chain(&chain, &(struct rpc_status){.code = STATUS_OK}, (struct slice){0});
  rig_until(&rig, chain_ended, &chain);
  cr_assert_eq(rig.requests, 50);
  rig_stop(&rig);
}

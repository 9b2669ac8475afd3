// A service without any instance: calls wait while there is hope, and are refused at once when there is none.
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/rpc/client_internal.h"
#include "tests/unit/rpc/harness.h"

// Calls and turns the client once. The call has a deadline two minutes away.
static void call_in_outage(struct rig *rig, struct outcome *outcome)
{
  rig_call(rig, SLICE("x"), outcome);
  rpc_client_process(rig->client, clock_now_us());
}

static void assert_refused(const struct outcome *outcome)
{
  cr_assert(outcome->done, "the call waits although nothing can be hoped for");
  cr_assert_eq(outcome->code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(outcome->reason, RPC_NOT_APPLIED);
  cr_assert_gt(outcome->retry_after_ms, 0);
}

static bool backs_off(struct rig *rig, void *arg)
{
  (void)arg;
  const struct endpoint *endpoint = CONTAINER_OF(rig->client->endpoints.members.next, struct endpoint, node);
  return endpoint->state == ENDPOINT_BACKING_OFF && endpoint->hope_until_us == 0;
}

Test(outages, once_the_dial_of_a_crashed_server_has_failed_calls_end_at_once)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  struct outcome waiting;
  rpc_server_free(&rig.server);
  rig_until_ready(&rig, 0);
  rig_call(&rig, SLICE("x"), &waiting);
  rpc_client_process(rig.client, clock_now_us());
  cr_assert_not(waiting.done, "the server may be back in a moment");
  rig_until(&rig, backs_off, NULL);
  assert_refused(&waiting);
  for (int i = 0; i < 3; i++) {
    struct outcome outcome;
    call_in_outage(&rig, &outcome);
    assert_refused(&outcome);
  }
  rig_stop(&rig);
}

Test(outages, a_newly_listed_endpoint_ends_the_outage_for_the_calls_that_wait_for_it)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  rpc_server_free(&rig.server);
  rig_until(&rig, backs_off, NULL);
  rig.server = rig_listen(&rig, "tcp://127.0.0.1:0", &(struct rig_options){0});
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  struct outcome outcome;
  call_in_outage(&rig, &outcome);
  cr_assert_not(outcome.done);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

// Programs that start together list each other before they listen.
Test(outages, an_endpoint_that_has_just_been_listed_may_come_up_later)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  char url[64];
  snprintf(url, sizeof(url), "%s", rig_url(&rig));
  int port = rpc_server_port(rig.server);
  rpc_server_free(&rig.server);
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  rig_set_endpoint(&rig, port);
  static struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  const struct endpoint *endpoint = CONTAINER_OF(rig.client->endpoints.members.next, struct endpoint, node);
  for (size_t turns = 0; endpoint->state != ENDPOINT_BACKING_OFF; turns++) {
    rig_turn(&rig);
    cr_assert_lt(turns, 10000);
  }
  cr_assert_not(outcome.done);
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

static bool is_drained(struct rig *rig, void *arg)
{
  (void)arg;
  return rpc_client_ready_endpoints(rig->client, "test") == 0;
}

// The server says that it shuts down, and its successor comes a moment after it has gone.
Test(outages, a_restart_in_good_order_is_waited_for)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  rpc_server_drain(rig.server);
  rig_until(&rig, is_drained, NULL);
  rpc_server_free(&rig.server);
  static struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  for (int i = 0; i < 20; i++)
    rig_turn(&rig);
  cr_assert_not(outcome.done);
  rig.server = rig_listen(&rig, "tcp://127.0.0.1:0", &(struct rig_options){0});
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

static void call_again(void *arg, const struct rpc_status *status, struct slice payload)
{
  (void)payload;
  struct rig *rig = arg;
  rig->outcomes++;
  if (status->code == STATUS_CANCELLED)
    return;
  const struct rpc_call_options options = {
      .service = "test", .method = SLICE("test.v1.Test/Echo"), .deadline_us = TEST_DEADLINE_US};
  rpc_client_call(rig->client, &options, call_again, rig);
}

Test(outages, a_callback_that_calls_again_when_refused_does_not_hold_up_the_loop)
{
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rpc_client_process(rig.client, clock_now_us() + 2 * UINT64_C(1000000));
  cr_assert(outcome.done);
  rig.client->channels->hope_until_us = 0;
  call_again(&rig, &(struct rpc_status){0}, SLICE(""));
  for (size_t turn = 1; turn < 4; turn++) {
    rpc_client_process(rig.client, clock_now_us());
    cr_assert_eq(rig.outcomes, 2 + turn);
  }
  rig_stop(&rig);
}

static size_t count_done(const struct outcome *outcomes, size_t count)
{
  size_t done = 0;
  for (size_t i = 0; i < count; i++)
    done += outcomes[i].done;
  return done;
}

// Each end may cost its callback an answer to a client. Those whose deadlines pass meanwhile do not wait for their
// turn.
Test(outages, many_calls_that_are_given_up_end_by_and_by_but_at_their_deadlines)
{
  enum { CALLS = 100, URGENT = 20 };
  const uint64_t second_us = 1000000;
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  static struct outcome patient[CALLS], urgent[URGENT];
  uint64_t deadline_us = clock_now_us() + 100 * second_us;
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&rig, SLICE("x"), &patient[i]);
  for (size_t i = 0; i < URGENT; i++)
    rig_call_until(&rig, SLICE("x"), deadline_us, &urgent[i]);
  rpc_client_process(rig.client, deadline_us - second_us);
  size_t done = count_done(patient, CALLS) + count_done(urgent, URGENT);
  cr_expect_gt(done, 0);
  cr_expect_lt(done, URGENT);
  cr_expect_eq(rpc_client_next_timeout_us(rig.client), 0, "the others end without a pause");
  rpc_client_process(rig.client, deadline_us);
  cr_expect_lt(count_done(patient, CALLS), CALLS / 2);
  for (size_t i = 0; i < URGENT; i++)
    assert_refused(&urgent[i]);
  for (size_t i = 0; i < CALLS; i++)
    rpc_client_process(rig.client, deadline_us);
  cr_expect_eq(count_done(patient, CALLS), CALLS);
  rig_stop(&rig);
}

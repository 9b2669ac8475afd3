// What a failed call says of its effect: NOT_APPLIED may be repeated, OUTCOME_UNKNOWN may have happened.
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/service/call.h"
#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/support/common/service_keys.h"
#include "user/v1/user.pb-c.h"

static struct process probe;
static struct driver gateway;

static const struct rpc_context someone = {.request_id = SLICE_INIT("r-1"), .caller_id = SLICE_INIT("caller-1")};

static void setup(void)
{
  probe_open_connected(&probe, &gateway);
}

static void teardown(void)
{
  probe_close(&probe, &gateway);
}

TestSuite(outcomes, .init = setup, .fini = teardown);

static void begin_create_item(char *name, uint64_t timeout_ms, struct outcome *outcome)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = "sku";
  item.name = name;
  Item__V1__CreateItemRequest request = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
  request.item = &item;
  driver_begin(&gateway, "item.v1.ItemService/CreateItem", driver_pack(&gateway, &request.base), &someone, timeout_ms,
               outcome);
}

static struct outcome create_item(char *name, uint64_t timeout_ms)
{
  struct outcome outcome;
  begin_create_item(name, timeout_ms, &outcome);
  driver_finish(&gateway, &outcome);
  return outcome;
}

static struct outcome create_user(char *name, uint64_t timeout_ms)
{
  User__V1__CreateUserRequest request = USER__V1__CREATE_USER_REQUEST__INIT;
  request.email = "ada@example.com";
  request.password = "correct horse battery";
  request.display_name = name;
  struct outcome outcome;
  driver_begin(&gateway, "user.v1.UserService/CreateUser", driver_pack(&gateway, &request.base), &someone, timeout_ms,
               &outcome);
  driver_finish(&gateway, &outcome);
  return outcome;
}

static void expect(struct outcome outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome.status, status, "%s", status_name(outcome.status));
  cr_expect(slice_equal_string(outcome.reason, reason), SLICE_FMT, SLICE_ARG(outcome.reason));
}

Test(outcomes, a_handler_that_has_changed_nothing_says_so)
{
  expect(create_item(PROBE_REFUSE, 10000), STATUS_UNAVAILABLE, "NOT_APPLIED");
  expect(create_item(PROBE_WAIT, 50), STATUS_DEADLINE_EXCEEDED, "NOT_APPLIED");
}

Test(outcomes, a_handler_that_has_changed_something_leaves_the_outcome_open)
{
  expect(create_item(PROBE_CHANGE, 10000), STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN");
}

Test(outcomes, the_log_says_under_the_request_id_why_a_call_was_not_done)
{
  (void)create_item(PROBE_WAIT, 50);
  process_wait_output(&probe, "\"message\":\"a call could not be done\",\"requestId\":\"r-1\"");
  EXPECT_OUTPUT(probe, "\"status\":\"DEADLINE_EXCEEDED\",\"reason\":\"NOT_APPLIED\"");
  EXPECT_OUTPUT(probe, "\"what\":\"the end of a pause\"");
  (void)create_user(PROBE_PEER PROBE_REFUSE, 10000);
  process_wait_output(&probe, "\"cause\":\"a call to another service has failed");
  EXPECT_OUTPUT(probe, "\"what\":\"item.v1.ItemService/CreateItem\"");
}

Test(outcomes, what_a_peer_has_done_counts)
{
  expect(create_user(PROBE_PEER "harmless", 10000), STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN");
  expect(create_user(PROBE_PEER PROBE_CHANGE, 10000), STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN");
}

Test(outcomes, what_a_peer_has_not_done_does_not)
{
  expect(create_user(PROBE_PEER PROBE_REFUSE, 10000), STATUS_UNAVAILABLE, "NOT_APPLIED");
  expect(create_user(PROBE_PEER PROBE_LOOK, 10000), STATUS_UNAVAILABLE, "NOT_APPLIED");
}

Test(outcomes, a_peer_that_has_not_answered_by_the_deadline_may_have_done_anything)
{
  expect(create_user(PROBE_PEER PROBE_DEAF, 2000), STATUS_DEADLINE_EXCEEDED, "OUTCOME_UNKNOWN");
  probe_release(&probe);
}

// ---- a service whose process is stopped ----

// Returns how many handlers of the probe have begun to wait.
static long count_started(void)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b";
  struct outcome outcome = driver_call(&gateway, "item.v1.ItemService/GetItem", &request.base, &someone);
  const Item__V1__Item *item = (const void *)driver_reply(&outcome, &item__v1__item__descriptor);
  cr_assert_eq(strncmp(item->tags[0], PROBE_STARTED "=", sizeof(PROBE_STARTED)), 0);
  return strtol(item->tags[0] + sizeof(PROBE_STARTED), NULL, 10);
}

// What the kernel has taken for the process meanwhile is read when it goes on.
Test(outcomes, a_stopped_process_begins_no_call_whose_deadline_has_passed)
{
  enum { CALLS = 100 };
  struct outcome late[CALLS];
  kill(probe.pid, SIGSTOP);
  uint64_t end_us = deadline_after_ms(clock_now_us(), 100);
  for (size_t i = 0; i < CALLS; i++)
    begin_create_item(PROBE_WAIT, 100, &late[i]);
  while (clock_now_us() <= end_us + 100000)
    poll(NULL, 0, 1);
  kill(probe.pid, SIGCONT);
  for (size_t i = 0; i < CALLS; i++) {
    driver_finish(&gateway, &late[i]);
    expect(late[i], STATUS_DEADLINE_EXCEEDED, "NOT_APPLIED");
  }
  cr_expect_eq(count_started(), 0);
}

// A kernel takes connections for a process that does not run.
Test(outcomes, a_stopped_process_is_sent_nothing_over_a_new_connection)
{
  struct service_identity *identity = service_keys_identity("gateway");
  struct rpc_client *client = rpc_client_create(&(struct rpc_client_options){.identity = identity});
  const struct rpc_endpoint endpoint = {.id = SLICE("only"), .url = slice_from_string(probe.url)};
  kill(probe.pid, SIGSTOP);
  rpc_client_set_endpoints(client, "probe", &endpoint, 1);
  uint64_t end_us = deadline_after_ms(clock_now_us(), 200);
  while (clock_now_us() <= end_us) {
    rpc_client_process(client, clock_now_us());
    rpc_client_flush(client);
    poll(NULL, 0, 1);
  }
  cr_expect_eq(rpc_client_ready_endpoints(client, "probe"), 0);
  kill(probe.pid, SIGCONT);
  rpc_client_free(&client);
  service_identity_free(&identity);
}

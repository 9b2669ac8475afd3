// What a failed call says of its effect: NOT_APPLIED may be repeated, OUTCOME_UNKNOWN may have happened.
#include <criterion/criterion.h>

#include "common/service/call.h"
#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "user/v1/user.pb-c.h"

static struct process probe;
static struct driver gateway;

static const struct rpc_context someone = {.request_id = SLICE_INIT("r-1"), .caller_id = SLICE_INIT("caller-1")};

static void setup(void)
{
  probe_serve(&probe, NULL);
  driver_open(&gateway, probe.url, "gateway");
}

static void teardown(void)
{
  driver_close(&gateway);
  int code = process_stop(&probe);
  cr_expect_eq(code, 0, "exit code %d: %s", code, strbuf_cstring(&probe.output));
  process_free(&probe);
}

TestSuite(outcomes, .init = setup, .fini = teardown);

static struct outcome create_item(char *name, uint64_t timeout_ms)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = "sku";
  item.name = name;
  Item__V1__CreateItemRequest request = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
  request.item = &item;
  struct outcome outcome;
  driver_begin(&gateway, "item.v1.ItemService/CreateItem", driver_pack(&gateway, &request.base), &someone, timeout_ms,
               &outcome);
  driver_finish(&gateway, &outcome);
  return outcome;
}

static struct outcome create_user(char *name, uint64_t timeout_ms)
{
  User__V1__CreateUserRequest request = USER__V1__CREATE_USER_REQUEST__INIT;
  request.email = "ada@example.com";
  request.password = "correct horse";
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
  expect(create_user(PROBE_PEER PROBE_WAIT, 50), STATUS_DEADLINE_EXCEEDED, "OUTCOME_UNKNOWN");
}

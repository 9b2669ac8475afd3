// What every service serves without binding it: grpc.health.v1, and process.cache.v1, where only instances of the same
// service may ask each other.
#include <criterion/criterion.h>
#include <signal.h>

#include "grpc/health/v1/health.pb-c.h"
#include "item/v1/item.pb-c.h"
#include "process/cache/v1/instances.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/component/service/stream_client.h"

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

static struct process probe;
static struct driver gateway;

static void setup(void)
{
  probe_open(&probe, &gateway, NULL);
}

static void teardown(void)
{
  probe_close(&probe, &gateway);
}

TestSuite(health, .init = setup, .fini = teardown);
TestSuite(cache_instances, .init = setup, .fini = teardown);

// ---- grpc.health.v1 ----

static struct outcome check(struct driver *driver, char *service)
{
  const struct rpc_context context = {0};
  Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
  request.service = service;
  return driver_call(driver, "grpc.health.v1.Health/Check", &request.base, &context);
}

static void expect_serving(struct driver *driver, char *service)
{
  struct outcome outcome = check(driver, service);
  cr_assert_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  const Grpc__Health__V1__HealthCheckResponse *response =
      (void *)driver_reply(&outcome, &grpc__health__v1__health_check_response__descriptor);
  cr_expect_eq(response->status, STATUS(SERVING));
}

static void watch(struct stream_client *client, char *service)
{
  Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
  request.service = service;
  stream_client_open(client, &gateway, "grpc.health.v1.Health/Watch", &request.base);
}

static void expect_status(struct stream_client *client, size_t count, unsigned status)
{
  const Grpc__Health__V1__HealthCheckResponse *response =
      (void *)stream_client_await(client, count, &grpc__health__v1__health_check_response__descriptor);
  cr_expect_eq(response->status, status, "message %zu: %u", count, (unsigned)response->status);
}

Test(health, the_process_and_each_of_its_services_can_be_checked)
{
  expect_serving(&gateway, "");
  expect_serving(&gateway, "item.v1.ItemService");
  expect_serving(&gateway, "grpc.reflection.v1.ServerReflection");
  struct outcome outcome = check(&gateway, "shop.v1.ShopService");
  cr_expect_eq(outcome.status, STATUS_NOT_FOUND);
  cr_expect(slice_equal_string(outcome.reason, "SERVICE_UNKNOWN"));

  struct driver other;
  driver_open(&other, probe.url, "user");
  expect_serving(&other, "");
  driver_close(&other);
}

Test(health, the_list_names_all_services)
{
  const struct rpc_context context = {0};
  Grpc__Health__V1__HealthListRequest request = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
  struct outcome outcome = driver_call(&gateway, "grpc.health.v1.Health/List", &request.base, &context);
  cr_assert_eq(outcome.status, STATUS_OK);
  const Grpc__Health__V1__HealthListResponse *response =
      (void *)driver_reply(&outcome, &grpc__health__v1__health_list_response__descriptor);
  cr_assert_eq(response->n_statuses, 7, "the process, three of its own, health, reflection and the cache's instances");
  for (size_t i = 0; i < response->n_statuses; i++)
    cr_expect_eq(response->statuses[i]->value->status, STATUS(SERVING));
  cr_expect_str_eq(response->statuses[0]->key, "");
}

static void begin_list(const char *q, struct outcome *outcome)
{
  const struct rpc_context context = {.caller_id = SLICE("caller-1")};
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = (char *)(uintptr_t)q;
  driver_begin(&gateway, "item.v1.ItemService/ListItems", driver_pack(&gateway, &request.base), &context, 60000,
               outcome);
}

Test(health_full, a_process_that_takes_no_more_calls_still_answers, .fini = teardown)
{
  enum { CALLS = 2 };
  struct outcome held[CALLS], refused;
  probe_open(&probe, &gateway, (const char *const[]){"RPC_MAX_CALLS=2", NULL});
  for (size_t i = 0; i < CALLS; i++)
    begin_list(PROBE_HOLD, &held[i]);
  begin_list("", &refused);
  driver_finish(&gateway, &refused);
  cr_assert_eq(refused.status, STATUS_RESOURCE_EXHAUSTED);
  expect_serving(&gateway, "");
  expect_serving(&gateway, "item.v1.ItemService");
  probe_release(&probe);
  for (size_t i = 0; i < CALLS; i++) {
    driver_finish(&gateway, &held[i]);
    cr_expect_eq(held[i].status, STATUS_OK);
  }
}

// Ends the probe itself.
Test(health_drain, watches_tell_the_drain_and_end, .init = setup)
{
  struct stream_client process, unknown;
  watch(&process, "");
  watch(&unknown, "shop.v1.ShopService");
  expect_status(&process, 1, STATUS(SERVING));
  expect_status(&unknown, 1, STATUS(SERVICE_UNKNOWN));
  cr_assert_eq(kill(probe.pid, SIGTERM), 0);
  stream_client_await_end(&process, STATUS_UNAVAILABLE);
  stream_client_await_end(&unknown, STATUS_UNAVAILABLE);
  cr_expect_eq(process.count, 2);
  expect_status(&process, 2, STATUS(NOT_SERVING));
  cr_expect_eq(unknown.count, 1);
  driver_close(&gateway);
  cr_expect_eq(process_end(&probe), 0, "%s", strbuf_cstring(&probe.output));
  process_free(&probe);
}

// ---- process.cache.v1 ----

static struct outcome ask_as(struct driver *driver, char *asker)
{
  const struct rpc_context context = {0};
  Process__Cache__V1__AskRequest request = PROCESS__CACHE__V1__ASK_REQUEST__INIT;
  request.cache = "words";
  request.asker = asker;
  return driver_call(driver, "process.cache.v1.Instances/Ask", &request.base, &context);
}

static void expect_refusal(const char *service, char *asker, enum status status, const char *reason)
{
  struct driver driver;
  driver_open(&driver, probe.url, service);
  struct outcome outcome = ask_as(&driver, asker);
  cr_expect_eq(outcome.status, status, "%s: " SLICE_FMT, service, SLICE_ARG(outcome.message));
  cr_expect(slice_equal_string(outcome.reason, reason), SLICE_FMT, SLICE_ARG(outcome.reason));
  driver_close(&driver);
}

Test(cache_instances, another_service_may_not_ask)
{
  expect_refusal("user", "0123456789abcdef", STATUS_PERMISSION_DENIED, "ANOTHER_SERVICE");
}

Test(cache_instances, the_gateway_may_not_ask)
{
  struct outcome outcome = ask_as(&gateway, "0123456789abcdef");
  cr_expect_eq(outcome.status, STATUS_PERMISSION_DENIED);
}

Test(cache_instances, a_cache_that_the_process_does_not_have_is_named)
{
  expect_refusal("probe", "0123456789abcdef", STATUS_NOT_FOUND, "CACHE_UNKNOWN");
}

Test(cache_instances, what_is_no_name_of_an_instance_is_refused)
{
  expect_refusal("probe", "short", STATUS_INVALID_ARGUMENT, "INVALID_REQUEST");
}

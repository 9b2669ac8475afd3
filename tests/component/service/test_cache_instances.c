// process.cache.v1: only instances of the same service may ask each other.
#include <criterion/criterion.h>

#include "process/cache/v1/instances.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"

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

TestSuite(cache_instances, .init = setup, .fini = teardown);

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

// Which failed calls the log tells of, and how often.
#include <criterion/criterion.h>

#include "common/observe/log.h"
#include "common/service/failure_log_internal.h"
#include "tests/support/common/read_metric.h"

#define SECOND_US UINT64_C(1000000)

static const struct task_cause away = {STATUS_UNAVAILABLE, "it is away", "a statement"};
static const struct task_cause slow = {STATUS_DEADLINE_EXCEEDED, "it is slow", "a statement"};
static const struct task_cause unknown = {.status = STATUS_UNAVAILABLE};

static struct failure_log failures;

static int64_t count_lines(void)
{
  return read_metric(METRIC_LOG_LINES, &SLICE("info"), 1);
}

// Returns how many lines the failures of that many calls make.
static int64_t fail(size_t calls, enum status status, const struct task_cause *cause, uint64_t now_us)
{
  int64_t before = count_lines();
  const struct rpc_status outcome = {.code = status, .message = SLICE("try again"), .reason = SLICE("NOT_APPLIED")};
  for (size_t i = 0; i < calls; i++)
    failure_log_write(&failures, "test.v1.Test/Get", &outcome, cause, now_us);
  return count_lines() - before;
}

static void setup(void)
{
  log_init("test", LOG_INFO);
}

TestSuite(failure_log, .init = setup);

Test(failure_log, each_cause_has_a_few_lines_a_second)
{
  cr_expect_eq(fail(3, STATUS_UNAVAILABLE, &away, SECOND_US), 3, "all of a few");
  cr_expect_eq(fail(1000, STATUS_UNAVAILABLE, &away, SECOND_US), FAILURE_LOG_LINES - 3);
  cr_expect_eq(fail(1000, STATUS_DEADLINE_EXCEEDED, &slow, SECOND_US), FAILURE_LOG_LINES, "another cause");
  cr_expect_eq(fail(1000, STATUS_UNAVAILABLE, &unknown, SECOND_US), FAILURE_LOG_LINES, "no cause is known");
  cr_expect_eq(fail(1000, STATUS_UNAVAILABLE, &away, 2 * SECOND_US), FAILURE_LOG_LINES, "the next second");
}

Test(failure_log, what_is_no_trouble_of_the_service_is_not_told)
{
  cr_expect_eq(fail(1, STATUS_OK, &unknown, SECOND_US), 0);
  cr_expect_eq(fail(1, STATUS_NOT_FOUND, &unknown, SECOND_US), 0);
  cr_expect_eq(fail(1, STATUS_CANCELLED, &unknown, SECOND_US), 0);
  cr_expect_eq(fail(1, STATUS_RESOURCE_EXHAUSTED, &unknown, SECOND_US), 0, "a caller has had enough");
  const struct task_cause full = {STATUS_RESOURCE_EXHAUSTED, "too much waits", "a statement"};
  cr_expect_eq(fail(1, STATUS_RESOURCE_EXHAUSTED, &full, SECOND_US), 1);
}

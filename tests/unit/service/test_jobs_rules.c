// What becomes of a run, pauses, and when a worker looks next.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/service/jobs_internal.h"

static enum status do_nothing(struct job *job)
{
  (void)job;
  return STATUS_OK;
}

static const struct job_kind mail = {.name = "mail",
                                     .run = do_nothing,
                                     .attempts = 3,
                                     .first_pause_ms = 100,
                                     .longest_pause_ms = 1000,
                                     .timeout_ms = 20000,
                                     .at_once = 2};
static const struct job_kind endless = {.name = "endless", .first_pause_ms = 1, .longest_pause_ms = UINT32_MAX};

Test(jobs_rules, a_run_that_succeeds_is_done_also_while_the_process_stops)
{
  cr_expect_eq(jobs_judge(&mail, STATUS_OK, 2, false), JOB_DONE);
  cr_expect_eq(jobs_judge(&mail, STATUS_OK, 0, true), JOB_DONE);
}

Test(jobs_rules, a_run_is_tried_again_until_its_attempts_are_used_up)
{
  cr_expect_eq(jobs_judge(&mail, STATUS_UNAVAILABLE, 0, false), JOB_RETRIED);
  cr_expect_eq(jobs_judge(&mail, STATUS_DEADLINE_EXCEEDED, 1, false), JOB_RETRIED);
  cr_expect_eq(jobs_judge(&mail, STATUS_UNAVAILABLE, 2, false), JOB_DEAD);
  cr_expect_eq(jobs_judge(&endless, STATUS_INTERNAL, 1000000, false), JOB_RETRIED);
}

Test(jobs_rules, what_another_run_cannot_change_is_final)
{
  const enum status final[] = {STATUS_INVALID_ARGUMENT,    STATUS_NOT_FOUND,    STATUS_ALREADY_EXISTS,
                               STATUS_FAILED_PRECONDITION, STATUS_OUT_OF_RANGE, STATUS_DATA_LOSS};
  for (size_t i = 0; i < ARRAY_LEN(final); i++)
    cr_expect_eq(jobs_judge(&endless, final[i], 0, true), JOB_DEAD, "%s", status_name(final[i]));
  const enum status passing[] = {
      STATUS_CANCELLED,          STATUS_UNKNOWN,        STATUS_DEADLINE_EXCEEDED, STATUS_PERMISSION_DENIED,
      STATUS_RESOURCE_EXHAUSTED, STATUS_ABORTED,        STATUS_UNIMPLEMENTED,     STATUS_INTERNAL,
      STATUS_UNAVAILABLE,        STATUS_UNAUTHENTICATED};
  for (size_t i = 0; i < ARRAY_LEN(passing); i++)
    cr_expect_eq(jobs_judge(&endless, passing[i], 0, false), JOB_RETRIED, "%s", status_name(passing[i]));
}

Test(jobs_rules, a_run_that_ends_with_its_process_is_no_failure)
{
  cr_expect_eq(jobs_judge(&mail, STATUS_CANCELLED, 2, true), JOB_GIVEN_BACK);
  cr_expect_eq(jobs_judge(&mail, STATUS_UNAVAILABLE, 2, true), JOB_GIVEN_BACK);
}

Test(jobs_rules, runs_that_died_use_attempts_up)
{
  cr_expect_not(jobs_exhausted(&mail, 2));
  cr_expect(jobs_exhausted(&mail, 3));
  cr_expect_not(jobs_exhausted(&endless, UINT32_MAX));
}

Test(jobs_rules, the_pause_doubles_up_to_the_longest)
{
  const uint32_t expected[] = {100, 200, 400, 800, 1000, 1000};
  for (uint32_t i = 0; i < ARRAY_LEN(expected); i++)
    cr_expect_eq(jobs_pause_limit_ms(&mail, i + 1), expected[i], "%u", i);
  cr_expect_eq(jobs_pause_limit_ms(&mail, UINT32_MAX), 1000);
  cr_expect_eq(jobs_pause_limit_ms(&endless, 32), UINT32_C(1) << 31);
  cr_expect_eq(jobs_pause_limit_ms(&endless, 33), UINT32_MAX);
  cr_expect_eq(jobs_pause_limit_ms(&endless, UINT32_MAX), UINT32_MAX);
}

Test(jobs_rules, a_lease_outlasts_the_run_its_end_and_what_was_sent)
{
  cr_expect_eq(jobs_lease_ms(&mail, 6700), 20000 + JOBS_SETTLE_MS + 6700);
}

Test(jobs_rules, a_worker_looks_when_the_next_job_is_due_and_now_and_then)
{
  const uint64_t now_us = 5000000;
  cr_expect_eq(jobs_next_look_us(now_us, false, 0), now_us + JOBS_LOOK_MS * 1000);
  cr_expect_eq(jobs_next_look_us(now_us, true, 250), now_us + 250000);
  cr_expect_eq(jobs_next_look_us(now_us, true, -3), now_us);
  cr_expect_eq(jobs_next_look_us(now_us, true, JOBS_LOOK_MS + 1), now_us + JOBS_LOOK_MS * 1000);
  cr_expect_eq(jobs_next_look_us(now_us, true, INT64_MAX), now_us + JOBS_LOOK_MS * 1000);
}

Test(jobs_rules, a_message_says_when_its_job_is_due)
{
  const uint64_t now_us = 5000000;
  cr_expect_eq(jobs_told_us(now_us, SLICE("0")), now_us);
  cr_expect_eq(jobs_told_us(now_us, SLICE("300")), now_us + 300000);
  // Anybody may notify a channel; what makes no sense costs a look.
  cr_expect_eq(jobs_told_us(now_us, SLICE("")), now_us);
  cr_expect_eq(jobs_told_us(now_us, SLICE("soon")), now_us);
  cr_expect_eq(jobs_told_us(now_us, SLICE("99999999999999999999")), now_us);
}

// ---- the kinds of a service ----

static enum status check(struct job_kind kind, struct error *error)
{
  static const struct migration_set migrations = {.schema = "probe"};
  const struct job_kind kinds[] = {mail, kind};
  const struct service_definition definition = {.jobs = kinds, .job_count = 2, .migrations = &migrations};
  return jobs_check_kinds(&definition, error);
}

static void expect_wrong(struct job_kind kind, const char *text)
{
  struct error error = {.status = STATUS_OK};
  cr_expect_eq(check(kind, &error), STATUS_FAILED_PRECONDITION, "%s", text);
  cr_expect_not_null(strstr(error.message, text), "%s", error.message);
}

Test(jobs_rules, kinds_are_checked_before_the_service_starts)
{
  struct error error;
  struct job_kind kind = mail;
  kind.name = "mail_2";
  cr_expect_eq(check(kind, &error), STATUS_OK);
  expect_wrong(mail, "two kinds of jobs are named mail");
  kind.name = "Mail";
  expect_wrong(kind, "a kind of jobs is named \"Mail\"");
  kind.name = "a234567890123456789012345678901234567890123456789012345678901234";
  expect_wrong(kind, "63 bytes at most");
  kind.name = NULL;
  expect_wrong(kind, "a kind of jobs is named \"\"");
  kind.name = "other";
  kind.timeout_ms = 0;
  expect_wrong(kind, "the kind of jobs other: timeout_ms must be from 1 to 3600000");
  kind.timeout_ms = 3600001;
  expect_wrong(kind, "timeout_ms");
  kind.timeout_ms = 3600000;
  kind.at_once = 0;
  expect_wrong(kind, "at_once");
  kind.at_once = 1;
  kind.longest_pause_ms = 99;
  expect_wrong(kind, "longest_pause_ms");
  kind.longest_pause_ms = 100;
  cr_expect_eq(check(kind, &error), STATUS_OK);
  kind.run = NULL;
  expect_wrong(kind, "run");
}

Test(jobs_rules, jobs_need_the_table_that_migrations_make)
{
  struct error error;
  const struct service_definition definition = {.jobs = &mail, .job_count = 1};
  cr_expect_eq(jobs_check_kinds(&definition, &error), STATUS_FAILED_PRECONDITION);
}

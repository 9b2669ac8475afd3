// Lets a test fail whose teardown (.fini) fails: criterion prints what it says, and counts the test as passed. Linked
// into every program of tests. It runs in the process that starts the tests.
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>

static size_t tests_ended;
static size_t teardowns_ended;

ReportHook(POST_TEST)(struct criterion_test_stats *stats)
{
  (void)stats;
  tests_ended++;
}

ReportHook(POST_FINI)(struct criterion_test_stats *stats)
{
  (void)stats;
  teardowns_ended++;
}

static size_t count_failed_in_teardown(const struct criterion_test_stats *tests)
{
  size_t count = 0;
  for (; tests != NULL; tests = tests->next) {
    if (tests->test_status != CR_STATUS_PASSED || tests->failed_asserts == 0)
      continue;
    fprintf(stderr, "[FAIL] %s::%s: its teardown has failed\n", tests->test->category, tests->test->name);
    count++;
  }
  return count;
}

// A teardown that crashes or exits has no end; criterion warns of it by name.
ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
  for (const struct criterion_suite_stats *suite = stats->suites; suite != NULL; suite = suite->next)
    stats->tests_failed += count_failed_in_teardown(suite->tests);
  if (tests_ended > teardowns_ended)
    stats->tests_failed += tests_ended - teardowns_ended;
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>

// Looks for leaks in the processes of tests only. The one that starts them is criterion's own, and now and then it ends
// with 48 bytes of its own that nobody has freed. Criterion names the memory that it shares with a test's process so.
int __lsan_is_turned_off(void)
{
  return getenv("BXFI_MAP") == NULL;
}
#endif

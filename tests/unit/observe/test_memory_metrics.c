#include "common/observe/memory_metrics.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/common/read_metric.h"

enum { BIG_BYTES = 30000000 };

static int64_t read_malloc(struct slice state)
{
  return read_metric(METRIC_MALLOC, &state, 1);
}

static void measure(void)
{
  const struct memory_use use = memory_measure();
  memory_metrics_set(&use);
}

Test(memory_metrics, each_figure_has_its_own_series)
{
  memory_metrics_make();
  memory_metrics_set(
      &(struct memory_use){.in_use_bytes = 1, .spare_bytes = 2, .resident_bytes = 3, .anonymous_bytes = 4});
  cr_expect_eq(read_malloc(SLICE("in_use")), 1);
  cr_expect_eq(read_malloc(SLICE("spare")), 2);
  cr_expect_eq(read_single_metric(METRIC_RESIDENT), 3);
  cr_expect_eq(read_single_metric(METRIC_ANONYMOUS), 4);
}

Test(memory_metrics, what_is_in_use_comes_and_goes_with_it)
{
#ifdef __SANITIZE_ADDRESS__
  cr_skip_test("glibc does not know of the sanitizer's own malloc");
#endif
  measure();
  int64_t before = read_malloc(SLICE("in_use")), resident = read_single_metric(METRIC_ANONYMOUS);
  char *big = malloc(BIG_BYTES);
  cr_assert_not_null(big);
  measure();
  cr_expect_geq(read_malloc(SLICE("in_use")), before + BIG_BYTES);
  cr_expect_lt(read_single_metric(METRIC_ANONYMOUS), resident + BIG_BYTES / 2, "nothing has written to it yet");
  memset(big, 1, BIG_BYTES);
  measure();
  cr_expect_geq(read_single_metric(METRIC_ANONYMOUS), resident + BIG_BYTES / 2);
  cr_expect_geq(read_single_metric(METRIC_RESIDENT), read_single_metric(METRIC_ANONYMOUS));
  free(big);
  measure();
  cr_expect_lt(read_malloc(SLICE("in_use")), before + BIG_BYTES / 2);
}

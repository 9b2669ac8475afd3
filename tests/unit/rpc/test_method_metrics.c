// Which labels the calls of a method are counted under.
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/rpc/method_metrics_internal.h"
#include "tests/support/common/read_metric.h"

static int64_t count_calls(struct slice method, const char *status)
{
  const struct slice labels[] = {method, slice_from_string(status)};
  return read_metric(METRIC_RPC_SERVER_CALLS, labels, 2);
}

Test(method_metrics, calls_are_counted_by_method_and_status)
{
  struct method_metrics table;
  method_metrics_init(&table, METRIC_RPC_SERVER_CALLS, METRIC_RPC_SERVER_DURATION);
  method_metrics_count(&table, SLICE("a.v1.A/Get"), true, STATUS_OK, 1);
  method_metrics_count(&table, SLICE("a.v1.A/Get"), true, STATUS_OK, 1);
  method_metrics_count(&table, SLICE("a.v1.A/Get"), true, STATUS_NOT_FOUND, 1);
  method_metrics_count(&table, SLICE("a.v1.A/List"), true, STATUS_OK, 1);
  cr_assert_eq(count_calls(SLICE("a.v1.A/Get"), "OK"), 2);
  cr_assert_eq(count_calls(SLICE("a.v1.A/Get"), "NOT_FOUND"), 1);
  cr_assert_eq(count_calls(SLICE("a.v1.A/List"), "OK"), 1);
  cr_assert_eq(count_calls(SLICE("other"), "OK"), 0);
  method_metrics_free(&table);
}

// What is not known to be a method comes from the network, and must not become a label.
Test(method_metrics, a_name_that_no_handler_knows_counts_as_other)
{
  struct method_metrics table;
  method_metrics_init(&table, METRIC_RPC_SERVER_CALLS, METRIC_RPC_SERVER_DURATION);
  method_metrics_count(&table, SLICE("x"), false, STATUS_UNIMPLEMENTED, 1);
  method_metrics_count(&table, SLICE("y"), false, STATUS_UNIMPLEMENTED, 1);
  method_metrics_count(&table, SLICE(""), true, STATUS_INTERNAL, 1);
  cr_assert_eq(count_calls(SLICE("other"), "UNIMPLEMENTED"), 2);
  cr_assert_eq(count_calls(SLICE("other"), "INTERNAL"), 1);
  method_metrics_count(&table, SLICE("x"), true, STATUS_OK, 1);
  method_metrics_count(&table, SLICE("x"), false, STATUS_CANCELLED, 1);
  cr_assert_eq(count_calls(SLICE("x"), "OK"), 1);
  cr_assert_eq(count_calls(SLICE("x"), "CANCELLED"), 1, "it is known by now");
  cr_assert_eq(count_calls(SLICE("x"), "UNIMPLEMENTED"), 0);
  method_metrics_free(&table);
}

Test(method_metrics, methods_beyond_the_bound_share_a_label_and_the_first_keep_theirs)
{
  enum { METHODS = 1024 };
  struct method_metrics table;
  char name[32];
  method_metrics_init(&table, METRIC_RPC_SERVER_CALLS, METRIC_RPC_SERVER_DURATION);
  for (size_t i = 0; i < METHODS + 2; i++) {
    snprintf(name, sizeof(name), "m%zu", i);
    method_metrics_count(&table, slice_from_string(name), true, STATUS_OK, 1);
  }
  cr_assert_eq(count_calls(SLICE("m1023"), "OK"), 1);
  cr_assert_eq(count_calls(SLICE("other"), "OK"), 2);
  method_metrics_count(&table, SLICE("m0"), true, STATUS_OK, 1);
  cr_assert_eq(count_calls(SLICE("m0"), "OK"), 2);
  method_metrics_free(&table);
}

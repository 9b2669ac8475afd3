// Reads one number from the page of metrics, as Prometheus would.
#ifndef BULKHEAD_TESTS_SUPPORT_READ_METRIC_H
#define BULKHEAD_TESTS_SUPPORT_READ_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "common/observe/metrics.h"

// Returns what the page shows for `metric` with these label values: the value of a counter or gauge, the count of a
// histogram, 0 for a series that is not on the page. Fails the test if the metric has another number of labels.
int64_t read_metric(enum metric metric, const struct slice *values, size_t count);
// Returns what the page shows for a metric without labels.
int64_t read_single_metric(enum metric metric);

#endif

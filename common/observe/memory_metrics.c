#include "common/observe/memory_metrics.h"

#include "common/observe/metrics.h"

static struct metric_series *find_series(const char *state)
{
  const struct slice label = slice_from_string(state);
  return metrics_series(METRIC_MALLOC, &label, 1);
}

void memory_metrics_make(void)
{
  memory_metrics_set(&(struct memory_use){0});
}

void memory_metrics_set(const struct memory_use *use)
{
  metric_set(find_series("in_use"), (int64_t)use->in_use_bytes);
  metric_set(find_series("spare"), (int64_t)use->spare_bytes);
  metric_set(metrics_single(METRIC_RESIDENT), (int64_t)use->resident_bytes);
  metric_set(metrics_single(METRIC_ANONYMOUS), (int64_t)use->anonymous_bytes);
}

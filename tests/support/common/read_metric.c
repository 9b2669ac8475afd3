#include "tests/support/common/read_metric.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

struct declaration {
  const char *name;
  const char *labels;
  bool is_histogram;
};

enum { COUNTER, GAUGE, GAUGE_MAX, HISTOGRAM };

static const struct declaration declarations[METRIC_COUNT] = {
#define METRIC(id, type, name, labels, help) [METRIC_##id] = {name, labels, (type) == HISTOGRAM},
#include "common/observe/metrics.def"
#undef METRIC
};

// Adds `{name="value",...}`. The label values of tests hold nothing that would be escaped.
static void add_labels(struct strbuf *out, struct slice names, const struct slice *values, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    cr_assert_gt(names.size, 0, "the metric has fewer than %zu labels", count);
    size_t end = slice_find(names, ',', 0);
    strbuf_add_byte(out, i == 0 ? '{' : ',');
    strbuf_add(out, slice_make(names.data, end));
    strbuf_printf(out, "=\"%.*s\"", (int)values[i].size, values[i].data);
    names = slice_skip(names, end + 1);
  }
  cr_assert_eq(names.size, 0, "the metric has more than %zu labels", count);
  strbuf_add_string(out, count > 0 ? "} " : " ");
}

int64_t read_metric(enum metric metric, const struct slice *values, size_t count)
{
  struct strbuf page, head;
  strbuf_init(&page, 0);
  strbuf_init(&head, 0);
  metrics_render(&page);
  const struct declaration *declaration = &declarations[metric];
  strbuf_printf(&head, "\n%s%s", declaration->name, declaration->is_histogram ? "_count" : "");
  add_labels(&head, slice_from_string(declaration->labels), values, count);
  const char *line = strstr(strbuf_cstring(&page), strbuf_cstring(&head));
  int64_t value = line == NULL ? 0 : strtoll(line + head.size, NULL, 10);
  strbuf_free(&head);
  strbuf_free(&page);
  return value;
}

int64_t read_single_metric(enum metric metric)
{
  return read_metric(metric, NULL, 0);
}

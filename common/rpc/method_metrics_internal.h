// The metric series of each method: calls by status, and durations. They are made when a method is first seen, for
// 1,024 methods at most; further ones share the label "other", so that bytes from the network cannot grow the page
// without end.
#ifndef BULKHEAD_RPC_METHOD_METRICS_INTERNAL_H
#define BULKHEAD_RPC_METHOD_METRICS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strmap.h"
#include "common/observe/metrics.h"
#include "common/rpc/method_cost_internal.h"

// A method that was called. Its cost is the client's to note.
struct method_entry {
  struct method_entry *next;
  struct slice name;  // its bytes are behind the entry
  size_t index;       // from 0, in the order in which methods are first seen
  struct method_cost cost;
  struct metric_series *duration;
  struct metric_series *calls[STATUS_COUNT];
};

struct method_metrics {
  enum metric calls;
  enum metric duration;
  struct strmap methods;
  struct method_entry *other;
  struct method_entry *entries;  // all of them, to be freed
  size_t entry_count;
};

void method_metrics_init(struct method_metrics *table, enum metric calls, enum metric duration);
void method_metrics_free(struct method_metrics *table);

// Returns the entry of a method, which lives as long as the table.
struct method_entry *method_metrics_find(struct method_metrics *table, struct slice method);
// Counts a call of a method that was found before.
void method_entry_count(const struct method_metrics *table, struct method_entry *entry, enum status status,
                        uint64_t duration_us);
// Counts a call that has ended. With `add` false, a method that is not in the table yet counts as "other".
void method_metrics_count(struct method_metrics *table, struct slice method, bool add, enum status status,
                          uint64_t duration_us);

#endif

// Metrics in Prometheus' text format 0.0.4. Every metric is declared in one list, metrics.def; the page, the HELP lines
// and the documentation come from it. A metric with labels has one series per combination of label values, made when
// the program knows the combination (a method, a peer), never from what a request holds.
//
// Counting is an add on memory of this process, by one thread: a series belongs to the thread that counts in it, unless
// all its writers use metric_add_from_any_thread. Making series, reading and rendering may be done by any thread. The
// gateway's workers each count in their own slot of shared memory and the page sums the slots: make all series, then
// metrics_attach().
#ifndef BULKHEAD_OBSERVE_METRICS_H
#define BULKHEAD_OBSERVE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

enum metric {
#define METRIC(id, type, name, labels, help) METRIC_##id,
#include "common/observe/metrics.def"
#undef METRIC
  METRIC_COUNT
};

// One series; its address stays valid for the life of the process.
struct metric_series;

// The series of `metric` with these label values, in the order of the list's labels, made at the first call. The values
// are copied. At most 4 labels. CHECKs that the count fits the declaration. A look-up takes a lock and a hash: keep the
// result where counting is frequent.
struct metric_series *metrics_series(enum metric metric, const struct slice *values, size_t count);
// Of a metric without labels.
struct metric_series *metrics_single(enum metric metric);

void metric_add(struct metric_series *counter_or_gauge, int64_t value);
// For a series that several threads count in: an atomic add, several times as dear.
void metric_add_from_any_thread(struct metric_series *counter_or_gauge, int64_t value);
void metric_set(struct metric_series *gauge, int64_t value);
// Histograms of durations: buckets from 100 us to 10 s, exposed in seconds.
void metric_observe_us(struct metric_series *histogram, uint64_t duration_us);
// Tests and readiness read back: the value of a counter or gauge, the count of a histogram; summed over the slots.
int64_t metric_value(const struct metric_series *series);

// The whole page.
void metrics_render(struct strbuf *out);

// Several processes: the bytes that one slot takes with the series that exist now, ...
size_t metrics_slot_size(void);
// ... and from here on this process counts in slot `slot` of `memory` (slots * metrics_slot_size() bytes, zeroed when
// it is made, shared, aligned to 8), and metrics_render sums all slots. What is shared are the series that existed at
// the last call of metrics_slot_size, before the processes were forked; series made later count in this process only.
//
// Counters and histograms go on from what the slot holds (a worker that died counted there before), and what this
// process counted before stays out, for after a fork it was the parent's. Gauges start with this process's value.
// Call it before other threads count.
void metrics_attach(void *memory, size_t slots, size_t slot);

#endif

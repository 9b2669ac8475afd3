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

// A series: one metric with one combination of label values. Its address stays valid for the life of the process.
struct metric_series;

// Returns the series of `metric` with these label values, in the order of the list's labels, made at the first call.
// The values are copied. At most 4 labels. CHECKs that the count fits the declaration. A look-up takes a lock and a
// hash: keep the result where counting is frequent.
struct metric_series *metrics_series(enum metric metric, const struct slice *values, size_t count);
// Returns the one series of a metric without labels.
struct metric_series *metrics_single(enum metric metric);

void metric_add(struct metric_series *counter_or_gauge, int64_t value);
// Adds to a series that several threads count in, atomically; several times slower than metric_add.
void metric_add_from_any_thread(struct metric_series *counter_or_gauge, int64_t value);
void metric_set(struct metric_series *gauge, int64_t value);
// Adds a duration to a histogram: buckets from 100 us to 10 s, exposed in seconds.
void metric_observe_us(struct metric_series *histogram, uint64_t duration_us);

// Appends the page of all series, as Prometheus reads it.
void metrics_render(struct strbuf *out);

// Returns the bytes that one slot takes with the series that exist now, for metrics_attach.
size_t metrics_slot_size(void);
// Lets this process count in slot `slot` of `memory` from here on (slots * metrics_slot_size() bytes, shared between
// processes, zeroed when it is made, aligned to 8), and metrics_render sum all slots. Series are shared if they existed
// at the last call of metrics_slot_size, before the processes were forked; later ones count in this process only.
//
// Counters and histograms continue from what the slot holds, because a worker that died may have counted there. What
// this process counted before is left out, because after a fork it is the parent's. Gauges start with this process's
// value. Call it before other threads count.
void metrics_attach(void *memory, size_t slots, size_t slot);

#endif

// The registry of series and the page. A series owns its cells: one for a counter or gauge, one per bucket and the sum
// for a histogram. They lie in memory of the series, and after metrics_attach in this process's slot of shared memory,
// where every slot has the same layout. Series live as long as the process. A lock guards the registry; cells are
// atomics, because other processes and threads read them.
#include "common/observe/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/base/hashtable.h"

enum metric_type { TYPE_COUNTER, TYPE_GAUGE, TYPE_GAUGE_MAX, TYPE_HISTOGRAM };

// Upper bounds of the buckets; durations above the last one count as +Inf.
#define BUCKET_LIST(X)                                                                                                 \
  X(100, "0.0001")                                                                                                     \
  X(250, "0.00025")                                                                                                    \
  X(500, "0.0005")                                                                                                     \
  X(1000, "0.001")                                                                                                     \
  X(2500, "0.0025")                                                                                                    \
  X(5000, "0.005")                                                                                                     \
  X(10000, "0.01")                                                                                                     \
  X(25000, "0.025")                                                                                                    \
  X(50000, "0.05")                                                                                                     \
  X(100000, "0.1")                                                                                                     \
  X(250000, "0.25")                                                                                                    \
  X(500000, "0.5")                                                                                                     \
  X(1000000, "1")                                                                                                      \
  X(2500000, "2.5")                                                                                                    \
  X(5000000, "5")                                                                                                      \
  X(10000000, "10")

static const uint64_t bucket_bounds_us[] = {
#define BUCKET(us, seconds) us,
    BUCKET_LIST(BUCKET)
#undef BUCKET
};

static const char *const bucket_names[] = {
#define BUCKET(us, seconds) seconds,
    BUCKET_LIST(BUCKET)
#undef BUCKET
        "+Inf"};

enum {
  MAX_LABELS = 4,
  INF_BUCKET = ARRAY_LEN(bucket_bounds_us),
  SUM_CELL,
  HISTOGRAM_CELLS,
  SLOT_ALIGN = 64,  // slots of two processes do not share a cache line
};

struct declaration {
  enum metric_type type;
  const char *name;
  const char *labels;
  const char *help;
};

static const struct declaration declarations[METRIC_COUNT] = {
#define METRIC(id, type, name, labels, help) [METRIC_##id] = {TYPE_##type, name, labels, help},
#include "common/observe/metrics.def"
#undef METRIC
};

struct metric_series {
  _Atomic(atomic_llong *) cells;  // where this process counts: its own or the slot's
  atomic_llong *own;
  size_t offset;  // of the first cell within a slot
  enum metric metric;
  size_t value_count;
  struct slice values[MAX_LABELS];
  struct hashtable_node node;
  struct metric_series *next_of_metric;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hashtable table;  // series by metric and label values
static struct metric_series *first_of[METRIC_COUNT];
static struct metric_series **last_of[METRIC_COUNT];  // where the next one is linked in; NULL means first_of
static size_t cell_count;

static struct {
  size_t cells;  // cells per slot at the last call of metrics_slot_size
  size_t slots;  // 0 until metrics_attach
  char *memory;
} shared;

static size_t count_slot_bytes(size_t cells)
{
  return (cells * sizeof(atomic_llong) + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

// ---- making series ----

static size_t count_cells(enum metric metric)
{
  return declarations[metric].type == TYPE_HISTOGRAM ? HISTOGRAM_CELLS : 1;
}

static size_t count_labels(const char *labels)
{
  size_t count = labels[0] != '\0';
  for (; *labels != '\0'; labels++)
    count += *labels == ',';
  return count;
}

static uint64_t hash_series(enum metric metric, const struct slice *values, size_t count)
{
  uint64_t hash = (uint64_t)metric;
  for (size_t i = 0; i < count; i++)
    hash = hash_integers(hash, hash_bytes(values[i]));
  return hash;
}

static bool series_is(const struct metric_series *series, enum metric metric, const struct slice *values, size_t count)
{
  if (series->metric != metric || series->value_count != count)
    return false;
  for (size_t i = 0; i < count; i++)
    if (!slice_equal(series->values[i], values[i]))
      return false;
  return true;
}

static struct metric_series *find_series(uint64_t hash, enum metric metric, const struct slice *values, size_t count)
{
  struct hashtable_node *node = hashtable_first(&table, hash);
  while (node != NULL && !series_is(CONTAINER_OF(node, struct metric_series, node), metric, values, count))
    node = hashtable_next(node);
  return node == NULL ? NULL : CONTAINER_OF(node, struct metric_series, node);
}

static void *allocate_zeroed(size_t count, size_t size)
{
  void *memory = calloc(count, size);
  CHECK(memory != NULL);
  return memory;
}

static struct slice copy_value(struct slice value)
{
  char *copy = allocate_zeroed(1, value.size + 1);
  if (value.size > 0)
    memcpy(copy, value.data, value.size);
  return slice_make(copy, value.size);
}

static struct metric_series *make_series(enum metric metric, const struct slice *values, size_t count)
{
  struct metric_series *series = allocate_zeroed(1, sizeof *series);
  series->metric = metric;
  series->value_count = count;
  for (size_t i = 0; i < count; i++)
    series->values[i] = copy_value(values[i]);
  series->own = allocate_zeroed(count_cells(metric), sizeof(atomic_llong));
  atomic_init(&series->cells, series->own);
  series->offset = cell_count;
  cell_count += count_cells(metric);
  if (last_of[metric] == NULL)
    last_of[metric] = &first_of[metric];
  *last_of[metric] = series;
  last_of[metric] = &series->next_of_metric;
  return series;
}

struct metric_series *metrics_series(enum metric metric, const struct slice *values, size_t count)
{
  CHECK(metric < METRIC_COUNT && count <= MAX_LABELS && count == count_labels(declarations[metric].labels));
  pthread_mutex_lock(&lock);
  uint64_t hash = hash_series(metric, values, count);
  struct metric_series *series = find_series(hash, metric, values, count);
  if (series == NULL) {
    series = make_series(metric, values, count);
    hashtable_insert(&table, &series->node, hash);
  }
  pthread_mutex_unlock(&lock);
  return series;
}

struct metric_series *metrics_single(enum metric metric)
{
  return metrics_series(metric, NULL, 0);
}

// ---- counting ----

// Returns the cells that this process counts in now.
static atomic_llong *get_cells(const struct metric_series *series)
{
  return atomic_load_explicit(&series->cells, memory_order_acquire);
}

static bool is_histogram(const struct metric_series *series)
{
  return declarations[series->metric].type == TYPE_HISTOGRAM;
}

// Adds without an atomic read-modify-write: a series has one writer, so a load and a store are enough. The numbers are
// unsigned, because signed overflow would be undefined.
static void add_to_cell(atomic_llong *cell, uint64_t value)
{
  uint64_t sum = (uint64_t)atomic_load_explicit(cell, memory_order_relaxed) + value;
  atomic_store_explicit(cell, (int64_t)sum, memory_order_relaxed);
}

void metric_add(struct metric_series *counter_or_gauge, int64_t value)
{
  CHECK(!is_histogram(counter_or_gauge));
  add_to_cell(get_cells(counter_or_gauge), (uint64_t)value);
}

void metric_add_from_any_thread(struct metric_series *counter_or_gauge, int64_t value)
{
  CHECK(!is_histogram(counter_or_gauge));
  atomic_fetch_add_explicit(get_cells(counter_or_gauge), value, memory_order_relaxed);
}

void metric_set(struct metric_series *gauge, int64_t value)
{
  CHECK(!is_histogram(gauge));
  atomic_store_explicit(get_cells(gauge), value, memory_order_relaxed);
}

void metric_observe_us(struct metric_series *histogram, uint64_t duration_us)
{
  CHECK(is_histogram(histogram));
  atomic_llong *cells = get_cells(histogram);
  size_t bucket = 0;
  while (bucket < INF_BUCKET && duration_us > bucket_bounds_us[bucket])
    bucket++;
  add_to_cell(&cells[bucket], 1);
  add_to_cell(&cells[SUM_CELL], duration_us);
}

// ---- reading ----

static bool is_shared(const struct metric_series *series)
{
  return shared.slots > 0 && series->offset < shared.cells;
}

static atomic_llong *find_slot_cells(const struct metric_series *series, size_t slot)
{
  return (atomic_llong *)(void *)(shared.memory + slot * count_slot_bytes(shared.cells)) + series->offset;
}

// Returns the value over all slots: the highest one for GAUGE_MAX, otherwise the sum.
static int64_t sum_cell(const struct metric_series *series, size_t cell)
{
  if (!is_shared(series))
    return atomic_load_explicit(&get_cells(series)[cell], memory_order_relaxed);
  bool highest = declarations[series->metric].type == TYPE_GAUGE_MAX;
  int64_t total = atomic_load_explicit(&find_slot_cells(series, 0)[cell], memory_order_relaxed);
  for (size_t slot = 1; slot < shared.slots; slot++) {
    int64_t value = atomic_load_explicit(&find_slot_cells(series, slot)[cell], memory_order_relaxed);
    total = highest ? (value > total ? value : total) : total + value;
  }
  return total;
}

// ---- the page: https://prometheus.io/docs/instrumenting/exposition_formats/ ----

static void add_escaped(struct strbuf *out, struct slice text, bool in_quotes)
{
  for (size_t i = 0; i < text.size; i++) {
    char byte = text.data[i];
    if (byte == '\n') {
      strbuf_add_string(out, "\\n");
      continue;
    }
    if (byte == '\\' || (byte == '"' && in_quotes))
      strbuf_add_byte(out, '\\');
    strbuf_add_byte(out, byte);
  }
}

static void add_label(struct strbuf *out, const char *lead, struct slice name, struct slice value)
{
  strbuf_add_string(out, lead);
  strbuf_add(out, name);
  strbuf_add_string(out, "=\"");
  add_escaped(out, value, true);
  strbuf_add_byte(out, '"');
}

// Writes the name, `suffix`, the labels with `le` unless it is NULL, and the space before the value.
static void add_series_name(struct strbuf *out, const struct metric_series *series, const char *suffix, const char *le)
{
  const struct declaration *declaration = &declarations[series->metric];
  strbuf_add_string(out, declaration->name);
  strbuf_add_string(out, suffix);
  struct slice names = slice_from_string(declaration->labels);
  const char *lead = "{";
  for (size_t i = 0; i < series->value_count; i++) {
    size_t end = slice_find(names, ',', 0);
    add_label(out, lead, slice_make(names.data, end), series->values[i]);
    names = slice_skip(names, end + 1);
    lead = ",";
  }
  if (le != NULL) {
    add_label(out, lead, SLICE("le"), slice_from_string(le));
    lead = ",";
  }
  strbuf_add_string(out, lead[0] == ',' ? "} " : " ");
}

static void add_histogram(struct strbuf *out, const struct metric_series *series)
{
  int64_t count = 0;
  for (size_t bucket = 0; bucket <= INF_BUCKET; bucket++) {
    count += sum_cell(series, bucket);
    add_series_name(out, series, "_bucket", bucket_names[bucket]);
    strbuf_add_int(out, count);
    strbuf_add_byte(out, '\n');
  }
  uint64_t sum_us = (uint64_t)sum_cell(series, SUM_CELL);
  add_series_name(out, series, "_sum", NULL);
  strbuf_printf(out, "%llu.%06u\n", (unsigned long long)(sum_us / 1000000), (unsigned)(sum_us % 1000000));
  add_series_name(out, series, "_count", NULL);
  strbuf_add_int(out, count);
  strbuf_add_byte(out, '\n');
}

static void add_head(struct strbuf *out, const struct declaration *declaration)
{
  static const char *const type_names[] = {
      [TYPE_COUNTER] = "counter", [TYPE_GAUGE] = "gauge", [TYPE_GAUGE_MAX] = "gauge", [TYPE_HISTOGRAM] = "histogram"};
  strbuf_printf(out, "# HELP %s ", declaration->name);
  add_escaped(out, slice_from_string(declaration->help), false);
  strbuf_printf(out, "\n# TYPE %s %s\n", declaration->name, type_names[declaration->type]);
}

static void add_series(struct strbuf *out, const struct metric_series *series)
{
  if (is_histogram(series)) {
    add_histogram(out, series);
    return;
  }
  add_series_name(out, series, "", NULL);
  strbuf_add_int(out, sum_cell(series, 0));
  strbuf_add_byte(out, '\n');
}

void metrics_render(struct strbuf *out)
{
  pthread_mutex_lock(&lock);
  for (size_t metric = 0; metric < METRIC_COUNT; metric++) {
    if (first_of[metric] == NULL)
      continue;
    add_head(out, &declarations[metric]);
    for (const struct metric_series *series = first_of[metric]; series != NULL; series = series->next_of_metric)
      add_series(out, series);
  }
  pthread_mutex_unlock(&lock);
}

// ---- several processes ----

size_t metrics_slot_size(void)
{
  pthread_mutex_lock(&lock);
  // An attached process keeps the layout that it shares with the others.
  if (shared.slots == 0)
    shared.cells = cell_count;
  size_t bytes = count_slot_bytes(shared.cells);
  pthread_mutex_unlock(&lock);
  return bytes;
}

static void move_to_slot(struct metric_series *series, size_t slot)
{
  enum metric_type type = declarations[series->metric].type;
  atomic_llong *cells = find_slot_cells(series, slot);
  if (type == TYPE_GAUGE || type == TYPE_GAUGE_MAX)
    atomic_store(cells, atomic_load(get_cells(series)));
  // The old cells are not freed, because another thread may be about to count in them.
  atomic_store_explicit(&series->cells, cells, memory_order_release);
}

void metrics_attach(void *memory, size_t slots, size_t slot)
{
  pthread_mutex_lock(&lock);
  CHECK(shared.slots == 0 && slot < slots && (uintptr_t)memory % sizeof(atomic_llong) == 0);
  if (shared.cells == 0)
    shared.cells = cell_count;
  shared.memory = memory;
  shared.slots = slots;
  for (size_t metric = 0; metric < METRIC_COUNT; metric++)
    for (struct metric_series *series = first_of[metric]; series != NULL; series = series->next_of_metric)
      if (is_shared(series))
        move_to_slot(series, slot);
  pthread_mutex_unlock(&lock);
}

// One entry for each method, found by name; a series of calls is made when its status first occurs.
#include "common/rpc/method_metrics_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define MAX_METHODS 1024

static struct method_entry *add_entry(struct method_metrics *table, struct slice name)
{
  struct method_entry *entry = calloc(1, sizeof(*entry) + name.size);
  CHECK(entry != NULL);
  memcpy(entry + 1, name.data, name.size);
  entry->name = slice_make(entry + 1, name.size);
  entry->duration = metrics_series(table->duration, &entry->name, 1);
  entry->index = table->entry_count++;
  entry->next = table->entries;
  table->entries = entry;
  return entry;
}

void method_metrics_init(struct method_metrics *table, enum metric calls, enum metric duration)
{
  *table = (struct method_metrics){.calls = calls, .duration = duration};
}

void method_metrics_free(struct method_metrics *table)
{
  strmap_free(&table->methods);
  while (table->entries != NULL) {
    struct method_entry *entry = table->entries;
    table->entries = entry->next;
    free(entry);
  }
}

static struct method_entry *find_entry(struct method_metrics *table, struct slice method, bool add)
{
  struct method_entry *entry = strmap_get(&table->methods, method);
  if (entry != NULL)
    return entry;
  if (add && method.size != 0 && table->methods.table.count < MAX_METHODS) {
    entry = add_entry(table, method);
    CHECK(strmap_add(&table->methods, entry->name, entry));
    return entry;
  }
  if (table->other == NULL)
    table->other = add_entry(table, SLICE("other"));
  return table->other;
}

struct method_entry *method_metrics_find(struct method_metrics *table, struct slice method)
{
  return find_entry(table, method, true);
}

void method_entry_count(const struct method_metrics *table, struct method_entry *entry, enum status status,
                        uint64_t duration_us)
{
  struct metric_series **calls = &entry->calls[status];
  if (*calls == NULL) {
    struct slice labels[] = {entry->name, slice_from_string(status_name(status))};
    *calls = metrics_series(table->calls, labels, ARRAY_LEN(labels));
  }
  metric_add(*calls, 1);
  metric_observe_us(entry->duration, duration_us);
}

void method_metrics_count(struct method_metrics *table, struct slice method, bool add, enum status status,
                          uint64_t duration_us)
{
  method_entry_count(table, find_entry(table, method, add), status, duration_us);
}

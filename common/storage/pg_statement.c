// The statements that were used, found by their address: a hash table with open addressing.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

enum { FIRST_CAPACITY = 64 };

static size_t find_slot(const struct pg *pg, const struct pg_statement *statement)
{
  size_t slot = (size_t)(((uintptr_t)statement >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (pg->entry_capacity - 1);
  while (pg->entries[slot] != NULL && pg->entries[slot]->statement != statement)
    slot = (slot + 1) & (pg->entry_capacity - 1);
  return slot;
}

static void grow_entries(struct pg *pg)
{
  struct pg_statement_entry **old = pg->entries;
  size_t old_capacity = pg->entry_capacity;
  pg->entry_capacity = old_capacity == 0 ? FIRST_CAPACITY : old_capacity * 2;
  pg->entries = calloc(pg->entry_capacity, sizeof(struct pg_statement_entry *));
  CHECK(pg->entries != NULL);
  for (size_t i = 0; i < old_capacity; i++)
    if (old[i] != NULL)
      pg->entries[find_slot(pg, old[i]->statement)] = old[i];
  free(old);
}

// Two statements of one name would be one prepared statement in the server.
static void check_name_is_new(const struct pg *pg, const struct pg_statement *statement)
{
  for (size_t i = 0; i < pg->entry_capacity; i++)
    CHECK(pg->entries[i] == NULL || strcmp(pg->entries[i]->statement->name, statement->name) != 0);
}

static struct pg_statement_entry *add_entry(struct pg *pg, const struct pg_statement *statement)
{
  check_name_is_new(pg, statement);
  if (pg->entry_count * 2 >= pg->entry_capacity)
    grow_entries(pg);
  struct pg_statement_entry *entry = calloc(1, sizeof(*entry));
  CHECK(entry != NULL);
  struct slice name = slice_from_string(statement->name);
  entry->statement = statement;
  entry->index = pg->entry_count++;
  list_init(&entry->reads);
  list_init(&entry->gathering);
  entry->duration = metrics_series(METRIC_PG_DURATION, &name, 1);
  pg->entries[find_slot(pg, statement)] = entry;
  return entry;
}

struct pg_statement_entry *pg_find_statement(struct pg *pg, const struct pg_statement *statement)
{
  struct pg_statement_entry *entry = pg->entries[find_slot(pg, statement)];
  return entry != NULL ? entry : add_entry(pg, statement);
}

void pg_statements_init(struct pg *pg)
{
  grow_entries(pg);
}

void pg_statements_free(struct pg *pg)
{
  for (size_t i = 0; i < pg->entry_capacity; i++)
    free(pg->entries[i]);
  free(pg->entries);
  pg->entries = NULL;
  pg->entry_capacity = 0;
}

void pg_count_outcome(struct pg *pg, struct pg_statement_entry *entry, enum status status, uint64_t started_us)
{
  if (entry->outcomes[status] == NULL) {
    struct slice labels[] = {slice_from_string(entry->statement->name), slice_from_string(status_name(status))};
    entry->outcomes[status] = metrics_series(METRIC_PG_QUERIES, labels, ARRAY_LEN(labels));
  }
  metric_add(entry->outcomes[status], 1);
  uint64_t now_us = loop_now_us(pg->loop);
  metric_observe_us(entry->duration, now_us > started_us ? now_us - started_us : 0);
}

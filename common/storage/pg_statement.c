// The statements that were used, found by their address.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/storage/pg_internal.h"

// Two statements of one name would be one prepared statement in the server.
static void check_name_is_new(const struct pg *pg, const struct pg_statement *statement)
{
  for (const struct hashtable_node *node = hashtable_any(&pg->statements, NULL); node != NULL;
       node = hashtable_any(&pg->statements, node))
    CHECK(strcmp(CONTAINER_OF(node, const struct pg_statement_entry, node)->statement->name, statement->name) != 0);
}

static struct pg_statement_entry *add_entry(struct pg *pg, const struct pg_statement *statement, uint64_t hash)
{
  check_name_is_new(pg, statement);
  struct pg_statement_entry *entry = calloc(1, sizeof(*entry));
  CHECK(entry != NULL);
  struct slice name = slice_from_string(statement->name);
  entry->statement = statement;
  entry->index = pg->statements.count;
  list_init(&entry->reads);
  list_init(&entry->gathering);
  list_init(&entry->changes);
  list_init(&entry->changing);
  list_init(&entry->lone_changes);
  entry->duration = metrics_series(METRIC_PG_DURATION, &name, 1);
  hashtable_insert(&pg->statements, &entry->node, hash);
  return entry;
}

struct pg_statement_entry *pg_find_statement(struct pg *pg, const struct pg_statement *statement)
{
  uint64_t hash = hash_integers((uintptr_t)statement, 0);
  for (struct hashtable_node *node = hashtable_first(&pg->statements, hash); node != NULL;
       node = hashtable_next(node)) {
    struct pg_statement_entry *entry = CONTAINER_OF(node, struct pg_statement_entry, node);
    if (entry->statement == statement)
      return entry;
  }
  return add_entry(pg, statement, hash);
}

const struct pg_statement *pg_make_statement(struct pg *pg, const char *name, const char *sql)
{
  for (const struct hashtable_node *node = hashtable_any(&pg->statements, NULL); node != NULL;
       node = hashtable_any(&pg->statements, node)) {
    const struct pg_statement *known = CONTAINER_OF(node, const struct pg_statement_entry, node)->statement;
    if (strcmp(known->name, name) == 0 && strcmp(known->sql, sql) == 0)
      return known;
  }
  struct pg_statement *made = calloc(1, sizeof(*made));
  CHECK(made != NULL);
  made->name = memory_copy_string(name);
  made->sql = memory_copy_string(sql);
  pg_find_statement(pg, made)->made = made;
  return made;
}

static void free_made(struct pg_statement *made)
{
  if (made == NULL)
    return;
  free((char *)(uintptr_t)made->name);
  free((char *)(uintptr_t)made->sql);
  free(made);
}

void pg_free_statements(struct pg *pg)
{
  struct hashtable_node *node;
  while ((node = hashtable_any(&pg->statements, NULL)) != NULL) {
    struct pg_statement_entry *entry = CONTAINER_OF(node, struct pg_statement_entry, node);
    hashtable_remove(&pg->statements, node);
    free_made(entry->made);
    free(entry);
  }
  hashtable_free(&pg->statements);
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

#include "common/base/hashtable.h"

#include <stdlib.h>

#include "common/base/check.h"

#define FIRST_BUCKETS 16

static struct hashtable_node **get_bucket(const struct hashtable *table, uint64_t hash)
{
  return &table->buckets[hash & (table->bucket_count - 1)];
}

static void push_node(struct hashtable *table, struct hashtable_node *node)
{
  struct hashtable_node **bucket = get_bucket(table, node->hash);
  node->next = *bucket;
  *bucket = node;
}

static void grow_buckets(struct hashtable *table)
{
  struct hashtable_node **old = table->buckets;
  size_t old_count = table->bucket_count;
  table->bucket_count = old_count == 0 ? FIRST_BUCKETS : old_count * 2;
  table->buckets = calloc(table->bucket_count, sizeof(struct hashtable_node *));
  CHECK(table->buckets != NULL);
  for (size_t i = 0; i < old_count; i++)
    while (old[i] != NULL) {
      struct hashtable_node *node = old[i];
      old[i] = node->next;
      push_node(table, node);
    }
  free(old);
}

void hashtable_free(struct hashtable *table)
{
  free(table->buckets);
  *table = (struct hashtable){0};
}

void hashtable_insert(struct hashtable *table, struct hashtable_node *node, uint64_t hash)
{
  if (table->count >= table->bucket_count)
    grow_buckets(table);
  node->hash = hash;
  push_node(table, node);
  table->count++;
}

void hashtable_remove(struct hashtable *table, struct hashtable_node *node)
{
  CHECK(table->count > 0);
  struct hashtable_node **link = get_bucket(table, node->hash);
  while (*link != node) {
    CHECK(*link != NULL);
    link = &(*link)->next;
  }
  *link = node->next;
  node->next = NULL;
  table->count--;
}

static struct hashtable_node *skip_to_hash(struct hashtable_node *node, uint64_t hash)
{
  while (node != NULL && node->hash != hash)
    node = node->next;
  return node;
}

struct hashtable_node *hashtable_first(const struct hashtable *table, uint64_t hash)
{
  return table->count == 0 ? NULL : skip_to_hash(*get_bucket(table, hash), hash);
}

struct hashtable_node *hashtable_next(const struct hashtable_node *node)
{
  return skip_to_hash(node->next, node->hash);
}

struct hashtable_node *hashtable_any(const struct hashtable *table, const struct hashtable_node *after)
{
  if (after != NULL && after->next != NULL)
    return after->next;
  size_t i = after == NULL ? 0 : (size_t)(after->hash & (table->bucket_count - 1)) + 1;
  while (i < table->bucket_count && table->buckets[i] == NULL)
    i++;
  return i < table->bucket_count ? table->buckets[i] : NULL;
}

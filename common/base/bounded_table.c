#include "common/base/bounded_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define WAYS 8

void bounded_table_init(struct bounded_table *table, size_t capacity, size_t entry_size)
{
  size_t set_count = 1;
  while (set_count * WAYS < capacity)
    set_count *= 2;
  *table = (struct bounded_table){.entry_size = entry_size, .set_count = set_count};
  table->places = calloc(set_count * WAYS, entry_size);
  CHECK(table->places != NULL);
}

void bounded_table_free(struct bounded_table *table)
{
  free(table->places);
  *table = (struct bounded_table){0};
}

// An empty place has the key 0, so a hash of 0 stands as 1.
static uint64_t to_place_key(uint64_t key)
{
  return key == 0 ? 1 : key;
}

static struct bounded_entry *get_place(const struct bounded_table *table, uint64_t key, size_t way)
{
  size_t set = key & (table->set_count - 1);
  return (struct bounded_entry *)(void *)(table->places + (set * WAYS + way) * table->entry_size);
}

void *bounded_table_find(const struct bounded_table *table, uint64_t key)
{
  key = to_place_key(key);
  for (size_t way = 0; way < WAYS; way++) {
    struct bounded_entry *entry = get_place(table, key, way);
    if (entry->key == key)
      return entry;
  }
  return NULL;
}

void *bounded_table_add(struct bounded_table *table, uint64_t key)
{
  key = to_place_key(key);
  struct bounded_entry *least = NULL;
  for (size_t way = 0; way < WAYS; way++) {
    struct bounded_entry *entry = get_place(table, key, way);
    if (least == NULL || entry->key == 0 || (least->key != 0 && entry->worth < least->worth))
      least = entry;
    if (least->key == 0)
      break;
  }
  if (least->key != 0 && least->worth == BOUNDED_PINNED)
    return NULL;
  memset(least, 0, table->entry_size);
  least->key = key;
  return least;
}

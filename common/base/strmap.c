// Open addressing with linear probing, at most three quarters full.
#include "common/base/strmap.h"

#include <stdlib.h>

#include "common/base/check.h"

#define FIRST_CAPACITY 16

void strmap_free(struct strmap *map)
{
  free(map->entries);
  *map = (struct strmap){0};
}

// The entry of the key, or the free one where it belongs. There is always a free one.
static struct strmap_entry *find(const struct strmap *map, struct slice key)
{
  size_t mask = map->capacity - 1;
  uint64_t hash = slice_hash(key);
  // FNV's high bits are the better mixed ones.
  size_t place = (size_t)(hash ^ hash >> 32) & mask;
  while (map->entries[place].value != NULL && !slice_equal(map->entries[place].key, key))
    place = (place + 1) & mask;
  return &map->entries[place];
}

static void grow(struct strmap *map)
{
  struct strmap bigger = {.capacity = map->capacity == 0 ? FIRST_CAPACITY : map->capacity * 2, .count = map->count};
  bigger.entries = calloc(bigger.capacity, sizeof(*bigger.entries));
  CHECK(bigger.entries != NULL);
  for (size_t i = 0; i < map->capacity; i++)
    if (map->entries[i].value != NULL)
      *find(&bigger, map->entries[i].key) = map->entries[i];
  free(map->entries);
  *map = bigger;
}

bool strmap_add(struct strmap *map, struct slice key, void *value)
{
  CHECK(value != NULL);
  if (strmap_get(map, key) != NULL)
    return false;
  if (map->count >= map->capacity / 4 * 3)
    grow(map);
  *find(map, key) = (struct strmap_entry){.key = key, .value = value};
  map->count++;
  return true;
}

void *strmap_get(const struct strmap *map, struct slice key)
{
  return map->count == 0 ? NULL : find(map, key)->value;
}

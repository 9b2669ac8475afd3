// A hash map from byte strings to pointers, for tables of our own names that are built once and read often: methods,
// routes, JSON names. Keys and values belong to the caller and must outlive it.
#ifndef BULKHEAD_BASE_STRMAP_H
#define BULKHEAD_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

struct strmap_entry {
  struct slice key;
  void *value;  // NULL marks a free place
};

struct strmap {
  struct strmap_entry *entries;
  size_t capacity;  // a power of two, or 0
  size_t count;
};

// A zeroed map is a ready, empty one.
void strmap_free(struct strmap *map);
// False when the key is there already (the map is unchanged). `value` must not be NULL.
bool strmap_add(struct strmap *map, struct slice key, void *value);
// NULL when it is not there.
void *strmap_get(const struct strmap *map, struct slice key);

#endif

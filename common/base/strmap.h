// A map from byte strings to pointers: methods, routes, JSON names. Keys and values belong to the caller and must
// outlive the map.
#ifndef BULKHEAD_BASE_STRMAP_H
#define BULKHEAD_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/hashtable.h"
#include "common/base/slice.h"

// A zeroed map is ready and empty; `table.count` is the number of keys.
struct strmap {
  struct hashtable table;
};

// Frees what the map allocated and empties it.
void strmap_free(struct strmap *map);
// Adds a key. False when the map has it already; the map is unchanged. `value` must not be NULL (CHECK).
bool strmap_add(struct strmap *map, struct slice key, void *value);
// Returns the value of the key, NULL where the map does not have it.
void *strmap_get(const struct strmap *map, struct slice key);

#endif

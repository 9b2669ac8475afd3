// Private to this folder.
#ifndef BULKHEAD_CONTRACT_DUPLICATES_H
#define BULKHEAD_CONTRACT_DUPLICATES_H

#include "common/base/arena.h"
#include "common/base/slice.h"

// The index of the first of `items` that equals an earlier one; `count` where all differ. O(n log n).
size_t find_duplicate(const struct slice *items, size_t count, struct arena *arena);

#endif

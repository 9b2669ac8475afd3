// Finds repeated values in a list. Private to this folder.
#ifndef BULKHEAD_CONTRACT_DUPLICATES_H
#define BULKHEAD_CONTRACT_DUPLICATES_H

#include "common/base/arena.h"
#include "common/base/slice.h"

// Returns the index of the first item that equals an earlier one, or `count` when all differ. Takes O(n log n); `arena`
// gives the scratch memory.
size_t find_duplicate(const struct slice *items, size_t count, struct arena *arena);

#endif

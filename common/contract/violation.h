// The list of what is wrong with a request, collected while it is read. Bounded: after the 20th the rest is counted
// only.
#ifndef BULKHEAD_CONTRACT_VIOLATION_H
#define BULKHEAD_CONTRACT_VIOLATION_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

#define VIOLATIONS_MAX 20

struct violation {
  struct slice field;        // JSON path: "items[3].sku"; "" for the whole body
  struct slice description;  // "must be at most 128 characters"
};

struct violations {
  struct arena *arena;
  struct violation items[VIOLATIONS_MAX];
  size_t count;
  size_t more;  // beyond the cap
};

void violations_init(struct violations *violations, struct arena *arena);
// Both are copied.
void violations_add(struct violations *violations, struct slice field, struct slice description);

#endif

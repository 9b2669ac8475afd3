// What is wrong with a request: each violation is a field and a sentence about it, the same in the gateway, on the wire
// between services, and in a service. `struct violations` collects them while a request is read; after the 20th they
// are only counted.
#ifndef BULKHEAD_BASE_VIOLATION_H
#define BULKHEAD_BASE_VIOLATION_H

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
  size_t more;  // violations beyond the cap, of which no text is kept
};

// `arena` keeps the texts; it must outlive the list.
void violations_init(struct violations *violations, struct arena *arena);
// Copies both texts, the field's first 256 bytes and the description's first 512, never splitting a character.
void violations_add(struct violations *violations, struct slice field, struct slice description);

#endif

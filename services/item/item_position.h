// A place in the order of changes, and its text: the resume token. The functions are pure.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_POSITION_H
#define BULKHEAD_SERVICES_ITEM_ITEM_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

// The last change that has been seen, or with an `id` of 0 the place before all changes of a clock (migration 0004).
struct item_position {
  int64_t clock;
  int64_t id;
};

// Room for a token and a zero behind it.
#define ITEM_TOKEN_SIZE 24

// Returns less than, equal to or more than 0, as `a` comes before, with or after `b`.
int item_position_compare(struct item_position a, struct item_position b);
// Writes the token of a position, terminated.
void item_position_write(struct item_position position, char token[ITEM_TOKEN_SIZE]);
// Reads a token. False for any other text.
bool item_position_read(struct slice token, struct item_position *position);

#endif

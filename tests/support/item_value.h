// Items as registers for the history checker (tests/support/history): a value is an item's quantity and, behind a
// letter, its category, so that an answer that mixes two writes is seen.
#ifndef BULKHEAD_TESTS_SUPPORT_ITEM_VALUE_H
#define BULKHEAD_TESTS_SUPPORT_ITEM_VALUE_H

#include <stddef.h>
#include <stdint.h>

enum { ITEM_VALUE_BODY_BYTES = 128 };

// A value that is never written: the fields of an item do not belong together.
#define ITEM_VALUE_TORN UINT64_MAX

// Writes the body of a PATCH that sets the value. One in four also sets the name: that takes a statement of its own,
// while the others travel together with other clients' writes. Returns `body`.
const char *item_value_body(uint64_t value, char body[ITEM_VALUE_BODY_BYTES]);
// Reads the value from an item in JSON.
uint64_t item_value_in(const char *json);

#endif

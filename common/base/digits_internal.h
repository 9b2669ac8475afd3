// Decimal digits, written two at a step.
#ifndef BULKHEAD_BASE_DIGITS_INTERNAL_H
#define BULKHEAD_BASE_DIGITS_INTERNAL_H

#include <stddef.h>
#include <string.h>

// The two digits of each number from 0 to 99, one after the other.
extern const char digits_pairs[201];

// Writes the two digits of `value`, which is at most 99.
static inline void digits_put_pair(char *to, size_t value)
{
  memcpy(to, digits_pairs + 2 * value, 2);
}

#endif

// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef BULKHEAD_BASE_UTF8_H
#define BULKHEAD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

// Returns the offset of the first sequence that breaks the rules; text.size for valid text.
size_t utf8_check(struct slice text);
static inline bool utf8_valid(struct slice text)
{
  return utf8_check(text) == text.size;
}
// Counts the code points of valid text.
size_t utf8_length(struct slice text);
// Writes 1 to 4 bytes and returns how many; 0 for a surrogate or a number above U+10FFFF.
size_t utf8_encode(uint32_t code_point, char out[4]);

#endif

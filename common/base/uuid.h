// UUIDs, RFC 9562. Version 7: 48 bits of Unix milliseconds, then randomness; they sort by time of creation.
#ifndef BULKHEAD_BASE_UUID_H
#define BULKHEAD_BASE_UUID_H

#include <stdbool.h>

#include "common/base/slice.h"

#define UUID_TEXT_SIZE 37  // 36 characters and a zero

// Makes a new version 7 UUID in lower case. The ids that one process makes ascend.
void uuid_v7(char out[UUID_TEXT_SIZE]);
// Returns whether the text is 8-4-4-4-12 hexadecimal digits of either case, of any version.
bool uuid_valid(struct slice text);

#endif

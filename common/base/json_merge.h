// Applies a JSON merge patch (RFC 7396) to the text of an object.
#ifndef BULKHEAD_BASE_JSON_MERGE_H
#define BULKHEAD_BASE_JSON_MERGE_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Appends `target` with the members that `patch` changes: a member that is null is removed, one that is an object is
// merged, every other is replaced. Both are texts of JSON objects; an empty `target` stands for {}. What `patch` does
// not name stays as it is written. False where one is no such text; `out` then holds a part.
bool json_merge(struct slice target, struct slice patch, struct arena *arena, struct strbuf *out) MUST_CHECK;

#endif

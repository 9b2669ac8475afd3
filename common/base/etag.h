// Entity tags as HTTP writes them (RFC 9110, section 8.8.3): in quotes, W/ before those that are weak, in lists
// separated by commas.
#ifndef BULKHEAD_BASE_ETAG_H
#define BULKHEAD_BASE_ETAG_H

#include <stdbool.h>

#include "common/base/slice.h"

struct etag {
  struct slice value;  // without quotes, a view into the list
  bool is_weak;
};

enum etag_result {
  ETAG_TAG,
  ETAG_END,
  ETAG_MALFORMED,
};

// Takes the first tag off a list. Empty places between commas are skipped (RFC 9110, section 5.6.1).
enum etag_result etag_next(struct slice *list, struct etag *tag);

// True where the text is a list of at least one tag.
bool etag_list_valid(struct slice list);

enum etag_comparison {
  ETAG_STRONG,  // a weak tag is like no other: If-Match
  ETAG_WEAK,    // weak and strong tags with the same value are alike: If-None-Match
};

// True where the list has the tag `value`, which is strong and comes without quotes. A malformed list has none behind
// its mistake.
bool etag_list_has(struct slice list, struct slice value, enum etag_comparison comparison);

#endif

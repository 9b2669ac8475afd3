// Private to this folder: the paths of the public port that no contract has: gateway/nginx/nginx.conf.in serves them
// before it asks the contracts. This list is what the build goes by; a unit test holds it against the locations of that
// file.
#ifndef BULKHEAD_CONTRACT_RESERVED_PAGES_INTERNAL_H
#define BULKHEAD_CONTRACT_RESERVED_PAGES_INTERNAL_H

#include "common/base/arena.h"
#include "common/contract/contract.h"
#include "common/contract/path_template.h"

struct reserved_page {
  const char *path;  // "/healthz"
  bool is_prefix;    // every path that begins so
};

// Returns the list of pages; `count` is set to their number.
const struct reserved_page *reserved_pages(size_t *count);

// Returns a sentence about what hides every path of a template: a page, or the calls by Connect, whose paths are
// "/package.Service/Method". NULL where nothing does. A page of which a wildcard takes the path as well hides that path
// only, as a literal of another route would.
const char *find_hiding_page(const struct contract *contract, const struct path_template *path, struct arena *arena);

#endif

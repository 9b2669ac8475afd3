// Debian's package index as `apt-cache dumpavail` prints it: stanzas of "Field: value" lines, continued by lines that
// begin with a space (Debian policy, section 5.1).
#ifndef BULKHEAD_DEPLOY_DEMO_PACKAGE_INDEX_H
#define BULKHEAD_DEPLOY_DEMO_PACKAGE_INDEX_H

#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Views into the text of the index.
struct package {
  struct slice name;
  struct slice version;
  struct slice section;
  struct slice description;
  struct slice tags;
  struct slice installed_size;
  struct slice maintainer;
  struct slice homepage;
  struct slice depends;
  struct slice architecture;
};

struct package_index {
  struct package *packages;  // one a name: the last that the index has
  size_t count;
};

void package_index_read(struct slice text, struct package_index *index);
void package_index_free(struct package_index *index);

// The package as an item of item/v1/item.proto in JSON, cut to the contract's limits.
void package_write_item(const struct package *package, struct strbuf *json);

#endif

// The OpenAPI 3.1 document of everything that has an HTTP route, derived from the descriptors, comments included.
#ifndef BULKHEAD_SCHEMA_OPENAPI_H
#define BULKHEAD_SCHEMA_OPENAPI_H

#include "common/base/strbuf.h"
#include "common/schema/schema.h"

struct openapi_info {
  const char *title;
  const char *version;
  const char *description;  // Markdown
};

void openapi_write(const struct schema *schema, const struct openapi_info *info, struct strbuf *out);

#endif

// The OpenAPI 3.1 document of everything that has an HTTP route, derived from the descriptors, comments included.
#ifndef BULKHEAD_OPENAPI_OPENAPI_H
#define BULKHEAD_OPENAPI_OPENAPI_H

#include "common/base/strbuf.h"
#include "common/contract/contract.h"

struct openapi_info {
  const char *title;
  const char *version;
  const char *description;  // Markdown
};

void openapi_write(const struct contract *contract, const struct openapi_info *info, struct strbuf *out);

#endif

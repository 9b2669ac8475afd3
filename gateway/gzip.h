// Compresses documents that do not change, once for all requests.
#ifndef BULKHEAD_GATEWAY_GZIP_H
#define BULKHEAD_GATEWAY_GZIP_H

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Appends the bytes in gzip's format (RFC 1952), as small as zlib makes them.
void gzip_compress(struct slice bytes, struct strbuf *out);

#endif

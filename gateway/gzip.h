// gzip's format (RFC 1952): of documents that do not change, compressed once for all requests, and of messages that
// clients have compressed.
#ifndef BULKHEAD_GATEWAY_GZIP_H
#define BULKHEAD_GATEWAY_GZIP_H

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Appends the compressed bytes, as small as zlib makes them.
void gzip_compress(struct slice bytes, struct strbuf *out);

// Appends what the bytes expand to. False where they are not exactly one whole member of the format, and where `out`
// comes to its limit, as out->failed says: a few bytes may expand to a thousand times as many.
bool gzip_expand(struct slice bytes, struct strbuf *out) MUST_CHECK;

#endif

// Where a page ended: the opaque text of a page token. It holds only for the list that it came from: `query` is a
// fingerprint of its filters and order.
#ifndef BULKHEAD_SERVICE_PAGE_TOKEN_INTERNAL_H
#define BULKHEAD_SERVICE_PAGE_TOKEN_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

const char *page_token_write(uint64_t query, struct slice value, struct slice id, struct arena *arena);
// False when the token is malformed or of another list, or `id` is not a UUID. The caller checks the value. Both are
// terminated in `arena`.
bool page_token_read(const char *token, uint64_t query, struct arena *arena, struct slice *value, struct slice *id);
// Microseconds since 1970 within the years that PostgreSQL and RFC 3339 both know.
bool page_token_micros(struct slice text, int64_t *micros);

#endif

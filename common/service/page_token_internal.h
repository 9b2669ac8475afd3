// Page tokens: opaque texts that say where a page ended. A token is valid only for the list that it came from: `query`
// is a fingerprint of the list with its filters and order.
#ifndef BULKHEAD_SERVICE_PAGE_TOKEN_INTERNAL_H
#define BULKHEAD_SERVICE_PAGE_TOKEN_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

// Makes the token of a page whose last row has this id, and this value of the field that it is ordered by.
const char *page_token_write(uint64_t query, struct slice value, struct slice id, struct arena *arena);
// Reads a token. False when it is malformed or belongs to another list, or when `id` is not a UUID. The caller checks
// `value`. Both texts are terminated and live in `arena`.
bool page_token_read(const char *token, uint64_t query, struct arena *arena, struct slice *value, struct slice *id);
// Parses microseconds since 1970. False unless they are within the years that both PostgreSQL and RFC 3339 can say.
bool page_token_micros(struct slice text, int64_t *micros);

#endif

// What every service with resources in PostgreSQL needs: etags as preconditions, page tokens, field masks, times.
#ifndef BULKHEAD_SERVICE_RESOURCE_H
#define BULKHEAD_SERVICE_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/storage/pg.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

// Preconditions (RFC 9110 section 13.1.1, AIP-154): an If-Match of "" or "*" and a body etag of "" allow any state.
bool resource_etag_fits(const char *etag, const char *if_match, const char *body_etag);
// The caller has named the state that it wants to change.
bool resource_is_conditional(const char *if_match, const char *body_etag);

// A change by field mask (AIP-134). A field without a copy function may be named and is passed over: the service sets
// it.
struct resource_field {
  const char *path;
  void (*copy)(void *to, const void *from);
};
// Copies the fields that the mask names, all of them for an absent mask or "*", none for an empty one. Returns the path
// that is in no field of the table, or NULL.
const char *resource_merge(void *to, const void *from, const Google__Protobuf__FieldMask *mask,
                           const struct resource_field *fields, size_t count);

// Where a page ended: the opaque text of a page token. It holds only for the query that it came from: `query` is a
// fingerprint of its filters and order.
const char *resource_write_page_token(uint64_t query, struct slice value, struct slice id, struct arena *arena);
// False when it is none of ours, of another query, or `id` is no UUID. The caller checks the value. Both are terminated
// in `arena`.
bool resource_read_page_token(const char *token, uint64_t query, struct arena *arena, struct slice *value,
                              struct slice *id);
// Microseconds since 1970 within the years that PostgreSQL and RFC 3339 both know.
bool resource_parse_micros(struct slice text, int64_t *micros);

// Times are microseconds since 1970 in SQL results.
Google__Protobuf__Timestamp *resource_time(int64_t micros, struct arena *arena);
int64_t resource_micros(const Google__Protobuf__Timestamp *time);

// A cell as a message's text: SQL NULL is protobuf's empty text. Messages want char *; nobody writes through it.
char *resource_text(const struct pg_result *result, size_t row, size_t column);

#endif

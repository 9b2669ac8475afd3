// Private to common/security: JSON objects with known members, as the JOSE family of RFCs wants them read.
#ifndef BULKHEAD_SECURITY_TOKEN_JSON_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_JSON_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/jsontext_reader.h"
#include "common/base/slice.h"

// No token or key has more members; the bound keeps the search for duplicates short.
#define TOKEN_MAX_MEMBERS 32
#define TOKEN_MAX_KID_BYTES 128
#define TOKEN_MAX_SUBJECT_BYTES 128
#define TOKEN_MAX_ID_BYTES 128
#define TOKEN_MAX_ROLE_BYTES 64

struct token_member {
  const char *name;
  // Reads the value, which comes next; false when it is not of the member's type.
  bool (*read)(struct jsontext_reader *reader, void *target);
};

// Reads a document that is one object. Known members go to their reader, unknown ones are skipped. A member that comes
// twice is an error (RFC 7515 section 4, RFC 7519 section 4), because two readers of one token could see different
// claims.
bool token_read_document(struct slice json, unsigned max_depth, struct arena *arena, const struct token_member *members,
                         size_t count, void *target) MUST_CHECK;

// Reads the next value, which must be an object, in the same way.
bool token_read_object(struct jsontext_reader *reader, const struct token_member *members, size_t count,
                       void *target) MUST_CHECK;

bool token_read_string(struct jsontext_reader *reader, struct slice *out) MUST_CHECK;

// Tells whether the text is 1 to `max_bytes` visible ASCII characters. Such texts go on into logs and SQL parameters.
bool token_text_fits(struct slice text, size_t max_bytes) MUST_CHECK;

#endif

// Private to common/security: base64url as RFC 7515 section 2 has it.
#ifndef BULKHEAD_SECURITY_BASE64URL_INTERNAL_H
#define BULKHEAD_SECURITY_BASE64URL_INTERNAL_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/slice.h"

// Only the URL-safe alphabet, no padding, unused trailing bits zero: each byte string has exactly one text, so no
// second spelling of a signed token exists. The bytes are in `arena`. False on anything else.
bool base64url_decode_strict(struct slice text, struct arena *arena, struct slice *bytes) MUST_CHECK;

// The text in `arena`.
struct slice base64url_text(struct slice bytes, struct arena *arena);

#endif

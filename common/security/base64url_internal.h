// Private to common/security: base64url as RFC 7515 section 2 has it.
#ifndef BULKHEAD_SECURITY_BASE64URL_INTERNAL_H
#define BULKHEAD_SECURITY_BASE64URL_INTERNAL_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/slice.h"

// Decodes a text in the URL-safe alphabet, without padding and with unused trailing bits zero. So each byte string has
// exactly one text, and a signed token has no second spelling. The bytes are in `arena`. False for any other text.
bool base64url_decode_strict(struct slice text, struct arena *arena, struct slice *bytes) MUST_CHECK;

// Encodes bytes; the text is in `arena`.
struct slice base64url_text(struct slice bytes, struct arena *arena);

#endif

// The text of a password: UTF-8 in Unicode's Normalization Form C, so that a letter with an accent is the same password
// whether a keyboard sends it as one code point or as two. SP 800-63B-4, section 3.1.1.2, asks for this form (its
// drafts and SP 800-63B-3 for NFKC or NFKD), and so does RFC 8265: it keeps apart what people see as different, such as
// "2" and a superscript two. Code points are counted after the normalisation. Any thread.
#ifndef BULKHEAD_SECURITY_PASSWORD_TEXT_INTERNAL_H
#define BULKHEAD_SECURITY_PASSWORD_TEXT_INTERNAL_H

#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define PASSWORD_MAX_CODE_POINTS 256
// What the longest password takes in UTF-8.
#define PASSWORD_MAX_BYTES (4 * PASSWORD_MAX_CODE_POINTS)
// What a client may send for it: a code point in Form C has at most four in Form D.
#define PASSWORD_MAX_GIVEN_BYTES (4 * PASSWORD_MAX_BYTES)

struct password_text {
  size_t code_points;
  size_t size;
  char bytes[PASSWORD_MAX_BYTES];
};

// Normalises a password. INVALID_ARGUMENT for an empty one and for what is no UTF-8, OUT_OF_RANGE for one that is too
// long; `text->code_points` then says how long, where that is known. RESOURCE_EXHAUSTED when there is not enough
// memory. Erase the text after use.
enum status password_normalise(struct slice given, struct password_text *text) MUST_CHECK;
void password_text_erase(struct password_text *text);

static inline struct slice password_text_slice(const struct password_text *text)
{
  return slice_make(text->bytes, text->size);
}

#endif

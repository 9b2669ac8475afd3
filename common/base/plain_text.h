// Names that people read: no characters that show nothing or turn the direction of the text around, by which one name
// looks like another. Joiners, non-joiners and the emoji variant are plain where spelling needs them: between Arabic
// letters that would join, beside an Indic virama, and within emoji.
#ifndef BULKHEAD_BASE_PLAIN_TEXT_H
#define BULKHEAD_BASE_PLAIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

#define PLAIN_TEXT_RULE "must hold no invisible characters and none that change the text's direction"

// Returns whether valid UTF-8 text holds plain characters only. Control characters are not plain.
bool plain_text_check(struct slice text);
// Copies the plain characters of valid UTF-8 text, `most` at most, into `out`, which has four bytes for each. Returns
// how many bytes it has written.
size_t plain_text_copy(struct slice text, size_t most, char *out);

#endif

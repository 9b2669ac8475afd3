// Private to this folder: the text formats of options.proto.
#ifndef BULKHEAD_CONTRACT_FORMATS_H
#define BULKHEAD_CONTRACT_FORMATS_H

#include "common/base/slice.h"
#include "common/contract/rules.h"

// Returns NULL when the text, which is valid UTF-8 and not empty, has the format, else a static sentence that says what
// is accepted.
const char *format_check(enum field_format format, struct slice text);

// Returns a regular expression (ECMA-262) for OpenAPI that accepts the same texts; NULL where there is none.
const char *format_pattern(enum field_format format);

#endif

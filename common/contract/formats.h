// Private to this folder: the text formats of options.proto.
#ifndef BULKHEAD_CONTRACT_FORMATS_H
#define BULKHEAD_CONTRACT_FORMATS_H

#include "common/base/slice.h"
#include "common/contract/rules.h"

// NULL when the text, which is valid UTF-8 and not empty, has the format; else what is accepted, a static sentence.
const char *format_check(enum field_format format, struct slice text);

// A regular expression (ECMA-262) that accepts the same texts, for OpenAPI; NULL where there is none.
const char *format_pattern(enum field_format format);

#endif

// Private to this folder: the well-known messages whose JSON form is one string.
#ifndef BULKHEAD_SCHEMA_WELL_KNOWN_H
#define BULKHEAD_SCHEMA_WELL_KNOWN_H

#include "common/base/strbuf.h"
#include "common/schema/schema.h"

// Timestamp, Duration and FieldMask.
static inline bool well_known_is_text(enum schema_well_known kind)
{
  return kind == SCHEMA_TIMESTAMP || kind == SCHEMA_DURATION || kind == SCHEMA_FIELD_MASK;
}

// The message's wire bytes (without a tag) of its text; returns NULL or a sentence that says what is accepted.
const char *well_known_from_text(enum schema_well_known kind, struct slice text, struct strbuf *out);

// The JSON string, in quotes, of the message's wire bytes; false when they are no such message or out of its range.
bool well_known_to_json(enum schema_well_known kind, struct slice wire, struct strbuf *json) MUST_CHECK;

#endif

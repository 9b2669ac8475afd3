// Converts the well-known messages whose JSON form is one string. Private to this folder.
#ifndef BULKHEAD_TRANSCODE_WELL_KNOWN_INTERNAL_H
#define BULKHEAD_TRANSCODE_WELL_KNOWN_INTERNAL_H

#include "common/base/strbuf.h"
#include "common/contract/contract.h"

// Whether the JSON form of the message is one string: true for Timestamp, Duration and FieldMask.
static inline bool well_known_is_text(enum contract_well_known kind)
{
  return kind == CONTRACT_TIMESTAMP || kind == CONTRACT_DURATION || kind == CONTRACT_FIELD_MASK;
}

// Writes the wire bytes of the message that `text` means, without a tag. Returns NULL, or a sentence that says what is
// accepted.
const char *well_known_from_text(enum contract_well_known kind, struct slice text, struct strbuf *out);

// Writes the message as a JSON string in quotes. False when the wire bytes are not such a message or out of its range.
bool well_known_to_json(enum contract_well_known kind, struct slice wire, struct strbuf *json) MUST_CHECK;

#endif

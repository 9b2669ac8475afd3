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

// Whether the JSON form of the message is an object of its fields.
static inline bool well_known_is_object(enum contract_well_known kind)
{
  return kind == CONTRACT_PLAIN || kind == CONTRACT_EMPTY;
}

// Whether the field holds a JSON object whose members are no fields of its own message.
static inline bool well_known_holds_object(const struct contract_field *field)
{
  enum contract_well_known kind = field->message == NULL ? CONTRACT_PLAIN : field->message->well_known;
  return kind == CONTRACT_STRUCT || kind == CONTRACT_VALUE || kind == CONTRACT_ANY;
}

// Returns the message that the type URL of a google.protobuf.Any names, such as type.googleapis.com/item.v1.Item; NULL
// where the set of the message `any` has none of that name.
const struct contract_message *any_type(const struct contract_message *any, struct slice url);

// How a text is read.
struct text_form {
  enum contract_well_known kind;
  bool strict_masks;  // a FieldMask has lowerCamel names only, as proto3 JSON has it
};

// Writes the wire bytes of the message that `text` means, without a tag. Returns NULL, or a sentence that says what is
// accepted.
const char *well_known_from_text(struct text_form form, struct slice text, struct strbuf *out);

// Writes the message as a JSON string in quotes. False when the wire bytes are not such a message or out of its range.
bool well_known_to_json(enum contract_well_known kind, struct slice wire, struct strbuf *json) MUST_CHECK;

#endif

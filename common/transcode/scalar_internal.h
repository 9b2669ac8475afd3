// Scalars: a number, bool, enum, string or bytes value, converted between JSON or parameter text and wire bytes.
// Private to this folder.
#ifndef BULKHEAD_TRANSCODE_SCALAR_INTERNAL_H
#define BULKHEAD_TRANSCODE_SCALAR_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/jsontext_reader.h"
#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/contract/contract.h"

// A scalar value. `bits` holds integers sign-extended, bools as 0 or 1, floats as IEEE 754 bits of their own width.
// `bytes` holds strings and bytes.
struct scalar {
  uint64_t bits;
  struct slice bytes;
  bool has_unknown_name;  // the JSON was a text that is the name of none of the enum's values
};

// Memory for conversions: `arena` holds converted values, `scratch` sentences.
struct scalar_memory {
  struct arena *arena;
  struct strbuf *scratch;
};

// Reads a value of JSON: the reader's token and its text. Returns NULL, or a sentence that says what is accepted.
const char *scalar_from_json(const struct contract_field *field, enum jsontext_token token, struct slice text,
                             struct scalar_memory memory, struct scalar *out);
// Reads a path variable, a query parameter or a map key: the text of a JSON string, or of a number or bool without
// quotes. Returns NULL, or a sentence that says what is accepted.
const char *scalar_from_text(const struct contract_field *field, struct slice text, struct scalar_memory memory,
                             struct scalar *out);

// Whether one of the enum's values has the name.
bool scalar_knows_name(const struct contract_enum *enumeration, struct slice name);
// Returns a sentence with the names of the enum's values, in `scratch`.
const char *scalar_name_values(const struct contract_enum *enumeration, struct strbuf *scratch);

static inline bool scalar_has_bytes(enum contract_type type)
{
  return type == CONTRACT_STRING || type == CONTRACT_BYTES;
}
static inline bool scalar_is_default(const struct contract_field *field, const struct scalar *value)
{
  return scalar_has_bytes(field->type) ? value->bytes.size == 0 : value->bits == 0;
}

// Returns NULL when the value keeps the field's rules, else a sentence that says what is accepted.
const char *scalar_check_rules(const struct contract_field *field, const struct scalar *value, struct strbuf *scratch);

enum wire_type scalar_wire_type(enum contract_type type);
// Writes a value with its tag, even when it is the default.
void scalar_write(struct strbuf *out, const struct contract_field *field, const struct scalar *value);
// Writes a value without a tag, inside a packed list; not for strings and bytes.
void scalar_write_packed(struct strbuf *out, enum contract_type type, uint64_t bits);
// Reads the next value of a packed list. Returns false where the list breaks off, or a number has too many bytes.
bool scalar_read_packed(struct wire_reader *reader, enum wire_type type, uint64_t *out);
// Converts a varint or fixed value off the wire to the bits of a struct scalar.
uint64_t scalar_bits_from_wire(enum contract_type type, uint64_t varint);

// Writes a value as JSON. False for a string that is not valid UTF-8.
bool scalar_to_json(struct strbuf *json, const struct contract_field *field, const struct scalar *value) MUST_CHECK;

#endif

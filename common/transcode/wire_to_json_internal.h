// Parts of the way from wire bytes to JSON text: what a first pass over a message notes, and the functions that write
// it. Private to this folder.
#ifndef BULKHEAD_TRANSCODE_WIRE_TO_JSON_INTERNAL_H
#define BULKHEAD_TRANSCODE_WIRE_TO_JSON_INTERNAL_H

#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/contract/contract_layout.h"
#include "common/transcode/scalar_internal.h"

// ---- wire_slots.c: where values are in a message ----

// What the first pass has found of a field. `first` and `last` bound the part of the message that holds its values.
struct slot {
  uint32_t count;
  uint64_t varint;     // last value of a number, bool or enum field
  struct slice bytes;  // last value of a string, bytes or message field
  const uint8_t *first;
  const uint8_t *last;
};

// The fields of a message up to which their slots lie on the stack.
#define FEW_FIELDS 48

struct slot *slots_allocate(const struct contract_message *message);
// Returns a slot for each field of the message, all zero: `few`, or memory to be freed where that is too small.
static inline struct slot *slots_make(const struct contract_message *message, struct slot few[FEW_FIELDS])
{
  size_t size = message->field_count * sizeof(*few);
  if (message->field_count > FEW_FIELDS)
    return slots_allocate(message);
  memset(few, 0, size);
  return few;
}

// Notes the values of a message in `slots`, which are zero and one for each field. False when the bytes are no such
// message.
bool slots_collect(const struct contract_message *message, struct slice wire, struct slot *slots) MUST_CHECK;

// Whether the values of the field may come together, without a tag each.
static inline bool field_is_packable(const struct contract_field *field)
{
  return field->repeated && field->type != CONTRACT_MESSAGE && !scalar_has_bytes(field->type);
}

// An iterator over the fields with one number in a part of a message.
struct values {
  struct wire_reader reader;
  uint32_t number;
};

static inline bool next_value(struct values *values, struct wire_field *field)
{
  while (wire_read(&values->reader, field) == WIRE_FIELD)
    if (field->number == values->number)
      return true;
  return false;
}

static inline struct values slot_values(const struct slot *slot, const struct contract_field *field)
{
  return (struct values){.reader = {.next = slot->first, .end = slot->last}, .number = field->number};
}

// Marks the entries of a map that a later one with the same key replaces: a bool for each, to be freed. NULL: none is.
bool *slot_find_replaced(const struct contract_field *field, const struct slot *slot);

// ---- wire_to_json.c ----

// Where JSON goes, and how it is written.
struct output {
  struct strbuf *json;
  bool omits_defaults;     // as the profile has it
  bool objects_are_texts;  // as the body has it
  unsigned depth;          // how many messages lie around the one that is written
};

// Writes a message in its JSON form. The recursion is CONTRACT_MAX_DEPTH deep at most. Like all others here: false when
// the bytes are no such message, or have no JSON form.
bool json_write_message(struct output *output, const struct contract_message *message, struct slice wire) MUST_CHECK;
// Writes the values of a field.
bool json_write_field(struct output *output, const struct contract_field *field, const struct slot *slot) MUST_CHECK;
// Writes the value of a field that is a body of its own, and so cannot be left out.
bool json_write_bare_field(struct output *output, const struct contract_field *field,
                           const struct slot *slot) MUST_CHECK;
// Writes one element of a list, or all that are packed in `item`; `first` says whether there is none yet.
bool json_write_element(struct output *output, const struct contract_field *field, const struct wire_field *item,
                        bool *first) MUST_CHECK;
// Whether a field without presence has its default value.
bool json_is_default(const struct contract_field *field, const struct slot *slot) __attribute__((cold));

// Whether JSON leaves the field out: a secret, a field with presence that is not set, or "" where the field has a
// format.
static inline bool json_leaves_out(const struct output *output, const struct contract_field *field,
                                   const struct slot *slot)
{
  if (field->rules.secret)
    return true;
  if (output->omits_defaults && !field->has_presence && json_is_default(field, slot))
    return true;
  if (field->repeated)
    return false;
  if (field->has_presence && slot->count == 0)
    return true;
  return field->type == CONTRACT_STRING && field->rules.format != FORMAT_NONE && slot->bytes.size == 0;
}

// Writes the key of a field. Each prepared key begins with its comma.
static inline void json_write_key(struct slice key, struct strbuf *json, bool *first)
{
  strbuf_add(json, *first ? slice_skip(key, 1) : key);
  *first = false;
}

// Ends the writing; removes from `json` what was written of a reply that failed.
static inline enum status json_finish(bool written, size_t before, struct strbuf *json)
{
  if (written && !json->failed)
    return STATUS_OK;
  strbuf_truncate(json, before);
  return STATUS_INTERNAL;
}

#endif

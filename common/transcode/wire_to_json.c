// Translates a reply's wire bytes to JSON text. A first pass over each message notes where the values of its fields
// are; then they are written in the order of the contract, so that JSON has the same order whatever the service sent.
#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"
#include "common/contract/contract_layout.h"
#include "common/transcode/scalar_internal.h"
#include "common/transcode/transcode.h"
#include "common/transcode/well_known_internal.h"

// What the first pass has found of a field. `first` and `last` bound the part of the message that holds its values.
struct slot {
  uint32_t count;
  uint64_t varint;     // last value of a number, bool or enum field
  struct slice bytes;  // last value of a string, bytes or message field
  const uint8_t *first;
  const uint8_t *last;
};

static bool write_message(const struct contract_message *message, struct slice wire, struct strbuf *json);

// ---- collecting ----

static bool is_packable(const struct contract_field *field)
{
  return field->repeated && field->type != CONTRACT_MESSAGE && !scalar_has_bytes(field->type);
}

static bool type_fits(const struct contract_field *field, enum wire_type type)
{
  if (field->type == CONTRACT_STRING || field->type == CONTRACT_MESSAGE)
    return type == WIRE_BYTES;
  return type == scalar_wire_type(field->type) || (type == WIRE_BYTES && is_packable(field));
}

// Marks the other fields of a oneof as not set, because the last one on the wire counts.
static void clear_others(const struct contract_message *message, const struct contract_field *field, struct slot *slots)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].oneof_index == field->oneof_index && &message->fields[i] != field)
      slots[i].count = 0;
}

static bool collect(const struct contract_message *message, struct slice wire, struct slot *slots)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  for (;;) {
    const uint8_t *start = reader.next;
    enum wire_result result = wire_read(&reader, &field);
    if (result != WIRE_FIELD)
      return result == WIRE_END;
    const struct contract_field *known = field_by_number(message, field.number);
    if (known == NULL)
      continue;
    if (!type_fits(known, field.type))
      return false;
    struct slot *slot = &slots[field_place(message, known)];
    if (slot->count++ == 0)
      slot->first = start;
    slot->last = reader.next;
    slot->varint = field.varint;
    slot->bytes = field.bytes;
    if (known->oneof_index >= 0)
      clear_others(message, known, slots);
  }
}

// An iterator over the fields with one number in a part of a message.
struct values {
  struct wire_reader reader;
  uint32_t number;
};

static bool next_value(struct values *values, struct wire_field *field)
{
  while (wire_read(&values->reader, field) == WIRE_FIELD)
    if (field->number == values->number)
      return true;
  return false;
}

static struct values slot_values(const struct slot *slot, const struct contract_field *field)
{
  return (struct values){.reader = {.next = slot->first, .end = slot->last}, .number = field->number};
}

// ---- values ----

// Writes a free-form object as it is stored, after a check, because it may have been stored under older rules. Returns
// false when it is not a JSON object.
static bool write_raw_object(struct slice text, struct strbuf *json)
{
  struct jsontext_reader reader;
  struct slice raw;
  jsontext_reader_init(&reader, text, RULES_JSON_MAX_DEPTH, NULL);
  if (!jsontext_skip_value(&reader, &raw) || raw.data[0] != '{' || jsontext_read(&reader) != JSONTEXT_END)
    return false;
  strbuf_add(json, raw);
  return true;
}

static bool write_wrapper(const struct contract_message *message, struct slice wire, struct strbuf *json)
{
  struct slot slot = {0};
  if (!collect(message, wire, &slot))
    return false;
  const struct contract_field *inner = &message->fields[0];
  struct scalar value = {.bits = scalar_bits_from_wire(inner->type, slot.varint), .bytes = slot.bytes};
  return scalar_to_json(json, inner, &value);
}

static bool write_any_message(const struct contract_message *message, struct slice wire, struct strbuf *json)
{
  switch (message->well_known) {
  case CONTRACT_TIMESTAMP:
  case CONTRACT_DURATION:
  case CONTRACT_FIELD_MASK:
    return well_known_to_json(message->well_known, wire, json);
  case CONTRACT_WRAPPER:
    return write_wrapper(message, wire, json);
  case CONTRACT_PLAIN:
  case CONTRACT_EMPTY:
    break;
  }
  return write_message(message, wire, json);
}

static bool write_value(const struct contract_field *field, uint64_t varint, struct slice bytes, struct strbuf *json)
{
  if (field->type == CONTRACT_MESSAGE)
    return write_any_message(field->message, bytes, json);
  if (field->rules.format == FORMAT_JSON_OBJECT)
    return write_raw_object(bytes, json);
  // Most fields are texts, so these take no further turn.
  if (field->type == CONTRACT_STRING)
    return jsontext_write_text(json, bytes);
  struct scalar value = {.bits = scalar_bits_from_wire(field->type, varint), .bytes = bytes};
  return scalar_to_json(json, field, &value);
}

// Writes an embedded message that came in several parts: the parts are concatenated, as protobuf merges messages.
static bool write_merged(const struct contract_field *field, const struct slot *slot, struct strbuf *json)
{
  struct strbuf merged;
  struct values values = slot_values(slot, field);
  struct wire_field part;
  strbuf_init(&merged, 0);
  while (next_value(&values, &part))
    strbuf_add(&merged, part.bytes);
  bool written = write_any_message(field->message, strbuf_slice(&merged), json);
  strbuf_free(&merged);
  return written;
}

static void add_comma(struct strbuf *json, bool *first)
{
  if (!*first)
    strbuf_add_byte(json, ',');
  *first = false;
}

static bool write_packed(const struct contract_field *field, struct slice packed, struct strbuf *json, bool *first)
{
  struct wire_reader reader = wire_reader_make(packed);
  enum wire_type type = scalar_wire_type(field->type);
  while (reader.next < reader.end) {
    uint64_t varint;
    if (!scalar_read_packed(&reader, type, &varint))
      return false;
    add_comma(json, first);
    if (!write_value(field, varint, (struct slice){0}, json))
      return false;
  }
  return true;
}

static bool write_element(const struct contract_field *field, const struct wire_field *item, struct strbuf *json,
                          bool *first)
{
  if (item->type == WIRE_BYTES && is_packable(field))
    return write_packed(field, item->bytes, json, first);
  add_comma(json, first);
  return write_value(field, item->varint, item->bytes, json);
}

static bool write_list(const struct contract_field *field, const struct slot *slot, struct strbuf *json)
{
  struct values values = slot_values(slot, field);
  struct wire_field item;
  bool first = true;
  strbuf_add_byte(json, '[');
  while (slot->count > 0 && next_value(&values, &item))
    if (!write_element(field, &item, json, &first))
      return false;
  strbuf_add_byte(json, ']');
  return true;
}

// ---- maps ----

static bool write_map_key(const struct contract_field *key, const struct slot *slot, struct strbuf *json)
{
  struct scalar value = {.bits = scalar_bits_from_wire(key->type, slot->varint), .bytes = slot->bytes};
  size_t start = json->size;
  if (slot->count == 0)
    value = (struct scalar){0};
  if (!scalar_to_json(json, key, &value))
    return false;
  // JSON's keys are strings, so numbers and bools need quotes.
  if (json->size > start && json->data[start] != '"') {
    char bare[24];
    size_t size = json->size - start;
    if (size > sizeof(bare))
      return false;
    memcpy(bare, json->data + start, size);
    strbuf_truncate(json, start);
    strbuf_add_byte(json, '"');
    strbuf_add(json, slice_make(bare, size));
    strbuf_add_byte(json, '"');
  }
  strbuf_add_byte(json, ':');
  return true;
}

static bool write_entry(const struct contract_message *entry, struct slice wire, struct strbuf *json)
{
  struct slot slots[2] = {0};
  if (!collect(entry, wire, slots) || !write_map_key(&entry->fields[0], &slots[0], json))
    return false;
  const struct contract_field *value = &entry->fields[1];
  if (slots[1].count > 1 && value->type == CONTRACT_MESSAGE)
    return write_merged(value, &slots[1], json);
  if (slots[1].count == 0 && value->rules.format == FORMAT_JSON_OBJECT)
    return write_raw_object(SLICE("{}"), json);
  return write_value(value, slots[1].varint, slots[1].bytes, json);
}

static struct slice entry_key(const struct contract_message *entry, struct slice wire, uint64_t *bits)
{
  struct slot slots[2] = {0};
  if (!collect(entry, wire, slots))
    return (struct slice){0};
  *bits = scalar_bits_from_wire(entry->fields[0].type, slots[0].varint);
  return slots[0].bytes;
}

// Whether a later entry of the map has the same key and so replaces this one. The time is quadratic, but the cap on
// items in requests keeps maps small.
static bool is_replaced(const struct contract_field *field, struct values rest, struct slice wire)
{
  uint64_t bits = 0;
  struct slice key = entry_key(field->message, wire, &bits);
  struct wire_field later;
  while (next_value(&rest, &later)) {
    uint64_t later_bits = 0;
    struct slice later_key = entry_key(field->message, later.bytes, &later_bits);
    if (later_bits == bits && slice_equal(later_key, key))
      return true;
  }
  return false;
}

static bool write_map(const struct contract_field *field, const struct slot *slot, struct strbuf *json)
{
  struct values values = slot_values(slot, field);
  struct wire_field entry;
  bool first = true;
  strbuf_add_byte(json, '{');
  while (slot->count > 0 && next_value(&values, &entry)) {
    if (is_replaced(field, values, entry.bytes))
      continue;
    add_comma(json, &first);
    if (!write_entry(field->message, entry.bytes, json))
      return false;
  }
  strbuf_add_byte(json, '}');
  return true;
}

// ---- messages ----

// Whether JSON leaves the field out: a secret, a field with presence that is not set, or "" where the field has a
// format.
static bool is_left_out(const struct contract_field *field, const struct slot *slot)
{
  if (field->rules.secret)
    return true;
  if (field->repeated)
    return false;
  if (field->has_presence && slot->count == 0)
    return true;
  return field->type == CONTRACT_STRING && field->rules.format != FORMAT_NONE && slot->bytes.size == 0;
}

static bool write_field(const struct contract_field *field, const struct slot *slot, struct strbuf *json)
{
  if (field->is_map)
    return write_map(field, slot, json);
  if (field->repeated)
    return write_list(field, slot, json);
  if (field->type == CONTRACT_MESSAGE && slot->count > 1)
    return write_merged(field, slot, json);
  return write_value(field, slot->varint, slot->bytes, json);
}

// Writes the key of a field. Each prepared key begins with its comma.
static void write_key(struct slice key, struct strbuf *json, bool *first)
{
  strbuf_add(json, *first ? slice_skip(key, 1) : key);
  *first = false;
}

// Writes a message as an object. The recursion is as deep as the contract, CONTRACT_MAX_DEPTH at most.
static bool write_message(const struct contract_message *message, struct slice wire, struct strbuf *json)
{
  const struct slice *keys = message_index(message)->keys;
  struct slot slots[CONTRACT_MAX_FIELDS];
  memset(slots, 0, message->field_count * sizeof(slots[0]));
  if (!collect(message, wire, slots))
    return false;
  strbuf_add_byte(json, '{');
  bool first = true;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (is_left_out(field, &slots[i]))
      continue;
    write_key(keys[i], json, &first);
    if (!write_field(field, &slots[i], json))
      return false;
  }
  strbuf_add_byte(json, '}');
  return true;
}

// Writes the value of a field that is a body of its own, and so cannot be left out.
static bool write_bare_field(const struct contract_field *field, const struct slot *slot, struct strbuf *json)
{
  bool is_single = !field->repeated && !field->is_map;
  if (is_single && field->has_presence && slot->count == 0) {
    strbuf_add(json, SLICE("null"));
    return true;
  }
  if (is_single && field->rules.format == FORMAT_JSON_OBJECT && slot->bytes.size == 0)
    return write_raw_object(SLICE("{}"), json);
  return write_field(field, slot, json);
}

// Writes the value of one field of a message.
static bool write_field_of(const struct contract_message *message, const struct contract_field *field,
                           struct slice wire, struct strbuf *json)
{
  struct slot slots[CONTRACT_MAX_FIELDS];
  memset(slots, 0, message->field_count * sizeof(slots[0]));
  return collect(message, wire, slots) && write_bare_field(field, &slots[field_place(message, field)], json);
}

// Ends the writing; removes from `json` what was written of a reply that failed.
static enum status finish(bool written, size_t before, struct strbuf *json)
{
  if (written && !json->failed)
    return STATUS_OK;
  strbuf_truncate(json, before);
  return STATUS_INTERNAL;
}

enum status transcode_body_to_json(const struct transcode_body *body, struct strbuf *json)
{
  size_t before = json->size;
  bool written = body->field == NULL ? write_any_message(body->message, body->wire, json)
                                     : write_field_of(body->message, body->field, body->wire, json);
  return finish(written, before, json);
}

enum status transcode_wire_to_json(const struct contract_message *message, struct slice wire, struct strbuf *json)
{
  return transcode_body_to_json(&(struct transcode_body){.message = message, .wire = wire}, json);
}

// ---- in pieces ----

struct transcode_pieces {
  const struct contract_message *message;
  const struct contract_field *only;  // the field whose value is written; NULL: all of the message is
  struct slice wire;
  struct strbuf *json;
  size_t before;         // bytes in `json` that are not this message's
  bool has_begun;        // the fields are collected
  size_t place;          // of the field that is written now, or next
  size_t end;            // behind the place of the last one
  bool is_first;         // no field has been written
  bool in_list;          // elements of the field are left in `values`
  bool is_first_value;   // no element has been written
  struct values values;  // of the list that is written now
  struct slot slots[];   // by the fields' places
};

struct transcode_pieces *transcode_pieces_begin(const struct transcode_body *body, struct arena *arena,
                                                struct strbuf *json)
{
  const struct contract_message *message = body->message;
  struct transcode_pieces *pieces =
      arena_zalloc(arena, sizeof(*pieces) + message->field_count * sizeof(pieces->slots[0]));
  pieces->message = message;
  pieces->only = body->field;
  pieces->wire = body->wire;
  pieces->json = json;
  pieces->before = json->size;
  pieces->place = body->field == NULL ? 0 : field_place(message, body->field);
  pieces->end = body->field == NULL ? message->field_count : pieces->place + 1;
  // JSON is mostly a little longer than the wire bytes, and what is reserved costs less than what is grown.
  if (json->max_size == 0)
    (void)strbuf_reserve(json, body->wire.size + body->wire.size / 8);
  return pieces;
}

// Begins the field of this place, and writes all of it where it is no list.
static bool begin_field(struct transcode_pieces *pieces)
{
  const struct contract_field *field = &pieces->message->fields[pieces->place];
  const struct slot *slot = &pieces->slots[pieces->place];
  bool is_bare = pieces->only != NULL;
  if (!is_bare && is_left_out(field, slot)) {
    pieces->place++;
    return true;
  }
  if (!is_bare)
    write_key(message_index(pieces->message)->keys[pieces->place], pieces->json, &pieces->is_first);
  if (!field->repeated || field->is_map || slot->count == 0) {
    pieces->place++;
    return is_bare ? write_bare_field(field, slot, pieces->json) : write_field(field, slot, pieces->json);
  }
  strbuf_add_byte(pieces->json, '[');
  pieces->values = slot_values(slot, field);
  pieces->in_list = true;
  pieces->is_first_value = true;
  return true;
}

static bool write_next_element(struct transcode_pieces *pieces)
{
  struct wire_field item;
  if (next_value(&pieces->values, &item))
    return write_element(&pieces->message->fields[pieces->place], &item, pieces->json, &pieces->is_first_value);
  strbuf_add_byte(pieces->json, ']');
  pieces->in_list = false;
  pieces->place++;
  return true;
}

static bool begin_message(struct transcode_pieces *pieces)
{
  pieces->has_begun = true;
  pieces->is_first = true;
  if (pieces->only == NULL)
    strbuf_add_byte(pieces->json, '{');
  return collect(pieces->message, pieces->wire, pieces->slots);
}

// Writes the next value, however large it is.
static bool write_next(struct transcode_pieces *pieces, bool *is_done)
{
  if (!pieces->has_begun)
    return begin_message(pieces);
  if (pieces->in_list)
    return write_next_element(pieces);
  if (pieces->place < pieces->end)
    return begin_field(pieces);
  if (pieces->only == NULL)
    strbuf_add_byte(pieces->json, '}');
  *is_done = true;
  return true;
}

static bool is_written_at_once(const struct contract_message *message)
{
  return message->well_known != CONTRACT_PLAIN && message->well_known != CONTRACT_EMPTY;
}

enum status transcode_pieces_write(struct transcode_pieces *pieces, size_t max_bytes, bool *is_done)
{
  struct strbuf *json = pieces->json;
  size_t from = json->size;
  bool written = true;
  *is_done = is_written_at_once(pieces->message);
  if (*is_done)
    written = write_any_message(pieces->message, pieces->wire, json);
  while (written && !json->failed && !*is_done && json->size - from < max_bytes)
    written = write_next(pieces, is_done);
  return finish(written, pieces->before, json);
}

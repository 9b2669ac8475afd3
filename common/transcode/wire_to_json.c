// Translates a reply's wire bytes to JSON text. A first pass over each message notes where the values of its fields
// are; then they are written in the order of the contract, so that JSON has the same order whatever the service sent.
#include <math.h>
#include <stdlib.h>

#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"
#include "common/transcode/transcode.h"
#include "common/transcode/well_known_internal.h"
#include "common/transcode/wire_to_json_internal.h"

static bool write_message(struct output *output, const struct contract_message *message, struct slice wire);
static bool write_only_field(struct output *output, const struct contract_message *message, struct slice wire);
static bool write_free_value(struct output *output, const struct contract_message *message, struct slice wire);
static bool write_any(struct output *output, const struct contract_message *any, struct slice wire);

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
  if (!slots_collect(message, wire, &slot))
    return false;
  const struct contract_field *inner = &message->fields[0];
  struct scalar value = {.bits = scalar_bits_from_wire(inner->type, slot.varint), .bytes = slot.bytes};
  return scalar_to_json(json, inner, &value);
}

static bool write_form(struct output *output, const struct contract_message *message, struct slice wire)
{
  switch (message->well_known) {
  case CONTRACT_WRAPPER:
    return write_wrapper(message, wire, output->json);
  case CONTRACT_STRUCT:
  case CONTRACT_LIST_VALUE:
    return write_only_field(output, message, wire);
  case CONTRACT_VALUE:
    return write_free_value(output, message, wire);
  case CONTRACT_ANY:
    return write_any(output, message, wire);
  default:
    return write_message(output, message, wire);
  }
}

bool json_write_message(struct output *output, const struct contract_message *message, struct slice wire)
{
  if (well_known_is_text(message->well_known))
    return well_known_to_json(message->well_known, wire, output->json);
  if (output->depth > CONTRACT_MAX_DEPTH)
    return false;
  output->depth++;
  bool written = write_form(output, message, wire);
  output->depth--;
  return written;
}

static bool write_value(struct output *output, const struct contract_field *field, uint64_t varint, struct slice bytes)
{
  if (field->type == CONTRACT_MESSAGE)
    return json_write_message(output, field->message, bytes);
  if (field->rules.format == FORMAT_JSON_OBJECT && !output->objects_are_texts)
    return write_raw_object(bytes, output->json);
  // Most fields are texts, so these take no further turn.
  if (field->type == CONTRACT_STRING)
    return jsontext_write_text(output->json, bytes);
  struct scalar value = {.bits = scalar_bits_from_wire(field->type, varint), .bytes = bytes};
  return scalar_to_json(output->json, field, &value);
}

// Writes an embedded message that came in several parts: the parts are concatenated, as protobuf merges messages.
static bool write_merged(struct output *output, const struct contract_field *field, const struct slot *slot)
{
  struct strbuf merged;
  struct values values = slot_values(slot, field);
  struct wire_field part;
  strbuf_init(&merged, 0);
  while (next_value(&values, &part))
    strbuf_add(&merged, part.bytes);
  bool written = json_write_message(output, field->message, strbuf_slice(&merged));
  strbuf_free(&merged);
  return written;
}

static void add_comma(struct strbuf *json, bool *first)
{
  if (!*first)
    strbuf_add_byte(json, ',');
  *first = false;
}

static bool write_packed(struct output *output, const struct contract_field *field, struct slice packed, bool *first)
{
  struct wire_reader reader = wire_reader_make(packed);
  enum wire_type type = scalar_wire_type(field->type);
  while (reader.next < reader.end) {
    uint64_t varint;
    if (!scalar_read_packed(&reader, type, &varint))
      return false;
    add_comma(output->json, first);
    if (!write_value(output, field, varint, (struct slice){0}))
      return false;
  }
  return true;
}

bool json_write_element(struct output *output, const struct contract_field *field, const struct wire_field *item,
                        bool *first)
{
  if (item->type == WIRE_BYTES && field_is_packable(field))
    return write_packed(output, field, item->bytes, first);
  add_comma(output->json, first);
  return write_value(output, field, item->varint, item->bytes);
}

static bool write_list(struct output *output, const struct contract_field *field, const struct slot *slot)
{
  struct values values = slot_values(slot, field);
  struct wire_field item;
  bool first = true;
  strbuf_add_byte(output->json, '[');
  while (slot->count > 0 && next_value(&values, &item))
    if (!json_write_element(output, field, &item, &first))
      return false;
  strbuf_add_byte(output->json, ']');
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

static bool write_entry(struct output *output, const struct contract_message *entry, struct slice wire)
{
  struct slot slots[2] = {0};
  if (!slots_collect(entry, wire, slots) || !write_map_key(&entry->fields[0], &slots[0], output->json))
    return false;
  const struct contract_field *value = &entry->fields[1];
  if (slots[1].count > 1 && value->type == CONTRACT_MESSAGE)
    return write_merged(output, value, &slots[1]);
  if (slots[1].count == 0 && value->rules.format == FORMAT_JSON_OBJECT && !output->objects_are_texts)
    return write_raw_object(SLICE("{}"), output->json);
  return write_value(output, value, slots[1].varint, slots[1].bytes);
}

static bool write_entries(struct output *output, const struct contract_field *field, const struct slot *slot,
                          const bool *replaced)
{
  struct values values = slot_values(slot, field);
  struct wire_field entry;
  bool first = true;
  for (size_t i = 0; i < slot->count && next_value(&values, &entry); i++) {
    if (replaced != NULL && replaced[i])
      continue;
    add_comma(output->json, &first);
    if (!write_entry(output, field->message, entry.bytes))
      return false;
  }
  return true;
}

static bool write_map(struct output *output, const struct contract_field *field, const struct slot *slot)
{
  bool *replaced = slot_find_replaced(field, slot);
  strbuf_add_byte(output->json, '{');
  output->depth++;
  bool fits = slot->count == 0 || output->depth <= CONTRACT_MAX_DEPTH + 1;
  bool written = fits && write_entries(output, field, slot, replaced);
  output->depth--;
  strbuf_add_byte(output->json, '}');
  free(replaced);
  return written;
}

// ---- messages ----

bool json_is_default(const struct contract_field *field, const struct slot *slot)
{
  const struct scalar value = {.bits = scalar_bits_from_wire(field->type, slot->varint), .bytes = slot->bytes};
  return field->repeated ? slot->count == 0 : slot->count == 0 || scalar_is_default(field, &value);
}

bool json_write_field(struct output *output, const struct contract_field *field, const struct slot *slot)
{
  if (field->is_map)
    return write_map(output, field, slot);
  if (field->repeated)
    return write_list(output, field, slot);
  if (field->type == CONTRACT_MESSAGE && slot->count > 1)
    return write_merged(output, field, slot);
  return write_value(output, field, slot->varint, slot->bytes);
}

// Writes the members of an object; `first` says whether it has none yet.
static bool write_slots(struct output *output, const struct contract_message *message, const struct slot *slots,
                        bool first)
{
  const struct slice *keys = message_index(message)->keys;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (json_leaves_out(output, field, &slots[i]))
      continue;
    json_write_key(keys[i], output->json, &first);
    if (!json_write_field(output, field, &slots[i]))
      return false;
  }
  return true;
}

static bool write_members(struct output *output, const struct contract_message *message, struct slice wire, bool first)
{
  struct slot few[FEW_FIELDS];
  struct slot *slots = slots_make(message, few);
  bool written = slots_collect(message, wire, slots) && write_slots(output, message, slots, first);
  if (slots != few)
    free(slots);
  return written;
}

bool json_write_bare_field(struct output *output, const struct contract_field *field, const struct slot *slot)
{
  bool is_single = !field->repeated && !field->is_map;
  if (is_single && field->has_presence && slot->count == 0) {
    strbuf_add(output->json, SLICE("null"));
    return true;
  }
  if (is_single && field->rules.format == FORMAT_JSON_OBJECT && slot->bytes.size == 0)
    return write_raw_object(SLICE("{}"), output->json);
  return json_write_field(output, field, slot);
}

// Writes the value of one field of a message.
static bool write_field_of(struct output *output, const struct contract_message *message,
                           const struct contract_field *field, struct slice wire)
{
  struct slot few[FEW_FIELDS];
  struct slot *slots = slots_make(message, few);
  bool written =
      slots_collect(message, wire, slots) && json_write_bare_field(output, field, &slots[field_place(message, field)]);
  if (slots != few)
    free(slots);
  return written;
}

static bool write_message(struct output *output, const struct contract_message *message, struct slice wire)
{
  strbuf_add_byte(output->json, '{');
  bool written = write_members(output, message, wire, true);
  strbuf_add_byte(output->json, '}');
  return written;
}

// ---- messages of any content ----

// Writes a Struct as its map, a ListValue as its list.
static bool write_only_field(struct output *output, const struct contract_message *message, struct slice wire)
{
  struct slot slot = {0};
  return slots_collect(message, wire, &slot) && json_write_field(output, &message->fields[0], &slot);
}

// Writes a google.protobuf.Value; one that holds nothing is null. JSON has no infinite numbers.
static bool write_free_value(struct output *output, const struct contract_message *message, struct slice wire)
{
  enum { NULL_FIELD, NUMBER_FIELD, FIELDS = 6 };
  struct slot slots[FIELDS] = {0};
  if (!slots_collect(message, wire, slots))
    return false;
  double number;
  memcpy(&number, &slots[NUMBER_FIELD].varint, sizeof(number));
  if (slots[NUMBER_FIELD].count > 0 && !isfinite(number))
    return false;
  for (size_t i = NULL_FIELD + 1; i < FIELDS; i++)
    if (slots[i].count > 0)
      return json_write_field(output, &message->fields[i], &slots[i]);
  strbuf_add_string(output->json, "null");
  return true;
}

// Writes what an Any holds, with its type in front.
static bool write_any(struct output *output, const struct contract_message *any, struct slice wire)
{
  struct slot slots[2] = {0};
  if (!slots_collect(any, wire, slots))
    return false;
  if (slots[0].bytes.size == 0 && slots[1].bytes.size == 0) {
    strbuf_add_string(output->json, "{}");
    return true;
  }
  const struct contract_message *message = any_type(any, slots[0].bytes);
  strbuf_add_string(output->json, "{\"@type\":");
  if (message == NULL || !jsontext_write_text(output->json, slots[0].bytes))
    return false;
  bool written;
  if (well_known_is_object(message->well_known)) {
    output->depth++;
    written = output->depth <= CONTRACT_MAX_DEPTH + 1 && write_members(output, message, slots[1].bytes, false);
    output->depth--;
  } else {
    strbuf_add_string(output->json, ",\"value\":");
    written = json_write_message(output, message, slots[1].bytes);
  }
  strbuf_add_byte(output->json, '}');
  return written;
}

enum status transcode_wire_to_json_as(const struct contract_message *message, struct slice wire,
                                      const struct transcode_profile *profile, struct strbuf *json)
{
  size_t before = json->size;
  struct output output = {.json = json, .omits_defaults = profile->omits_defaults};
  return json_finish(json_write_message(&output, message, wire), before, json);
}

enum status transcode_body_to_json(const struct transcode_body *body, struct strbuf *json)
{
  size_t before = json->size;
  // The message lies around its field.
  struct output output = {
      .json = json, .objects_are_texts = body->objects_are_texts, .depth = body->field == NULL ? 0 : 1};
  bool written = body->field == NULL ? json_write_message(&output, body->message, body->wire)
                                     : write_field_of(&output, body->message, body->field, body->wire);
  return json_finish(written, before, json);
}

enum status transcode_wire_to_json(const struct contract_message *message, struct slice wire, struct strbuf *json)
{
  return transcode_body_to_json(&(struct transcode_body){.message = message, .wire = wire}, json);
}

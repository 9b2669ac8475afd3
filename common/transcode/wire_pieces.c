// Translates a message of megabytes to JSON in pieces, between which its thread does other things.
#include "common/transcode/transcode.h"
#include "common/transcode/well_known_internal.h"
#include "common/transcode/wire_to_json_internal.h"

struct transcode_pieces {
  const struct contract_message *message;
  const struct contract_field *only;  // the field whose value is written; NULL: all of the message is
  struct slice wire;
  struct output output;
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
  // The message itself lies around what is written.
  pieces->output = (struct output){.json = json, .objects_are_texts = body->objects_are_texts, .depth = 1};
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
  if (!is_bare && json_leaves_out(&pieces->output, field, slot)) {
    pieces->place++;
    return true;
  }
  if (!is_bare)
    json_write_key(message_index(pieces->message)->keys[pieces->place], pieces->output.json, &pieces->is_first);
  if (!field->repeated || field->is_map || slot->count == 0) {
    pieces->place++;
    return is_bare ? json_write_bare_field(&pieces->output, field, slot)
                   : json_write_field(&pieces->output, field, slot);
  }
  strbuf_add_byte(pieces->output.json, '[');
  pieces->values = slot_values(slot, field);
  pieces->in_list = true;
  pieces->is_first_value = true;
  return true;
}

static bool write_next_element(struct transcode_pieces *pieces)
{
  struct wire_field item;
  if (next_value(&pieces->values, &item))
    return json_write_element(&pieces->output, &pieces->message->fields[pieces->place], &item, &pieces->is_first_value);
  strbuf_add_byte(pieces->output.json, ']');
  pieces->in_list = false;
  pieces->place++;
  return true;
}

static bool begin_message(struct transcode_pieces *pieces)
{
  pieces->has_begun = true;
  pieces->is_first = true;
  if (pieces->only == NULL)
    strbuf_add_byte(pieces->output.json, '{');
  return slots_collect(pieces->message, pieces->wire, pieces->slots);
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
    strbuf_add_byte(pieces->output.json, '}');
  *is_done = true;
  return true;
}

enum status transcode_pieces_write(struct transcode_pieces *pieces, size_t max_bytes, bool *is_done)
{
  struct strbuf *json = pieces->output.json;
  size_t from = json->size;
  bool written = true;
  *is_done = !well_known_is_object(pieces->message->well_known);
  if (*is_done) {
    pieces->output.depth = 0;
    written = json_write_message(&pieces->output, pieces->message, pieces->wire);
  }
  while (written && !json->failed && !*is_done && json->size - from < max_bytes)
    written = write_next(pieces, is_done);
  return json_finish(written, pieces->before, json);
}

// One message: first what path, headers and query say, then the members of its JSON object, then what is missing.
#include "common/transcode/decoder_internal.h"
#include "common/transcode/well_known_internal.h"

// One message while it is read.
struct level {
  const struct message_target *target;
  struct field_set keys;   // given in the JSON, be it as null
  struct field_set set;    // with a value from anywhere
  struct field_set bound;  // with a value from a preset of its own
  uint64_t oneofs;
  size_t members;
};

static struct place member_place(const struct message_target *target, const struct contract_field *field,
                                 struct slice name)
{
  return (struct place){.parent = target->place, .name = name, .field = field};
}

// The path of `place` in original names, as one path of a FieldMask.
static void render_mask_path(const struct place *place, struct strbuf *path)
{
  if (place == NULL)
    return;
  render_mask_path(place->parent, path);
  if (path->size > 0)
    strbuf_add_byte(path, '.');
  if (place->field != NULL)
    strbuf_add(path, place->field->name);
}

static void add_to_mask(struct decoder *decoder, const struct place *place)
{
  struct strbuf path;
  strbuf_init(&path, 0);
  render_mask_path(place, &path);
  wire_write_bytes(decoder->mask, 1, strbuf_slice(&path));
  strbuf_free(&path);
}

// A message's own members are in the mask, so that its other fields stay as they are.
static bool goes_deeper(const struct contract_field *field)
{
  return field_is_message(field, CONTRACT_PLAIN) && !field->repeated;
}

static void note_oneof(struct decoder *decoder, struct level *level, const struct contract_field *field,
                       const struct place *place)
{
  if (field->oneof_index < 0)
    return;
  uint64_t bit = UINT64_C(1) << field->oneof_index;
  if ((level->oneofs & bit) != 0)
    decoder_report(decoder, place, "must not be set together with another field of its group");
  level->oneofs |= bit;
}

static const char *differs_from(const struct preset *preset)
{
  switch (preset->origin) {
  case PRESET_PATH:
    return "must be the same as in the path, or absent";
  case PRESET_HEADER:
    return "must be the same as in the header, or absent";
  case PRESET_QUERY:
    break;
  }
  return "must be the same as in the query, or absent";
}

// A field that has its value already: the body's is read, compared and dropped.
static bool read_bound(struct decoder *decoder, const struct level *level, const struct contract_field *field,
                       const struct message_target *inside)
{
  size_t before = decoder->out->size;
  size_t reported = decoder->violations->count + decoder->violations->more;
  bool set;
  if (!decode_field(decoder, field, inside, &set))
    return false;
  bool reported_more = decoder->violations->count + decoder->violations->more > reported;
  if (set && !reported_more && !presets_agree(decoder, level->target, field, before))
    decoder_report(decoder, inside->place, differs_from(presets_find(decoder, level->target, field)));
  if (!decoder->out->failed)
    strbuf_truncate(decoder->out, before);
  return true;
}

static bool read_known(struct decoder *decoder, struct level *level, const struct contract_field *field,
                       const struct message_target *inside)
{
  const struct message_target *target = level->target;
  size_t place = field_place(target->message, field);
  if (field_set_has(&level->bound, place))
    return read_bound(decoder, level, field, inside);
  if (field->rules.output_only)
    return jsontext_skip_value(&decoder->reader, NULL);
  if (target->masked && !goes_deeper(field))
    add_to_mask(decoder, inside->place);
  bool set;
  if (!decode_field(decoder, field, inside, &set))
    return false;
  if (!set) {
    // null clears a message as a whole.
    if (target->masked && goes_deeper(field))
      add_to_mask(decoder, inside->place);
    return true;
  }
  field_set_add(&level->set, place);
  note_oneof(decoder, level, field, inside->place);
  return true;
}

static struct message_target enter_field(struct decoder *decoder, const struct message_target *target,
                                         const struct contract_field *field, const struct place *place)
{
  struct message_target inside = {.place = place, .scope = NO_SCOPE, .masked = target->masked};
  if (target->scope < CONTRACT_MAX_FIELD_PATH - 1) {
    decoder->prefix[target->scope] = field;
    inside.scope = target->scope + 1;
  }
  return inside;
}

// After a key has been read.
static bool read_member(struct decoder *decoder, struct level *level)
{
  const struct message_target *target = level->target;
  struct slice name = decoder->reader.text;
  const struct contract_field *field = contract_field_by_name(target->message, name);
  struct place place = member_place(target, field, name.data == NULL ? SLICE("") : name);
  const char *problem = field == NULL ? "is not a field that is known here"
                        : field_set_has(&level->keys, field_place(target->message, field)) ? "must not be given twice"
                                                                                           : NULL;
  if (problem != NULL) {
    decoder_report(decoder, &place, problem);
    return jsontext_skip_value(&decoder->reader, NULL);
  }
  field_set_add(&level->keys, field_place(target->message, field));
  place.name = field->json_name;
  level->members++;
  struct message_target inside = enter_field(decoder, target, field, &place);
  return read_known(decoder, level, field, &inside);
}

static bool read_object(struct decoder *decoder, struct level *level)
{
  for (;;) {
    enum jsontext_token token = jsontext_read(&decoder->reader);
    if (token != JSONTEXT_KEY) {
      if (token == JSONTEXT_OBJECT_END && level->members == 0 && level->target->masked && level->target->place != NULL)
        add_to_mask(decoder, level->target->place);
      return token == JSONTEXT_OBJECT_END;
    }
    if (!read_member(decoder, level))
      return false;
  }
}

// The document is the value of one field; its places are those of the document.
static bool read_body_field(struct decoder *decoder, struct level *level)
{
  const struct message_target *target = level->target;
  const struct contract_field *field = target->body_field;
  struct message_target inside = enter_field(decoder, target, field, NULL);
  inside.masked = decoder->mask != NULL && goes_deeper(field);
  bool set;
  if (!decode_field(decoder, field, &inside, &set))
    return false;
  field_set_add(&level->keys, field_place(target->message, field));
  if (set) {
    field_set_add(&level->set, field_place(target->message, field));
    note_oneof(decoder, level, field, NULL);
  } else if (field->rules.required) {
    decoder_report(decoder, NULL, "must not be null");
    field_set_add(&level->set, field_place(target->message, field));
  }
  return true;
}

static void write_mask(struct decoder *decoder, struct level *level)
{
  const struct contract_field *field = level->target->mask_field;
  wire_write_bytes(decoder->out, field->number, strbuf_slice(decoder->mask));
  field_set_add(&level->set, field_place(level->target->message, field));
}

static void report_missing(struct decoder *decoder, const struct level *level)
{
  const struct contract_message *message = level->target->message;
  const struct message_index *index = message_index(message);
  for (size_t i = 0; i < message->field_count && index->has_required; i++)
    if (field_set_has(&index->required, i) && !field_set_has(&level->set, i)) {
      const struct contract_field *field = &message->fields[i];
      struct slice name =
          field->rules.from_header != NULL ? slice_from_string(field->rules.from_header) : field->json_name;
      struct place place = member_place(level->target, field, name);
      decoder_report(decoder, &place, "is required");
    }
  for (size_t i = 0; i < message->oneof_count && index->has_required_oneof; i++)
    if (message->oneofs[i].required && (level->oneofs >> i & 1) == 0) {
      struct place place = member_place(level->target, NULL, slice_from_string(message->oneofs[i].name));
      decoder_report(decoder, &place, "one of its fields is required");
    }
}

// Members of oneofs that presets have set.
static void note_preset_oneofs(struct decoder *decoder, struct level *level)
{
  const struct contract_message *message = level->target->message;
  if (message->oneof_count == 0)
    return;
  for (size_t i = 0; i < message->field_count; i++)
    if (field_set_has(&level->bound, i)) {
      struct place place = member_place(level->target, &message->fields[i], message->fields[i].json_name);
      note_oneof(decoder, level, &message->fields[i], &place);
    }
}

bool decode_message(struct decoder *decoder, const struct message_target *target)
{
  struct level level;
  memset(&level, 0, sizeof(level));
  level.target = target;
  bool presets = target->scope != NO_SCOPE && decoder->preset_count > 0;
  if (presets) {
    presets_write_leaves(decoder, target, &level.bound);
    level.set = level.bound;
    note_preset_oneofs(decoder, &level);
  }
  if (target->source == FROM_OBJECT ? !read_object(decoder, &level)
                                    : target->source == FROM_BODY && !read_body_field(decoder, &level))
    return false;
  if (target->mask_field != NULL)
    write_mask(decoder, &level);
  if (presets && !presets_write_nested(decoder, target, &level.set))
    return false;
  report_missing(decoder, &level);
  return true;
}

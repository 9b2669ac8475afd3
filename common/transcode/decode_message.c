// Decodes one message: first the presets (path, headers, query), then the members of its JSON object. At the end it
// reports what is missing.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/transcode/decoder_internal.h"
#include "common/transcode/request_mask_internal.h"
#include "common/transcode/well_known_internal.h"

// The words of a set of fields up to which the sets of a message lie on the stack.
#define FEW_WORDS 2

// The state of one message while it is read.
struct level {
  const struct message_target *target;
  uint64_t *keys;                   // fields that the JSON names, also with the value null
  uint64_t *set;                    // fields with a value, whatever it comes from
  uint64_t *bound;                  // fields with a value from a preset
  uint64_t *oneofs;                 // oneofs with a field that is set
  struct update_mask mask;          // which fields of the message the update writes
  struct update_mask updated_mask;  // in the request of an update: which fields of the message `updated` it writes
  size_t members;
  bool has_type;  // the object is that of an Any, and its "@type" has been read
};

// ---- places and masks ----

static struct place make_member_place(const struct message_target *target, const struct contract_field *field,
                                      struct slice name)
{
  return (struct place){.parent = target->place, .name = name, .field = field};
}

// The end of a mask's path to an object whose members a merge patch changes (common/service/resource_patch_internal.h).
#define MEMBERS SLICE(".*")

// Appends the path of `place` in original names, as a FieldMask has it.
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

static void add_to_mask(struct decoder *decoder, const struct place *place, struct slice end)
{
  struct strbuf path;
  strbuf_init(&path, 0);
  render_mask_path(place, &path);
  strbuf_add(&path, end);
  wire_write_bytes(decoder->gathered_mask, 1, strbuf_slice(&path));
  strbuf_free(&path);
}

// Whether the gathered mask names the fields inside this field instead of the field itself, so that those which the
// body leaves out stay as they are.
static bool goes_deeper(const struct contract_field *field)
{
  return field_is_message(field, CONTRACT_PLAIN) && !field->repeated;
}

static struct update_mask enter_mask(const struct decoder *decoder, const struct level *level,
                                     const struct contract_field *field)
{
  if (field == level->target->message->updated)
    return level->updated_mask;
  return update_mask_enter(&level->mask, field->name, field->rules.immutable, decoder->arena);
}

static inline struct message_target enter_field(struct decoder *decoder, const struct level *level,
                                                const struct contract_field *field, const struct place *place)
{
  struct message_target inside = {.place = place, .scope = NO_SCOPE};
  if (level->mask.kind != MASK_NONE || level->target->message->updated != NULL)
    inside.mask = enter_mask(decoder, level, field);
  if (level->target->scope < CONTRACT_MAX_FIELD_PATH - 1) {
    decoder->prefix[level->target->scope] = field;
    inside.scope = level->target->scope + 1;
  }
  return inside;
}

// ---- members ----

static void note_oneof(struct decoder *decoder, struct level *level, const struct contract_field *field,
                       const struct place *place)
{
  if (field->oneof_index < 0)
    return;
  size_t oneof = (size_t)field->oneof_index;
  if (field_set_has(level->oneofs, oneof))
    decoder_report(decoder, place, "must not be set together with another field of its group");
  field_set_add(level->oneofs, oneof);
}

static const char *describe_difference(const struct preset *preset)
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

// Reads a field that a preset has filled: the body's value is compared with the preset's and dropped.
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
    decoder_report(decoder, inside->place, describe_difference(presets_find(decoder, level->target, field)));
  if (!decoder->out->failed)
    strbuf_truncate(decoder->out, before);
  return true;
}

// Reads the value of a field. Its rules are switched off where the update mask leaves the field out.
static bool read_value(struct decoder *decoder, const struct contract_field *field, const struct message_target *inside,
                       bool *set)
{
  bool outside = decoder->rules_off;
  decoder->rules_off = outside || inside->mask.kind == MASK_LEFT_OUT;
  bool whole = decode_field(decoder, field, inside, set);
  decoder->rules_off = outside;
  return whole;
}

// Whether a merge patch changes members of the object that comes next, instead of the field as a whole.
static bool merges_next(const struct decoder *decoder, const struct contract_field *field)
{
  if (!decoder->merge_patch)
    return false;
  bool is_open = field->is_map ||
                 (!field->repeated && (field->rules.format == FORMAT_JSON_OBJECT || well_known_holds_object(field)));
  struct jsontext_reader ahead = decoder->reader;
  return is_open && jsontext_read(&ahead) == JSONTEXT_OBJECT_BEGIN;
}

// Whether the client sets a field that else only the service sets, because it names what the request is about. In a
// request of parts the path has it.
static bool names_resource(const struct decoder *decoder, const struct message_target *target,
                           const struct contract_field *field)
{
  const struct contract_field *path[CONTRACT_MAX_FIELD_PATH];
  if (decoder->whole == NULL || target->scope >= CONTRACT_MAX_FIELD_PATH)
    return false;
  memcpy(path, decoder->prefix, target->scope * sizeof(path[0]));
  path[target->scope] = field;
  return method_names_field(decoder->whole, path, target->scope + 1);
}

// Whether services can change single members of the object: those of a text of the message that is updated, which the
// mask names for them.
static bool merges_members(const struct level *level, const struct contract_field *field, bool gathers)
{
  return gathers && field->type == CONTRACT_STRING && !field->is_map && level->target->place == NULL;
}

static bool read_known(struct decoder *decoder, struct level *level, const struct contract_field *field,
                       const struct message_target *inside)
{
  const struct message_target *target = level->target;
  size_t place = field_place(target->message, field);
  if (field_set_has(level->bound, place))
    return read_bound(decoder, level, field, inside);
  if (field->rules.output_only && !names_resource(decoder, target, field))
    return jsontext_skip_value(&decoder->reader, NULL);
  bool gathers = target->mask.kind == MASK_GIVEN;
  bool merges = merges_next(decoder, field);
  if (merges && !merges_members(level, field, gathers)) {
    decoder_report(decoder, inside->place,
                   "is replaced as a whole, which a merge patch cannot say; send it as application/json, or null to "
                   "empty it");
    field_set_add(level->set, place);
    return jsontext_skip_value(&decoder->reader, NULL);
  }
  if (gathers && !goes_deeper(field))
    add_to_mask(decoder, inside->place, merges ? MEMBERS : SLICE(""));
  bool set;
  if (!read_value(decoder, field, inside, &set))
    return false;
  if (!set) {
    // null clears the message as a whole, so the mask names it.
    if (gathers && goes_deeper(field))
      add_to_mask(decoder, inside->place, SLICE(""));
    return true;
  }
  field_set_add(level->set, place);
  note_oneof(decoder, level, field, inside->place);
  return true;
}

// Whether the member is the first "@type" of an Any's object. It has been read ahead.
static bool is_type_of_any(struct level *level, struct slice name)
{
  if (!level->target->in_any || level->has_type || !slice_equal(name, SLICE("@type")))
    return false;
  level->has_type = true;
  return true;
}

// Reads one member of the object; its key has been read.
static bool read_member(struct decoder *decoder, struct level *level)
{
  const struct message_target *target = level->target;
  struct slice name = decoder->reader.text;
  const struct contract_field *field = contract_field_by_name(target->message, name);
  // In a request of parts, a field that comes in a header comes there only.
  if (field != NULL && field->rules.from_header != NULL && decoder->whole == NULL)
    field = NULL;
  if (field == NULL && (decoder->profile->ignores_unknown || is_type_of_any(level, name)))
    return jsontext_skip_value(&decoder->reader, NULL);
  struct place place = make_member_place(target, field, name.data == NULL ? SLICE("") : name);
  const char *problem = field == NULL ? "is not a field that is known here"
                        : field_set_has(level->keys, field_place(target->message, field)) ? "must not be given twice"
                                                                                          : NULL;
  if (problem != NULL) {
    decoder_report(decoder, &place, problem);
    return jsontext_skip_value(&decoder->reader, NULL);
  }
  field_set_add(level->keys, field_place(target->message, field));
  place.name = field->json_name;
  level->members++;
  struct message_target inside = enter_field(decoder, level, field, &place);
  return read_known(decoder, level, field, &inside);
}

static bool read_object(struct decoder *decoder, struct level *level)
{
  const struct message_target *target = level->target;
  enum jsontext_token token;
  while ((token = jsontext_read(&decoder->reader)) == JSONTEXT_KEY)
    if (!read_member(decoder, level))
      return false;
  if (token != JSONTEXT_OBJECT_END)
    return false;
  // An update with {} empties the message as a whole, unless it is a merge patch. Google's messages are named already.
  if (level->members == 0 && !decoder->merge_patch && target->mask.kind == MASK_GIVEN && target->place != NULL &&
      target->message->well_known == CONTRACT_PLAIN) {
    add_to_mask(decoder, target->place, SLICE(""));
    level->mask.kind = MASK_ALL;
  }
  return true;
}

// Reads the document as the value of one field. Places in it do not name that field.
static bool read_body_field(struct decoder *decoder, struct level *level)
{
  const struct message_target *target = level->target;
  const struct contract_field *field = target->body_field;
  struct message_target inside = enter_field(decoder, level, field, NULL);
  bool set;
  if (!decode_field(decoder, field, &inside, &set))
    return false;
  field_set_add(level->keys, field_place(target->message, field));
  if (set) {
    field_set_add(level->set, field_place(target->message, field));
    note_oneof(decoder, level, field, NULL);
  } else if (field->rules.required) {
    decoder_report(decoder, NULL, "must not be null");
    field_set_add(level->set, field_place(target->message, field));
  }
  return true;
}

static void write_mask(struct decoder *decoder, struct level *level)
{
  const struct contract_field *field = level->target->mask_field;
  wire_write_bytes(decoder->out, field->number, strbuf_slice(decoder->gathered_mask));
  field_set_add(level->set, field_place(level->target->message, field));
}

// ---- what is missing, or named and may not be ----

// Whether the request writes the field, so that leaving it out is a violation if the rules demand it.
static bool is_written(const struct decoder *decoder, const struct level *level, size_t place)
{
  if (level->mask.kind == MASK_NONE)
    return true;
  const struct contract_field *field = &level->target->message->fields[place];
  return enter_mask(decoder, level, field).kind != MASK_LEFT_OUT &&
         (level->mask.kind != MASK_GIVEN || field_set_has(level->keys, place));
}

static void report_absent_field(struct decoder *decoder, const struct level *level, size_t at)
{
  const struct contract_field *field = &level->target->message->fields[at];
  if (!is_written(decoder, level, at))
    return;
  struct place place = make_member_place(level->target, field, contract_field_shown_name(field));
  decoder_report(decoder, &place, field->absence);
}

static void report_absent(struct decoder *decoder, const struct level *level)
{
  const struct contract_message *message = level->target->message;
  const uint64_t *demanded = message_index(message)->demanded;
  for (size_t word = 0; word < field_set_words(message->field_count); word++)
    for (uint64_t left = demanded[word] & ~level->set[word]; left != 0; left &= left - 1)
      report_absent_field(decoder, level, word * 64 + (size_t)__builtin_ctzll(left));
}

static bool oneof_is_written(const struct decoder *decoder, const struct level *level, size_t oneof)
{
  const struct contract_message *message = level->target->message;
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].oneof_index == (int)oneof && is_written(decoder, level, i))
      return true;
  return false;
}

// Reports a required oneof that is absent. The violation names the fields, because the JSON has no oneof.
static void report_absent_oneof(struct decoder *decoder, const struct level *level, size_t oneof)
{
  const struct contract_message *message = level->target->message;
  const char *separator = ": ";
  strbuf_clear(&decoder->scratch);
  strbuf_add_string(&decoder->scratch, "one of its fields is required");
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].oneof_index == (int)oneof) {
      strbuf_printf(&decoder->scratch, "%s" SLICE_FMT, separator, SLICE_ARG(message->fields[i].json_name));
      separator = ", ";
    }
  struct place place = make_member_place(level->target, NULL, slice_from_string(message->oneofs[oneof].json_name));
  decoder_report(decoder, &place, strbuf_cstring(&decoder->scratch));
}

static void report_absent_oneofs(struct decoder *decoder, const struct level *level)
{
  const struct contract_message *message = level->target->message;
  for (size_t i = 0; i < message->oneof_count; i++)
    if (message->oneofs[i].required && !field_set_has(level->oneofs, i) && oneof_is_written(decoder, level, i))
      report_absent_oneof(decoder, level, i);
}

static void report_named_immutables(struct decoder *decoder, const struct level *level)
{
  const struct contract_message *message = level->target->message;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    bool given = field_set_has(level->keys, i) && !field_set_has(level->bound, i);
    if (field->rules.immutable && update_mask_names(&level->mask, field->name, given)) {
      struct place place = make_member_place(level->target, field, field->json_name);
      decoder_report(decoder, &place, UPDATE_MASK_IMMUTABLE);
    }
  }
}

// Whether the body or another part of the request says what the field is to be. What only the service sets need not be
// said.
static bool is_given(const struct level *level, size_t at)
{
  return field_set_has(level->keys, at) || field_set_has(level->set, at) ||
         level->target->message->fields[at].rules.output_only;
}

// Whether the field is one of a group that has another value, or that is reported as a whole.
static bool is_choice(const struct level *level, const struct contract_field *field)
{
  return field->oneof_index >= 0 && (field_set_has(level->oneofs, (size_t)field->oneof_index) ||
                                     level->target->message->oneofs[field->oneof_index].required);
}

// Reports what the client's own mask names and the body lacks, because such a field would be emptied unseen. What is
// demanded or immutable is reported as such.
static void report_unsaid(struct decoder *decoder, const struct level *level)
{
  const struct contract_message *message = level->target->message;
  const uint64_t *demanded = message_index(message)->demanded;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (is_given(level, i) || is_choice(level, field) || field_set_has(demanded, i) || field->rules.immutable ||
        !update_mask_names(&level->mask, field->name, false))
      continue;
    struct place place = make_member_place(level->target, field, field->json_name);
    decoder_report(decoder, &place, "is named in the update mask, so the body must have it; null empties it");
  }
}

static void report_missing(struct decoder *decoder, const struct level *level)
{
  const struct message_index *index = message_index(level->target->message);
  if (decoder->rules_off)
    return;
  if (level->mask.kind == MASK_PATHS)
    report_unsaid(decoder, level);
  report_absent(decoder, level);
  if (index->has_required_oneof)
    report_absent_oneofs(decoder, level);
  if (index->has_immutable)
    report_named_immutables(decoder, level);
}

// ---- the message ----

// Notes the oneofs that have a field with a preset.
static void note_preset_oneofs(struct decoder *decoder, struct level *level)
{
  const struct contract_message *message = level->target->message;
  if (message->oneof_count == 0)
    return;
  for (size_t i = 0; i < message->field_count; i++)
    if (field_set_has(level->bound, i)) {
      struct place place = make_member_place(level->target, &message->fields[i], message->fields[i].json_name);
      note_oneof(decoder, level, &message->fields[i], &place);
    }
}

// Writes the messages inside this one that only presets name.
static bool write_nested_presets(struct decoder *decoder, struct level *level)
{
  const struct contract_field *field;
  while ((field = presets_next_nested(decoder, level->target, level->set)) != NULL) {
    struct place place = make_member_place(level->target, field, field->json_name);
    struct message_target inside = enter_field(decoder, level, field, &place);
    inside.message = field->message;
    inside.source = FROM_PRESETS;
    size_t mark = wire_begin_nested(decoder->out, field->number);
    if (!decode_message(decoder, &inside))
      return false;
    wire_end_nested(decoder->out, mark);
  }
  return true;
}

static bool read_source(struct decoder *decoder, struct level *level)
{
  switch (level->target->source) {
  case FROM_OBJECT:
    return read_object(decoder, level);
  case FROM_BODY:
    return read_body_field(decoder, level);
  case FROM_PRESETS:
    break;
  }
  return true;
}

// Makes the four sets of a level, in `few` where they fit, else in memory to be freed: a request may hold so many
// messages that an arena would fill up.
static uint64_t *make_sets(struct level *level, uint64_t few[4 * FEW_WORDS])
{
  size_t words = field_set_words(level->target->message->field_count);
  uint64_t *sets = words <= FEW_WORDS ? few : malloc(4 * words * sizeof(*sets));
  CHECK(sets != NULL);
  memset(sets, 0, 4 * words * sizeof(*sets));
  level->keys = sets;
  level->set = sets + words;
  level->bound = sets + 2 * words;
  level->oneofs = sets + 3 * words;
  return sets;
}

static inline bool decode_level(struct decoder *decoder, struct level *level)
{
  const struct message_target *target = level->target;
  if (target->message->updated != NULL)
    level->updated_mask = request_mask_find(decoder, target);
  bool presets = target->scope != NO_SCOPE && decoder->preset_count > 0;
  if (presets) {
    presets_write_leaves(decoder, target, level->bound);
    memcpy(level->set, level->bound, field_set_words(target->message->field_count) * sizeof(*level->set));
    note_preset_oneofs(decoder, level);
  }
  if (!read_source(decoder, level))
    return false;
  if (target->mask_field != NULL)
    write_mask(decoder, level);
  if (presets && !write_nested_presets(decoder, level))
    return false;
  report_missing(decoder, level);
  return true;
}

bool decode_message(struct decoder *decoder, const struct message_target *target)
{
  uint64_t few[4 * FEW_WORDS];
  struct level level = {.target = target, .mask = target->mask};
  uint64_t *sets = make_sets(&level, few);
  bool whole = decode_level(decoder, &level);
  if (sets != few)
    free(sets);
  return whole;
}

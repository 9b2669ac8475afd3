// Reads the value of one field: scalar, message, list or map.
#include "common/transcode/decoder_internal.h"
#include "common/transcode/well_known_internal.h"

// ---- scalars ----

// Whether the profile takes a text that rules refuse for its U+0000.
static __attribute__((cold, noinline)) bool is_taken_with_nul(const struct contract_field *field,
                                                              const struct scalar *value)
{
  return field->type == CONTRACT_STRING && value->bytes.size > 0 &&
         memchr(value->bytes.data, 0, value->bytes.size) != NULL;
}

static inline void check_scalar(struct decoder *decoder, const struct contract_field *field, const struct scalar *value,
                                const struct place *place)
{
  if (decoder->profile->takes_nul && is_taken_with_nul(field, value))
    return;
  decoder_report_rule(decoder, place, scalar_check_rules(field, value, &decoder->scratch));
}

// Reports a value that is not one of the field's type, and passes over it.
static __attribute__((cold, noinline)) bool refuse_scalar(struct decoder *decoder, enum jsontext_token token,
                                                          const struct place *place, const char *problem,
                                                          bool has_unknown_name)
{
  if (!has_unknown_name || !decoder->profile->ignores_unknown)
    decoder_report(decoder, place, problem);
  return decode_skip(decoder, token);
}

// Reads one scalar; `valid` says whether `value` holds it. Returns false when the JSON is broken.
static inline bool read_scalar(struct decoder *decoder, const struct contract_field *field, enum jsontext_token token,
                               const struct place *place, struct scalar *value, bool *valid)
{
  const char *problem = scalar_from_json(field, token, decoder->reader.text, decoder_memory(decoder), value);
  *valid = problem == NULL;
  if (problem == NULL)
    return true;
  return refuse_scalar(decoder, token, place, problem, value->has_unknown_name);
}

static bool is_raw_object(const struct contract_field *field)
{
  return field->type == CONTRACT_STRING && field->rules.format == FORMAT_JSON_OBJECT;
}

static bool read_raw_object(struct decoder *decoder, const struct contract_field *field, enum jsontext_token token,
                            const struct place *place)
{
  if (token != JSONTEXT_OBJECT_BEGIN) {
    decoder_report(decoder, place, "must be an object");
    return decode_skip(decoder, token);
  }
  size_t mark = wire_begin_nested(decoder->out, field->number);
  if (!decode_raw_object(decoder, place))
    return false;
  // The form has been checked; the length remains.
  struct field_rules rules = field->rules;
  rules.format = FORMAT_NONE;
  struct slice text = slice_make(decoder->out->data + mark, decoder->out->failed ? 0 : decoder->out->size - mark);
  decoder_report_rule(decoder, place, rules_check_text(&rules, text, &decoder->scratch));
  wire_end_nested(decoder->out, mark);
  return true;
}

// ---- messages ----

static bool read_text_content(struct decoder *decoder, const struct contract_message *message,
                              enum jsontext_token token, const struct place *place)
{
  const struct text_form form = {.kind = message->well_known, .strict_masks = decoder->profile->strict_masks};
  const char *problem =
      token == JSONTEXT_STRING ? well_known_from_text(form, decoder->reader.text, decoder->out) : "must be a string";
  if (problem != NULL)
    decoder_report(decoder, place, problem);
  return decode_skip(decoder, token);
}

static bool read_wrapper_content(struct decoder *decoder, const struct contract_message *message,
                                 enum jsontext_token token, const struct place *place)
{
  const struct contract_field *inner = &message->fields[0];
  struct scalar value = {0};
  bool valid;
  if (!read_scalar(decoder, inner, token, place, &value, &valid))
    return false;
  if (valid && inner->type == CONTRACT_STRING)
    check_scalar(decoder, inner, &value, place);
  if (valid && !scalar_is_default(inner, &value))
    scalar_write(decoder->out, inner, &value);
  return true;
}

// Reads what JSON has as an object.
static bool read_object_content(struct decoder *decoder, const struct contract_message *message,
                                const struct message_target *inside)
{
  if (message->well_known == CONTRACT_STRUCT)
    return decode_struct(decoder, inside->place);
  if (message->well_known == CONTRACT_ANY)
    return decode_any(decoder, message, inside->place);
  struct message_target target = *inside;
  target.message = message;
  target.source = FROM_OBJECT;
  target.mask_field = NULL;
  return decode_message(decoder, &target);
}

bool decode_content(struct decoder *decoder, const struct contract_message *message, enum jsontext_token token,
                    const struct message_target *inside)
{
  if (well_known_is_text(message->well_known))
    return read_text_content(decoder, message, token, inside->place);
  if (message->well_known == CONTRACT_WRAPPER)
    return read_wrapper_content(decoder, message, token, inside->place);
  if (message->well_known == CONTRACT_VALUE)
    return decode_value(decoder, token, inside->place);
  bool is_list = message->well_known == CONTRACT_LIST_VALUE;
  if (token != (is_list ? JSONTEXT_ARRAY_BEGIN : JSONTEXT_OBJECT_BEGIN)) {
    decoder_report(decoder, inside->place, is_list ? "must be a list" : "must be an object");
    return decode_skip(decoder, token);
  }
  return is_list ? decode_list_value(decoder, inside->place) : read_object_content(decoder, message, inside);
}

static bool read_message(struct decoder *decoder, const struct contract_field *field, enum jsontext_token token,
                         const struct message_target *inside)
{
  if (!decoder_enter(decoder, inside->place))
    return decode_skip(decoder, token);
  size_t mark = wire_begin_nested(decoder->out, field->number);
  bool whole = decode_content(decoder, field->message, token, inside);
  wire_end_nested(decoder->out, mark);
  decoder_leave(decoder);
  return whole;
}

// Writes one value, which is not null, with its tag. A scalar's default value is left out unless `keep_default`.
static bool read_single(struct decoder *decoder, const struct contract_field *field, enum jsontext_token token,
                        const struct message_target *inside, bool keep_default)
{
  if (field->type == CONTRACT_MESSAGE)
    return read_message(decoder, field, token, inside);
  if (is_raw_object(field) && decoder->whole == NULL)
    return read_raw_object(decoder, field, token, inside->place);
  struct scalar value = {0};
  bool valid;
  if (!read_scalar(decoder, field, token, inside->place, &value, &valid))
    return false;
  if (!valid)
    return true;
  check_scalar(decoder, field, &value, inside->place);
  if (keep_default || !scalar_is_default(field, &value))
    scalar_write(decoder->out, field, &value);
  return true;
}

// ---- lists ----

struct list {
  const struct contract_field *field;
  struct message_target inside;  // target of the items; `place` is that of the list
  size_t count;
  bool packed;
};

// Where an item was written in `out`, as an offset because the buffer moves while it grows.
struct span {
  size_t index;  // of the item in its list
  size_t offset;
  size_t size;
};

// Notes the item that was just written from `offset` on. An item of the wrong type has written
// nothing and equals no other.
static void note_span(struct decoder *decoder, size_t index, size_t offset)
{
  struct span span = {.index = index, .offset = offset, .size = decoder->out->size - offset};
  if (span.size > 0)
    strbuf_add(&decoder->spans, slice_make(&span, sizeof(span)));
}

static struct span span_at(const struct decoder *decoder, size_t place)
{
  struct span span;
  memcpy(&span, decoder->spans.data + place * sizeof(span), sizeof(span));
  return span;
}

static bool read_packed_item(struct decoder *decoder, const struct list *list, enum jsontext_token token,
                             const struct place *place)
{
  struct scalar value = {0};
  bool valid;
  if (!read_scalar(decoder, list->field, token, place, &value, &valid))
    return false;
  if (!valid)
    return true;
  check_scalar(decoder, list->field, &value, place);
  scalar_write_packed(decoder->out, list->field->type, value.bits);
  return true;
}

static bool read_item(struct decoder *decoder, const struct list *list, enum jsontext_token token)
{
  struct place place = {.parent = list->inside.place, .index = list->count};
  if (token == JSONTEXT_NULL && !decode_takes_null(list->field)) {
    decoder_report(decoder, &place, "must not be null");
    return true;
  }
  size_t before = decoder->out->size;
  if (list->packed) {
    if (!read_packed_item(decoder, list, token, &place))
      return false;
  } else {
    struct message_target inside = list->inside;
    inside.place = &place;
    if (!read_single(decoder, list->field, token, &inside, true))
      return false;
  }
  if (list->field->rules.unique_items)
    note_span(decoder, list->count, before);
  return true;
}

static void check_unique(struct decoder *decoder, const struct list *list)
{
  size_t count = decoder->spans.size / sizeof(struct span);
  if (count < 2 || decoder->out->failed)
    return;
  struct slice *items = arena_array(decoder->arena, count, sizeof(*items));
  for (size_t i = 0; i < count; i++) {
    struct span span = span_at(decoder, i);
    items[i] = slice_make(decoder->out->data + span.offset, span.size);
  }
  size_t found = find_duplicate(items, count, decoder->arena);
  if (found == count)
    return;
  struct place place = {.parent = list->inside.place, .index = span_at(decoder, found).index};
  decoder_report_rule(decoder, &place, "must not be the same as an item before it");
}

// Reads the items up to the end of the list. Items beyond the cap are counted and dropped.
static bool read_items(struct decoder *decoder, struct list *list)
{
  size_t max = list->field->rules.max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : list->field->rules.max_items;
  for (;; list->count++) {
    enum jsontext_token token = jsontext_read(&decoder->reader);
    if (token == JSONTEXT_ARRAY_END)
      return true;
    if (token == JSONTEXT_ERROR)
      return false;
    if (list->count >= max ? !decode_skip(decoder, token) : !read_item(decoder, list, token))
      return false;
  }
}

static bool read_list(struct decoder *decoder, const struct contract_field *field, enum jsontext_token token,
                      const struct message_target *inside)
{
  if (token != JSONTEXT_ARRAY_BEGIN) {
    decoder_report(decoder, inside->place, "must be a list");
    return decode_skip(decoder, token);
  }
  struct list list = {
      .field = field, .inside = *inside, .packed = field->type != CONTRACT_MESSAGE && !scalar_has_bytes(field->type)};
  list.inside.scope = NO_SCOPE;
  list.inside.mask = (struct update_mask){.kind = MASK_NONE};
  if (field->rules.unique_items)
    strbuf_clear(&decoder->spans);
  size_t before = decoder->out->size;
  size_t mark = list.packed ? wire_begin_nested(decoder->out, field->number) : 0;
  if (!read_items(decoder, &list))
    return false;
  if (field->rules.unique_items)
    check_unique(decoder, &list);
  if (list.packed && decoder->out->size > mark)
    wire_end_nested(decoder->out, mark);
  else if (list.packed)
    strbuf_truncate(decoder->out, before);
  decoder_report_rule(decoder, inside->place, rules_check_count(&field->rules, list.count, &decoder->scratch));
  return true;
}

// ---- maps ----

// Writes the key of an entry. Returns false when its type or its rules refuse it.
static bool read_map_key(struct decoder *decoder, const struct contract_field *key, const struct place *place)
{
  struct scalar value = {0};
  const char *problem = scalar_from_text(key, place->name, decoder_memory(decoder), &value);
  if (problem == NULL)
    problem = scalar_check_rules(key, &value, &decoder->scratch);
  if (problem != NULL) {
    strbuf_clear(&decoder->spans);
    strbuf_printf(&decoder->spans, "its key %s", problem);
    decoder_report(decoder, place, strbuf_cstring(&decoder->spans));
    return false;
  }
  if (!scalar_is_default(key, &value))
    scalar_write(decoder->out, key, &value);
  return true;
}

// Reads the value of a map's entry. `is_kept` says whether the entry counts: not where its value is passed over.
static bool read_entry_value(struct decoder *decoder, const struct contract_field *value,
                             const struct message_target *inside, bool *is_kept)
{
  enum jsontext_token token = jsontext_read(&decoder->reader);
  if (token == JSONTEXT_ERROR)
    return false;
  *is_kept = !decoder->profile->ignores_unknown || value->type != CONTRACT_ENUM || token != JSONTEXT_STRING ||
             scalar_knows_name(value->enumeration, decoder->reader.text);
  if (token == JSONTEXT_NULL && !decode_takes_null(value)) {
    decoder_report(decoder, inside->place, "must not be null");
    return true;
  }
  return read_single(decoder, value, token, inside, false);
}

// Writes one entry of a map as an embedded message, and adds the wire bytes of its key to `keys` unless they are
// refused: "1" and "1.0" are one key of an integer map.
static bool read_entry(struct decoder *decoder, const struct contract_field *field, const struct message_target *inside,
                       struct slice_list *keys)
{
  struct place place = {.parent = inside->place, .name = decoder->reader.text};
  if (place.name.data == NULL)
    place.name = SLICE("");
  struct message_target target = *inside;
  target.place = &place;
  size_t before = decoder->out->size;
  size_t mark = wire_begin_nested(decoder->out, field->number);
  size_t start = decoder->out->size;
  if (read_map_key(decoder, &field->message->fields[0], &place) && !decoder->out->failed) {
    struct slice key = slice_make(decoder->out->data + start, decoder->out->size - start);
    slice_list_add(keys, arena_copy(decoder->arena, key), decoder->arena);
  }
  bool is_kept;
  if (!read_entry_value(decoder, &field->message->fields[1], &target, &is_kept))
    return false;
  wire_end_nested(decoder->out, mark);
  if (!is_kept && !decoder->out->failed)
    strbuf_truncate(decoder->out, before);
  return true;
}

// Reads the entries up to the end of the object. Entries beyond the cap are counted and dropped.
static bool read_entries(struct decoder *decoder, const struct contract_field *field,
                         const struct message_target *inside, struct slice_list *keys, size_t *count)
{
  size_t max = field->rules.max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : field->rules.max_items;
  enum jsontext_token token;
  for (; (token = jsontext_read(&decoder->reader)) == JSONTEXT_KEY; ++*count)
    if (*count >= max ? !jsontext_skip_value(&decoder->reader, NULL) : !read_entry(decoder, field, inside, keys))
      return false;
  return token == JSONTEXT_OBJECT_END;
}

static bool read_map(struct decoder *decoder, const struct contract_field *field, enum jsontext_token token,
                     const struct message_target *inside)
{
  if (token != JSONTEXT_OBJECT_BEGIN) {
    decoder_report(decoder, inside->place, "must be an object");
    return decode_skip(decoder, token);
  }
  struct message_target entries = *inside;
  entries.scope = NO_SCOPE;
  entries.mask = (struct update_mask){.kind = MASK_NONE};
  struct slice_list keys = {0};
  size_t count = 0;
  if (!decoder_enter(decoder, inside->place))
    return decode_skip(decoder, token);
  if (!read_entries(decoder, field, &entries, &keys, &count))
    return false;
  decoder_leave(decoder);
  if (find_duplicate(keys.items, keys.count, decoder->arena) < keys.count)
    decoder_report(decoder, inside->place, "must not have the same key twice");
  decoder_report_rule(decoder, inside->place, rules_check_count(&field->rules, count, &decoder->scratch));
  return true;
}

bool decode_field(struct decoder *decoder, const struct contract_field *field, const struct message_target *inside,
                  bool *set)
{
  enum jsontext_token token = jsontext_read(&decoder->reader);
  *set = token != JSONTEXT_NULL || (!field->repeated && decode_takes_null(field));
  if (token == JSONTEXT_ERROR)
    return false;
  if (!*set)
    return true;
  if (field->is_map)
    return read_map(decoder, field, token, inside);
  if (field->repeated)
    return read_list(decoder, field, token, inside);
  return read_single(decoder, field, token, inside, field->has_presence);
}

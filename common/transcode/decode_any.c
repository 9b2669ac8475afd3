// Reads JSON of any form as Google's messages that hold any content: Struct, Value and ListValue, which are JSON again,
// and Any, whose member "@type" names a message of the contracts.
#include "common/transcode/decoder_internal.h"
#include "common/transcode/well_known_internal.h"

// Field numbers of google/protobuf/struct.proto and any.proto; the load has checked them.
enum { STRUCT_FIELDS = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2, LIST_VALUES = 1 };
enum { VALUE_NULL = 1, VALUE_NUMBER, VALUE_STRING, VALUE_BOOL, VALUE_STRUCT, VALUE_LIST };
enum { ANY_TYPE_URL = 1, ANY_VALUE = 2 };

// ---- Struct, Value and ListValue ----

static void check_text(struct decoder *decoder, const struct place *place, struct slice text)
{
  if (!decoder->profile->takes_nul && text.size > 0 && memchr(text.data, 0, text.size) != NULL)
    decoder_report(decoder, place, "must not contain the character U+0000");
}

static void check_count(struct decoder *decoder, const struct place *place, size_t count)
{
  static const struct field_rules NO_RULES = {0};
  decoder_report_rule(decoder, place, rules_check_count(&NO_RULES, count, &decoder->scratch));
}

// Decodes a value, whose first token was `token`, as a field with the number.
static bool read_nested_value(struct decoder *decoder, uint32_t number, enum jsontext_token token,
                              const struct place *place)
{
  if (!decoder_enter(decoder, place))
    return decode_skip(decoder, token);
  size_t mark = wire_begin_nested(decoder->out, number);
  bool whole = decode_value(decoder, token, place);
  wire_end_nested(decoder->out, mark);
  decoder_leave(decoder);
  return whole;
}

// Reads one member of the object; its key has been read.
static bool read_member(struct decoder *decoder, const struct place *parent, struct slice_list *keys)
{
  struct slice key = decoder->reader.text.data == NULL ? SLICE("") : decoder->reader.text;
  struct place place = {.parent = parent, .name = key};
  slice_list_add(keys, key, decoder->arena);
  check_text(decoder, &place, key);
  enum jsontext_token token = jsontext_read(&decoder->reader);
  if (token == JSONTEXT_ERROR)
    return false;
  if (!decoder_enter(decoder, &place))
    return decode_skip(decoder, token);
  size_t mark = wire_begin_nested(decoder->out, STRUCT_FIELDS);
  if (key.size > 0)
    wire_write_bytes(decoder->out, ENTRY_KEY, key);
  bool whole = read_nested_value(decoder, ENTRY_VALUE, token, &place);
  wire_end_nested(decoder->out, mark);
  decoder_leave(decoder);
  return whole;
}

bool decode_struct(struct decoder *decoder, const struct place *place)
{
  struct slice_list keys = {0};
  enum jsontext_token token;
  size_t count = 0;
  for (; (token = jsontext_read(&decoder->reader)) == JSONTEXT_KEY; count++)
    if (count >= RULES_DEFAULT_MAX_ITEMS ? !jsontext_skip_value(&decoder->reader, NULL)
                                         : !read_member(decoder, place, &keys))
      return false;
  if (token != JSONTEXT_OBJECT_END)
    return false;
  if (find_duplicate(keys.items, keys.count, decoder->arena) < keys.count)
    decoder_report(decoder, place, "must not have the same key twice");
  check_count(decoder, place, count);
  return true;
}

bool decode_list_value(struct decoder *decoder, const struct place *place)
{
  size_t count = 0;
  for (;; count++) {
    enum jsontext_token token = jsontext_read(&decoder->reader);
    if (token == JSONTEXT_ARRAY_END)
      break;
    if (token == JSONTEXT_ERROR)
      return false;
    struct place item = {.parent = place, .index = count};
    if (count >= RULES_DEFAULT_MAX_ITEMS ? !decode_skip(decoder, token)
                                         : !read_nested_value(decoder, LIST_VALUES, token, &item))
      return false;
  }
  check_count(decoder, place, count);
  return true;
}

static bool read_number(struct decoder *decoder, const struct place *place)
{
  static const struct contract_field NUMBER = {.number = VALUE_NUMBER, .type = CONTRACT_DOUBLE};
  struct scalar value = {0};
  const char *problem =
      scalar_from_json(&NUMBER, JSONTEXT_NUMBER, decoder->reader.text, decoder_memory(decoder), &value);
  if (problem == NULL)
    scalar_write(decoder->out, &NUMBER, &value);
  else
    decoder_report(decoder, place, problem);
  return true;
}

// Reads an object or a list inside a Value.
static bool read_nested_open(struct decoder *decoder, enum jsontext_token token, const struct place *place)
{
  bool is_object = token == JSONTEXT_OBJECT_BEGIN;
  if (!decoder_enter(decoder, place))
    return decode_skip(decoder, token);
  size_t mark = wire_begin_nested(decoder->out, is_object ? VALUE_STRUCT : VALUE_LIST);
  bool whole = is_object ? decode_struct(decoder, place) : decode_list_value(decoder, place);
  wire_end_nested(decoder->out, mark);
  decoder_leave(decoder);
  return whole;
}

bool decode_value(struct decoder *decoder, enum jsontext_token token, const struct place *place)
{
  switch (token) {
  case JSONTEXT_NULL:
    wire_write_varint(decoder->out, VALUE_NULL, 0);
    return true;
  case JSONTEXT_TRUE:
  case JSONTEXT_FALSE:
    wire_write_varint(decoder->out, VALUE_BOOL, token == JSONTEXT_TRUE ? 1 : 0);
    return true;
  case JSONTEXT_NUMBER:
    return read_number(decoder, place);
  case JSONTEXT_STRING:
    check_text(decoder, place, decoder->reader.text);
    wire_write_bytes(decoder->out, VALUE_STRING, decoder->reader.text);
    return true;
  case JSONTEXT_OBJECT_BEGIN:
  case JSONTEXT_ARRAY_BEGIN:
    return read_nested_open(decoder, token, place);
  default:
    return false;
  }
}

// ---- Any ----

// Looks ahead for the member "@type" of the object whose { has been read, because it may stand anywhere in it. What is
// wrong with the object otherwise is found when it is read.
static struct slice find_type_url(const struct decoder *decoder, bool *is_empty)
{
  struct jsontext_reader ahead = decoder->reader;
  *is_empty = true;
  while (jsontext_read(&ahead) == JSONTEXT_KEY) {
    *is_empty = false;
    if (slice_equal(ahead.text, SLICE("@type")))
      return jsontext_read(&ahead) == JSONTEXT_STRING ? ahead.text : SLICE("");
    if (!jsontext_skip_value(&ahead, NULL))
      break;
  }
  return (struct slice){0};
}

// Reads the content of a message that has no object of its own in JSON: it is the member "value".
static bool read_value_member(struct decoder *decoder, const struct contract_message *message,
                              const struct message_target *inside)
{
  bool has_type = false;
  bool has_value = false;
  enum jsontext_token token;
  while ((token = jsontext_read(&decoder->reader)) == JSONTEXT_KEY) {
    struct slice name = decoder->reader.text;
    bool *seen = slice_equal(name, SLICE("@type")) ? &has_type : slice_equal(name, SLICE("value")) ? &has_value : NULL;
    struct place place = {.parent = inside->place, .name = name.data == NULL ? SLICE("") : name};
    if (seen == NULL ? !decoder->profile->ignores_unknown : *seen)
      decoder_report(decoder, &place, seen == NULL ? "is not a field that is known here" : "must not be given twice");
    if (seen != &has_value || has_value) {
      if (!jsontext_skip_value(&decoder->reader, NULL))
        return false;
    } else {
      struct message_target target = *inside;
      target.place = &place;
      token = jsontext_read(&decoder->reader);
      if (token == JSONTEXT_ERROR || !decode_content(decoder, message, token, &target))
        return false;
    }
    if (seen != NULL)
      *seen = true;
  }
  if (token == JSONTEXT_OBJECT_END && !has_value)
    decoder_report(decoder, inside->place, "must have a member value beside @type: the type has no fields in JSON");
  return token == JSONTEXT_OBJECT_END;
}

static bool read_held(struct decoder *decoder, const struct contract_message *message, const struct place *place)
{
  struct message_target target = {.message = message, .place = place, .source = FROM_OBJECT, .scope = NO_SCOPE};
  if (!well_known_is_object(message->well_known))
    return read_value_member(decoder, message, &target);
  target.in_any = true;
  return decode_message(decoder, &target);
}

bool decode_any(struct decoder *decoder, const struct contract_message *any, const struct place *place)
{
  bool is_empty;
  struct slice url = find_type_url(decoder, &is_empty);
  const struct contract_message *message = any_type(any, url);
  if (is_empty)
    return decode_skip(decoder, jsontext_read(&decoder->reader));
  if (message == NULL) {
    struct place type = {.parent = place, .name = SLICE("@type")};
    decoder_report(decoder, &type,
                   url.data == NULL ? "is required: it names the type, such as type.googleapis.com/item.v1.Item"
                                    : "names no type that is known here; write one such as "
                                      "type.googleapis.com/item.v1.Item");
    return decode_skip(decoder, JSONTEXT_OBJECT_BEGIN);
  }
  if (!decoder_enter(decoder, place))
    return decode_skip(decoder, JSONTEXT_OBJECT_BEGIN);
  wire_write_bytes(decoder->out, ANY_TYPE_URL, url);
  size_t mark = wire_begin_nested(decoder->out, ANY_VALUE);
  bool whole = read_held(decoder, message, place);
  wire_end_nested(decoder->out, mark);
  decoder_leave(decoder);
  return whole;
}

// Writes example values: the contract's own where a field has one, else values that keep the field's rules.
#include "common/base/codec.h"
#include "common/base/jsontext_reader.h"
#include "common/openapi/openapi_internal.h"

#define EXAMPLE_TIME "2026-01-31T09:30:00Z"
#define EXAMPLE_DURATION "1.500s"
#define EXAMPLE_EMAIL "ada@example.com"
#define EXAMPLE_UUID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

// ---- texts ----

// Turns a field's name into words: "display_name" becomes "display name", or "display-name" where white space is not
// accepted.
static char *make_words(struct openapi *api, const struct contract_field *field, unsigned nth)
{
  char *text = nth == 0 ? arena_string(&api->arena, field->name)
                        : arena_printf(&api->arena, SLICE_FMT "_%u", SLICE_ARG(field->name), nth + 1);
  for (char *at = text; *at != '\0'; at++)
    if (*at == '_')
      *at = field->rules.format == FORMAT_URL_TOKEN ? '-' : ' ';
  return text;
}

// Cuts or pads a text to an accepted length. It is cut and padded at its front, because the end tells the items of a
// list apart.
static struct slice fit_length(struct openapi *api, const char *text, const struct field_rules *rules)
{
  size_t length = strlen(text);
  size_t size = length < rules->min_length ? rules->min_length : length;
  if (rules->max_length != 0 && size > rules->max_length)
    size = rules->max_length;
  char *fitted = arena_alloc(&api->arena, size + 1);
  size_t filled = size > length ? size - length : 0;
  memset(fitted, 'x', filled);
  memcpy(fitted + filled, text + length - (size - filled), size - filled);
  if (size > 0 && fitted[0] == ' ')
    fitted[0] = 'x';
  return slice_make(fitted, size);
}

// Chooses one of the values of one_of. "" is passed over, because it tells a reader nothing.
static struct slice choose_word(const struct field_rules *rules, unsigned nth)
{
  size_t empty = *rules->one_of[0] == '\0' && rules->one_of_count > 1 ? 1 : 0;
  return slice_from_string(rules->one_of[empty + nth % (rules->one_of_count - empty)]);
}

static struct slice make_text(struct openapi *api, const struct contract_field *field, unsigned nth)
{
  const struct field_rules *rules = &field->rules;
  if (rules->one_of_count > 0)
    return choose_word(rules, nth);
  switch (rules->format) {
  case FORMAT_EMAIL:
    return nth == 0 ? SLICE(EXAMPLE_EMAIL) : slice_from_string(arena_printf(&api->arena, "ada%u@example.com", nth));
  case FORMAT_UUID:
    return nth == 0 ? SLICE(EXAMPLE_UUID)
                    : slice_from_string(arena_printf(&api->arena, "01936b5e-7c1a-7d3e-9f00-%012x", nth));
  case FORMAT_DECIMAL:
    return slice_from_string(arena_printf(&api->arena, "%u.50", 12 + nth));
  case FORMAT_CURRENCY:
    return slice_from_string(arena_printf(&api->arena, "EU%c", (char)('R' - nth % 17)));
  default:
    return fit_length(api, make_words(api, field, nth), rules);
  }
}

// ---- numbers and other scalars ----

static int64_t make_number(const struct contract_field *field, unsigned nth)
{
  const struct field_rules *rules = &field->rules;
  int64_t value = rules->has_minimum ? rules->minimum : 0;
  if (value == 0 && rules->required)
    value = 1;
  if (rules->has_maximum && value > rules->maximum)
    value = rules->maximum;
  return value + (int64_t)nth;
}

static void write_bytes(struct openapi *api, const struct contract_field *field, unsigned nth)
{
  size_t size = field->rules.min_length > 0 ? field->rules.min_length : 1;
  char *bytes = arena_zalloc(&api->arena, size);
  bytes[size - 1] = (char)nth;
  struct strbuf text;
  strbuf_init(&text, 0);
  base64_encode(slice_make(bytes, size), &text);
  jsontext_string(&api->json, strbuf_slice(&text));
  strbuf_free(&text);
}

// Chooses a value of an enum. Zero is passed over, because it stands for "unspecified".
static struct slice make_enum(const struct contract_enum *enumeration, unsigned nth)
{
  for (size_t i = 0; i < enumeration->value_count; i++)
    if (enumeration->values[i].number != 0 && nth-- == 0)
      return enumeration->values[i].name;
  return enumeration->values[0].name;
}

static void write_scalar(struct openapi *api, const struct contract_field *field, unsigned nth)
{
  switch (field->type) {
  case CONTRACT_STRING:
    if (field->rules.format == FORMAT_JSON_OBJECT)
      jsontext_raw(&api->json, SLICE("{}"));
    else
      jsontext_string(&api->json, make_text(api, field, nth));
    break;
  case CONTRACT_BYTES:
    write_bytes(api, field, nth);
    break;
  case CONTRACT_ENUM:
    if (field->enumeration->is_null)
      jsontext_raw(&api->json, SLICE("null"));
    else
      jsontext_string(&api->json, make_enum(field->enumeration, nth));
    break;
  case CONTRACT_BOOL:
    jsontext_bool(&api->json, field->rules.required || nth > 0);
    break;
  default:
    if (openapi_is_json_string(field->type))
      jsontext_string(&api->json,
                      slice_from_string(arena_printf(&api->arena, "%lld", (long long)make_number(field, nth))));
    else
      jsontext_int(&api->json, make_number(field, nth));
    break;
  }
}

// ---- values ----

// Whether the contract's example of the field is JSON: true for numbers, booleans and objects. The example of any other
// field is the bare text.
static bool is_raw_example(const struct contract_field *field)
{
  if (openapi_is_json_string(field->type) && field->rules.format != FORMAT_JSON_OBJECT)
    return false;
  if (field->type == CONTRACT_MESSAGE && field->message->well_known != CONTRACT_PLAIN)
    return false;
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, slice_from_string(field->rules.example), RULES_JSON_MAX_DEPTH, NULL);
  return jsontext_skip_value(&reader, NULL) && jsontext_read(&reader) == JSONTEXT_END;
}

static void write_contract_example(struct openapi *api, const struct contract_field *field)
{
  struct slice example = slice_from_string(field->rules.example);
  if (is_raw_example(field))
    jsontext_raw(&api->json, example);
  else
    jsontext_string(&api->json, example);
}

static void write_value(struct openapi *api, const struct contract_field *field, enum shape shape, unsigned nth)
{
  if (field->rules.example != NULL && nth == 0)
    write_contract_example(api, field);
  else if (field->type == CONTRACT_MESSAGE)
    openapi_write_message_example(api, field->message, openapi_inner_shape(field, shape), NULL);
  else
    write_scalar(api, field, nth);
}

static void write_list(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  unsigned count = field->rules.min_items > 0 ? field->rules.min_items : 1;
  jsontext_begin_array(&api->json);
  for (unsigned i = 0; i < count; i++)
    write_value(api, field, shape, i);
  jsontext_end_array(&api->json);
}

static void write_map(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  const struct contract_field *key = &field->message->fields[0];
  const struct contract_field *value = &field->message->fields[1];
  jsontext_begin_object(&api->json);
  // Numbers and booleans are written as strings, because they are keys of a JSON object.
  jsontext_key(&api->json, key->type == CONTRACT_STRING ? SLICE("key")
                           : key->type == CONTRACT_BOOL ? SLICE("true")
                                                        : SLICE("1"));
  write_value(api, value, openapi_inner_shape(field, shape), 0);
  jsontext_end_object(&api->json);
}

void openapi_write_field_example(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  if (field->is_map)
    write_map(api, field, shape);
  else if (field->repeated)
    write_list(api, field, shape);
  else
    write_value(api, field, shape, 0);
}

// ---- messages ----

// A search for fields with examples, in every message once.
struct search {
  struct openapi *api;
  struct strmap seen;  // by the name of the message, and its shape
};

static bool has_examples(struct search *search, const struct contract_message *message, enum shape shape);

// Whether the example of a message shows the field: required fields, and fields for which the contract has an example.
static bool is_found(struct search *search, const struct contract_field *field, enum shape shape,
                     const struct contract_binding *binding)
{
  if (!openapi_has_field(field, shape, binding) || (shape != SHAPE_REPLY && field->rules.to_header != NULL))
    return false;
  if (field->absence != NULL || openapi_field_is_required(field, shape) || field->rules.example != NULL)
    return true;
  return field->type == CONTRACT_MESSAGE && !field->is_map && field->message->well_known == CONTRACT_PLAIN &&
         has_examples(search, field->message, openapi_inner_shape(field, shape));
}

static bool has_examples(struct search *search, const struct contract_message *message, enum shape shape)
{
  const char *key = arena_printf(&search->api->arena, "%u %s", (unsigned)shape, message->full_name);
  if (!strmap_add(&search->seen, slice_from_string(key), search))
    return false;
  for (size_t i = 0; i < message->field_count; i++)
    if (is_found(search, &message->fields[i], shape, NULL))
      return true;
  return false;
}

static bool is_shown(struct openapi *api, const struct contract_field *field, enum shape shape,
                     const struct contract_binding *binding)
{
  // A message inside itself would have no end.
  if (field->type == CONTRACT_MESSAGE &&
      openapi_trail_has(api->example, field->is_map ? field->message->fields[1].message : field->message))
    return false;
  struct search search = {.api = api};
  bool found = is_found(&search, field, shape, binding);
  strmap_free(&search.seen);
  return found;
}

// Chooses the member of a oneof that the example shows: the first with an example, or the first of all where one is
// required.
static const struct contract_field *choose_member(const struct openapi *api, const struct contract_message *message,
                                                  int oneof, enum shape shape)
{
  const struct contract_field *first = NULL;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->oneof_index != oneof || !openapi_has_field(field, shape, NULL) ||
        (field->message != NULL && openapi_trail_has(api->example, field->message)))
      continue;
    if (field->rules.example != NULL)
      return field;
    if (first == NULL && message->oneofs[oneof].required)
      first = field;
  }
  return first;
}

// Writes the example of the message at the end of the trail.
static void write_members(struct openapi *api, const struct message_trail *trail, enum shape shape,
                          const struct contract_binding *binding)
{
  const struct contract_message *message = trail->message;
  api->example = trail;
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    bool shown = field->oneof_index >= 0 ? choose_member(api, message, field->oneof_index, shape) == field
                                         : is_shown(api, field, shape, binding);
    if (!shown)
      continue;
    jsontext_key(&api->json, field->json_name);
    openapi_write_field_example(api, field, shape);
  }
  jsontext_end_object(&api->json);
  api->example = trail->outer;
}

void openapi_write_message_example(struct openapi *api, const struct contract_message *message, enum shape shape,
                                   const struct contract_binding *binding)
{
  const struct message_trail trail = {.outer = api->example, .message = message};
  switch (message->well_known) {
  case CONTRACT_TIMESTAMP:
    jsontext_string(&api->json, SLICE(EXAMPLE_TIME));
    break;
  case CONTRACT_DURATION:
    jsontext_string(&api->json, SLICE(EXAMPLE_DURATION));
    break;
  case CONTRACT_FIELD_MASK:
    jsontext_string(&api->json, SLICE(""));
    break;
  case CONTRACT_WRAPPER:
    write_scalar(api, &message->fields[0], 0);
    break;
  case CONTRACT_STRUCT:
  case CONTRACT_ANY:
    jsontext_raw(&api->json, SLICE("{}"));
    break;
  case CONTRACT_VALUE:
    jsontext_raw(&api->json, SLICE("null"));
    break;
  case CONTRACT_LIST_VALUE:
    jsontext_raw(&api->json, SLICE("[]"));
    break;
  case CONTRACT_PLAIN:
  case CONTRACT_EMPTY:
    write_members(api, &trail, shape, binding);
    break;
  }
}

// ---- outside of JSON ----

struct slice openapi_example_text(struct openapi *api, const struct contract_field *field)
{
  struct jsontext_writer kept = api->json;
  struct strbuf text;
  strbuf_init(&text, 0);
  jsontext_writer_init(&api->json, &text);
  write_value(api, field, SHAPE_CREATE, 0);
  api->json = kept;
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, strbuf_slice(&text), RULES_JSON_MAX_DEPTH, &api->arena);
  enum jsontext_token token = jsontext_read(&reader);
  struct slice found = arena_copy(&api->arena, token == JSONTEXT_STRING ? reader.text : strbuf_slice(&text));
  strbuf_free(&text);
  return found;
}

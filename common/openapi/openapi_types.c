// Writes the JSON Schema (2020-12, the dialect of OpenAPI 3.1) of one value: its type, and the rules of the contract.
#include "common/contract/formats.h"
#include "common/openapi/openapi_internal.h"

static const struct {
  const char *type;
  const char *format;
  const char *pattern;  // regular expression of numbers that travel as strings
} TYPES[] = {
    [CONTRACT_DOUBLE] = {"number", "double", NULL},
    [CONTRACT_FLOAT] = {"number", "float", NULL},
    [CONTRACT_INT64] = {"string", "int64", "^-?[0-9]{1,19}$"},
    [CONTRACT_UINT64] = {"string", "uint64", "^[0-9]{1,20}$"},
    [CONTRACT_INT32] = {"integer", "int32", NULL},
    [CONTRACT_FIXED64] = {"string", "uint64", "^[0-9]{1,20}$"},
    [CONTRACT_FIXED32] = {"integer", "uint32", NULL},
    [CONTRACT_BOOL] = {"boolean", NULL, NULL},
    [CONTRACT_STRING] = {"string", NULL, NULL},
    [CONTRACT_MESSAGE] = {"object", NULL, NULL},
    [CONTRACT_BYTES] = {"string", NULL, NULL},
    [CONTRACT_UINT32] = {"integer", "uint32", NULL},
    [CONTRACT_ENUM] = {"string", NULL, NULL},
    [CONTRACT_SFIXED32] = {"integer", "int32", NULL},
    [CONTRACT_SFIXED64] = {"string", "int64", "^-?[0-9]{1,19}$"},
    [CONTRACT_SINT32] = {"integer", "int32", NULL},
    [CONTRACT_SINT64] = {"string", "int64", "^-?[0-9]{1,19}$"},
};

bool openapi_is_json_string(enum contract_type type)
{
  return strcmp(TYPES[type].type, "string") == 0;
}

static void write_ref(struct openapi *api, const char *component)
{
  openapi_write_text(api, "$ref", arena_printf(&api->arena, "#/components/schemas/%s", component));
}

static const char *format_name(enum field_format format)
{
  return format == FORMAT_EMAIL ? "email" : format == FORMAT_UUID ? "uuid" : NULL;
}

// Returns the pattern of a text. A request may clear a text with "", which the patterns of these formats do not accept.
static const char *text_pattern(struct openapi *api, const struct field_rules *rules, enum shape shape)
{
  const char *pattern = format_pattern(rules->format);
  bool refuses_empty = rules->format == FORMAT_DECIMAL || rules->format == FORMAT_CURRENCY;
  if (!refuses_empty || shape == SHAPE_REPLY || rules->required)
    return pattern;
  return arena_printf(&api->arena, "^$|%s", pattern);
}

static void write_string_rules(struct openapi *api, const struct field_rules *rules, enum shape shape)
{
  uint32_t min_length = rules->min_length == 0 && rules->required ? 1 : rules->min_length;
  openapi_write_text(api, "format", format_name(rules->format));
  openapi_write_text(api, "pattern", text_pattern(api, rules, shape));
  if (min_length != 0)
    jsontext_key_int(&api->json, "minLength", min_length);
  if (rules->max_length != 0)
    jsontext_key_int(&api->json, "maxLength", rules->max_length);
  if (rules->one_of_count == 0)
    return;
  jsontext_key(&api->json, SLICE("enum"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < rules->one_of_count; i++)
    jsontext_string(&api->json, slice_from_string(rules->one_of[i]));
  jsontext_end_array(&api->json);
}

static void write_number_rules(struct openapi *api, const struct contract_field *field)
{
  const struct field_rules *rules = &field->rules;
  openapi_write_text(api, "format", TYPES[field->type].format);
  openapi_write_text(api, "pattern", TYPES[field->type].pattern);
  // Numbers that travel as strings have no bounds, because JSON Schema's minimum and maximum apply to JSON numbers
  // only.
  if (TYPES[field->type].pattern != NULL)
    return;
  bool is_unsigned = field->type == CONTRACT_UINT32 || field->type == CONTRACT_FIXED32;
  if (rules->has_minimum || is_unsigned)
    jsontext_key_int(&api->json, "minimum", rules->has_minimum ? rules->minimum : 0);
  if (rules->has_maximum)
    jsontext_key_int(&api->json, "maximum", rules->maximum);
}

// Writes the schema of a free-form JSON object, which may hold anything.
static void write_free_object(struct openapi *api)
{
  openapi_write_text(api, "type", "object");
  jsontext_key_bool(&api->json, "additionalProperties", true);
}

// Writes the schema of an Any: the fields of the message that "@type" names stand beside it.
static void write_any_object(struct openapi *api)
{
  write_free_object(api);
  jsontext_key(&api->json, SLICE("properties"));
  jsontext_raw(&api->json, SLICE("{\"@type\":{\"type\":\"string\"}}"));
}

void openapi_write_message_members(struct openapi *api, const struct contract_message *message, enum shape shape)
{
  switch (message->well_known) {
  case CONTRACT_PLAIN:
    write_ref(api, openapi_component_name(api, message, shape));
    break;
  case CONTRACT_TIMESTAMP:
    openapi_write_text(api, "type", "string");
    openapi_write_text(api, "format", "date-time");
    break;
  case CONTRACT_DURATION:
    openapi_write_text(api, "type", "string");
    openapi_write_text(api, "pattern", "^-?[0-9]+(\\.[0-9]{1,9})?s$");
    break;
  case CONTRACT_FIELD_MASK:
    openapi_write_text(api, "type", "string");
    break;
  case CONTRACT_EMPTY:
    openapi_write_text(api, "type", "object");
    break;
  case CONTRACT_WRAPPER:
    openapi_write_text(api, "type", TYPES[message->fields[0].type].type);
    if (message->fields[0].type != CONTRACT_STRING)
      write_number_rules(api, &message->fields[0]);
    break;
  case CONTRACT_STRUCT:
    write_free_object(api);
    break;
  case CONTRACT_VALUE:
    // A schema without members accepts every value.
    break;
  case CONTRACT_LIST_VALUE:
    openapi_write_text(api, "type", "array");
    jsontext_key(&api->json, SLICE("items"));
    jsontext_raw(&api->json, SLICE("{}"));
    break;
  case CONTRACT_ANY:
    write_any_object(api);
    break;
  }
}

void openapi_write_value_members(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  if (field->type == CONTRACT_MESSAGE) {
    openapi_write_message_members(api, field->message, openapi_inner_shape(field, shape));
    return;
  }
  if (field->type == CONTRACT_ENUM) {
    if (field->enumeration->is_null)
      openapi_write_text(api, "type", "null");
    else
      write_ref(api, field->enumeration->full_name);
    return;
  }
  if (field->rules.format == FORMAT_JSON_OBJECT) {
    write_free_object(api);
    return;
  }
  openapi_write_text(api, "type", TYPES[field->type].type);
  if (field->type == CONTRACT_BYTES)
    openapi_write_text(api, "contentEncoding", "base64");
  else if (field->type == CONTRACT_STRING)
    write_string_rules(api, &field->rules, shape);
  else if (field->type != CONTRACT_BOOL)
    write_number_rules(api, field);
}

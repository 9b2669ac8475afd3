// Messages, enums and fields as JSON Schema (2020-12, the dialect of OpenAPI 3.1), with the rules of the contract.
#include "common/base/jsontext_reader.h"
#include "common/contract/formats.h"
#include "common/openapi/openapi_internal.h"

static void write_schemas_of(struct openapi *api, const struct contract_message *message);

// ---- types ----

static const struct {
  const char *type;
  const char *format;
  const char *pattern;  // of numbers that travel as strings
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
    [CONTRACT_BYTES] = {"string", NULL, NULL},
    [CONTRACT_UINT32] = {"integer", "uint32", NULL},
    [CONTRACT_SFIXED32] = {"integer", "int32", NULL},
    [CONTRACT_SFIXED64] = {"string", "int64", "^-?[0-9]{1,19}$"},
    [CONTRACT_SINT32] = {"integer", "int32", NULL},
    [CONTRACT_SINT64] = {"string", "int64", "^-?[0-9]{1,19}$"},
};

static void write_ref(struct openapi *api, const char *full_name)
{
  jsontext_key_string(&api->json, "$ref",
                      slice_from_string(arena_printf(&api->arena, "#/components/schemas/%s", full_name)));
}

static void write_text(struct openapi *api, const char *key, const char *text)
{
  if (text != NULL)
    jsontext_key_string(&api->json, key, slice_from_string(text));
}

static const char *format_name(enum field_format format)
{
  return format == FORMAT_EMAIL ? "email" : format == FORMAT_UUID ? "uuid" : NULL;
}

static void write_string_rules(struct openapi *api, const struct field_rules *rules)
{
  uint32_t min_length = rules->min_length == 0 && rules->required ? 1 : rules->min_length;
  write_text(api, "format", format_name(rules->format));
  write_text(api, "pattern", format_pattern(rules->format));
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
  write_text(api, "format", TYPES[field->type].format);
  write_text(api, "pattern", TYPES[field->type].pattern);
  // Bounds say nothing about a number in a string.
  if (TYPES[field->type].pattern != NULL)
    return;
  bool is_unsigned = field->type == CONTRACT_UINT32 || field->type == CONTRACT_FIXED32;
  if (rules->has_minimum || is_unsigned)
    jsontext_key_int(&api->json, "minimum", rules->has_minimum ? rules->minimum : 0);
  if (rules->has_maximum)
    jsontext_key_int(&api->json, "maximum", rules->maximum);
}

// Members of the schema of a message in its JSON form.
static void write_message_members(struct openapi *api, const struct contract_message *message)
{
  switch (message->well_known) {
  case CONTRACT_PLAIN:
    write_ref(api, message->full_name);
    break;
  case CONTRACT_TIMESTAMP:
    write_text(api, "type", "string");
    write_text(api, "format", "date-time");
    break;
  case CONTRACT_DURATION:
    write_text(api, "type", "string");
    write_text(api, "pattern", "^-?[0-9]+(\\.[0-9]{1,9})?s$");
    break;
  case CONTRACT_FIELD_MASK:
    write_text(api, "type", "string");
    break;
  case CONTRACT_EMPTY:
    write_text(api, "type", "object");
    break;
  case CONTRACT_WRAPPER:
    write_text(api, "type", TYPES[message->fields[0].type].type);
    if (message->fields[0].type != CONTRACT_STRING)
      write_number_rules(api, &message->fields[0]);
    break;
  }
}

// Members of the schema of one value, without what belongs to the field as a whole.
static void write_value_members(struct openapi *api, const struct contract_field *field)
{
  if (field->type == CONTRACT_MESSAGE) {
    write_message_members(api, field->message);
    return;
  }
  if (field->type == CONTRACT_ENUM) {
    write_ref(api, field->enumeration->full_name);
    return;
  }
  if (field->rules.format == FORMAT_JSON_OBJECT) {
    write_text(api, "type", "object");
    return;
  }
  write_text(api, "type", TYPES[field->type].type);
  if (field->type == CONTRACT_BYTES)
    write_text(api, "contentEncoding", "base64");
  if (field->type == CONTRACT_STRING)
    write_string_rules(api, &field->rules);
  else if (field->type != CONTRACT_BYTES && field->type != CONTRACT_BOOL)
    write_number_rules(api, field);
}

// ---- fields ----

// An example that is JSON of a kind that the type's JSON may be; all others are strings.
static bool is_raw_example(const struct contract_field *field)
{
  bool quoted = field->type == CONTRACT_ENUM || field->type == CONTRACT_MESSAGE || TYPES[field->type].type[0] == 's';
  if (quoted && field->rules.format != FORMAT_JSON_OBJECT)
    return false;
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, slice_from_string(field->rules.example), RULES_JSON_MAX_DEPTH, NULL);
  return jsontext_skip_value(&reader, NULL) && jsontext_read(&reader) == JSONTEXT_END;
}

static void write_example(struct openapi *api, const struct contract_field *field)
{
  if (field->rules.example == NULL)
    return;
  struct slice example = slice_from_string(field->rules.example);
  jsontext_key(&api->json, SLICE("examples"));
  jsontext_begin_array(&api->json);
  if (field->repeated)
    jsontext_begin_array(&api->json);
  if (is_raw_example(field))
    jsontext_raw(&api->json, example);
  else
    jsontext_string(&api->json, example);
  if (field->repeated)
    jsontext_end_array(&api->json);
  jsontext_end_array(&api->json);
}

static void write_list_members(struct openapi *api, const struct contract_field *field)
{
  const struct field_rules *rules = &field->rules;
  uint32_t min_items = rules->min_items == 0 && rules->required ? 1 : rules->min_items;
  struct contract_field item = *field;
  // `required` is said of the list.
  item.rules.required = false;
  write_text(api, "type", "array");
  jsontext_key(&api->json, SLICE("items"));
  jsontext_begin_object(&api->json);
  write_value_members(api, &item);
  jsontext_end_object(&api->json);
  if (min_items != 0)
    jsontext_key_int(&api->json, "minItems", min_items);
  if (rules->max_items != 0)
    jsontext_key_int(&api->json, "maxItems", rules->max_items);
  if (rules->unique_items)
    jsontext_key_bool(&api->json, "uniqueItems", true);
}

static void write_map_members(struct openapi *api, const struct contract_field *field)
{
  write_text(api, "type", "object");
  jsontext_key(&api->json, SLICE("additionalProperties"));
  jsontext_begin_object(&api->json);
  write_value_members(api, &field->message->fields[1]);
  jsontext_end_object(&api->json);
  if (field->rules.max_items != 0)
    jsontext_key_int(&api->json, "maxProperties", field->rules.max_items);
}

void openapi_write_field_schema(struct openapi *api, const struct contract_field *field)
{
  jsontext_begin_object(&api->json);
  if (field->is_map)
    write_map_members(api, field);
  else if (field->repeated)
    write_list_members(api, field);
  else
    write_value_members(api, field);
  openapi_write_description(api, field->comment);
  if (field->rules.output_only)
    jsontext_key_bool(&api->json, "readOnly", true);
  if (field->rules.secret)
    jsontext_key_bool(&api->json, "writeOnly", true);
  write_example(api, field);
  jsontext_end_object(&api->json);
}

void openapi_write_message_schema(struct openapi *api, const struct contract_message *message)
{
  jsontext_begin_object(&api->json);
  write_message_members(api, message);
  jsontext_end_object(&api->json);
}

// ---- components ----

static bool write_once(struct openapi *api, const char *full_name)
{
  return strmap_add(&api->written, slice_from_string(full_name), (void *)full_name);
}

static void write_enum_component(struct openapi *api, const struct contract_enum *enumeration)
{
  if (!write_once(api, enumeration->full_name))
    return;
  jsontext_key(&api->json, slice_from_string(enumeration->full_name));
  jsontext_begin_object(&api->json);
  write_text(api, "type", "string");
  openapi_write_description(api, enumeration->comment);
  jsontext_key(&api->json, SLICE("enum"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < enumeration->value_count; i++)
    jsontext_string(&api->json, enumeration->values[i].name);
  jsontext_end_array(&api->json);
  jsontext_end_object(&api->json);
}

static void write_required(struct openapi *api, const struct contract_message *message)
{
  bool any = false;
  for (size_t i = 0; i < message->field_count; i++)
    any |= message->fields[i].rules.required;
  if (!any)
    return;
  jsontext_key(&api->json, SLICE("required"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].rules.required)
      jsontext_string(&api->json, message->fields[i].json_name);
  jsontext_end_array(&api->json);
}

static void write_message_component(struct openapi *api, const struct contract_message *message)
{
  jsontext_key(&api->json, slice_from_string(message->full_name));
  jsontext_begin_object(&api->json);
  write_text(api, "type", "object");
  openapi_write_description(api, message->comment);
  write_required(api, message);
  jsontext_key(&api->json, SLICE("properties"));
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < message->field_count; i++) {
    // What a header fills is described as a parameter.
    if (message->fields[i].rules.from_header != NULL)
      continue;
    jsontext_key(&api->json, message->fields[i].json_name);
    openapi_write_field_schema(api, &message->fields[i]);
  }
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

static void write_schemas_of_field(struct openapi *api, const struct contract_field *field)
{
  const struct contract_field *value = field->is_map ? &field->message->fields[1] : field;
  if (value->type == CONTRACT_ENUM)
    write_enum_component(api, value->enumeration);
  else if (value->type == CONTRACT_MESSAGE)
    write_schemas_of(api, value->message);
}

// Recursion is as deep as the contract.
static void write_schemas_of(struct openapi *api, const struct contract_message *message)
{
  if (message->well_known != CONTRACT_PLAIN || !write_once(api, message->full_name))
    return;
  write_message_component(api, message);
  for (size_t i = 0; i < message->field_count; i++)
    write_schemas_of_field(api, &message->fields[i]);
}

// Of enums that only the query of a method names.
static void write_parameter_enums(struct openapi *api, const struct contract_message *message, unsigned depth)
{
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->type == CONTRACT_ENUM)
      write_enum_component(api, field->enumeration);
    else if (field->type == CONTRACT_MESSAGE && !field->repeated && depth < CONTRACT_MAX_FIELD_PATH)
      write_parameter_enums(api, field->message, depth + 1);
  }
}

void openapi_write_schemas(struct openapi *api, const struct operation *operations, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    const struct contract_binding *binding = operations[i].binding;
    if (binding->body == CONTRACT_BODY_ALL)
      write_schemas_of(api, binding->method->input);
    else
      write_parameter_enums(api, binding->method->input, 1);
    if (binding->body_field != NULL)
      write_schemas_of_field(api, binding->body_field);
    if (binding->response_body_field != NULL)
      write_schemas_of_field(api, binding->response_body_field);
    else
      write_schemas_of(api, binding->method->output);
  }
}

// Writes fields, messages and enums as JSON Schema: components.schemas, and the schemas that paths hold inline.
#include "common/contract/contract_layout.h"
#include "common/openapi/openapi_internal.h"

static void write_schemas_of(struct openapi *api, const struct contract_message *message, enum shape shape,
                             const struct contract_binding *binding);

// ---- fields ----

static void write_examples(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  if (field->rules.example == NULL || field->rules.to_header != NULL)
    return;
  jsontext_key(&api->json, SLICE("examples"));
  jsontext_begin_array(&api->json);
  openapi_write_field_example(api, field, shape);
  jsontext_end_array(&api->json);
}

static void write_list_members(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  const struct field_rules *rules = &field->rules;
  uint32_t min_items = rules->min_items == 0 && rules->required ? 1 : rules->min_items;
  struct contract_field item = *field;
  // The list's `required` does not apply to its items, but a format refuses empty items.
  item.rules.required = rules->format != FORMAT_NONE;
  openapi_write_text(api, "type", "array");
  jsontext_key(&api->json, SLICE("items"));
  jsontext_begin_object(&api->json);
  openapi_write_value_members(api, &item, shape);
  jsontext_end_object(&api->json);
  if (min_items != 0)
    jsontext_key_int(&api->json, "minItems", min_items);
  if (rules->max_items != 0)
    jsontext_key_int(&api->json, "maxItems", rules->max_items);
  if (rules->unique_items)
    jsontext_key_bool(&api->json, "uniqueItems", true);
}

static void write_map_members(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  openapi_write_text(api, "type", "object");
  jsontext_key(&api->json, SLICE("additionalProperties"));
  jsontext_begin_object(&api->json);
  openapi_write_value_members(api, &field->message->fields[1], openapi_inner_shape(field, shape));
  jsontext_end_object(&api->json);
  if (field->rules.max_items != 0)
    jsontext_key_int(&api->json, "maxProperties", field->rules.max_items);
}

// A PATCH takes away an optional field by naming it with null.
static bool may_be_null(const struct contract_field *field, enum shape shape)
{
  return shape == SHAPE_UPDATE && field->optional && !field->rules.required;
}

static void write_value_or_null(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  jsontext_key(&api->json, SLICE("anyOf"));
  jsontext_begin_array(&api->json);
  jsontext_begin_object(&api->json);
  openapi_write_value_members(api, field, shape);
  jsontext_end_object(&api->json);
  jsontext_begin_object(&api->json);
  openapi_write_text(api, "type", "null");
  jsontext_end_object(&api->json);
  jsontext_end_array(&api->json);
}

void openapi_write_field_schema(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  jsontext_begin_object(&api->json);
  if (field->is_map)
    write_map_members(api, field, shape);
  else if (field->repeated)
    write_list_members(api, field, shape);
  else if (may_be_null(field, shape))
    write_value_or_null(api, field, shape);
  else
    openapi_write_value_members(api, field, shape);
  openapi_write_description(api, field->comment);
  if (shape == SHAPE_REPLY && field->rules.output_only)
    jsontext_key_bool(&api->json, "readOnly", true);
  if (shape != SHAPE_REPLY && field->rules.secret)
    jsontext_key_bool(&api->json, "writeOnly", true);
  write_examples(api, field, shape);
  jsontext_end_object(&api->json);
}

void openapi_write_body_schema(struct openapi *api, const struct contract_binding *binding)
{
  const struct contract_field *field = binding->response_body_field;
  if (contract_body_value(binding) == NULL || field->repeated || !field->has_presence) {
    openapi_write_field_schema(api, field, SHAPE_REPLY);
    return;
  }
  jsontext_begin_object(&api->json);
  write_value_or_null(api, field, SHAPE_REPLY);
  openapi_write_description(api, field->comment);
  jsontext_end_object(&api->json);
}

void openapi_write_message_schema(struct openapi *api, const struct contract_message *message, enum shape shape)
{
  jsontext_begin_object(&api->json);
  openapi_write_message_members(api, message, shape);
  jsontext_end_object(&api->json);
}

// ---- components ----

static bool write_once(struct openapi *api, const char *name)
{
  return strmap_add(&api->written, slice_from_string(name), (void *)(uintptr_t)name);
}

static void write_enum_component(struct openapi *api, const struct contract_enum *enumeration)
{
  if (enumeration->is_null || !write_once(api, enumeration->full_name))
    return;
  jsontext_key(&api->json, slice_from_string(enumeration->full_name));
  jsontext_begin_object(&api->json);
  openapi_write_text(api, "type", "string");
  openapi_write_description(api, enumeration->comment);
  jsontext_key(&api->json, SLICE("enum"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < enumeration->value_count; i++)
    jsontext_string(&api->json, enumeration->values[i].name);
  jsontext_end_array(&api->json);
  jsontext_end_object(&api->json);
}

static void write_required(struct openapi *api, const struct contract_message *message, enum shape shape,
                           const struct contract_binding *binding)
{
  bool any = false;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (!openapi_has_field(field, shape, binding) || !openapi_field_is_required(field, shape))
      continue;
    if (!any) {
      jsontext_key(&api->json, SLICE("required"));
      jsontext_begin_array(&api->json);
    }
    any = true;
    jsontext_string(&api->json, field->json_name);
  }
  if (any)
    jsontext_end_array(&api->json);
}

static void write_message_component(struct openapi *api, const struct contract_message *message, enum shape shape,
                                    const struct contract_binding *binding)
{
  jsontext_key(&api->json, slice_from_string(openapi_component_name(api, message, shape)));
  jsontext_begin_object(&api->json);
  openapi_write_text(api, "type", "object");
  openapi_write_description(api, message->comment);
  write_required(api, message, shape, binding);
  jsontext_key(&api->json, SLICE("properties"));
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < message->field_count; i++) {
    if (!openapi_has_field(&message->fields[i], shape, binding))
      continue;
    jsontext_key(&api->json, message->fields[i].json_name);
    openapi_write_field_schema(api, &message->fields[i], shape);
  }
  jsontext_end_object(&api->json);
  openapi_write_oneofs(api, message, shape, binding);
  // Requests are read strictly, but replies may gain fields.
  if (shape != SHAPE_REPLY)
    jsontext_key_bool(&api->json, "additionalProperties", false);
  jsontext_end_object(&api->json);
}

static void write_schemas_of_field(struct openapi *api, const struct contract_field *field, enum shape shape)
{
  const struct contract_field *value = field->is_map ? &field->message->fields[1] : field;
  if (value->type == CONTRACT_ENUM)
    write_enum_component(api, value->enumeration);
  else if (value->type == CONTRACT_MESSAGE)
    write_schemas_of(api, value->message, openapi_inner_shape(field, shape), NULL);
}

// Writes the schemas of a message and of all that it holds. The recursion is as deep as the contract.
static void write_schemas_of(struct openapi *api, const struct contract_message *message, enum shape shape,
                             const struct contract_binding *binding)
{
  if (message->well_known != CONTRACT_PLAIN || !write_once(api, openapi_component_name(api, message, shape)))
    return;
  write_message_component(api, message, shape, binding);
  for (size_t i = 0; i < message->field_count; i++)
    if (openapi_has_field(&message->fields[i], shape, binding))
      write_schemas_of_field(api, &message->fields[i], shape);
}

// Writes the enums that only query parameters use: those of `trail->message` and of what it holds.
static void write_parameter_enums(struct openapi *api, const struct message_trail *trail, unsigned depth)
{
  const struct contract_message *message = trail->message;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    const struct message_trail inside = {.outer = trail, .message = field->message};
    if (field->type == CONTRACT_ENUM)
      write_enum_component(api, field->enumeration);
    else if (field->type == CONTRACT_MESSAGE && !field->repeated && depth < CONTRACT_MAX_FIELD_PATH &&
             !openapi_trail_has(trail, field->message))
      write_parameter_enums(api, &inside, depth + 1);
  }
}

static void write_schemas_of_request(struct openapi *api, const struct contract_binding *binding)
{
  const struct message_trail input = {.message = binding->method->input};
  if (binding->body == CONTRACT_BODY_ALL)
    write_schemas_of(api, binding->method->input, SHAPE_CREATE, binding);
  else
    write_parameter_enums(api, &input, 1);
  if (binding->body_field != NULL)
    write_schemas_of_field(api, binding->body_field, openapi_body_shape(binding));
}

static void write_schemas_of_reply(struct openapi *api, const struct contract_binding *binding)
{
  if (binding->response_body_field != NULL)
    write_schemas_of_field(api, binding->response_body_field, SHAPE_REPLY);
  else
    write_schemas_of(api, binding->method->output, SHAPE_REPLY, NULL);
}

// ---- which messages replies hold ----

static void collect_replied(struct openapi *api, const struct contract_message *message)
{
  if (message->well_known != CONTRACT_PLAIN ||
      !strmap_add(&api->replied, slice_from_string(message->full_name), (void *)(uintptr_t)message))
    return;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    const struct contract_field *value = field->is_map ? &field->message->fields[1] : field;
    if (value->type == CONTRACT_MESSAGE && openapi_has_field(field, SHAPE_REPLY, NULL))
      collect_replied(api, value->message);
  }
}

void openapi_collect_replied(struct openapi *api, const struct operation *operations, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    const struct contract_binding *binding = operations[i].binding;
    const struct contract_field *field = binding->response_body_field;
    if (field == NULL)
      collect_replied(api, binding->method->output);
    else if (field->type == CONTRACT_MESSAGE)
      collect_replied(api, field->message);
  }
}

void openapi_write_schemas(struct openapi *api, const struct operation *operations, size_t count)
{
  for (size_t i = 0; i < count; i++)
    write_schemas_of_reply(api, operations[i].binding);
  for (size_t i = 0; i < count; i++)
    write_schemas_of_request(api, operations[i].binding);
}

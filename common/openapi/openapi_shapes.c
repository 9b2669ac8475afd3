// Decides which fields a message's schema has in a reply, in a request that creates and in a PATCH.
#include "common/contract/contract_layout.h"
#include "common/openapi/openapi_internal.h"

// Whether the binding is a PATCH whose body is one field of a request with an update mask: the transcoder fills the
// mask with the fields that the body holds.
static bool is_update(const struct contract_binding *binding)
{
  if (strcmp(binding->http_method, "PATCH") != 0 || binding->body != CONTRACT_BODY_FIELD ||
      binding->body_field->repeated || !field_is_message(binding->body_field, CONTRACT_PLAIN))
    return false;
  const struct contract_field *mask = contract_field_by_name(binding->method->input, SLICE("update_mask"));
  return mask != NULL && !mask->repeated && field_is_message(mask, CONTRACT_FIELD_MASK);
}

enum shape openapi_body_shape(const struct contract_binding *binding)
{
  return is_update(binding) ? SHAPE_UPDATE : SHAPE_CREATE;
}

enum shape openapi_inner_shape(const struct contract_field *field, enum shape shape)
{
  // An update replaces lists and maps as a whole, so their items are complete.
  return shape == SHAPE_UPDATE && (field->repeated || field->is_map) ? SHAPE_CREATE : shape;
}

bool openapi_is_path_bound(const struct contract_binding *binding, const struct contract_field *const *path,
                           size_t depth)
{
  for (size_t i = 0; i < binding->variable_count; i++)
    if (binding->variables[i].depth == depth && field_paths_equal(binding->variables[i].path, path, depth))
      return true;
  return false;
}

// Whether the field is an entity tag, which in the body of a PATCH is a precondition. Every other field that travels as
// a response header is set by the service alone.
static bool is_precondition(const struct contract_field *field)
{
  return slice_equal_ignore_case(slice_from_string(field->rules.to_header), SLICE("ETag"));
}

bool openapi_has_field(const struct contract_field *field, enum shape shape, const struct contract_binding *binding)
{
  const struct field_rules *rules = &field->rules;
  if (shape == SHAPE_REPLY)
    return !rules->secret;
  if (rules->output_only || rules->from_header != NULL || (shape == SHAPE_UPDATE && rules->immutable))
    return false;
  if (rules->to_header != NULL && (shape != SHAPE_UPDATE || !is_precondition(field)))
    return false;
  return binding == NULL || !openapi_is_path_bound(binding, &field, 1);
}

// Whether a reply always has the field. wire_to_json.c leaves out fields with presence that are not set, and empty
// texts of a field with a format. A service sets its output_only fields unless they are declared optional.
static bool is_always_sent(const struct contract_field *field)
{
  const struct field_rules *rules = &field->rules;
  if (field->repeated || field->is_map)
    return true;
  if (field->oneof_index >= 0 || field->optional)
    return false;
  if (rules->required || rules->output_only)
    return true;
  if (field->has_presence)
    return false;
  return field->type != CONTRACT_STRING || rules->format == FORMAT_NONE;
}

bool openapi_field_is_required(const struct contract_field *field, enum shape shape)
{
  switch (shape) {
  case SHAPE_REPLY:
    return is_always_sent(field);
  case SHAPE_CREATE:
    return field->absence != NULL;
  case SHAPE_UPDATE:
    break;
  }
  return false;
}

// Makes a name that no message of the contracts has, by adding "_" to it.
static const char *make_unused_name(struct openapi *api, const char *name)
{
  while (contract_message_by_name(api->contract, slice_from_string(name)) != NULL)
    name = arena_printf(&api->arena, "%s_", name);
  return name;
}

const char *openapi_component_name(struct openapi *api, const struct contract_message *message, enum shape shape)
{
  bool replied = strmap_get(&api->replied, slice_from_string(message->full_name)) != NULL;
  if (shape == SHAPE_UPDATE)
    return make_unused_name(api, arena_printf(&api->arena, "%sUpdate", message->full_name));
  if (shape == SHAPE_CREATE && replied)
    return make_unused_name(api, arena_printf(&api->arena, "%sCreate", message->full_name));
  return message->full_name;
}

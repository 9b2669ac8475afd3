// Refuses rules about headers that have no effect: only the request of a method with a route and the body of its reply
// have fields in headers.
#include "common/contract/builder_internal.h"

enum direction { DIRECTION_REQUEST, DIRECTION_RESPONSE };

const struct contract_field *contract_body_value(const struct contract_binding *binding)
{
  const struct contract_field *field = binding->response_body_field;
  bool is_object = field != NULL && !field->repeated &&
                   (field_is_message(field, CONTRACT_PLAIN) || field_is_message(field, CONTRACT_EMPTY));
  return is_object ? NULL : field;
}

const struct contract_message *contract_body_message(const struct contract_binding *binding)
{
  bool is_whole = binding->response_body_field == NULL || contract_body_value(binding) != NULL;
  return is_whole ? binding->method->output : binding->response_body_field->message;
}

static bool has_route(const struct contract *contract, const struct contract_message *message, enum direction direction)
{
  for (size_t i = 0; i < contract_binding_count(contract); i++) {
    const struct contract_binding *binding = contract_binding(contract, i);
    // The head of a stream leaves before its messages.
    bool has_none = direction == DIRECTION_RESPONSE && binding->method->server_streams;
    if (!has_none &&
        message == (direction == DIRECTION_REQUEST ? binding->method->input : contract_body_message(binding)))
      return true;
  }
  return false;
}

static void check_field_headers(struct contract_builder *builder, const struct contract_message *message,
                                const struct contract_field *field)
{
  const struct field_rules *rules = &field->rules;
  const char *element = arena_printf(&builder->scratch, "%s." SLICE_FMT, message->full_name, SLICE_ARG(field->name));
  if (rules->from_header != NULL && !has_route(builder->contract, message, DIRECTION_REQUEST))
    diagnostics_add(builder->diagnostics, &field->place, element,
                    "from_header has no effect, because %s is not the request of a method with a route; remove it, or "
                    "move the field to such a request",
                    message->full_name);
  if (rules->to_header != NULL && !has_route(builder->contract, message, DIRECTION_RESPONSE))
    diagnostics_add(
        builder->diagnostics, &field->place, element,
        "to_header has no effect, because %s is not the body of the reply of a route; remove it, or move the "
        "field to such a body",
        message->full_name);
}

void check_headers(struct contract_builder *builder)
{
  for (size_t i = 0; i < contract_message_count(builder->contract); i++) {
    const struct contract_message *message = contract_message(builder->contract, i);
    for (size_t j = 0; j < message->field_count; j++)
      check_field_headers(builder, message, &message->fields[j]);
  }
}

// Refuses requests that look like updates and are none (update_mask.h): the gateway would not fill their mask, and the
// service could not tell what a client leaves out from what it empties.
#include "common/contract/builder_internal.h"

#define READ_MASK_FIELD "read_mask"

static bool is_single_message(const struct contract_field *field, enum contract_well_known kind)
{
  return !field->repeated && field->type == CONTRACT_MESSAGE && field->message->well_known == kind;
}

// Finds a mask that selects what is changed. A read_mask (AIP-157) selects what is answered.
static const struct contract_field *find_mask(const struct contract_message *message)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (is_single_message(&message->fields[i], CONTRACT_FIELD_MASK) &&
        !slice_equal_string(message->fields[i].name, READ_MASK_FIELD))
      return &message->fields[i];
  return NULL;
}

static const struct contract_field *find_message(const struct contract_message *message)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (is_single_message(&message->fields[i], CONTRACT_PLAIN))
      return &message->fields[i];
  return NULL;
}

static void report_field(struct contract_builder *builder, const struct contract_message *message,
                         const struct contract_field *field, const char *sentence)
{
  const char *element = arena_printf(&builder->scratch, "%s." SLICE_FMT, message->full_name, SLICE_ARG(field->name));
  diagnostics_add(builder->diagnostics, &field->place, element, "%s", sentence);
}

static void check_oneof(struct contract_builder *builder, const struct contract_message *message,
                        const struct contract_field *field)
{
  if (field->oneof_index >= 0)
    report_field(builder, message, field,
                 "the mask and the message of an update cannot be in a oneof; declare the field outside of it");
}

static bool has_patch(const Google__Api__HttpRule *rule)
{
  bool found = rule != NULL && rule->pattern_case == GOOGLE__API__HTTP_RULE__PATTERN_PATCH;
  for (size_t i = 0; rule != NULL && i < rule->n_additional_bindings; i++)
    found = found || rule->additional_bindings[i]->pattern_case == GOOGLE__API__HTTP_RULE__PATTERN_PATCH;
  return found;
}

void check_update(struct contract_builder *builder, const struct contract_method *method,
                  const Google__Api__HttpRule *rule)
{
  const struct contract_message *input = method->input;
  bool is_update = has_patch(rule) || slice_starts_with(slice_from_string(method->name), SLICE("Update"));
  if (input == NULL || !is_update)
    return;
  if (input->updated != NULL) {
    check_oneof(builder, input, input->update_mask);
    check_oneof(builder, input, input->updated);
    return;
  }
  const struct contract_field *mask = find_mask(input);
  const struct contract_field *message = find_message(input);
  if (mask != NULL && message != NULL)
    report_field(builder, input, mask,
                 "the mask of an update must be named " UPDATE_MASK_FIELD
                 ", or nothing fills it over REST and nobody reads it; rename the field");
}

// Finds a message that the body fills, in part or as a whole.
static const struct contract_field *find_message_in_body(const struct contract_binding *binding)
{
  const struct contract_field *field = binding->body_field;
  if (binding->body == CONTRACT_BODY_ALL)
    return find_message(binding->method->input);
  return field != NULL && is_single_message(field, CONTRACT_PLAIN) ? field : NULL;
}

const char *find_patch_problem(struct contract_builder *builder, const struct contract_binding *binding)
{
  const struct contract_message *input = binding->method->input;
  if (strcmp(binding->http_method, "PATCH") != 0 || input->updated != NULL || find_mask(input) != NULL)
    return NULL;
  const struct contract_field *message = find_message_in_body(binding);
  if (message == NULL)
    return NULL;
  return arena_printf(&builder->scratch,
                      "the body holds the message \"" SLICE_FMT
                      "\" and the request no mask, so a field that a client leaves out cannot be told from one that it "
                      "empties; add a single google.protobuf.FieldMask " UPDATE_MASK_FIELD " to %s, or write put",
                      SLICE_ARG(message->name), input->full_name);
}

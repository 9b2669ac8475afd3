// What the rules of a message say about fields that are not set, worked out once at load: a request names few of its
// fields, and the answer for the others is always the same.
#include "common/base/strbuf.h"
#include "common/contract/tables.h"

// What the rules say of the value that a field without presence has when nothing sets it.
static const char *check_default(const struct contract_field *field, struct strbuf *scratch)
{
  if (field->rules.required)
    return RULES_REQUIRED;
  if (field->repeated)
    return rules_check_count(&field->rules, 0, scratch);
  switch (field->type) {
  case CONTRACT_STRING:
    return rules_check_text(&field->rules, SLICE(""), scratch);
  case CONTRACT_BYTES:
    return rules_check_bytes(&field->rules, SLICE(""), scratch);
  default:
    return rules_check_int(&field->rules, 0, scratch);
  }
}

// NULL where the field may be left out.
static const char *check_absence(const struct contract_field *field, struct strbuf *scratch)
{
  if (field->rules.output_only)
    return NULL;
  if (field->has_presence)
    return field->rules.required ? RULES_REQUIRED : NULL;
  return check_default(field, scratch);
}

void absence_index(const struct contract_message *message, struct arena *arena, struct message_index *index)
{
  struct strbuf scratch;
  strbuf_init(&scratch, 0);
  const char **absence = arena_array(arena, message->field_count, sizeof(*absence));
  for (size_t i = 0; i < message->field_count; i++) {
    const char *problem = check_absence(&message->fields[i], &scratch);
    absence[i] = problem == NULL ? NULL : arena_string(arena, slice_from_string(problem));
    if (problem != NULL)
      field_set_add(&index->demanded, i);
    index->has_immutable |= message->fields[i].rules.immutable;
  }
  for (size_t i = 0; i < message->oneof_count; i++)
    index->has_required_oneof |= message->oneofs[i].required;
  index->absence = absence;
  strbuf_free(&scratch);
}

void contract_find_update(struct contract_message *message)
{
  const struct contract_field *updated = NULL;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->repeated || field->type != CONTRACT_MESSAGE)
      continue;
    if (slice_equal_string(field->name, UPDATE_MASK_FIELD) && field->message->well_known == CONTRACT_FIELD_MASK)
      message->update_mask = field;
    else if (field->message->well_known == CONTRACT_PLAIN && updated == NULL)
      updated = field;
  }
  if (updated == NULL)
    message->update_mask = NULL;
  if (message->update_mask != NULL)
    message->updated = updated;
}

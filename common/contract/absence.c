// Works out, once at load, what the rules of a message say about fields that a request leaves out. A request names few
// of its fields, and the answer for the others is always the same.
#include "common/base/strbuf.h"
#include "common/contract/builder_internal.h"

// Returns what the rules say against the default value of a field without presence, which it has when nothing sets it.
// NULL when the rules accept it.
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

void build_absence(struct contract_builder *builder, struct contract_field *field)
{
  if (field->rules.output_only)
    return;
  if (field->has_presence) {
    field->absence = field->rules.required ? RULES_REQUIRED : NULL;
    return;
  }
  struct strbuf scratch;
  strbuf_init(&scratch, 0);
  const char *problem = check_default(field, &scratch);
  field->absence = problem == NULL ? NULL : keep_text(builder, problem);
  strbuf_free(&scratch);
}

void index_absences(struct arena *arena, const struct contract_message *message, struct message_index *index)
{
  index->demanded = arena_zalloc(arena, field_set_words(message->field_count) * sizeof(*index->demanded));
  for (size_t i = 0; i < message->field_count; i++) {
    if (message->fields[i].absence != NULL)
      field_set_add(index->demanded, i);
    index->has_immutable |= message->fields[i].rules.immutable;
  }
  for (size_t i = 0; i < message->oneof_count; i++)
    index->has_required_oneof |= message->oneofs[i].required;
}

void find_update(struct contract_message *message)
{
  const struct contract_field *mask = NULL;
  const struct contract_field *updated = NULL;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->repeated || field->type != CONTRACT_MESSAGE)
      continue;
    if (slice_equal_string(field->name, UPDATE_MASK_FIELD) && field->message->well_known == CONTRACT_FIELD_MASK)
      mask = field;
    else if (field->message->well_known == CONTRACT_PLAIN && updated == NULL)
      updated = field;
  }
  if (mask == NULL || updated == NULL)
    return;
  message->update_mask = mask;
  message->updated = updated;
}

// Writes validation tables:  message_rules (common/contract/validate.h) of every message that has something to check.
#include "common/base/compiler.h"
#include "common/contract/c_names.h"
#include "proto/plugin/emit.h"

static void emit_flag(struct strbuf *out, const char *name, bool value)
{
  if (value)
    strbuf_printf(out, ".%s = true, ", name);
}

static void emit_count(struct strbuf *out, const char *name, uint32_t value)
{
  if (value != 0)
    strbuf_printf(out, ".%s = %u, ", name, value);
}

static void emit_bound(struct strbuf *out, const char *name, bool is_set, int64_t value)
{
  if (!is_set)
    return;
  strbuf_printf(out, ".has_%s = true, .%s = ", name, name);
  // The smallest number has no literal in C, because its digits alone do not fit the type.
  if (value == INT64_MIN)
    strbuf_add_string(out, "INT64_MIN, ");
  else
    strbuf_printf(out, "INT64_C(%lld), ", (long long)value);
}

static void emit_text(struct strbuf *out, const char *name, const char *value)
{
  if (value == NULL)
    return;
  strbuf_printf(out, ".%s = ", name);
  emit_literal(out, value);
  strbuf_add_string(out, ", ");
}

static void emit_format(struct strbuf *out, enum field_format format)
{
  static const char *const names[] = {
      [FORMAT_EMAIL] = "FORMAT_EMAIL",
      [FORMAT_UUID] = "FORMAT_UUID",
      [FORMAT_DECIMAL] = "FORMAT_DECIMAL",
      [FORMAT_CURRENCY] = "FORMAT_CURRENCY",
      [FORMAT_JSON_OBJECT] = "FORMAT_JSON_OBJECT",
      [FORMAT_URL_TOKEN] = "FORMAT_URL_TOKEN",
      [FORMAT_LINE] = "FORMAT_LINE",
  };
  if (format != FORMAT_NONE)
    strbuf_printf(out, ".format = %s, ", names[format]);
}

static void emit_field_rules(struct strbuf *out, const struct field_rules *rules, const char *one_of)
{
  strbuf_add_string(out, ".rules = {");
  emit_flag(out, "required", rules->required);
  emit_flag(out, "unique_items", rules->unique_items);
  emit_flag(out, "output_only", rules->output_only);
  emit_flag(out, "immutable", rules->immutable);
  emit_flag(out, "secret", rules->secret);
  emit_flag(out, "defined_only", rules->defined_only);
  emit_format(out, rules->format);
  emit_count(out, "min_length", rules->min_length);
  emit_count(out, "max_length", rules->max_length);
  emit_count(out, "min_items", rules->min_items);
  emit_count(out, "max_items", rules->max_items);
  emit_bound(out, "minimum", rules->has_minimum, rules->minimum);
  emit_bound(out, "maximum", rules->has_maximum, rules->maximum);
  emit_text(out, "from_header", rules->from_header);
  emit_text(out, "to_header", rules->to_header);
  emit_text(out, "example", rules->example);
  if (rules->one_of_count > 0)
    strbuf_printf(out, ".one_of = %s, .one_of_count = %zu, ", one_of, rules->one_of_count);
  strbuf_add_string(out, "}, ");
}

static const char *one_of_name(struct arena *arena, const char *own, const struct contract_field *field)
{
  return arena_printf(arena, "%s_field_%u_one_of", own, field->number);
}

static void emit_field(const struct emitter *emitter, const char *own, const struct contract_field *field)
{
  struct strbuf *out = emitter->out;
  strbuf_add_string(out, "    {");
  if (field->has_rules)
    emit_field_rules(out, &field->rules, one_of_name(emitter->arena, own, field));
  if (field->message != NULL && field->message->is_checked)
    strbuf_printf(out, ".message = &%s_rules", c_name_own(emitter->arena, field->message->full_name));
  else
    strbuf_add_string(out, ".message = NULL");
  strbuf_printf(out, "},  // " SLICE_FMT "\n", SLICE_ARG(field->name));
}

static void emit_fields(const struct emitter *emitter, const char *own, const struct contract_message *message)
{
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->rules.one_of_count > 0)
      emit_string_array(emitter->out, one_of_name(emitter->arena, own, field), field->rules.one_of,
                        field->rules.one_of_count);
  }
  strbuf_printf(emitter->out, "static const struct message_field_rules %s_rule_fields[] = {\n", own);
  for (size_t i = 0; i < message->field_count; i++)
    emit_field(emitter, own, &message->fields[i]);
  strbuf_add_string(emitter->out, "};\n");
}

static void emit_shown_names(const struct emitter *emitter, const char *own, const struct contract_message *message)
{
  const char **names = arena_array(emitter->arena, message->field_count, sizeof(*names));
  for (size_t i = 0; i < message->field_count; i++)
    names[i] = arena_string(emitter->arena, contract_field_shown_name(&message->fields[i]));
  emit_string_array(emitter->out, arena_printf(emitter->arena, "%s_shown_names", own), names, message->field_count);
}

static size_t first_field_of(const struct contract_message *message, size_t oneof)
{
  size_t place = 0;
  while (place + 1 < message->field_count && message->fields[place].oneof_index != (int)oneof)
    place++;
  return place;
}

// Writes the table of a message's required oneofs. Returns how many it has.
static size_t emit_required_oneofs(const struct emitter *emitter, const char *own,
                                   const struct contract_message *message)
{
  size_t count = 0;
  for (size_t i = 0; i < message->oneof_count; i++) {
    if (!message->oneofs[i].required)
      continue;
    if (count++ == 0)
      strbuf_printf(emitter->out, "static const struct required_oneof %s_required_oneofs[] = {\n", own);
    strbuf_add_string(emitter->out, "    {.json_name = ");
    emit_literal(emitter->out, message->oneofs[i].json_name);
    strbuf_printf(emitter->out, ", .field = %zu},\n", first_field_of(message, i));
  }
  if (count > 0)
    strbuf_add_string(emitter->out, "};\n");
  return count;
}

static void emit_message(const struct emitter *emitter, const struct contract_message *message)
{
  struct strbuf *out = emitter->out;
  const char *own = c_name_own(emitter->arena, message->full_name);
  strbuf_printf(out, "\n// %s\n", message->full_name);
  emit_fields(emitter, own, message);
  emit_shown_names(emitter, own, message);
  size_t oneofs = emit_required_oneofs(emitter, own, message);
  strbuf_printf(out,
                "const struct message_rules %s_rules = {\n"
                "    .descriptor = &%s__descriptor, .fields = %s_rule_fields, .shown_names = %s_shown_names",
                own, c_name_lower(emitter->arena, message->full_name), own, own);
  if (oneofs > 0)
    strbuf_printf(out, ",\n    .required_oneofs = %s_required_oneofs, .required_oneof_count = %zu", own, oneofs);
  if (message->is_map_entry)
    strbuf_add_string(out, ",\n    .is_map_entry = true");
  strbuf_add_string(out, "};\n");
}

void emit_message_tables(const struct emitter *emitter)
{
  for (size_t i = 0; i < contract_message_count(emitter->contract); i++) {
    const struct contract_message *message = contract_message(emitter->contract, i);
    if (emit_is_here(emitter, message->file) && message->is_checked)
      emit_message(emitter, message);
  }
}

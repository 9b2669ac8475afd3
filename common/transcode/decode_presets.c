// Writes values from path, headers and query as fields of the message that is being decoded.
#include "common/transcode/decoder_internal.h"
#include "common/transcode/well_known_internal.h"

// Whether the preset lies in the message that the first `scope` fields of the decoder's prefix lead to.
static bool in_scope(const struct decoder *decoder, const struct preset *preset, size_t scope)
{
  return preset->depth > scope && field_paths_equal(preset->path, decoder->prefix, scope);
}

static bool is_leaf(const struct decoder *decoder, const struct preset *preset, size_t scope)
{
  return preset->depth == scope + 1 && in_scope(decoder, preset, scope);
}

static void report(struct decoder *decoder, const struct preset *preset, const char *sentence)
{
  struct place place = {.name = preset->label};
  decoder_report(decoder, &place, sentence);
}

static void write_message_leaf(struct decoder *decoder, const struct preset *preset, const struct contract_field *field)
{
  const struct contract_message *message = field->message;
  size_t mark = wire_begin_nested(decoder->out, field->number);
  const char *problem = NULL;
  if (message->well_known == CONTRACT_WRAPPER) {
    struct scalar value = {0};
    problem = scalar_from_text(&message->fields[0], preset->text, decoder_memory(decoder), &value);
    if (problem == NULL)
      problem = scalar_check_rules(&message->fields[0], &value, &decoder->scratch);
    if (problem == NULL && !scalar_is_default(&message->fields[0], &value))
      scalar_write(decoder->out, &message->fields[0], &value);
  } else {
    problem = well_known_from_text((struct text_form){.kind = message->well_known}, preset->text, decoder->out);
  }
  wire_end_nested(decoder->out, mark);
  if (problem != NULL)
    report(decoder, preset, problem);
}

// Writes the field of one preset. The values of a repeated field are not packed, because every reader of protobuf
// accepts both forms.
static void write_leaf(struct decoder *decoder, struct preset *preset)
{
  const struct contract_field *field = preset->path[preset->depth - 1];
  preset->wire_offset = decoder->out->size;
  if (field->type == CONTRACT_MESSAGE) {
    write_message_leaf(decoder, preset, field);
  } else {
    struct scalar value = {0};
    const char *problem = scalar_from_text(field, preset->text, decoder_memory(decoder), &value);
    if (problem == NULL)
      problem = scalar_check_rules(field, &value, &decoder->scratch);
    if (problem != NULL)
      report(decoder, preset, problem);
    else if (field->repeated || field->has_presence || !scalar_is_default(field, &value))
      scalar_write(decoder->out, field, &value);
  }
  preset->wire_size = decoder->out->size - preset->wire_offset;
  preset->written = true;
}

// Writes all values of one repeated field and checks the rules of the list.
static void write_list(struct decoder *decoder, const struct message_target *target, const struct contract_field *field)
{
  struct slice *items = arena_array(decoder->arena, decoder->preset_count, sizeof(*items));
  const struct preset *last = NULL;
  size_t count = 0;
  size_t written = 0;
  for (size_t i = 0; i < decoder->preset_count; i++) {
    struct preset *preset = &decoder->presets[i];
    if (!is_leaf(decoder, preset, target->scope) || preset->path[target->scope] != field)
      continue;
    write_leaf(decoder, preset);
    // A value of the wrong type has written nothing and equals no other.
    if (preset->wire_size > 0)
      items[written++] =
          arena_copy(decoder->arena, slice_make(decoder->out->data + preset->wire_offset, preset->wire_size));
    last = preset;
    count++;
  }
  const char *problem = rules_check_count(&field->rules, count, &decoder->scratch);
  if (problem == NULL && field->rules.unique_items && find_duplicate(items, written, decoder->arena) < written)
    problem = "must not be given twice with the same value";
  if (problem != NULL && last != NULL)
    report(decoder, last, problem);
}

void presets_write_leaves(struct decoder *decoder, const struct message_target *target, uint64_t *bound)
{
  for (size_t i = 0; i < decoder->preset_count; i++) {
    struct preset *preset = &decoder->presets[i];
    if (preset->written || !is_leaf(decoder, preset, target->scope))
      continue;
    const struct contract_field *field = preset->path[target->scope];
    field_set_add(bound, field_place(target->message, field));
    if (field->repeated)
      write_list(decoder, target, field);
    else
      write_leaf(decoder, preset);
  }
}

const struct preset *presets_find(const struct decoder *decoder, const struct message_target *target,
                                  const struct contract_field *field)
{
  for (size_t i = 0; i < decoder->preset_count; i++)
    if (is_leaf(decoder, &decoder->presets[i], target->scope) && decoder->presets[i].path[target->scope] == field)
      return &decoder->presets[i];
  return NULL;
}

bool presets_agree(const struct decoder *decoder, const struct message_target *target,
                   const struct contract_field *field, size_t start)
{
  const struct preset *preset = presets_find(decoder, target, field);
  size_t size = decoder->out->size - start;
  return size == preset->wire_size &&
         (size == 0 || memcmp(decoder->out->data + start, decoder->out->data + preset->wire_offset, size) == 0);
}

const struct contract_field *presets_next_nested(const struct decoder *decoder, const struct message_target *target,
                                                 uint64_t *set)
{
  for (size_t i = 0; i < decoder->preset_count; i++) {
    const struct preset *preset = &decoder->presets[i];
    if (preset->written || !in_scope(decoder, preset, target->scope))
      continue;
    const struct contract_field *field = preset->path[target->scope];
    size_t place = field_place(target->message, field);
    if (field_set_has(set, place))
      continue;
    field_set_add(set, place);
    return field;
  }
  return NULL;
}

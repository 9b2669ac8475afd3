#include "common/transcode/request_mask_internal.h"

#include "common/transcode/well_known_internal.h"

static const struct update_mask WRITES_ALL = {.kind = MASK_ALL};

// Makes a mask from a FieldMask's wire bytes; its paths are views into them.
static struct update_mask split_paths(struct slice wire, struct arena *arena)
{
  size_t count = 0;
  struct wire_field field;
  struct wire_reader reader = wire_reader_make(wire);
  while (wire_read(&reader, &field) == WIRE_FIELD)
    count++;
  struct slice *paths = arena_array(arena, count, sizeof(*paths));
  reader = wire_reader_make(wire);
  for (size_t i = 0; wire_read(&reader, &field) == WIRE_FIELD; i++)
    paths[i] = field.bytes;
  return update_mask_make(paths, count);
}

// Makes a mask from a text such as "name,createTime".
static struct update_mask parse_mask(struct slice text, struct arena *arena)
{
  struct strbuf wire;
  struct update_mask mask = WRITES_ALL;
  strbuf_init(&wire, 0);
  if (well_known_from_text((struct text_form){.kind = CONTRACT_FIELD_MASK}, text, &wire) == NULL && !wire.failed)
    mask = split_paths(arena_copy(arena, strbuf_slice(&wire)), arena);
  strbuf_free(&wire);
  return mask;
}

// Looks for the mask in the JSON object whose { has been read, because the mask may stand behind the fields that it
// names.
static struct update_mask look_ahead(const struct decoder *decoder, const struct contract_message *message)
{
  struct jsontext_reader ahead = decoder->reader;
  while (jsontext_read(&ahead) == JSONTEXT_KEY) {
    if (contract_field_by_name(message, ahead.text) == message->update_mask)
      return jsontext_read(&ahead) == JSONTEXT_STRING ? parse_mask(ahead.text, decoder->arena) : WRITES_ALL;
    if (!jsontext_skip_value(&ahead, NULL))
      break;
  }
  return WRITES_ALL;
}

struct update_mask request_mask_find(const struct decoder *decoder, const struct message_target *target)
{
  const struct contract_message *message = target->message;
  if (target->mask_field != NULL)
    return (struct update_mask){.kind = MASK_GIVEN};
  const struct preset *preset = target->scope == NO_SCOPE ? NULL : presets_find(decoder, target, message->update_mask);
  if (preset != NULL)
    return parse_mask(preset->text, decoder->arena);
  return target->source == FROM_OBJECT ? look_ahead(decoder, message) : WRITES_ALL;
}

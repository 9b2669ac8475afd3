// Prepares what the transcoder looks up in a message at every request: fields by number and by name, JSON keys, the
// violation for a field that is left out, the fields that travel in headers.
#include "common/contract/builder_internal.h"

// Numbers up to here are always in the table.
#define MIN_TABLE_SIZE 1024

static void index_headers(struct arena *arena, const struct contract_message *message, struct message_index *index)
{
  index->from_header = arena_array(arena, message->field_count, sizeof(*index->from_header));
  index->to_header = arena_array(arena, message->field_count, sizeof(*index->to_header));
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->rules.from_header != NULL)
      index->from_header[index->from_header_count++] = field;
    if (field->rules.to_header != NULL)
      index->to_header[index->to_header_count++] = field;
  }
}

// Returns the size of the table by numbers. It holds all fields of an ordinary message; few high numbers are searched
// for instead, because each unused number takes room.
static uint32_t choose_table_size(const struct contract_message *message)
{
  size_t count = message->field_count;
  size_t most = count < MIN_TABLE_SIZE / 4 ? MIN_TABLE_SIZE : count * 4;
  size_t highest = count == 0 ? 0 : message->fields[count - 1].number;
  return (uint32_t)(count == 0 ? 0 : highest < most ? highest + 1 : most);
}

static void index_fields(struct arena *arena, const struct contract_message *message, struct message_index *index)
{
  size_t count = message->field_count;
  index->by_number_size = choose_table_size(message);
  index->by_number = arena_zalloc(arena, index->by_number_size * sizeof(*index->by_number));
  struct slice *keys = arena_array(arena, count, sizeof(*keys));
  for (size_t i = 0; i < count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->number < index->by_number_size)
      index->by_number[field->number] = field;
    keys[i] = slice_from_string(arena_printf(arena, ",\"" SLICE_FMT "\":", SLICE_ARG(field->json_name)));
  }
  index->keys = keys;
}

// Reports fields of one message with the same to_header, because a header of a reply can carry one field only.
static void check_header_names(struct contract_builder *builder, const struct declaration *declaration,
                               const struct message_index *index)
{
  for (size_t i = 0; i < index->to_header_count; i++)
    for (size_t j = 0; j < i; j++)
      if (slice_equal_ignore_case(slice_from_string(index->to_header[i]->rules.to_header),
                                  slice_from_string(index->to_header[j]->rules.to_header)))
        report(builder, declaration, "two fields have the to_header \"%s\"; give each its own",
               index->to_header[i]->rules.to_header);
}

// Returns false when two fields share a name or JSON name, after reporting each.
static bool check_field_names(struct contract_builder *builder, const struct contract_message *message)
{
  struct strmap names = {0};
  bool unique = true;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    bool fresh = strmap_add(&names, field->name, (void *)field);
    if (!slice_equal(field->name, field->json_name))
      fresh = strmap_add(&names, field->json_name, (void *)field) && fresh;
    if (fresh)
      continue;
    const char *element = arena_printf(&builder->scratch, "%s." SLICE_FMT, message->full_name, SLICE_ARG(field->name));
    diagnostics_add(builder->diagnostics, &field->place, element,
                    "the name or JSON name is also that of another field; choose another");
    unique = false;
  }
  strmap_free(&names);
  return unique;
}

bool build_index(struct contract_builder *builder, const struct declaration *declaration,
                 struct contract_message *message)
{
  struct arena *arena = &builder->contract->arena;
  struct message_index *index = arena_zalloc(arena, sizeof(*index));
  index->contract = builder->contract;
  index_fields(arena, message, index);
  index_absences(arena, message, index);
  find_update(message);
  index_headers(arena, message, index);
  check_header_names(builder, declaration, index);
  message->index = index;
  if (!check_field_names(builder, message))
    return false;
  name_index_build(message, arena, index);
  return true;
}

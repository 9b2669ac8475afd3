// From a JSON name or an original name to its field: a perfect hash found at load by trying seeds. A name's hash looks
// at its length and at most 16 of its bytes; names of one message that differ only between them are refused.
#include "common/base/check.h"
#include "common/contract/tables.h"

#define MAX_TABLE_BITS 14
#define SEEDS_PER_SIZE 64

static inline uint64_t load(const char *at, size_t size)
{
  uint64_t word = 0;
  memcpy(&word, at, size);
  return word;
}

// The first and the last bytes of the name, which overlap where it is short.
static inline uint64_t hash_name(struct slice name, uint64_t seed)
{
  uint64_t head;
  uint64_t tail;
  if (name.size >= 8) {
    head = load(name.data, 8);
    tail = load(name.data + name.size - 8, 8);
  } else if (name.size >= 4) {
    head = load(name.data, 4);
    tail = load(name.data + name.size - 4, 4);
  } else {
    head = name.size == 0 ? 0 : (unsigned char)name.data[0];
    tail = name.size == 0
               ? 0
               : (uint64_t)(unsigned char)name.data[name.size / 2] << 8 | (unsigned char)name.data[name.size - 1];
  }
  uint64_t mixed = (head ^ (tail << 29 | tail >> 35) ^ name.size) * seed;
  return (mixed ^ mixed >> 32) * UINT64_C(0x9E3779B97F4A7C15);
}

// Puts one name in; false where its slot is another field's.
static bool place_name(struct message_index *index, struct slice name, const struct contract_field *field)
{
  struct name_slot *slot = &index->slots[hash_name(name, index->seed) >> index->shift];
  if (slot->name.data != NULL)
    return slot->field == field && slice_equal(slot->name, name);
  *slot = (struct name_slot){.name = name, .field = field};
  return true;
}

static bool place_all(const struct contract_message *message, struct message_index *index)
{
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (!place_name(index, field->name, field) || !place_name(index, field->json_name, field))
      return false;
  }
  return true;
}

static enum status refuse_same_names(const struct contract_message *message, struct error *error)
{
  struct strmap names = {0};
  enum status status = STATUS_OK;
  for (size_t i = 0; i < message->field_count && status == STATUS_OK; i++) {
    const struct contract_field *field = &message->fields[i];
    bool fresh = strmap_add(&names, field->name, (void *)field);
    if (!slice_equal(field->name, field->json_name))
      fresh = strmap_add(&names, field->json_name, (void *)field) && fresh;
    if (!fresh)
      status = error_set(error, STATUS_INVALID_ARGUMENT, "%s: two fields share the name or JSON name of " SLICE_FMT,
                         message->full_name, SLICE_ARG(field->name));
  }
  strmap_free(&names);
  return status;
}

enum status name_index_build(const struct contract_message *message, struct arena *arena, struct message_index *index,
                             struct error *error)
{
  enum status status = refuse_same_names(message, error);
  if (status != STATUS_OK)
    return status;
  unsigned bits = 2;
  while ((size_t)1 << bits < message->field_count * 2)
    bits++;
  for (; bits <= MAX_TABLE_BITS; bits++) {
    size_t size = ((size_t)1 << bits) * sizeof(*index->slots);
    index->slots = arena_zalloc(arena, size);
    index->shift = 64 - bits;
    for (uint64_t attempt = 0; attempt < SEEDS_PER_SIZE; attempt++) {
      index->seed = (attempt + 1) * UINT64_C(0xD6E8FEB86659FD93) | 1;
      if (place_all(message, index))
        return STATUS_OK;
      memset(index->slots, 0, size);
    }
  }
  return error_set(error, STATUS_INVALID_ARGUMENT, "%s: the names of its fields are too much alike",
                   message->full_name);
}

const struct contract_field *contract_field_by_name(const struct contract_message *message, struct slice name)
{
  const struct message_index *index = message_index(message);
  const struct name_slot *slot = &index->slots[hash_name(name, index->seed) >> index->shift];
  return slot->name.data != NULL && slice_equal(slot->name, name) ? slot->field : NULL;
}

const struct contract_field *contract_field_by_number(const struct contract_message *message, uint32_t number)
{
  const struct message_index *index = message_index(message);
  if (number >= index->by_number_size || index->by_number[number] == 0)
    return NULL;
  return &message->fields[index->by_number[number] - 1];
}

// Whether a path may go on below this field.
static bool has_inside(const struct contract_field *field)
{
  return field_is_message(field, CONTRACT_PLAIN) && !field->repeated;
}

size_t contract_field_path(const struct contract_message *message, struct slice dotted,
                           const struct contract_field *path[CONTRACT_MAX_FIELD_PATH])
{
  size_t depth = 0;
  for (size_t start = 0; start <= dotted.size;) {
    size_t dot = slice_find(dotted, '.', start);
    if (depth == CONTRACT_MAX_FIELD_PATH || message == NULL)
      return 0;
    const struct contract_field *field = contract_field_by_name(message, slice_make(dotted.data + start, dot - start));
    if (field == NULL)
      return 0;
    path[depth++] = field;
    message = has_inside(field) ? field->message : NULL;
    start = dot + 1;
  }
  return depth;
}

// Finds a field by its JSON name or its original name: a hash table with linear probing, at most half full. The load
// tries seeds until no two names share a slot, so that a look-up compares once. Names for which it finds no such seed
// cost a second comparison, never a wrong answer.
#include "common/base/check.h"
#include "common/contract/contract_layout.h"

#define SEEDS_TO_TRY 64

static inline uint64_t load_word(const char *at, size_t size)
{
  uint64_t word = 0;
  memcpy(&word, at, size);
  return word;
}

// Hashes a name by words of eight bytes: its first, its last, which overlap where it is short, and those in between.
static inline uint64_t hash_name(struct slice name, uint64_t seed)
{
  uint64_t head = 0;
  uint64_t tail = 0;
  if (name.size >= 8) {
    head = load_word(name.data, 8);
    tail = load_word(name.data + name.size - 8, 8);
  } else if (name.size >= 4) {
    head = load_word(name.data, 4);
    tail = load_word(name.data + name.size - 4, 4);
  } else if (name.size > 0) {
    head = (unsigned char)name.data[0];
    tail = (uint64_t)(unsigned char)name.data[name.size / 2] << 8 | (unsigned char)name.data[name.size - 1];
  }
  uint64_t hash = head ^ (tail << 29 | tail >> 35) ^ name.size;
  for (size_t at = 8; at + 8 < name.size; at += 8)
    hash = (hash ^ load_word(name.data + at, 8)) * UINT64_C(0x9E3779B97F4A7C15);
  hash *= seed;
  return (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15);
}

static inline size_t first_slot(const struct message_index *index, struct slice name)
{
  return (size_t)(hash_name(name, index->seed) >> index->shift);
}

static inline size_t next_slot(const struct message_index *index, size_t slot)
{
  return (slot + 1) & (((size_t)1 << (64 - index->shift)) - 1);
}

// Adds one name to the table. Returns false when another name has its first slot, so that the next seed is tried.
static bool place_name(struct message_index *index, struct slice name, const struct contract_field *field)
{
  size_t at = first_slot(index, name);
  bool first = true;
  for (; index->slots[at].name.data != NULL; at = next_slot(index, at)) {
    if (slice_equal(index->slots[at].name, name))
      return true;
    first = false;
  }
  index->slots[at] = (struct name_slot){.name = name, .field = field};
  return first;
}

static bool place_all(const struct contract_message *message, struct message_index *index)
{
  bool perfect = true;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    perfect &= place_name(index, field->name, field);
    perfect &= place_name(index, field->json_name, field);
  }
  return perfect;
}

void name_index_build(const struct contract_message *message, struct arena *arena, struct message_index *index)
{
  unsigned bits = 2;
  while ((size_t)1 << bits < message->field_count * 4)
    bits++;
  size_t size = ((size_t)1 << bits) * sizeof(*index->slots);
  index->slots = arena_alloc(arena, size);
  index->shift = 64 - bits;
  for (uint64_t attempt = 1; attempt <= SEEDS_TO_TRY; attempt++) {
    index->seed = attempt * UINT64_C(0xD6E8FEB86659FD93) | 1;
    memset(index->slots, 0, size);
    if (place_all(message, index))
      break;
  }
}

const struct contract_field *contract_field_by_name(const struct contract_message *message, struct slice name)
{
  const struct message_index *index = message_index(message);
  for (size_t at = first_slot(index, name); index->slots[at].name.data != NULL; at = next_slot(index, at))
    if (slice_equal(index->slots[at].name, name))
      return index->slots[at].field;
  return NULL;
}

struct slice contract_field_shown_name(const struct contract_field *field)
{
  return field->rules.from_header != NULL ? slice_from_string(field->rules.from_header) : field->json_name;
}

const struct contract_field *field_by_high_number(const struct contract_message *message, uint32_t number)
{
  size_t low = 0;
  size_t high = message->field_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (message->fields[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low < message->field_count && message->fields[low].number == number ? &message->fields[low] : NULL;
}

const struct contract_field *contract_field_by_number(const struct contract_message *message, uint32_t number)
{
  return field_by_number(message, number);
}

// Whether a field path may go on inside the field: a single plain message.
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

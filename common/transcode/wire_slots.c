// The first pass over a message on the wire: where the values of its fields are, and which entries of a map count.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/transcode/wire_to_json_internal.h"

// ---- collecting ----

struct slot *slots_allocate(const struct contract_message *message)
{
  struct slot *slots = calloc(message->field_count, sizeof(*slots));
  CHECK(slots != NULL);
  return slots;
}

static bool type_fits(const struct contract_field *field, enum wire_type type)
{
  if (field->type == CONTRACT_STRING || field->type == CONTRACT_MESSAGE)
    return type == WIRE_BYTES;
  return type == scalar_wire_type(field->type) || (type == WIRE_BYTES && field_is_packable(field));
}

// Marks the other fields of a oneof as not set, because the last one on the wire counts.
static void clear_others(const struct contract_message *message, const struct contract_field *field, struct slot *slots)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].oneof_index == field->oneof_index && &message->fields[i] != field)
      slots[i].count = 0;
}

bool slots_collect(const struct contract_message *message, struct slice wire, struct slot *slots)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  for (;;) {
    const uint8_t *start = reader.next;
    enum wire_result result = wire_read(&reader, &field);
    if (result != WIRE_FIELD)
      return result == WIRE_END;
    const struct contract_field *known = field_by_number(message, field.number);
    if (known == NULL)
      continue;
    if (!type_fits(known, field.type))
      return false;
    struct slot *slot = &slots[field_place(message, known)];
    if (slot->count++ == 0)
      slot->first = start;
    slot->last = reader.next;
    slot->varint = field.varint;
    slot->bytes = field.bytes;
    if (known->oneof_index >= 0)
      clear_others(message, known, slots);
  }
}

// ---- maps ----

// The key of an entry on the wire. Keys that are no texts have no bytes.
struct entry_key {
  uint64_t bits;
  struct slice bytes;
  size_t index;  // of the entry
};

static struct entry_key read_key(const struct contract_message *entry, struct slice wire)
{
  struct slot slots[2] = {0};
  if (!slots_collect(entry, wire, slots))
    return (struct entry_key){0};
  return (struct entry_key){.bits = scalar_bits_from_wire(entry->fields[0].type, slots[0].varint),
                            .bytes = slots[0].bytes};
}

static int compare_keys(const void *a, const void *b)
{
  const struct entry_key *left = a;
  const struct entry_key *right = b;
  if (left->bits != right->bits)
    return left->bits < right->bits ? -1 : 1;
  if (left->bytes.size != right->bytes.size)
    return left->bytes.size < right->bytes.size ? -1 : 1;
  int order = left->bytes.size == 0 ? 0 : memcmp(left->bytes.data, right->bytes.data, left->bytes.size);
  return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

static bool same_key(const struct entry_key *a, const struct entry_key *b)
{
  return a->bits == b->bits && slice_equal(a->bytes, b->bytes);
}

// Keys are sorted, because a service may send any number of them.
bool *slot_find_replaced(const struct contract_field *field, const struct slot *slot)
{
  if (slot->count < 2)
    return NULL;
  struct values values = slot_values(slot, field);
  struct wire_field entry;
  bool *replaced = calloc(slot->count, sizeof(*replaced));
  struct entry_key *keys = calloc(slot->count, sizeof(*keys));
  CHECK(replaced != NULL && keys != NULL);
  size_t count = 0;
  for (; count < slot->count && next_value(&values, &entry); count++) {
    keys[count] = read_key(field->message, entry.bytes);
    keys[count].index = count;
  }
  qsort(keys, count, sizeof(*keys), compare_keys);
  for (size_t i = 1; i < count; i++)
    if (same_key(&keys[i - 1], &keys[i]))
      replaced[keys[i - 1].index] = true;
  free(keys);
  return replaced;
}

// How a loaded contract lies in memory: the contract itself, the index by which a message's fields are found (by
// number, by name, by what they need), and sets of fields. common/contract builds it; common/transcode and
// common/openapi walk it. Everyone else uses contract.h, where these structs are opaque.
#ifndef BULKHEAD_CONTRACT_LAYOUT_H
#define BULKHEAD_CONTRACT_LAYOUT_H

#include "common/base/arena.h"
#include "common/base/strmap.h"
#include "common/contract/contract.h"
#include "common/contract/update_mask.h"

// A set of a message's fields, by their places in message->fields, or a set of its oneofs, of which there are no more:
// one bit each, in as many words as field_set_words says.
static inline size_t field_set_words(size_t field_count)
{
  return field_count / 64 + 1;
}

static inline bool field_set_has(const uint64_t *set, size_t place)
{
  return (set[place / 64] >> (place % 64) & 1) != 0;
}

static inline void field_set_add(uint64_t *set, size_t place)
{
  set[place / 64] |= UINT64_C(1) << (place % 64);
}

struct name_slot {
  struct slice name;  // NULL data marks a free slot
  const struct contract_field *field;
};

struct message_index {
  const struct contract *contract;          // the set that the message is of, where the types of Any are looked up
  const struct contract_field **by_number;  // by each number below by_number_size; NULL for an unused number
  uint32_t by_number_size;
  // The hash table of both names of each field; see name_index.c.
  struct name_slot *slots;
  uint64_t seed;
  unsigned shift;            // 64 - log2(number of slots)
  const struct slice *keys;  // JSON keys by the field's place, each with its comma: ,"pageSize":
  uint64_t *demanded;        // the fields that may not be left out: those with an `absence`
  bool has_immutable;
  bool has_required_oneof;
  const struct contract_field **from_header;
  size_t from_header_count;
  const struct contract_field **to_header;
  size_t to_header_count;
};

static inline const struct message_index *message_index(const struct contract_message *message)
{
  return message->index;
}

// Finds a field whose number is beyond the table of the index.
const struct contract_field *field_by_high_number(const struct contract_message *message, uint32_t number);

// Does what contract_field_by_number does, inline.
static inline const struct contract_field *field_by_number(const struct contract_message *message, uint32_t number)
{
  const struct message_index *index = message_index(message);
  if (number >= index->by_number_size)
    return field_by_high_number(message, number);
  return index->by_number[number];
}

static inline size_t field_place(const struct contract_message *message, const struct contract_field *field)
{
  return (size_t)(field - message->fields);
}

// Fills in slots, seed and shift of the index from the message's fields, whose names all differ.
void name_index_build(const struct contract_message *message, struct arena *arena, struct message_index *index);

struct routes;

struct contract {
  struct arena arena;  // holds everything below but the maps' own memory
  struct contract_info info;
  struct contract_method *methods;
  size_t method_count;
  struct contract_binding *bindings;
  size_t binding_count;
  struct contract_service *services;
  size_t service_count;
  struct contract_permission *permissions;
  size_t permission_count;
  const struct contract_message **messages;
  size_t message_count;
  struct strmap methods_by_name;
  struct strmap messages_by_name;
  struct routes *routes;
};

// Finds the field that a dotted path of original names (or JSON names) leads to through single plain messages. Fills
// `path` and returns its depth, 0 where there is no such field.
size_t contract_field_path(const struct contract_message *message, struct slice dotted,
                           const struct contract_field *path[CONTRACT_MAX_FIELD_PATH]);

static inline bool field_paths_equal(const struct contract_field *const *a, const struct contract_field *const *b,
                                     size_t depth)
{
  for (size_t i = 0; i < depth; i++)
    if (a[i] != b[i])
      return false;
  return true;
}

// Whether a path variable of one of the method's routes fills the field at this path, which then names what a request
// is about.
static inline bool method_names_field(const struct contract_method *method, const struct contract_field *const *path,
                                      size_t depth)
{
  for (size_t i = 0; i < method->binding_count; i++)
    for (size_t v = 0; v < method->bindings[i].variable_count; v++) {
      const struct contract_path_variable *variable = &method->bindings[i].variables[v];
      if (variable->depth == depth && field_paths_equal(variable->path, path, depth))
        return true;
    }
  return false;
}

// Whether the JSON of the message is an object.
static inline bool message_is_object(const struct contract_message *message)
{
  return message->well_known == CONTRACT_PLAIN || message->well_known == CONTRACT_EMPTY ||
         message->well_known == CONTRACT_STRUCT || message->well_known == CONTRACT_ANY;
}

static inline bool field_is_message(const struct contract_field *field, enum contract_well_known kind)
{
  return field->type == CONTRACT_MESSAGE && !field->is_map && field->message->well_known == kind;
}

#endif

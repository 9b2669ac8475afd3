#include "tests/support/contract/service_rules.h"

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "google/protobuf/field_mask.pb-c.h"

// The room of a value in a struct: ProtobufCBinaryData is the largest.
#define VALUE_SIZE sizeof(ProtobufCBinaryData)

static const ProtobufCType TYPES[] = {
    [CONTRACT_DOUBLE] = PROTOBUF_C_TYPE_DOUBLE,     [CONTRACT_FLOAT] = PROTOBUF_C_TYPE_FLOAT,
    [CONTRACT_INT64] = PROTOBUF_C_TYPE_INT64,       [CONTRACT_UINT64] = PROTOBUF_C_TYPE_UINT64,
    [CONTRACT_INT32] = PROTOBUF_C_TYPE_INT32,       [CONTRACT_FIXED64] = PROTOBUF_C_TYPE_FIXED64,
    [CONTRACT_FIXED32] = PROTOBUF_C_TYPE_FIXED32,   [CONTRACT_BOOL] = PROTOBUF_C_TYPE_BOOL,
    [CONTRACT_STRING] = PROTOBUF_C_TYPE_STRING,     [CONTRACT_MESSAGE] = PROTOBUF_C_TYPE_MESSAGE,
    [CONTRACT_BYTES] = PROTOBUF_C_TYPE_BYTES,       [CONTRACT_UINT32] = PROTOBUF_C_TYPE_UINT32,
    [CONTRACT_SFIXED32] = PROTOBUF_C_TYPE_SFIXED32, [CONTRACT_SFIXED64] = PROTOBUF_C_TYPE_SFIXED64,
    [CONTRACT_SINT32] = PROTOBUF_C_TYPE_SINT32,     [CONTRACT_SINT64] = PROTOBUF_C_TYPE_SINT64,
    [CONTRACT_ENUM] = PROTOBUF_C_TYPE_ENUM,
};

// The struct of a message: the head, a quantifier for each field (the count of a list), a value for each field, and a
// case for each oneof. An `optional` field uses its own quantifier as the case of its oneof.
static size_t quantifier_offset(const struct contract_message *message, size_t place)
{
  int oneof = message->fields[place].oneof_index;
  size_t slot = oneof < 0 ? place : message->field_count + (size_t)oneof;
  return sizeof(ProtobufCMessage) + slot * sizeof(size_t);
}

static size_t value_offset(const struct contract_message *message, size_t place)
{
  return sizeof(ProtobufCMessage) + (message->field_count + message->oneof_count) * sizeof(size_t) + place * VALUE_SIZE;
}

static const ProtobufCEnumDescriptor *describe_enum(const struct contract_enum *enumeration, struct arena *arena)
{
  size_t count = enumeration->number_count;
  ProtobufCEnumValue *values = arena_array(arena, count, sizeof(*values));
  ProtobufCIntRange *ranges = arena_array(arena, count + 1, sizeof(*ranges));
  for (size_t i = 0; i < count; i++) {
    const struct contract_enum_value *value = enumeration->by_number[i];
    values[i] = (ProtobufCEnumValue){.name = arena_string(arena, value->name), .value = value->number};
    ranges[i] = (ProtobufCIntRange){.start_value = value->number, .orig_index = (unsigned)i};
  }
  ranges[count] = (ProtobufCIntRange){.start_value = 0, .orig_index = (unsigned)count};
  ProtobufCEnumDescriptor *descriptor = arena_zalloc(arena, sizeof(*descriptor));
  *descriptor = (ProtobufCEnumDescriptor){.magic = PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC,
                                          .name = enumeration->full_name,
                                          .n_values = (unsigned)count,
                                          .values = values,
                                          .n_value_ranges = (unsigned)count,
                                          .value_ranges = ranges};
  return descriptor;
}

static const void *describe_inside(const struct contract_field *field, const struct message_rules *inside,
                                   struct arena *arena)
{
  if (field->enumeration != NULL)
    return describe_enum(field->enumeration, arena);
  if (field->message == NULL)
    return NULL;
  if (field->message->well_known == CONTRACT_FIELD_MASK)
    return &google__protobuf__field_mask__descriptor;
  CHECK(inside != NULL);
  return inside->descriptor;
}

static ProtobufCFieldDescriptor describe_field(const struct contract_message *message, size_t place,
                                               const struct message_rules *inside, struct arena *arena)
{
  const struct contract_field *field = &message->fields[place];
  bool single = !field->repeated && !field->is_map;
  return (ProtobufCFieldDescriptor){
      .name = arena_string(arena, field->name),
      .id = field->number,
      .label = single ? PROTOBUF_C_LABEL_NONE : PROTOBUF_C_LABEL_REPEATED,
      .type = TYPES[field->type],
      .quantifier_offset = (unsigned)quantifier_offset(message, place),
      .offset = (unsigned)value_offset(message, place),
      .descriptor = describe_inside(field, inside, arena),
      .default_value = single && field->type == CONTRACT_STRING ? protobuf_c_empty_string : NULL,
      .flags = field->optional || field->oneof_index >= 0 ? PROTOBUF_C_FIELD_FLAG_ONEOF : 0,
  };
}

static void add_oneofs(const struct contract_message *message, struct message_rules *rules, struct arena *arena)
{
  struct required_oneof *oneofs = arena_array(arena, message->oneof_count, sizeof(*oneofs));
  for (size_t i = 0; i < message->oneof_count; i++) {
    size_t member = 0;
    while (message->fields[member].oneof_index != (int)i)
      member++;
    if (message->oneofs[i].required)
      oneofs[rules->required_oneof_count++] =
          (struct required_oneof){.json_name = message->oneofs[i].json_name, .field = member};
  }
  rules->required_oneofs = oneofs;
}

const struct message_rules *service_rules_make(const struct contract_message *message, struct arena *arena)
{
  size_t count = message->field_count;
  ProtobufCFieldDescriptor *fields = arena_array(arena, count, sizeof(*fields));
  ProtobufCIntRange *ranges = arena_array(arena, count + 1, sizeof(*ranges));
  struct message_field_rules *field_rules = arena_array(arena, count, sizeof(*field_rules));
  const char **names = arena_array(arena, count, sizeof(*names));
  for (size_t i = 0; i < count; i++) {
    const struct contract_field *field = &message->fields[i];
    bool plain = field->message != NULL && field->message->well_known == CONTRACT_PLAIN;
    const struct message_rules *inside = plain ? service_rules_make(field->message, arena) : NULL;
    fields[i] = describe_field(message, i, inside, arena);
    ranges[i] = (ProtobufCIntRange){.start_value = (int)field->number, .orig_index = (unsigned)i};
    field_rules[i] = (struct message_field_rules){.rules = field->rules,
                                                  .message = plain && field->message->is_checked ? inside : NULL};
    names[i] = arena_string(arena, contract_field_shown_name(field));
  }
  ranges[count] = (ProtobufCIntRange){.start_value = 0, .orig_index = (unsigned)count};
  ProtobufCMessageDescriptor *descriptor = arena_zalloc(arena, sizeof(*descriptor));
  *descriptor = (ProtobufCMessageDescriptor){
      .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
      .name = message->full_name,
      .short_name = message->full_name,
      .c_name = message->full_name,
      .package_name = message->file->package,
      .sizeof_message = value_offset(message, count),
      .n_fields = (unsigned)count,
      .fields = fields,
      .n_field_ranges = (unsigned)count,
      .field_ranges = ranges,
  };
  struct message_rules *rules = arena_zalloc(arena, sizeof(*rules));
  *rules = (struct message_rules){
      .descriptor = descriptor, .fields = field_rules, .shown_names = names, .is_map_entry = message->is_map_entry};
  add_oneofs(message, rules, arena);
  return rules;
}

// Knows Google's messages that proto3 JSON writes in a form of their own.
#include "common/base/compiler.h"
#include "common/contract/builder_internal.h"

static const struct {
  const char *name;
  enum contract_well_known kind;
} WELL_KNOWN[] = {
    {"google.protobuf.Timestamp", CONTRACT_TIMESTAMP},
    {"google.protobuf.Duration", CONTRACT_DURATION},
    {"google.protobuf.FieldMask", CONTRACT_FIELD_MASK},
    {"google.protobuf.Empty", CONTRACT_EMPTY},
    {"google.protobuf.DoubleValue", CONTRACT_WRAPPER},
    {"google.protobuf.FloatValue", CONTRACT_WRAPPER},
    {"google.protobuf.Int64Value", CONTRACT_WRAPPER},
    {"google.protobuf.UInt64Value", CONTRACT_WRAPPER},
    {"google.protobuf.Int32Value", CONTRACT_WRAPPER},
    {"google.protobuf.UInt32Value", CONTRACT_WRAPPER},
    {"google.protobuf.BoolValue", CONTRACT_WRAPPER},
    {"google.protobuf.StringValue", CONTRACT_WRAPPER},
    {"google.protobuf.BytesValue", CONTRACT_WRAPPER},
    {"google.protobuf.Struct", CONTRACT_STRUCT},
    {"google.protobuf.Value", CONTRACT_VALUE},
    {"google.protobuf.ListValue", CONTRACT_LIST_VALUE},
    {"google.protobuf.Any", CONTRACT_ANY},
};

enum contract_well_known well_known_kind(const char *full_name)
{
  for (size_t i = 0; i < ARRAY_LEN(WELL_KNOWN); i++)
    if (strcmp(WELL_KNOWN[i].name, full_name) == 0)
      return WELL_KNOWN[i].kind;
  return CONTRACT_PLAIN;
}

static bool has_single(const struct contract_message *message, size_t place, enum contract_type type)
{
  const struct contract_field *field = &message->fields[place];
  return field->number == place + 1 && field->type == type && !field->repeated;
}

static bool holds(const struct contract_message *message, size_t place, enum contract_well_known kind)
{
  const struct contract_field *field = &message->fields[place];
  return field->number == place + 1 && field->type == CONTRACT_MESSAGE && field->message->well_known == kind;
}

static bool is_genuine_value(const struct contract_message *message)
{
  return message->field_count == 6 && has_single(message, 0, CONTRACT_ENUM) &&
         has_single(message, 1, CONTRACT_DOUBLE) && has_single(message, 2, CONTRACT_STRING) &&
         has_single(message, 3, CONTRACT_BOOL) && has_single(message, 4, CONTRACT_MESSAGE) &&
         holds(message, 4, CONTRACT_STRUCT) && has_single(message, 5, CONTRACT_MESSAGE) &&
         holds(message, 5, CONTRACT_LIST_VALUE);
}

// Whether a well-known message has its published fields. The transcoder reads it by their numbers, so a set must not
// bring another message under its name.
bool well_known_is_genuine(const struct contract_message *message)
{
  switch (message->well_known) {
  case CONTRACT_PLAIN:
    return true;
  case CONTRACT_TIMESTAMP:
  case CONTRACT_DURATION:
    return message->field_count == 2 && has_single(message, 0, CONTRACT_INT64) &&
           has_single(message, 1, CONTRACT_INT32);
  case CONTRACT_FIELD_MASK:
    return message->field_count == 1 && message->fields[0].number == 1 && message->fields[0].type == CONTRACT_STRING &&
           message->fields[0].repeated;
  case CONTRACT_EMPTY:
    return message->field_count == 0;
  case CONTRACT_WRAPPER:
    return message->field_count == 1 && message->fields[0].type != CONTRACT_MESSAGE &&
           message->fields[0].type != CONTRACT_ENUM && has_single(message, 0, message->fields[0].type);
  case CONTRACT_STRUCT:
    return message->field_count == 1 && message->fields[0].number == 1 && message->fields[0].is_map;
  case CONTRACT_VALUE:
    return is_genuine_value(message);
  case CONTRACT_LIST_VALUE:
    return message->field_count == 1 && holds(message, 0, CONTRACT_VALUE) && message->fields[0].repeated;
  case CONTRACT_ANY:
    return message->field_count == 2 && has_single(message, 0, CONTRACT_STRING) &&
           has_single(message, 1, CONTRACT_BYTES);
  }
  return false;
}

// Knows Google's messages that proto3 JSON writes in a form of their own, and those that are not served.
#include "common/base/compiler.h"
#include "common/contract/builder_internal.h"

static const struct {
  const char *name;
  enum contract_well_known kind;
} WELL_KNOWN[] = {
    {"google.protobuf.Timestamp", CONTRACT_TIMESTAMP},  {"google.protobuf.Duration", CONTRACT_DURATION},
    {"google.protobuf.FieldMask", CONTRACT_FIELD_MASK}, {"google.protobuf.Empty", CONTRACT_EMPTY},
    {"google.protobuf.DoubleValue", CONTRACT_WRAPPER},  {"google.protobuf.FloatValue", CONTRACT_WRAPPER},
    {"google.protobuf.Int64Value", CONTRACT_WRAPPER},   {"google.protobuf.UInt64Value", CONTRACT_WRAPPER},
    {"google.protobuf.Int32Value", CONTRACT_WRAPPER},   {"google.protobuf.UInt32Value", CONTRACT_WRAPPER},
    {"google.protobuf.BoolValue", CONTRACT_WRAPPER},    {"google.protobuf.StringValue", CONTRACT_WRAPPER},
    {"google.protobuf.BytesValue", CONTRACT_WRAPPER},
};

static const char *const UNSUPPORTED[] = {"google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value",
                                          "google.protobuf.ListValue"};

enum contract_well_known well_known_kind(const char *full_name)
{
  for (size_t i = 0; i < ARRAY_LEN(WELL_KNOWN); i++)
    if (strcmp(WELL_KNOWN[i].name, full_name) == 0)
      return WELL_KNOWN[i].kind;
  return CONTRACT_PLAIN;
}

bool well_known_is_supported(const char *full_name)
{
  for (size_t i = 0; i < ARRAY_LEN(UNSUPPORTED); i++)
    if (strcmp(full_name, UNSUPPORTED[i]) == 0)
      return false;
  return true;
}

static bool has_single(const struct contract_message *message, size_t place, enum contract_type type)
{
  const struct contract_field *field = &message->fields[place];
  return field->number == place + 1 && field->type == type && !field->repeated;
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
  }
  return false;
}

// Checks a received message, a protobuf-c struct, against the rules of its contract. The services check again what the
// gateway has checked, because a peer may be wrong too. The tables come from protoc-gen-bulkhead.
#ifndef BULKHEAD_CONTRACT_VALIDATE_H
#define BULKHEAD_CONTRACT_VALIDATE_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/violation.h"
#include "common/contract/rules.h"

struct message_rules;

struct message_field_rules {
  struct field_rules rules;
  const struct message_rules *message;  // rules of the message that the field holds; NULL without rules inside
};

// A oneof of which one field must be set.
struct required_oneof {
  const char *json_name;  // the oneof's name in violations: lowerCamel, as fields are named
  size_t field;           // the place of one of its fields in message_rules.fields
};

struct message_rules {
  const ProtobufCMessageDescriptor *descriptor;
  const struct message_field_rules *fields;  // in the order of descriptor->fields
  const char *const *shown_names;            // the fields' names in violations, in the order of descriptor->fields
  const struct required_oneof *required_oneofs;
  size_t required_oneof_count;
  bool is_map_entry;  // violations name an entry of a map by its key, as in JSON
};

// Checks all fields against their rules, nested messages and lists included, and adds what it finds to `violations`.
// Enum values must be known. In the request of an update only the fields that its mask names are checked. NULL rules
// allow everything.
void validate_message(const struct message_rules *rules, const ProtobufCMessage *message,
                      struct violations *violations);

// Returns how many bytes one value of the type takes in a protobuf-c struct.
size_t validate_value_size(ProtobufCType type);

#endif

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
  const struct message_rules *message;  // of a message field with rules inside; NULL for none
};

// A oneof of which one field must be set.
struct required_oneof {
  const char *json_name;  // as a violation names it
  size_t field;           // any of its fields: the place in message_rules.fields
};

struct message_rules {
  const ProtobufCMessageDescriptor *descriptor;
  const struct message_field_rules *fields;  // in the order of descriptor->fields
  const char *const *json_names;             // likewise
  const struct required_oneof *required_oneofs;
  size_t required_oneof_count;
};

// Checks all fields, nested messages and lists too, as options.proto describes it; enum values must be known. In the
// request of an update, only what its mask names. NULL rules allow everything.
void validate_message(const struct message_rules *rules, const ProtobufCMessage *message,
                      struct violations *violations);

#endif

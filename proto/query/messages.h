// Holds what queries need of the messages of the contracts: fields with their types and their names in C.
#ifndef BULKHEAD_QUERY_MESSAGES_H
#define BULKHEAD_QUERY_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

enum field_type {
  FIELD_OTHER,
  FIELD_STRING,
  FIELD_INT32,
  FIELD_INT64,
  FIELD_BOOL,
  FIELD_DOUBLE,
  FIELD_BYTES,
  FIELD_TIME,
  FIELD_MESSAGE,
};

struct field {
  const char *name;
  const char *json_name;
  enum field_type type;
  bool repeated;
  bool in_oneof;
  bool optional;
  bool is_written;  // by clients, for the service to keep
  bool immutable;
  int number;
  const char *encoding;       // of a number that is no varint: "ZIGZAG" or "FIXED"; else NULL
  const char *const *one_of;  // the values that the contract accepts; none where it accepts all
  size_t one_of_count;
  const char *message;  // full name of the type of a FIELD_MESSAGE or FIELD_TIME; else ""
};

struct message {
  const char *full_name;
  const char *stem;  // its .proto file without the suffix: "item/v1/item"
  struct field *fields;
  size_t field_count;
};

struct messages {
  struct message *items;
  size_t count;
};

// Compiles a protoset (FileDescriptorSet) and takes out its messages.
enum status messages_load(struct messages *messages, const char *path, struct arena *arena,
                          struct error *error) MUST_CHECK;
// Finds a message by its full name; NULL where no contract has it.
const struct message *messages_find(const struct messages *messages, struct slice full_name);
const struct field *message_field(const struct message *message, struct slice name);

#endif

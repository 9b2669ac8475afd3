// The API as the contracts say it: a FileDescriptorSet (bulkhead.protoset, made by protoc with imports and source info)
// compiled to tables at start. Immutable afterwards, so worker processes share its pages after a fork.
//
// Whatever a contract may not say is refused here with the name of the place: a method without an access policy, an
// unknown role syntax, a path variable that names no field, two methods with the same route, a recursive message, a
// streaming method with an HTTP binding, a rule that does not fit its field's type.
#ifndef BULKHEAD_SCHEMA_SCHEMA_H
#define BULKHEAD_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/schema/rules.h"

// Numbers as in descriptor.proto's FieldDescriptorProto.Type.
enum schema_type {
  SCHEMA_DOUBLE = 1,
  SCHEMA_FLOAT = 2,
  SCHEMA_INT64 = 3,
  SCHEMA_UINT64 = 4,
  SCHEMA_INT32 = 5,
  SCHEMA_FIXED64 = 6,
  SCHEMA_FIXED32 = 7,
  SCHEMA_BOOL = 8,
  SCHEMA_STRING = 9,
  SCHEMA_MESSAGE = 11,
  SCHEMA_BYTES = 12,
  SCHEMA_UINT32 = 13,
  SCHEMA_ENUM = 14,
  SCHEMA_SFIXED32 = 15,
  SCHEMA_SFIXED64 = 16,
  SCHEMA_SINT32 = 17,
  SCHEMA_SINT64 = 18,
};

// Messages that proto3 JSON writes in a form of their own.
enum schema_well_known {
  SCHEMA_PLAIN,
  SCHEMA_TIMESTAMP,
  SCHEMA_DURATION,
  SCHEMA_FIELD_MASK,
  SCHEMA_EMPTY,
  SCHEMA_WRAPPER,  // google.protobuf.StringValue and its kin
};

struct schema_enum_value {
  struct slice name;
  int32_t number;
  const char *comment;
};

struct schema_enum {
  const char *full_name;
  const char *comment;  // leading comment of the contract, "" where there is none; so everywhere below
  const struct schema_enum_value *values;
  size_t value_count;
};

struct schema_field {
  uint32_t number;
  enum schema_type type;
  bool repeated;
  bool is_map;
  bool has_presence;       // message, proto3 optional, oneof member
  int oneof_index;         // of the message's oneofs; -1 for none
  struct slice name;       // "page_size"
  struct slice json_name;  // "pageSize"
  const char *comment;
  const struct schema_message *message;   // of SCHEMA_MESSAGE
  const struct schema_enum *enumeration;  // of SCHEMA_ENUM
  struct field_rules rules;
};

struct schema_oneof {
  const char *name;
  bool required;
};

struct schema_message {
  const char *full_name;  // "item.v1.Item"
  const char *comment;
  enum schema_well_known well_known;
  const struct schema_field *fields;  // by number
  size_t field_count;
  const struct schema_oneof *oneofs;
  size_t oneof_count;
  const void *index;  // private: fields by number and by name
};

// NULL when there is none. By JSON name or original name, as proto3 JSON accepts both.
const struct schema_field *schema_field_by_name(const struct schema_message *message, struct slice name);
const struct schema_field *schema_field_by_number(const struct schema_message *message, uint32_t number);

enum schema_access {
  SCHEMA_ACCESS_PUBLIC = 1,
  SCHEMA_ACCESS_AUTHENTICATED,
  SCHEMA_ACCESS_ROLE,
  SCHEMA_ACCESS_INTERNAL
};
enum schema_rate_class {
  SCHEMA_RATE_NONE,
  SCHEMA_RATE_READ,
  SCHEMA_RATE_WRITE,
  SCHEMA_RATE_EXPENSIVE,
  SCHEMA_RATE_CREDENTIAL
};

struct schema_method {
  struct slice full_name;         // "item.v1.ItemService/GetItem": as RPC names it
  const char *service;            // whom to call, as discovery names it: the first part of the package, "item"
  const char *service_full_name;  // "item.v1.ItemService"
  const char *name;               // "GetItem"
  const char *comment;
  const char *service_comment;
  const struct schema_message *input;
  const struct schema_message *output;
  enum schema_access access;
  const struct slice *roles;
  size_t role_count;
  enum schema_rate_class rate_class;
  uint32_t timeout_ms;  // 5,000 where the contract says nothing
  uint32_t cache_ttl_ms;
  int success_status;    // 200, 201, 204, ...
  const char *location;  // template over the response, or NULL
  bool no_side_effects;  // idempotency_level NO_SIDE_EFFECTS
  bool idempotent;       // that or IDEMPOTENT
  size_t index;          // 0 .. method_count - 1, for tables beside this one
};

// One HTTP route to a method.
struct schema_binding {
  const struct schema_method *method;
  const char *http_method;  // "GET"
  const char *path;         // the template as written: "/v1/items/{id}"
  // Where the body goes: none, the whole message, or one field.
  enum { SCHEMA_BODY_NONE, SCHEMA_BODY_ALL, SCHEMA_BODY_FIELD } body;
  const struct schema_field *body_field;
  const struct schema_field *response_body_field;  // NULL: the whole response
  const struct schema_path_variable *variables;
  size_t variable_count;
};

// A path variable or, with depth 1 or 2, a nested one: {item.id}.
#define SCHEMA_MAX_FIELD_PATH 4
struct schema_path_variable {
  const struct schema_field *path[SCHEMA_MAX_FIELD_PATH];
  size_t depth;
  bool multi_segment;  // "**": slashes stay
};

struct schema;

enum status schema_load(struct slice protoset, struct schema **out, struct error *error) MUST_CHECK;
void schema_free(struct schema **schema);

size_t schema_method_count(const struct schema *schema);
const struct schema_method *schema_method(const struct schema *schema, size_t index);
size_t schema_binding_count(const struct schema *schema);
const struct schema_binding *schema_binding(const struct schema *schema, size_t index);
const struct schema_method *schema_method_by_name(const struct schema *schema, struct slice full_name);
const struct schema_message *schema_message_by_name(const struct schema *schema, struct slice full_name);

// Routing (google.api.http templates; a literal beats a variable).
// ---------------------------------------------------------
#define SCHEMA_MAX_VARIABLES 8
struct schema_route {
  const struct schema_binding *binding;
  struct slice values[SCHEMA_MAX_VARIABLES];  // of the path variables, still percent-encoded, views into `path`
};
// `path` is the raw path of the request, without query. NOT_FOUND; or UNIMPLEMENTED where the path is known but not
// with this HTTP method: then `allow`, if not NULL, is the list for the Allow header ("GET, HEAD, PATCH, DELETE"). HEAD
// is routed as GET.
enum status schema_route(const struct schema *schema, struct slice http_method, struct slice path,
                         struct schema_route *route, const char **allow) MUST_CHECK;

#endif

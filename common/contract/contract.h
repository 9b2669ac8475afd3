// The API as the contracts say it: a FileDescriptorSet (bulkhead.protoset, made by protoc with imports and source info)
// compiled to tables. One compiler for everybody: protoc-gen-bulkhead at build and the gateway at its start call
// contract_load, so they give the same verdict in the same words. Immutable afterwards, so worker processes share its
// pages after a fork.
//
// Whatever a contract must not say is refused: see the `report` calls in this folder, and tests/unit/plugin/bad for a
// contract with each mistake.
#ifndef BULKHEAD_CONTRACT_CONTRACT_H
#define BULKHEAD_CONTRACT_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/contract/diagnostics.h"
#include "common/contract/policy.h"
#include "common/contract/rules.h"

// Numbers as in descriptor.proto's FieldDescriptorProto.Type.
enum contract_type {
  CONTRACT_DOUBLE = 1,
  CONTRACT_FLOAT = 2,
  CONTRACT_INT64 = 3,
  CONTRACT_UINT64 = 4,
  CONTRACT_INT32 = 5,
  CONTRACT_FIXED64 = 6,
  CONTRACT_FIXED32 = 7,
  CONTRACT_BOOL = 8,
  CONTRACT_STRING = 9,
  CONTRACT_MESSAGE = 11,
  CONTRACT_BYTES = 12,
  CONTRACT_UINT32 = 13,
  CONTRACT_ENUM = 14,
  CONTRACT_SFIXED32 = 15,
  CONTRACT_SFIXED64 = 16,
  CONTRACT_SINT32 = 17,
  CONTRACT_SINT64 = 18,
};

// Messages that proto3 JSON writes in a form of their own.
enum contract_well_known {
  CONTRACT_PLAIN,
  CONTRACT_TIMESTAMP,
  CONTRACT_DURATION,
  CONTRACT_FIELD_MASK,
  CONTRACT_EMPTY,
  CONTRACT_WRAPPER,  // google.protobuf.StringValue and its kin
};

// A .proto file of the set.
struct contract_file {
  const char *name;     // "item/v1/item.proto"
  const char *package;  // "item.v1"
  bool is_own;          // holds contracts; false for Google's files and those of Bulkhead's options
};

// Numbers that the author promised never to use again: `reserved 4, 8 to 10;`, both ends included.
struct contract_reserved {
  int32_t first;
  int32_t last;
};

struct contract_enum_value {
  struct slice name;
  int32_t number;
  const char *comment;
  struct source_place place;
};

struct contract_enum {
  const char *full_name;
  const char *comment;  // leading comment of the contract, "" where there is none; so everywhere below
  const struct contract_enum_value *values;
  size_t value_count;
  struct source_place place;
};

struct contract_field {
  uint32_t number;
  enum contract_type type;
  bool repeated;
  bool is_map;
  bool optional;           // declared so; in C a oneof of this one field, "_" before its name
  bool has_presence;       // message, proto3 optional, oneof member
  int oneof_index;         // of the message's oneofs; -1 for none
  struct slice name;       // "page_size"
  struct slice json_name;  // "pageSize"
  const char *comment;
  const struct contract_message *message;   // of CONTRACT_MESSAGE
  const struct contract_enum *enumeration;  // of CONTRACT_ENUM
  bool has_rules;                           // (bulkhead.v1.field) is set
  struct field_rules rules;
  const char *absence;  // what the rules say when a request writes the field and leaves it out; NULL where it may
  struct source_place place;
};

struct contract_oneof {
  const char *name;
  bool required;
};

struct contract_message {
  const char *full_name;  // "item.v1.Item"
  const char *comment;
  enum contract_well_known well_known;
  const struct contract_field *fields;  // by number
  size_t field_count;
  const struct contract_oneof *oneofs;
  size_t oneof_count;
  const struct contract_file *file;
  const struct contract_reserved *reserved;
  size_t reserved_count;
  bool is_checked;  // a value of it can break a rule, so services validate it
  struct source_place place;
  // The mask of an update, and the message that the mask is about (see update_mask.h). Both are NULL in every other
  // message.
  const struct contract_field *update_mask;
  const struct contract_field *updated;
  const void *index;  // private: fields by number and by name
};

// Finds a field by its JSON name or its original name, as proto3 JSON accepts both. NULL when there is none.
const struct contract_field *contract_field_by_name(const struct contract_message *message, struct slice name);
const struct contract_field *contract_field_by_number(const struct contract_message *message, uint32_t number);

enum contract_rate_class {
  CONTRACT_RATE_NONE,
  CONTRACT_RATE_READ,
  CONTRACT_RATE_WRITE,
  CONTRACT_RATE_EXPENSIVE,
  CONTRACT_RATE_CREDENTIAL
};

// An error that a service declares, for the OpenAPI document.
struct contract_error {
  enum status code;
  const char *reason;  // "ITEM_NOT_FOUND"
  const char *detail;  // "" where the contract gives no sentence
};

// What the contracts say about the API as a whole. All texts are "" where the contract has none.
struct contract_info {
  const char *title;
  const char *description;  // Markdown
  const char *license;      // SPDX identifier
  const char *contact_name;
  const char *contact_url;
};

struct contract_method {
  struct slice full_name;         // "item.v1.ItemService/GetItem": as RPC names it
  const char *service;            // whom to call, as discovery names it: the first part of the package, "item"
  const char *service_full_name;  // "item.v1.ItemService"
  const char *name;               // "GetItem"
  const char *comment;
  const char *service_comment;  // the service's own, else the one at the head of its file
  const char *service_title;    // "Items"
  const struct contract_message *input;
  const struct contract_message *output;
  struct policy policy;
  enum contract_rate_class rate_class;  // no effect yet, see options.proto
  uint32_t timeout_ms;                  // 5,000 where the contract says nothing
  uint32_t cache_ttl_ms;
  int success_status;    // 200, 201, 204, ...
  const char *location;  // template over the response, or NULL
  const struct contract_error *errors;
  size_t error_count;
  bool no_side_effects;  // idempotency_level NO_SIDE_EFFECTS
  size_t index;          // 0 .. method_count - 1, for tables beside this one
  struct source_place place;
};

struct contract_service {
  const char *full_name;  // "item.v1.ItemService"
  const char *name;       // "ItemService"
  const char *service;    // "item"
  const struct contract_file *file;
  const struct contract_method *methods;
  size_t method_count;
};

// One HTTP route to a method.
struct contract_binding {
  const struct contract_method *method;
  const char *http_method;  // "GET"
  const char *path;         // the template as written: "/v1/items/{id}"
  // Where the body goes: none, the whole message, or one field.
  enum { CONTRACT_BODY_NONE, CONTRACT_BODY_ALL, CONTRACT_BODY_FIELD } body;
  const struct contract_field *body_field;
  const struct contract_field *response_body_field;  // NULL: the whole response
  const struct contract_path_variable *variables;
  size_t variable_count;
  struct source_place place;
};

// A path variable or, with depth 1 or 2, a nested one: {item.id}.
#define CONTRACT_MAX_FIELD_PATH 4
struct contract_path_variable {
  const struct contract_field *path[CONTRACT_MAX_FIELD_PATH];
  size_t depth;
  bool multi_segment;  // "**": slashes stay
};

struct contract;

// Compiles the whole set and adds every mistake to `diagnostics`, in the order of their places. INVALID_ARGUMENT and
// *out NULL when there is one. contract_free is the caller's.
enum status contract_load(struct slice protoset, struct contract **out, struct diagnostics *diagnostics) MUST_CHECK;
void contract_free(struct contract **contract);

const struct contract_info *contract_info(const struct contract *contract);
size_t contract_method_count(const struct contract *contract);
const struct contract_method *contract_method(const struct contract *contract, size_t index);
size_t contract_binding_count(const struct contract *contract);
const struct contract_binding *contract_binding(const struct contract *contract, size_t index);
size_t contract_service_count(const struct contract *contract);
const struct contract_service *contract_service(const struct contract *contract, size_t index);
// Every message of the contracts' own files and every other that they use, in the order of declaration.
size_t contract_message_count(const struct contract *contract);
const struct contract_message *contract_message(const struct contract *contract, size_t index);
const struct contract_method *contract_method_by_name(const struct contract *contract, struct slice full_name);
const struct contract_message *contract_message_by_name(const struct contract *contract, struct slice full_name);

// ---- routing (google.api.http templates; a literal beats a variable) ----

#define CONTRACT_MAX_VARIABLES 8
struct contract_route {
  const struct contract_binding *binding;
  struct slice values[CONTRACT_MAX_VARIABLES];  // of the path variables, still percent-encoded, views into `path`
};
// `path` is the raw path of the request, without query. NOT_FOUND; or UNIMPLEMENTED where the path is known but not
// with this HTTP method: then `allow`, if not NULL, is the list for the Allow header ("GET, HEAD, PATCH, DELETE"). HEAD
// is routed as GET.
enum status contract_route(const struct contract *contract, struct slice http_method, struct slice path,
                           struct contract_route *route, const char **allow) MUST_CHECK;

#endif

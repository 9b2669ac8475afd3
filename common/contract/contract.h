// The compiled contracts: a FileDescriptorSet (bulkhead.protoset, made by protoc with imports and source info) compiled
// to tables. One compiler for everybody: protoc-gen-bulkhead at build and the gateway at its start call contract_load,
// so they give the same verdict in the same words. Immutable afterwards, so worker processes share its pages after a
// fork. Whatever a contract must not say is refused: see the `report` calls in this folder, and
// tests/unit/plugin/data/bad for a contract with each mistake.
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

// The type of a field. The numbers are those of FieldDescriptorProto.Type in descriptor.proto.
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

// Which of Google's messages a message is, as far as proto3 JSON writes it in a special form.
enum contract_well_known {
  CONTRACT_PLAIN,
  CONTRACT_TIMESTAMP,
  CONTRACT_DURATION,
  CONTRACT_FIELD_MASK,
  CONTRACT_EMPTY,
  CONTRACT_WRAPPER,  // google.protobuf.StringValue and the other wrappers of one value
  CONTRACT_STRUCT,
  CONTRACT_VALUE,
  CONTRACT_LIST_VALUE,
  CONTRACT_ANY,
};

// A .proto file of the set.
struct contract_file {
  const char *name;     // "item/v1/item.proto"
  const char *package;  // "item.v1"
  bool is_own;          // holds contracts; false for Google's files, those of Bulkhead's options, and proto2
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
  const char *comment;  // the comment above the declaration, "" where there is none
  const struct contract_enum_value *values;
  size_t value_count;
  const struct contract_enum_value *const *by_number;  // each number once, in ascending order: the value declared first
  size_t number_count;
  bool is_closed;  // of a proto2 file: a number that is none of its values is not accepted
  bool is_null;    // google.protobuf.NullValue, which JSON has as null
  struct source_place place;
};

struct contract_field {
  uint32_t number;
  enum contract_type type;
  bool repeated;
  bool is_map;
  bool optional;      // declared `optional`; in C a oneof of this field alone, named "_" and the field's name
  bool has_presence;  // a message, an `optional` field or a member of a oneof: "not set" differs from the default value
  int oneof_index;    // index into the message's oneofs; -1 for a field outside of oneofs
  struct slice name;  // "page_size"
  struct slice json_name;  // "pageSize"
  const char *comment;
  const struct contract_message *message;   // set for the type CONTRACT_MESSAGE, else NULL
  const struct contract_enum *enumeration;  // set for the type CONTRACT_ENUM, else NULL
  bool has_rules;                           // (bulkhead.v1.field) is set
  struct field_rules rules;
  const char *absence;  // the violation when a request leaves the field out; NULL where it may be left out
  struct source_place place;
};

struct contract_oneof {
  const char *name;
  const char *json_name;  // the name in violations: lowerCamel, as the names of fields
  bool required;
};

struct contract_message {
  const char *full_name;  // "item.v1.Item"
  const char *comment;
  enum contract_well_known well_known;
  const struct contract_field *fields;  // in ascending order of their numbers
  size_t field_count;
  const struct contract_oneof *oneofs;
  size_t oneof_count;
  const struct contract_file *file;
  const struct contract_reserved *reserved;
  size_t reserved_count;
  bool is_checked;    // a value of it can break a rule, so services validate it
  bool is_map_entry;  // the message that protoc makes for a map: key and value
  struct source_place place;
  // The mask field of an update's request, and the field with the message that the mask is about (see update_mask.h).
  // Both are NULL in a message that is not such a request.
  const struct contract_field *update_mask;
  const struct contract_field *updated;
  const void *index;  // private: fields by number and by name
};

// Finds a field by its JSON name or its original name, because proto3 JSON accepts both. Returns NULL when the message
// has no field of that name.
const struct contract_field *contract_field_by_name(const struct contract_message *message, struct slice name);
// Returns the field's name in violations: the header's where one fills the field (from_header), else its JSON name.
struct slice contract_field_shown_name(const struct contract_field *field);
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

// The API as a whole, for the head of the OpenAPI document. A text is "" where the contracts do not give it.
struct contract_info {
  const char *title;
  const char *description;  // Markdown
  const char *license;      // SPDX identifier
  const char *contact_name;
  const char *contact_url;
};

struct contract_method {
  struct slice full_name;         // the name in RPC frames: "item.v1.ItemService/GetItem"
  const char *service;            // the service to call, as discovery names it: the first part of the package, "item"
  const char *service_full_name;  // "item.v1.ItemService"
  const char *name;               // "GetItem"
  const char *comment;
  const char *service_comment;  // the comment above the service, else the comment at the head of its file
  const char *service_title;    // "Items"
  const struct contract_message *input;
  const struct contract_message *output;
  struct policy policy;
  enum contract_rate_class rate_class;  // which limit of the gateway a call counts in
  uint32_t timeout_ms;                  // 5,000 where the contract says nothing
  uint32_t cache_ttl_ms;
  uint32_t max_body_bytes;
  int success_status;    // 200, 201, 204, ...
  const char *location;  // template of the Location header, filled from the response; NULL without one
  const struct contract_error *errors;
  size_t error_count;
  bool client_streams;  // the client sends any number of messages
  bool server_streams;  // the service does
  const struct contract_field
      *resume_field;            // of the output of a server stream: how far the client has come; NULL: none
  uint32_t message_timeout_ms;  // how long either side of a stream waits for one message; 0: as long as for the call
  uint32_t hedge_after_ms;      // when a call without reply is sent to a second instance as well; 0: never
  bool no_side_effects;         // idempotency_level NO_SIDE_EFFECTS
  bool takes_idempotency_key;   // a POST whose repeat would repeat its effect: it has no idempotency_level
  bool secret_reply;            // the reply is not kept for a repeat with the same Idempotency-Key
  size_t index;                 // 0 .. method_count - 1, for tables beside this one
  const struct contract_binding *bindings;  // its HTTP routes
  size_t binding_count;                     // 0: only calls reach it
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
  const char *http_method;  // "GET"; "*": any
  const char *path;         // the template as written: "/v1/items/{id}"
  // The part of the request message that the HTTP body fills: none, the whole message, or one field.
  enum { CONTRACT_BODY_NONE, CONTRACT_BODY_ALL, CONTRACT_BODY_FIELD } body;
  const struct contract_field *body_field;
  const struct contract_field
      *response_body_field;  // the field whose value the HTTP body is; NULL where that is the whole response
  const struct contract_path_variable *variables;
  size_t variable_count;
  struct source_place place;
};

// Whether requests of the route must have a body. Without one the message is as {} makes it, as Envoy's transcoder has
// it, but not where that could do harm: a PUT replaces and a PATCH changes what there is (AIP-134), so a body that was
// lost on the way is an error there and not a change. A body whose field is required cannot be left out either.
bool contract_needs_body(const struct contract_binding *binding);
// Returns the field of the response whose value is the body of the route's reply; NULL where that is a message: the
// response, or the one in it that response_body names.
const struct contract_field *contract_body_value(const struct contract_binding *binding);
// Returns the message whose fields travel in the headers of the route's reply: the one that is its body, or the
// response where the body is a value of another kind.
const struct contract_message *contract_body_message(const struct contract_binding *binding);

// A path variable and the field of the request that it fills: {id}, or a nested field such as {item.id}.
#define CONTRACT_MAX_FIELD_PATH 4
struct contract_path_variable {
  const struct contract_field *path[CONTRACT_MAX_FIELD_PATH];
  size_t depth;
  bool multi_segment;  // it has several segments of the template or a "**": its value may hold slashes
};

// A permission that a service declares.
struct contract_permission {
  const char *name;      // "items:write"
  const char *any_name;  // "items:write:any"
  const char *description;
  bool every_user;   // the role "user" holds it
  bool is_used;      // a method needs it
  bool is_any_used;  // a method has an ownership rule with it, or needs any_name
};

struct contract;

// Compiles a serialized FileDescriptorSet, which may be freed afterwards, and adds every mistake to `diagnostics`,
// ordered by file and line. INVALID_ARGUMENT and *out NULL when there is a mistake. The caller frees *out with
// contract_free.
enum status contract_load(struct slice protoset, struct contract **out, struct diagnostics *diagnostics) MUST_CHECK;
void contract_free(struct contract **contract);

const struct contract_info *contract_info(const struct contract *contract);
size_t contract_method_count(const struct contract *contract);
const struct contract_method *contract_method(const struct contract *contract, size_t index);
size_t contract_binding_count(const struct contract *contract);
const struct contract_binding *contract_binding(const struct contract *contract, size_t index);
size_t contract_service_count(const struct contract *contract);
const struct contract_service *contract_service(const struct contract *contract, size_t index);
// Lists the permissions in the order of declaration.
size_t contract_permission_count(const struct contract *contract);
const struct contract_permission *contract_permission(const struct contract *contract, size_t index);
// Counts the messages of contract_message: those of the contracts' own files and all others that these use, in the
// order of declaration.
size_t contract_message_count(const struct contract *contract);
const struct contract_message *contract_message(const struct contract *contract, size_t index);
const struct contract_method *contract_method_by_name(const struct contract *contract, struct slice full_name);
const struct contract_message *contract_message_by_name(const struct contract *contract, struct slice full_name);

// ---- routing (google.api.http templates) ----

#define CONTRACT_MAX_VARIABLES 8
struct contract_route {
  const struct contract_binding *binding;
  struct slice values
      [CONTRACT_MAX_VARIABLES];  // values of the path variables, still percent-encoded; views into the request's path
};
// Finds the binding for an HTTP method and a raw path without query. Of several templates that match the path, segment
// by segment from the left, a literal beats `*`, and `*` beats `**`; of two `**` in one place the one with more
// segments behind it counts. Of the routes of one template, that of the HTTP method beats one for any (custom {kind:
// "*"}). NOT_FOUND when no route has the path, and for every path with an empty segment, "." or "..", also
// percent-encoded. UNIMPLEMENTED when the path is known, but not with this HTTP method: `allowed`, if not NULL, is set
// to those that it has, for contract_allow_header. HEAD is routed as GET. OPTIONS is UNIMPLEMENTED where only a route
// for any method has the path: the gateway answers it by itself.
enum status contract_route(const struct contract *contract, struct slice http_method, struct slice path,
                           struct contract_route *route, uint32_t *allowed) MUST_CHECK;
bool contract_takes_any_method(const struct contract_binding *binding);
// Returns the value of an Allow header ("GET, HEAD, PATCH, DELETE, OPTIONS"): these HTTP methods, HEAD beside GET, and
// OPTIONS, which every path answers. Where any is taken, it lists the usual ones and all that some route has; a list of
// names cannot say that others are taken as well.
const char *contract_allow_header(const struct contract *contract, uint32_t http_methods, struct arena *arena);
// Returns the value of the Allow header of a raw path; that of all paths for "*" (RFC 9110, section 9.3.7). NULL when
// no route has the path.
const char *contract_allow(const struct contract *contract, struct slice path, struct arena *arena);

#endif

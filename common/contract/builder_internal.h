// The state of one contract_load. Everything in it that is not the contract ends with the load.
//
// A mistake is reported and the load goes on, so that one run finds all of them. What cannot be built is NULL, and
// whoever needs it stays silent, because the mistake behind it has been reported.
#ifndef BULKHEAD_CONTRACT_BUILDER_INTERNAL_H
#define BULKHEAD_CONTRACT_BUILDER_INTERNAL_H

#include "bulkhead/v1/options.pb-c.h"
#include "common/contract/contract_layout.h"
#include "google/api/http.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"

struct source_file {
  const struct contract_file *file;
  const Google__Protobuf__FileDescriptorProto *descriptor;
  struct strmap locations;  // SourceCodeInfo by the bytes of its path
  bool is_proto3;
};

// A declaration in a file: its full name and its path, as SourceCodeInfo.Location.path has it.
#define DECLARATION_MAX_DEPTH 72
struct declaration {
  const struct source_file *source;
  const char *name;  // "item.v1.Item.sku"; NULL for the file itself
  int32_t path[DECLARATION_MAX_DEPTH];
  size_t depth;
};

enum type_state { TYPE_NEW, TYPE_DONE };

// A message or enum of the set.
struct type_entry {
  const char *full_name;  // "item.v1.Item"
  const Google__Protobuf__DescriptorProto *message;
  const Google__Protobuf__EnumDescriptorProto *enumeration;
  struct declaration declaration;
  enum type_state state;
  struct contract_message *built_message;  // NULL before the build, or when it has a mistake
  const struct contract_enum *built_enum;
  struct type_entry *next_begun;  // the message that was begun after this one
};

struct contract_builder {
  struct contract *contract;
  struct arena scratch;          // memory that ends with the load: descriptors, places, type entries
  ProtobufCAllocator allocator;  // protobuf-c's allocator; takes its memory from `scratch`
  struct source_file *sources;
  size_t source_count;
  struct strmap types;         // ".item.v1.Item" -> struct type_entry
  struct type_entry **listed;  // the entries of `types`, in the order of declaration
  size_t type_count;
  // Messages that are there and not complete, in the order in which they were begun; those in front of the one that is
  // being filled in have their fields.
  struct type_entry *first_begun;
  struct type_entry *last_begun;
  bool is_filling;
  struct diagnostics *diagnostics;
};

// ---- places ----

void source_file_index(struct contract_builder *builder, struct source_file *source);

struct declaration declaration_of_file(const struct source_file *source);
// Declares element `index` of the list `field_number` of the parent's descriptor. `name` must live as long as the load.
struct declaration declaration_child(const struct declaration *parent, int32_t field_number, size_t index,
                                     const char *name);
// Declares the extension `number` in the options (field `options_number`) of what `owner` declares.
struct declaration declaration_option(const struct declaration *owner, int32_t options_number, int32_t number);
struct source_place declaration_place(const struct declaration *declaration);
// Returns the leading comment of the declaration, copied into the contract's arena; "" where there is none.
const char *declaration_comment(struct contract_builder *builder, const struct declaration *declaration);

// Adds a diagnostic about `declaration`.
void report(struct contract_builder *builder, const struct declaration *declaration, const char *format, ...)
    PRINTF_LIKE(3, 4);

// Copies a text into the contract's arena.
char *keep_text(struct contract_builder *builder, const char *text);

// ---- options ----

// options_... reads one extension from an options message; parts of the same option are merged into one message.
// Returns NULL when the option is not there, or cannot be read, which is reported at `owner`.
Bulkhead__V1__MethodPolicy *options_method_policy(struct contract_builder *builder, const struct declaration *owner,
                                                  const Google__Protobuf__MethodOptions *options);
Google__Api__HttpRule *options_http_rule(struct contract_builder *builder, const struct declaration *owner,
                                         const Google__Protobuf__MethodOptions *options);
Bulkhead__V1__ApiInfo *options_api_info(struct contract_builder *builder, const struct declaration *owner,
                                        const Google__Protobuf__FileOptions *options);
Bulkhead__V1__ServiceInfo *options_service_info(struct contract_builder *builder, const struct declaration *owner,
                                                const Google__Protobuf__ServiceOptions *options);
Bulkhead__V1__FieldRules *options_field_rules(struct contract_builder *builder, const struct declaration *owner,
                                              const Google__Protobuf__FieldOptions *options);
Bulkhead__V1__OneofRules *options_oneof_rules(struct contract_builder *builder, const struct declaration *owner,
                                              const Google__Protobuf__OneofOptions *options);

struct declaration declaration_of_api_info(const struct declaration *file);
struct declaration declaration_of_policy(const struct declaration *method);
struct declaration declaration_of_http(const struct declaration *method);
struct declaration declaration_of_rules(const struct declaration *field);

// ---- parts of the load, in their order ----

// Registers every message and enum by name.
void register_types(struct contract_builder *builder);

// Builds the message of a type name such as ".item.v1.Item", with every message that its fields hold; while another one
// is being filled in, it is begun only. Returns NULL when the type cannot be used. That is reported where the type is
// declared or, where the use is the mistake, at `user`.
const struct contract_message *build_message(struct contract_builder *builder, const struct declaration *user,
                                             const char *type_name);
// Builds all messages and enums of our own files, used by a method or not.
void build_own_messages(struct contract_builder *builder);
const struct contract_enum *build_enum(struct contract_builder *builder, struct type_entry *entry);
// Finds a type by its dotted name, such as ".item.v1.Item". NULL where the set does not have it.
struct type_entry *find_type(struct contract_builder *builder, const char *type_name);

// Fills in the index of a message: its fields by number and by name. Returns false when two fields share a name, which
// is reported.
bool build_index(struct contract_builder *builder, const struct declaration *declaration,
                 struct contract_message *message);

// Returns which of Google's messages with a JSON form of their own has this full name, or CONTRACT_PLAIN.
enum contract_well_known well_known_kind(const char *full_name);
bool well_known_is_genuine(const struct contract_message *message);

// Fills in field->absence, the sentence about a request that leaves the field out, from the field's rules and presence.
void build_absence(struct contract_builder *builder, struct contract_field *field);
// Fills in the parts of the index that say which fields and oneofs a request must be checked for.
void index_absences(struct arena *arena, const struct contract_message *message, struct message_index *index);
// Fills in message->update_mask and message->updated where the message is the request of an update (update_mask.h).
void find_update(struct contract_message *message);

// Fills in the rules of one field and reports those that do not fit its type. Everything in `field` but its rules must
// be filled in.
void build_field_rules(struct contract_builder *builder, const struct declaration *declaration,
                       const Google__Protobuf__FieldOptions *options, struct contract_field *field);
// Reports an example that is not a value of its field, or breaks the field's rules.
void check_example(struct contract_builder *builder, const struct declaration *option,
                   const struct contract_field *field);

// Reports an update (a method with a PATCH route, or named Update...) whose mask has another name than update_mask, or
// whose mask or message is in a oneof.
void check_update(struct contract_builder *builder, const struct contract_method *method,
                  const Google__Api__HttpRule *rule);
// Returns what is wrong with a PATCH that has a message as its body and no update mask; NULL for every other binding,
// and where check_update has reported the mask. The binding's body must be filled in.
const char *find_patch_problem(struct contract_builder *builder, const struct contract_binding *binding);

void build_services(struct contract_builder *builder);
// Reads the permissions that the services declare, before their methods are built.
void declare_permissions(struct contract_builder *builder);
// Fills in the permission that a method needs, and its ownership rule. Access and errors must be filled in.
void build_permission(struct contract_builder *builder, const struct declaration *option,
                      const Bulkhead__V1__MethodPolicy *source, struct contract_method *method);
// Reports permissions that no method needs.
void check_permissions(struct contract_builder *builder);
// Whether `name` can be written as it is in C, JSON and OpenAPI.
bool is_identifier(const char *name);
// Builds the bindings (HTTP routes) of a method from its google.api.http rule. `option` is the place of that rule in
// the file.
void build_bindings(struct contract_builder *builder, const struct declaration *option, struct contract_method *method,
                    const Google__Api__HttpRule *rule);
// Reports names of the contract that C does not accept or cannot tell apart.
void check_c_names(struct contract_builder *builder);
void routes_build(struct contract_builder *builder);

// ---- what only the OpenAPI document needs (contract_info.c) ----

// Reports from_header and to_header where they have no effect. The bindings must be built.
void check_headers(struct contract_builder *builder);
// Reads what the files say about the API as a whole.
void build_info(struct contract_builder *builder);
// Fills in the heading and the description of the service that `declaration` names, for the OpenAPI document.
void build_service_info(struct contract_builder *builder, const struct declaration *declaration,
                        const Google__Protobuf__ServiceDescriptorProto *service, struct contract_method *method);
// Fills in the errors that a method's policy declares, for the OpenAPI document.
void build_errors(struct contract_builder *builder, const struct declaration *policy_place,
                  const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method);

#endif

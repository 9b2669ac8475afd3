// Private to this folder: the state of one contract_load. Everything in it that is not the contract ends with the load.
#ifndef BULKHEAD_CONTRACT_BUILDER_INTERNAL_H
#define BULKHEAD_CONTRACT_BUILDER_INTERNAL_H

#include "bulkhead/v1/options.pb-c.h"
#include "common/contract/tables.h"
#include "google/api/http.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"

// Where a declaration stands in its file: SourceCodeInfo.Location.path.
#define DECLARATION_MAX_DEPTH 20
struct declaration {
  const struct strmap *comments;  // of its file: path bytes -> cleaned text
  int32_t path[DECLARATION_MAX_DEPTH];
  size_t depth;
};

struct declaration declaration_child(const struct declaration *parent, int32_t field_number, size_t index);
// "" where there is none.
const char *declaration_comment(const struct declaration *declaration);

enum type_state { TYPE_NEW, TYPE_OPEN, TYPE_DONE };

// A message or enum of the set; built only when a method reaches it.
struct type_entry {
  const char *full_name;  // "item.v1.Item"
  const Google__Protobuf__DescriptorProto *message;
  const Google__Protobuf__EnumDescriptorProto *enumeration;
  struct declaration declaration;
  bool proto3;
  enum type_state state;
  const struct contract_message *built_message;
  const struct contract_enum *built_enum;
  unsigned json_depth;  // levels of JSON that it opens
};

struct contract_builder {
  struct contract *contract;
  struct arena scratch;          // what only the load needs: descriptors, comments, type entries
  ProtobufCAllocator allocator;  // of protobuf-c, into `scratch`
  struct strmap types;           // ".item.v1.Item" -> struct type_entry
  unsigned open_types;
  struct error *error;
};

// The embedded extension messages of protobuf-c's unknown fields of an options message; parts of the same number are
// one message. `out` NULL when the option is not there.
enum status options_method_policy(struct contract_builder *builder, const Google__Protobuf__MethodOptions *options,
                                  Bulkhead__V1__MethodPolicy **out) MUST_CHECK;
enum status options_api_info(struct contract_builder *builder, const Google__Protobuf__FileOptions *options,
                             Bulkhead__V1__ApiInfo **out) MUST_CHECK;
enum status options_service_info(struct contract_builder *builder, const Google__Protobuf__ServiceOptions *options,
                                 Bulkhead__V1__ServiceInfo **out) MUST_CHECK;
enum status options_http_rule(struct contract_builder *builder, const Google__Protobuf__MethodOptions *options,
                              Google__Api__HttpRule **out) MUST_CHECK;
enum status options_field_rules(struct contract_builder *builder, const Google__Protobuf__FieldOptions *options,
                                Bulkhead__V1__FieldRules **out) MUST_CHECK;
enum status options_oneof_rules(struct contract_builder *builder, const Google__Protobuf__OneofOptions *options,
                                Bulkhead__V1__OneofRules **out) MUST_CHECK;

// The message of a type name such as ".item.v1.Item", with everything below it.
enum status build_message(struct contract_builder *builder, const char *type_name,
                          const struct contract_message **out) MUST_CHECK;

// FieldRules of one field, held against its type. `field` has all but its rules.
enum status build_field_rules(struct contract_builder *builder, const Google__Protobuf__FieldOptions *options,
                              const struct contract_message *message, struct contract_field *field) MUST_CHECK;

// Counts first, so that the arrays of methods and bindings have their size and their addresses stay.
struct service_entry {
  const Google__Protobuf__ServiceDescriptorProto *service;
  const char *package;
  const char *file_comment;
  struct declaration declaration;
};
enum status build_methods(struct contract_builder *builder, const struct service_entry *services,
                          size_t count) MUST_CHECK;
enum status build_bindings(struct contract_builder *builder, const struct contract_method *method,
                           const Google__Api__HttpRule *rule) MUST_CHECK;

// contract_info.c: what only the OpenAPI document needs. `root` stands for the file.
const char *file_comment(const struct declaration *root);
enum status build_info(struct contract_builder *builder, const Google__Protobuf__FileDescriptorProto *file,
                       const struct declaration *root) MUST_CHECK;
// Fills in defaults where no file set (bulkhead.v1.api).
void finish_info(struct contract_builder *builder);
enum status build_service_info(struct contract_builder *builder, const struct service_entry *entry,
                               struct contract_method *method) MUST_CHECK;
enum status build_errors(struct contract_builder *builder, const Bulkhead__V1__MethodPolicy *policy,
                         struct contract_method *method) MUST_CHECK;

#endif

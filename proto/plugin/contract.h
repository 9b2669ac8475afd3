// A CodeGeneratorRequest made easy to ask: messages by name with their fields in the order of protobuf-c's descriptor,
// services, and the options of bulkhead/v1/options.proto. Everything lives in the arena.
#ifndef BULKHEAD_PLUGIN_CONTRACT_H
#define BULKHEAD_PLUGIN_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "bulkhead/v1/options.pb-c.h"
#include "common/base/arena.h"
#include "common/base/strmap.h"
#include "google/protobuf/compiler/plugin.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"

#define FIELD_TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name

// protoc-c's names, cut short.
typedef Google__Protobuf__FileDescriptorProto FileProto;
typedef Google__Protobuf__DescriptorProto MessageProto;
typedef Google__Protobuf__FieldDescriptorProto FieldProto;
typedef Google__Protobuf__ServiceDescriptorProto ServiceProto;
typedef Google__Protobuf__MethodDescriptorProto MethodProto;

struct plugin_message;

struct plugin_field {
  const FieldProto *proto;
  const Bulkhead__V1__FieldRules *rules;  // NULL for none
  struct plugin_message *message;         // of a message field, else NULL
  bool repeated;
};

struct plugin_message {
  const char *full_name;  // "item.v1.Item"
  const FileProto *file;
  const MessageProto *proto;
  struct plugin_field *fields;  // by number
  size_t field_count;
  bool has_table;  // something inside is to be checked, and the plugin writes a table for it
  bool finite;     // no field leads back to the message itself or into another circle
};

struct plugin_method {
  const MethodProto *proto;
  const char *path;                          // "item.v1.ItemService.GetItem"
  const Bulkhead__V1__MethodPolicy *policy;  // NULL for none
  bool has_http;                             // a google.api.http mapping
  const struct plugin_message *input;
  const struct plugin_message *output;
};

struct plugin_service {
  const FileProto *file;
  const ServiceProto *proto;
  const char *full_name;  // "item.v1.ItemService"
  struct plugin_method *methods;
  size_t method_count;
};

struct plugin_contract {
  struct arena *arena;
  struct plugin_message *messages;
  size_t message_count;
  struct plugin_service *services;
  size_t service_count;
  struct strmap by_name;  // ".item.v1.Item" -> struct plugin_message
};

// False when an option cannot be read or a type is missing; `error` says which. strmap_free(&by_name) is the caller's.
bool plugin_build(struct plugin_contract *contract, const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
                  struct arena *arena, const char **error);

// Files of Google and of Bulkhead's options have no validation tables.
bool plugin_file_is_ours(const char *proto_file);

// The occurrences of extension `number` among the unknown fields of `options`, joined: protobuf merges them. False when
// there is none. `options` may be NULL.
bool plugin_extension(const ProtobufCMessage *options, unsigned number, struct arena *arena, struct slice *out);

// Memory of protobuf-c in an arena; free does nothing.
ProtobufCAllocator plugin_allocator(struct arena *arena);

#endif

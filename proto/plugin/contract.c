// Builds the index. Two properties of messages need all of them: both are least fixed points, found by going over the
// list until nothing changes, which needs no recursion and ends after at most as many rounds as messages nest.
#include "proto/plugin/contract.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/wire.h"

enum {
  EXTENSION_METHOD_POLICY = 50001,
  EXTENSION_FIELD_RULES = 50002,
  EXTENSION_HTTP = 72295728,  // google.api.http
};

static void *allocate(void *data, size_t size)
{
  return arena_alloc(data, size);
}

static void release(void *data, void *pointer)
{
  (void)data;
  (void)pointer;
}

ProtobufCAllocator plugin_allocator(struct arena *arena)
{
  return (ProtobufCAllocator){.alloc = allocate, .free = release, .allocator_data = arena};
}

bool plugin_file_is_ours(const char *proto_file)
{
  return strncmp(proto_file, "google/", 7) != 0 && strncmp(proto_file, "bulkhead/", 9) != 0;
}

bool plugin_extension(const ProtobufCMessage *options, unsigned number, struct arena *arena, struct slice *out)
{
  if (options == NULL)
    return false;
  struct strbuf joined;
  strbuf_init(&joined, 0);
  bool found = false;
  for (unsigned i = 0; i < options->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *field = &options->unknown_fields[i];
    if (field->tag != number || field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
      continue;
    // protobuf-c keeps the length prefix in the data: skip the varint.
    size_t prefix = 0;
    while (prefix < field->len && (field->data[prefix] & 0x80) != 0)
      prefix++;
    strbuf_add(&joined, slice_skip(slice_make(field->data, field->len), prefix + 1));
    found = true;
  }
  if (found)
    *out = arena_copy(arena, strbuf_slice(&joined));
  strbuf_free(&joined);
  return found;
}

// Counting and filling.
static size_t count_messages(MessageProto *const *messages, size_t count)
{
  size_t sum = count;
  for (size_t i = 0; i < count; i++)
    sum += count_messages(messages[i]->nested_type, messages[i]->n_nested_type);
  return sum;
}

static void add_messages(struct plugin_contract *contract, const FileProto *file, const char *scope,
                         MessageProto *const *messages, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    const char *dotted = arena_printf(contract->arena, "%s.%s", scope, messages[i]->name);
    struct plugin_message *message = &contract->messages[contract->message_count++];
    *message = (struct plugin_message){.full_name = dotted + 1, .file = file, .proto = messages[i]};
    strmap_add(&contract->by_name, slice_from_string(dotted), message);
    add_messages(contract, file, dotted, messages[i]->nested_type, messages[i]->n_nested_type);
  }
}

static const char *file_scope(struct arena *arena, const FileProto *file)
{
  return file->package == NULL || file->package[0] == '\0' ? "" : arena_printf(arena, ".%s", file->package);
}

static int by_number(const void *a, const void *b)
{
  const struct plugin_field *left = a;
  const struct plugin_field *right = b;
  return (left->proto->number > right->proto->number) - (left->proto->number < right->proto->number);
}

static bool fill_field(struct plugin_contract *contract, const struct plugin_message *owner, const FieldProto *proto,
                       struct plugin_field *field, const char **error)
{
  *field = (struct plugin_field){.proto = proto};
  field->repeated = proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
  if (proto->type == FIELD_TYPE(MESSAGE)) {
    field->message = strmap_get(&contract->by_name, slice_from_string(proto->type_name));
    if (field->message == NULL) {
      *error = arena_printf(contract->arena, "%s: %s.%s: the type %s is not in the request", owner->file->name,
                            owner->full_name, proto->name, proto->type_name);
      return false;
    }
  }
  struct slice bytes;
  if (proto->options == NULL ||
      !plugin_extension(&proto->options->base, EXTENSION_FIELD_RULES, contract->arena, &bytes))
    return true;
  ProtobufCAllocator allocator = plugin_allocator(contract->arena);
  field->rules = bulkhead__v1__field_rules__unpack(&allocator, bytes.size, (const uint8_t *)bytes.data);
  if (field->rules == NULL) {
    *error = arena_printf(contract->arena, "%s: %s.%s: the option bulkhead.v1.field cannot be read", owner->file->name,
                          owner->full_name, proto->name);
    return false;
  }
  return true;
}

static bool fill_message(struct plugin_contract *contract, struct plugin_message *message, const char **error)
{
  message->field_count = message->proto->n_field;
  message->fields = arena_array(contract->arena, message->field_count, sizeof(struct plugin_field));
  for (size_t i = 0; i < message->field_count; i++) {
    if (!fill_field(contract, message, message->proto->field[i], &message->fields[i], error))
      return false;
  }
  qsort(message->fields, message->field_count, sizeof(struct plugin_field), by_number);
  return true;
}

static bool fill_method(struct plugin_contract *contract, const struct plugin_service *service,
                        const MethodProto *proto, struct plugin_method *method, const char **error)
{
  *method = (struct plugin_method){.proto = proto};
  method->path = arena_printf(contract->arena, "%s.%s", service->full_name, proto->name);
  method->input = strmap_get(&contract->by_name, slice_from_string(proto->input_type));
  method->output = strmap_get(&contract->by_name, slice_from_string(proto->output_type));
  if (method->input == NULL || method->output == NULL) {
    *error =
        arena_printf(contract->arena, "%s: %s: its types are not in the request", service->file->name, method->path);
    return false;
  }
  struct slice bytes;
  const ProtobufCMessage *options = proto->options == NULL ? NULL : &proto->options->base;
  method->has_http = plugin_extension(options, EXTENSION_HTTP, contract->arena, &bytes);
  if (!plugin_extension(options, EXTENSION_METHOD_POLICY, contract->arena, &bytes))
    return true;
  ProtobufCAllocator allocator = plugin_allocator(contract->arena);
  method->policy = bulkhead__v1__method_policy__unpack(&allocator, bytes.size, (const uint8_t *)bytes.data);
  if (method->policy == NULL) {
    *error = arena_printf(contract->arena, "%s: %s: the option bulkhead.v1.method cannot be read", service->file->name,
                          method->path);
    return false;
  }
  return true;
}

static bool add_services(struct plugin_contract *contract, const FileProto *file, const char **error)
{
  for (size_t i = 0; i < file->n_service; i++) {
    struct plugin_service *service = &contract->services[contract->service_count++];
    *service = (struct plugin_service){.file = file, .proto = file->service[i]};
    service->full_name =
        arena_printf(contract->arena, "%s.%s", file_scope(contract->arena, file), service->proto->name) + 1;
    service->method_count = service->proto->n_method;
    service->methods = arena_array(contract->arena, service->method_count, sizeof(struct plugin_method));
    for (size_t m = 0; m < service->method_count; m++) {
      if (!fill_method(contract, service, service->proto->method[m], &service->methods[m], error))
        return false;
    }
  }
  return true;
}

// Texts are checked as UTF-8 and for their cap, enums for known values, lists for their cap, also without an option.
static bool field_is_checked(const struct plugin_field *field)
{
  switch (field->proto->type) {
  case FIELD_TYPE(STRING):
  case FIELD_TYPE(BYTES):
  case FIELD_TYPE(ENUM):
    return true;
  default:
    return field->repeated || field->rules != NULL || (field->message != NULL && field->message->has_table);
  }
}

static bool update_has_table(struct plugin_message *message)
{
  if (message->has_table || !plugin_file_is_ours(message->file->name))
    return false;
  for (size_t i = 0; i < message->field_count; i++)
    message->has_table |= field_is_checked(&message->fields[i]);
  return message->has_table;
}

static bool update_finite(struct plugin_message *message)
{
  if (message->finite)
    return false;
  message->finite = true;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct plugin_message *inner = message->fields[i].message;
    if (inner != NULL && (inner == message || !inner->finite))
      message->finite = false;
  }
  return message->finite;
}

static void settle(struct plugin_contract *contract)
{
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t i = 0; i < contract->message_count; i++) {
      changed |= update_has_table(&contract->messages[i]);
      changed |= update_finite(&contract->messages[i]);
    }
  }
}

bool plugin_build(struct plugin_contract *contract, const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
                  struct arena *arena, const char **error)
{
  *contract = (struct plugin_contract){.arena = arena};
  size_t messages = 0;
  size_t services = 0;
  for (size_t i = 0; i < request->n_proto_file; i++) {
    messages += count_messages(request->proto_file[i]->message_type, request->proto_file[i]->n_message_type);
    services += request->proto_file[i]->n_service;
  }
  contract->messages = arena_array(arena, messages, sizeof(struct plugin_message));
  contract->services = arena_array(arena, services, sizeof(struct plugin_service));
  for (size_t i = 0; i < request->n_proto_file; i++) {
    const FileProto *file = request->proto_file[i];
    add_messages(contract, file, file_scope(arena, file), file->message_type, file->n_message_type);
  }
  for (size_t i = 0; i < contract->message_count; i++) {
    if (!fill_message(contract, &contract->messages[i], error))
      return false;
  }
  for (size_t i = 0; i < request->n_proto_file; i++) {
    if (!add_services(contract, request->proto_file[i], error))
      return false;
  }
  settle(contract);
  return true;
}

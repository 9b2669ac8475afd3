// Compiles a FileDescriptorSet to a contract:  register every type by name, build the messages of our own files, then
// the services with their methods, and the routes. Descriptors and type entries live in a scratch arena that ends with
// the load.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/wire.h"
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

// How deep declarations of messages may nest. protobuf-c unpacks descriptors by recursion without a limit of its own.
#define MAX_NESTED_TYPES 32

static void *scratch_alloc(void *arena, size_t size)
{
  return arena_alloc(arena, size);
}

static void scratch_free(void *arena, void *memory)
{
  (void)arena;
  (void)memory;
}

// Returns the number of the field that lists the messages inside what field `number` lists: messages of a file, then
// messages nested in messages.
static uint32_t find_nested_list(uint32_t number)
{
  return number == SET_FILE ? FILE_MESSAGE_TYPE : MESSAGE_NESTED_TYPE;
}

static bool nests_too_deep(struct slice bytes, uint32_t number, unsigned depth)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  if (depth > MAX_NESTED_TYPES)
    return true;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == number && field.type == WIRE_BYTES &&
        nests_too_deep(field.bytes, find_nested_list(number), depth + 1))
      return true;
  return false;
}

static bool starts_with(const char *text, const char *prefix)
{
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void add_file(struct contract_builder *builder, const Google__Protobuf__FileDescriptorProto *descriptor)
{
  struct source_file *source = &builder->sources[builder->source_count++];
  struct contract_file *file = arena_alloc(&builder->contract->arena, sizeof(*file));
  *file = (struct contract_file){
      .name = keep_text(builder, descriptor->name),
      .package = keep_text(builder, descriptor->package),
  };
  bool is_proto3 = descriptor->syntax != NULL && strcmp(descriptor->syntax, "proto3") == 0;
  // A proto2 file is there for the messages that contracts take from it.
  file->is_own = !starts_with(file->name, "google/") && !starts_with(file->name, "bulkhead/") &&
                 (is_proto3 || descriptor->n_service > 0);
  *source = (struct source_file){.file = file, .descriptor = descriptor, .is_proto3 = is_proto3};
  source_file_index(builder, source);
  struct declaration declaration = declaration_of_file(source);
  if (file->is_own && !source->is_proto3)
    report(builder, &declaration,
           "the file has services and is not proto3; write syntax = \"proto3\"; in its first line");
  if (file->is_own && file->package[0] == '\0')
    report(builder, &declaration,
           "the file has no package; write one such as package item.v1; (its first part names the service that is "
           "called)");
}

static void add_files(struct contract_builder *builder, const Google__Protobuf__FileDescriptorSet *set)
{
  builder->sources = arena_array(&builder->scratch, set->n_file, sizeof(*builder->sources));
  for (size_t i = 0; i < set->n_file; i++)
    add_file(builder, set->file[i]);
}

static void report_set(struct contract_builder *builder, const char *sentence)
{
  diagnostics_add(builder->diagnostics, &(struct source_place){.file = ""}, NULL, "%s", sentence);
}

static void list_messages(struct contract_builder *builder)
{
  struct contract *contract = builder->contract;
  contract->messages = arena_array(&contract->arena, builder->type_count, sizeof(*contract->messages));
  for (size_t i = 0; i < builder->type_count; i++)
    if (builder->listed[i]->built_message != NULL)
      contract->messages[contract->message_count++] = builder->listed[i]->built_message;
}

static void build(struct contract_builder *builder, struct slice protoset)
{
  size_t before = builder->diagnostics->count;
  if (nests_too_deep(protoset, SET_FILE, 0)) {
    report_set(builder, "the descriptor set nests messages more than 32 deep; declare them side by side");
    return;
  }
  const Google__Protobuf__FileDescriptorSet *set = google__protobuf__file_descriptor_set__unpack(
      &builder->allocator, protoset.size, (const uint8_t *)(protoset.size == 0 ? "" : protoset.data));
  if (set == NULL) {
    report_set(builder, "the file is not a FileDescriptorSet; make one with protoc --descriptor_set_out and "
                        "--include_imports");
    return;
  }
  add_files(builder, set);
  build_info(builder);
  register_types(builder);
  build_own_messages(builder);
  declare_permissions(builder);
  build_services(builder);
  check_permissions(builder);
  list_messages(builder);
  check_c_names(builder);
  routes_build(builder);
  // A method whose route was refused would make its headers look unused.
  if (builder->diagnostics->count == before)
    check_headers(builder);
}

enum status contract_load(struct slice protoset, struct contract **out, struct diagnostics *diagnostics)
{
  size_t before = diagnostics->count;
  struct contract_builder builder = {.diagnostics = diagnostics};
  arena_init(&builder.scratch);
  builder.allocator =
      (ProtobufCAllocator){.alloc = scratch_alloc, .free = scratch_free, .allocator_data = &builder.scratch};
  builder.contract = calloc(1, sizeof(*builder.contract));
  CHECK(builder.contract != NULL);
  build(&builder, protoset);
  diagnostics_sort(diagnostics);
  strmap_free(&builder.types);
  arena_free(&builder.scratch);
  *out = builder.contract;
  if (diagnostics->count == before)
    return STATUS_OK;
  contract_free(out);
  return STATUS_INVALID_ARGUMENT;
}

void contract_free(struct contract **contract)
{
  if (*contract == NULL)
    return;
  strmap_free(&(*contract)->methods_by_name);
  strmap_free(&(*contract)->messages_by_name);
  arena_free(&(*contract)->arena);
  free(*contract);
  *contract = NULL;
}

size_t contract_method_count(const struct contract *contract)
{
  return contract->method_count;
}

const struct contract_method *contract_method(const struct contract *contract, size_t index)
{
  CHECK(index < contract->method_count);
  return &contract->methods[index];
}

size_t contract_binding_count(const struct contract *contract)
{
  return contract->binding_count;
}

const struct contract_binding *contract_binding(const struct contract *contract, size_t index)
{
  CHECK(index < contract->binding_count);
  return &contract->bindings[index];
}

size_t contract_service_count(const struct contract *contract)
{
  return contract->service_count;
}

const struct contract_service *contract_service(const struct contract *contract, size_t index)
{
  CHECK(index < contract->service_count);
  return &contract->services[index];
}

size_t contract_message_count(const struct contract *contract)
{
  return contract->message_count;
}

const struct contract_message *contract_message(const struct contract *contract, size_t index)
{
  CHECK(index < contract->message_count);
  return contract->messages[index];
}

const struct contract_method *contract_method_by_name(const struct contract *contract, struct slice full_name)
{
  return strmap_get(&contract->methods_by_name, full_name);
}

const struct contract_message *contract_message_by_name(const struct contract *contract, struct slice full_name)
{
  return strmap_get(&contract->messages_by_name, full_name);
}

// A FileDescriptorSet to a contract: register every type by name, then build the methods and, from them, only the types
// that they reach. Descriptors, comments and type entries live in a scratch arena that ends with the load.
#include "common/contract/contract.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/utf8.h"
#include "common/base/wire.h"
#include "common/contract/builder_internal.h"
#include "common/contract/routes_internal.h"

// Messages in messages; protobuf-c unpacks them by recursion without a limit.
#define MAX_NESTED_TYPES 8

// Numbers of descriptor.proto, as source paths use them.
enum {
  FILE_MESSAGE_TYPE = 4,
  FILE_ENUM_TYPE = 5,
  FILE_SERVICE = 6,
  MESSAGE_NESTED_TYPE = 3,
  MESSAGE_ENUM_TYPE = 4,
  SET_FILE = 1,
};

static void *scratch_alloc(void *arena, size_t size)
{
  return arena_alloc(arena, size);
}

static void scratch_free(void *arena, void *memory)
{
  (void)arena;
  (void)memory;
}

static bool nested_too_deep(struct slice bytes, uint32_t number, unsigned depth)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  if (depth > MAX_NESTED_TYPES)
    return true;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == number && field.type == WIRE_BYTES &&
        nested_too_deep(field.bytes,
                        number == SET_FILE            ? FILE_MESSAGE_TYPE
                        : number == FILE_MESSAGE_TYPE ? MESSAGE_NESTED_TYPE
                                                      : number,
                        depth + 1))
      return true;
  return false;
}

// ---- comments ----

static struct slice path_key(const int32_t *path, size_t depth)
{
  return slice_make(path, depth * sizeof(*path));
}

// protoc leaves the space that follows the slashes in front of each line.
static char *clean_comment(struct arena *arena, struct slice text)
{
  if (!utf8_valid(text))
    return arena_string(arena, SLICE(""));
  char *cleaned = arena_alloc(arena, text.size + 1);
  char *to = cleaned;
  bool line_start = true;
  for (size_t i = 0; i < text.size; i++) {
    if (!(line_start && text.data[i] == ' '))
      *to++ = text.data[i];
    line_start = text.data[i] == '\n';
  }
  while (to > cleaned && (to[-1] == '\n' || to[-1] == ' '))
    to--;
  *to = '\0';
  return cleaned;
}

static void remove_map(void *map)
{
  strmap_free(map);
}

static struct strmap *index_comments(struct contract_builder *builder, const Google__Protobuf__SourceCodeInfo *info)
{
  struct strmap *comments = arena_zalloc(&builder->scratch, sizeof(*comments));
  arena_on_free(&builder->scratch, remove_map, comments);
  for (size_t i = 0; info != NULL && i < info->n_location; i++) {
    const Google__Protobuf__SourceCodeInfo__Location *location = info->location[i];
    if (location->leading_comments == NULL || location->n_path == 0)
      continue;
    char *text = clean_comment(&builder->scratch, slice_from_string(location->leading_comments));
    // Two locations of one path are not what protoc writes; the first is as good as any.
    if (!strmap_add(comments, path_key(location->path, location->n_path), text))
      continue;
  }
  return comments;
}

struct declaration declaration_child(const struct declaration *parent, int32_t field_number, size_t index)
{
  struct declaration child = *parent;
  CHECK(child.depth + 2 <= DECLARATION_MAX_DEPTH);
  child.path[child.depth++] = field_number;
  child.path[child.depth++] = (int32_t)index;
  return child;
}

const char *declaration_comment(const struct declaration *declaration)
{
  const char *comment = strmap_get(declaration->comments, path_key(declaration->path, declaration->depth));
  return comment == NULL ? "" : comment;
}

// ---- types ----

// Names go into JSON and OpenAPI as they are.
static bool is_identifier(const char *name, bool dots)
{
  for (const char *at = name; *at != '\0'; at++) {
    char letter = (char)(*at | 0x20);
    if (!(letter >= 'a' && letter <= 'z') && !(*at >= '0' && *at <= '9') && *at != '_' && !(dots && *at == '.'))
      return false;
  }
  return true;
}

static enum status add_type(struct contract_builder *builder, const char *scope, const char *name,
                            struct type_entry entry)
{
  if (name == NULL || *name == '\0' || !is_identifier(name, false))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "a type of %s has no valid name", scope);
  struct type_entry *added = arena_alloc(&builder->scratch, sizeof(*added));
  *added = entry;
  char *dotted = arena_printf(&builder->scratch, "%s.%s", scope, name);
  added->full_name = dotted + 1;
  if (!strmap_add(&builder->types, slice_from_string(dotted), added))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s is declared twice", added->full_name);
  return STATUS_OK;
}

struct enum_list {
  int32_t field_number;  // of the list in its owner
  Google__Protobuf__EnumDescriptorProto **enums;
  size_t count;
};

// `owner` is the message, or an entry that stands for the file.
static enum status add_enums(struct contract_builder *builder, const char *scope, const struct type_entry *owner,
                             struct enum_list list)
{
  for (size_t i = 0; i < list.count; i++) {
    struct type_entry entry = {.enumeration = list.enums[i],
                               .declaration = declaration_child(&owner->declaration, list.field_number, i),
                               .proto3 = owner->proto3};
    enum status status = add_type(builder, scope, list.enums[i]->name, entry);
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

// Recursion is bounded by MAX_NESTED_TYPES.
static enum status add_message(struct contract_builder *builder, const char *scope, struct type_entry entry)
{
  const Google__Protobuf__DescriptorProto *message = entry.message;
  enum status status = add_type(builder, scope, message->name, entry);
  if (status != STATUS_OK)
    return status;
  const char *inner = arena_printf(&builder->scratch, "%s.%s", scope, message->name);
  status = add_enums(builder, inner, &entry,
                     (struct enum_list){MESSAGE_ENUM_TYPE, message->enum_type, message->n_enum_type});
  for (size_t i = 0; i < message->n_nested_type && status == STATUS_OK; i++) {
    struct type_entry nested = {.message = message->nested_type[i],
                                .declaration = declaration_child(&entry.declaration, MESSAGE_NESTED_TYPE, i),
                                .proto3 = entry.proto3};
    status = add_message(builder, inner, nested);
  }
  return status;
}

static enum status add_file(struct contract_builder *builder, const Google__Protobuf__FileDescriptorProto *file,
                            struct declaration *root)
{
  const char *package = file->package == NULL ? "" : file->package;
  const char *scope = *package == '\0' ? "" : arena_printf(&builder->scratch, ".%s", package);
  *root = (struct declaration){.comments = index_comments(builder, file->source_code_info)};
  struct type_entry owner = {.declaration = *root,
                             .proto3 = file->syntax != NULL && strcmp(file->syntax, "proto3") == 0};
  if (!is_identifier(package, true))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "a package has no valid name");
  enum status status =
      add_enums(builder, scope, &owner, (struct enum_list){FILE_ENUM_TYPE, file->enum_type, file->n_enum_type});
  for (size_t i = 0; i < file->n_message_type && status == STATUS_OK; i++) {
    struct type_entry entry = {.message = file->message_type[i],
                               .declaration = declaration_child(root, FILE_MESSAGE_TYPE, i),
                               .proto3 = owner.proto3};
    status = add_message(builder, scope, entry);
  }
  return status;
}

// ---- the whole set ----

static enum status build(struct contract_builder *builder, const Google__Protobuf__FileDescriptorSet *set)
{
  size_t service_count = 0;
  for (size_t i = 0; i < set->n_file; i++)
    service_count += set->file[i]->n_service;
  struct service_entry *services = arena_array(&builder->scratch, service_count, sizeof(*services));
  size_t next = 0;
  for (size_t i = 0; i < set->n_file; i++) {
    const Google__Protobuf__FileDescriptorProto *file = set->file[i];
    struct declaration root;
    enum status status = add_file(builder, file, &root);
    if (status == STATUS_OK)
      status = build_info(builder, file, &root);
    if (status != STATUS_OK)
      return status;
    for (size_t j = 0; j < file->n_service; j++)
      services[next++] = (struct service_entry){.service = file->service[j],
                                                .package = file->package == NULL ? "" : file->package,
                                                .file_comment = file_comment(&root),
                                                .declaration = declaration_child(&root, FILE_SERVICE, j)};
  }
  finish_info(builder);
  enum status status = build_methods(builder, services, service_count);
  if (status != STATUS_OK)
    return status;
  return routes_build(builder->contract, builder->error);
}

enum status contract_load(struct slice protoset, struct contract **out, struct error *error)
{
  *out = NULL;
  if (nested_too_deep(protoset, SET_FILE, 0))
    return error_set(error, STATUS_INVALID_ARGUMENT, "the descriptor set nests types more than %d deep",
                     MAX_NESTED_TYPES);
  struct contract_builder builder = {.error = error};
  arena_init(&builder.scratch);
  builder.allocator =
      (ProtobufCAllocator){.alloc = scratch_alloc, .free = scratch_free, .allocator_data = &builder.scratch};
  builder.contract = calloc(1, sizeof(*builder.contract));
  CHECK(builder.contract != NULL);
  Google__Protobuf__FileDescriptorSet *set = google__protobuf__file_descriptor_set__unpack(
      &builder.allocator, protoset.size, (const uint8_t *)(protoset.size == 0 ? "" : protoset.data));
  enum status status = set == NULL ? error_set(error, STATUS_INVALID_ARGUMENT,
                                               "the file is no FileDescriptorSet as protoc --descriptor_set_out writes")
                                   : build(&builder, set);
  strmap_free(&builder.types);
  arena_free(&builder.scratch);
  if (status == STATUS_OK)
    *out = builder.contract;
  else
    contract_free(&builder.contract);
  return status;
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

const struct contract_method *contract_method_by_name(const struct contract *contract, struct slice full_name)
{
  return strmap_get(&contract->methods_by_name, full_name);
}

const struct contract_message *contract_message_by_name(const struct contract *contract, struct slice full_name)
{
  return strmap_get(&contract->messages_by_name, full_name);
}

#include "proto/query/messages.h"

#include <string.h>

#include "common/contract/c_names.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "proto/query/file.h"

typedef Google__Protobuf__FileDescriptorSet FileSet;
typedef Google__Protobuf__FileDescriptorProto FileProto;
typedef Google__Protobuf__DescriptorProto MessageProto;
typedef Google__Protobuf__FieldDescriptorProto FieldProto;

#define TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name

static enum field_type type_of(const FieldProto *field)
{
  switch (field->type) {
  case TYPE(STRING):
    return FIELD_STRING;
  case TYPE(INT32):
  case TYPE(SINT32):
  case TYPE(SFIXED32):
    return FIELD_INT32;
  case TYPE(INT64):
  case TYPE(SINT64):
  case TYPE(SFIXED64):
    return FIELD_INT64;
  case TYPE(BOOL):
    return FIELD_BOOL;
  case TYPE(DOUBLE):
    return FIELD_DOUBLE;
  case TYPE(BYTES):
    return FIELD_BYTES;
  case TYPE(MESSAGE):
    return strcmp(field->type_name, ".google.protobuf.Timestamp") == 0 ? FIELD_TIME : FIELD_MESSAGE;
  default:
    return FIELD_OTHER;
  }
}

static struct field make_field(const FieldProto *proto, struct arena *arena)
{
  return (struct field){
      .name = arena_string(arena, slice_from_string(proto->name)),
      .json_name = arena_string(arena, slice_from_string(proto->json_name)),
      .type = type_of(proto),
      .repeated = proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED,
      .in_oneof = proto->has_oneof_index && !proto->proto3_optional,
      .optional = proto->has_proto3_optional && proto->proto3_optional,
      .number = proto->number,
      .message = proto->type_name == NULL ? "" : arena_string(arena, slice_from_string(proto->type_name + 1)),
  };
}

static void add_message(struct messages *messages, const FileProto *file, const MessageProto *proto,
                        struct arena *arena)
{
  struct message *message = &messages->items[messages->count++];
  *message = (struct message){
      .full_name = arena_printf(arena, "%s.%s", file->package, proto->name),
      .stem = c_name_stem(arena, file->name),
      .fields = arena_array(arena, proto->n_field, sizeof(struct field)),
      .field_count = proto->n_field,
  };
  for (size_t i = 0; i < proto->n_field; i++)
    message->fields[i] = make_field(proto->field[i], arena);
}

static void add_all(struct messages *messages, const FileSet *set, struct arena *arena)
{
  size_t count = 0;
  for (size_t i = 0; i < set->n_file; i++)
    count += set->file[i]->n_message_type;
  *messages = (struct messages){.items = arena_array(arena, count, sizeof(struct message))};
  for (size_t i = 0; i < set->n_file; i++)
    for (size_t m = 0; m < set->file[i]->n_message_type; m++)
      add_message(messages, set->file[i], set->file[i]->message_type[m], arena);
}

enum status messages_load(struct messages *messages, const char *path, struct arena *arena, struct error *error)
{
  struct slice bytes;
  enum status status = file_read(path, arena, &bytes, error);
  if (status != STATUS_OK)
    return status;
  FileSet *set = google__protobuf__file_descriptor_set__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);
  if (set == NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s is not a FileDescriptorSet; write it with protoc", path);
  add_all(messages, set, arena);
  google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
  return STATUS_OK;
}

const struct message *messages_find(const struct messages *messages, struct slice full_name)
{
  for (size_t i = 0; i < messages->count; i++)
    if (slice_equal_string(full_name, messages->items[i].full_name))
      return &messages->items[i];
  return NULL;
}

const struct field *message_field(const struct message *message, struct slice name)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (slice_equal_string(name, message->fields[i].name))
      return &message->fields[i];
  return NULL;
}

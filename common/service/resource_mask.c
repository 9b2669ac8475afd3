#include "common/service/resource_mask_internal.h"

#include <string.h>

#include "common/contract/validate.h"
#include "common/service/resource.h"
#include "google/protobuf/field_mask.pb-c.h"

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessage *message, const char *name)
{
  return protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
}

static bool update_writes(const struct query *update, const ProtobufCFieldDescriptor *field)
{
  // id and etag select the row, so an update does not write them.
  if (strcmp(field->name, "id") == 0 || strcmp(field->name, "etag") == 0)
    return false;
  for (size_t i = 0; i < update->param_count; i++)
    if (update->params[i].offset == field->offset)
      return true;
  return false;
}

static void copy_field(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCFieldDescriptor *field)
{
  bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
  size_t size = repeated ? sizeof(void *) : validate_value_size(field->type);
  memcpy((char *)to + field->offset, (const char *)from + field->offset, size);
  if (repeated)
    *(size_t *)((char *)to + field->quantifier_offset) =
        *(const size_t *)((const char *)from + field->quantifier_offset);
  // The presence of an optional field is copied, too, so that an absent one becomes absent.
  if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
    *(uint32_t *)((char *)to + field->quantifier_offset) =
        *(const uint32_t *)((const char *)from + field->quantifier_offset);
}

static void merge_all(ProtobufCMessage *to, const ProtobufCMessage *from, const struct query *update)
{
  for (unsigned i = 0; i < to->descriptor->n_fields; i++)
    if (update_writes(update, &to->descriptor->fields[i]))
      copy_field(to, from, &to->descriptor->fields[i]);
}

const char *resource_merge(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCMessage *mask,
                           const struct query *update)
{
  const Google__Protobuf__FieldMask *paths = (const Google__Protobuf__FieldMask *)(const void *)mask;
  if (paths == NULL) {
    merge_all(to, from, update);
    return NULL;
  }
  for (size_t i = 0; i < paths->n_paths; i++) {
    const ProtobufCFieldDescriptor *field = find_field(to, paths->paths[i]);
    if (strcmp(paths->paths[i], "*") == 0)
      merge_all(to, from, update);
    else if (field == NULL)
      return paths->paths[i];
    else if (update_writes(update, field))
      copy_field(to, from, field);
  }
  return NULL;
}

bool resource_mask_writes(const ProtobufCMessage *mask, const ProtobufCMessage *message, const struct query *update)
{
  const Google__Protobuf__FieldMask *paths = (const Google__Protobuf__FieldMask *)(const void *)mask;
  for (size_t i = 0; paths != NULL && i < paths->n_paths; i++) {
    const ProtobufCFieldDescriptor *field = find_field(message, paths->paths[i]);
    if (strcmp(paths->paths[i], "*") == 0 || (field != NULL && update_writes(update, field)))
      return true;
  }
  return paths == NULL;
}

const struct query *resource_pick_update(const struct resource *resource, const ProtobufCMessage *mask,
                                         const ProtobufCMessage *message)
{
  const Google__Protobuf__FieldMask *paths = (const Google__Protobuf__FieldMask *)(const void *)mask;
  if (resource->update_part == NULL || paths == NULL)
    return resource->update;
  for (size_t i = 0; i < paths->n_paths; i++) {
    const ProtobufCFieldDescriptor *field = find_field(message, paths->paths[i]);
    if (field == NULL || (update_writes(resource->update, field) && !update_writes(resource->update_part, field)))
      return resource->update;
  }
  return resource->update_part;
}

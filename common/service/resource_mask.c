#include "common/service/resource_mask_internal.h"

#include <string.h>

#include "common/contract/validate.h"
#include "common/service/resource.h"
#include "google/protobuf/field_mask.pb-c.h"

static bool same_field(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field);

static const void *member_at(const ProtobufCMessage *message, unsigned offset)
{
  return (const char *)message + offset;
}

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

// ---- what differs ----

static bool same_text(const char *a, const char *b)
{
  return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
  return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
  if (a == NULL || b == NULL)
    return a == b;
  for (unsigned i = 0; i < a->descriptor->n_fields; i++)
    if (!same_field(a, b, &a->descriptor->fields[i]))
      return false;
  return true;
}

static bool same_value(const void *a, const void *b, ProtobufCType type)
{
  switch (type) {
  case PROTOBUF_C_TYPE_STRING:
    return same_text(*(const char *const *)a, *(const char *const *)b);
  case PROTOBUF_C_TYPE_BYTES:
    return same_bytes(a, b);
  case PROTOBUF_C_TYPE_MESSAGE:
    return same_message(*(const ProtobufCMessage *const *)a, *(const ProtobufCMessage *const *)b);
  default:
    return memcmp(a, b, validate_value_size(type)) == 0;
  }
}

static bool same_list(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field)
{
  size_t count = *(const size_t *)member_at(a, field->quantifier_offset);
  if (count != *(const size_t *)member_at(b, field->quantifier_offset))
    return false;
  const char *items_a = *(const char *const *)member_at(a, field->offset);
  const char *items_b = *(const char *const *)member_at(b, field->offset);
  size_t size = validate_value_size(field->type);
  for (size_t i = 0; i < count; i++)
    if (!same_value(items_a + i * size, items_b + i * size, field->type))
      return false;
  return true;
}

static bool same_field(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field)
{
  if (field->label == PROTOBUF_C_LABEL_REPEATED)
    return same_list(a, b, field);
  if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
    uint32_t set = *(const uint32_t *)member_at(a, field->quantifier_offset);
    if (set != *(const uint32_t *)member_at(b, field->quantifier_offset) || (set != 0 && set != field->id))
      return false;
    if (set == 0)
      return true;
  }
  return same_value(member_at(a, field->offset), member_at(b, field->offset), field->type);
}

// ---- merging ----

// Copies a field where it differs. Returns whether it did.
static bool copy_field(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCFieldDescriptor *field)
{
  if (same_field(to, from, field))
    return false;
  bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
  size_t size = repeated ? sizeof(void *) : validate_value_size(field->type);
  memcpy((char *)to + field->offset, (const char *)from + field->offset, size);
  if (repeated)
    *(size_t *)((char *)to + field->quantifier_offset) = *(const size_t *)member_at(from, field->quantifier_offset);
  // The presence of an optional field is copied, too, so that an absent one becomes absent.
  if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
    *(uint32_t *)((char *)to + field->quantifier_offset) = *(const uint32_t *)member_at(from, field->quantifier_offset);
  return true;
}

static bool merge_all(ProtobufCMessage *to, const ProtobufCMessage *from, const struct query *update)
{
  bool differs = false;
  for (unsigned i = 0; i < to->descriptor->n_fields; i++)
    if (update_writes(update, &to->descriptor->fields[i]) && copy_field(to, from, &to->descriptor->fields[i]))
      differs = true;
  return differs;
}

const char *resource_merge(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCMessage *mask,
                           const struct query *update, bool *differs)
{
  const Google__Protobuf__FieldMask *paths = (const Google__Protobuf__FieldMask *)(const void *)mask;
  *differs = false;
  if (paths == NULL) {
    *differs = merge_all(to, from, update);
    return NULL;
  }
  for (size_t i = 0; i < paths->n_paths; i++) {
    const ProtobufCFieldDescriptor *field = find_field(to, paths->paths[i]);
    if (strcmp(paths->paths[i], "*") == 0)
      *differs = merge_all(to, from, update) || *differs;
    else if (field == NULL)
      return paths->paths[i];
    else if (update_writes(update, field))
      *differs = copy_field(to, from, field) || *differs;
  }
  return NULL;
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

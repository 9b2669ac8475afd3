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

static bool is_in_oneof(const ProtobufCFieldDescriptor *field)
{
  return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

static uint32_t *case_of(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
  return (uint32_t *)(void *)((char *)message + field->quantifier_offset);
}

static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
  return *(const uint32_t *)member_at(message, field->quantifier_offset) == field->id;
}

static void copy_value(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCFieldDescriptor *field)
{
  bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
  size_t size = repeated ? sizeof(void *) : validate_value_size(field->type);
  memcpy((char *)to + field->offset, (const char *)from + field->offset, size);
  if (repeated)
    *(size_t *)((char *)to + field->quantifier_offset) = *(const size_t *)member_at(from, field->quantifier_offset);
}

// Copies a field of a oneof, as which protobuf-c has `optional` fields, too. One that is set replaces whichever of the
// group is; one that is not takes itself away, and leaves another alone.
static bool copy_member(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCFieldDescriptor *field)
{
  if (is_set(from, field)) {
    if (same_field(to, from, field))
      return false;
    copy_value(to, from, field);
    *case_of(to, field) = field->id;
    return true;
  }
  if (!is_set(to, field))
    return false;
  memset((char *)to + field->offset, 0, validate_value_size(field->type));
  *case_of(to, field) = 0;
  return true;
}

// Copies a field where it differs: lists, maps and messages as a whole. Returns whether it did.
static bool copy_field(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCFieldDescriptor *field)
{
  if (is_in_oneof(field))
    return copy_member(to, from, field);
  if (same_field(to, from, field))
    return false;
  copy_value(to, from, field);
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

// ---- paths ----

// Whether a path may go on below the field: a single message of the contracts' own. Google's have one value.
static bool has_inside(const ProtobufCFieldDescriptor *field)
{
  if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED)
    return false;
  const ProtobufCMessageDescriptor *inside = field->descriptor;
  return strcmp(inside->package_name, "google.protobuf") != 0;
}

// Finds the field of the first name of a path; `rest` is the path below it, NULL where it ends there. NULL where there
// is no such field, or no path below it.
static const ProtobufCFieldDescriptor *find_first(const ProtobufCMessageDescriptor *descriptor, const char *path,
                                                  const char **rest)
{
  size_t size = strcspn(path, ".");
  *rest = path[size] == '.' ? path + size + 1 : NULL;
  for (unsigned i = 0; i < descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
    if (strncmp(field->name, path, size) == 0 && field->name[size] == '\0')
      return *rest == NULL || has_inside(field) ? field : NULL;
  }
  return NULL;
}

// Whether the path leads to a field.
static bool is_path(const ProtobufCMessageDescriptor *descriptor, const char *path)
{
  const char *rest = path;
  while (rest != NULL) {
    const ProtobufCFieldDescriptor *field = find_first(descriptor, rest, &rest);
    if (field == NULL)
      return false;
    descriptor = field->descriptor;
  }
  return true;
}

static ProtobufCMessage *inner_message(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
  if (is_in_oneof(field) && !is_set(message, field))
    return NULL;
  return *(ProtobufCMessage *const *)member_at(message, field->offset);
}

static ProtobufCMessage *copy_message(const ProtobufCMessageDescriptor *descriptor, const ProtobufCMessage *from,
                                      struct arena *arena)
{
  ProtobufCMessage *copy = arena_alloc(arena, descriptor->sizeof_message);
  if (from == NULL)
    protobuf_c_message_init(descriptor, copy);
  else
    memcpy(copy, from, descriptor->sizeof_message);
  return copy;
}

// Copies the field that a path leads to, which is one. A message on the way is made where only `from` has it, and
// copied before it changes, because others may hold it, too.
static bool copy_path(ProtobufCMessage *to, const ProtobufCMessage *from, const char *path, struct arena *arena)
{
  const char *rest;
  const ProtobufCFieldDescriptor *field = find_first(to->descriptor, path, &rest);
  if (rest == NULL)
    return copy_field(to, from, field);
  const ProtobufCMessageDescriptor *descriptor = field->descriptor;
  ProtobufCMessage *stored = inner_message(to, field);
  const ProtobufCMessage *given = inner_message(from, field);
  if (stored == NULL && given == NULL)
    return false;
  ProtobufCMessage *merged = copy_message(descriptor, stored, arena);
  // A path into a message that is not given empties what it leads to.
  bool differs = copy_path(merged, given == NULL ? copy_message(descriptor, NULL, arena) : given, rest, arena);
  if (!differs && (stored != NULL || given == NULL))
    return false;
  *(ProtobufCMessage **)((char *)to + field->offset) = merged;
  if (is_in_oneof(field))
    *case_of(to, field) = field->id;
  return true;
}

const char *resource_merge(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCMessage *mask,
                           const struct resource_merging *merging, bool *differs)
{
  const Google__Protobuf__FieldMask *paths = (const Google__Protobuf__FieldMask *)(const void *)mask;
  *differs = false;
  if (paths == NULL) {
    *differs = merge_all(to, from, merging->update);
    return NULL;
  }
  for (size_t i = 0; i < paths->n_paths; i++) {
    const char *path = paths->paths[i];
    const char *rest;
    if (strcmp(path, "*") == 0)
      *differs = merge_all(to, from, merging->update) || *differs;
    else if (!is_path(to->descriptor, path))
      return path;
    else if (update_writes(merging->update, find_first(to->descriptor, path, &rest)))
      *differs = copy_path(to, from, path, merging->arena) || *differs;
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
    const char *rest;
    const ProtobufCFieldDescriptor *field = find_first(message->descriptor, paths->paths[i], &rest);
    if (field == NULL || (update_writes(resource->update, field) && !update_writes(resource->update_part, field)))
      return resource->update;
  }
  return resource->update_part;
}

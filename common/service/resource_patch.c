#include "common/service/resource_patch_internal.h"

#include <string.h>

#include "common/base/json_merge.h"
#include "common/contract/validate.h"
#include "common/service/call_internal.h"
#include "google/protobuf/field_mask.pb-c.h"

#define MEMBERS ".*"

static void *copy_bytes(struct arena *arena, const void *bytes, size_t size)
{
  return memcpy(arena_alloc(arena, size), bytes, size);
}

// Tells whether the field is a text that is always there.
static bool is_plain_text(const ProtobufCFieldDescriptor *field)
{
  return field->type == PROTOBUF_C_TYPE_STRING && field->label != PROTOBUF_C_LABEL_REPEATED &&
         (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
}

// Finds the field of a path such as "attributes.*". NULL for any other path.
static const ProtobufCFieldDescriptor *find_patched(const ProtobufCMessage *body, const char *path, struct arena *arena)
{
  size_t size = strlen(path);
  if (size <= 2 || strcmp(path + size - 2, MEMBERS) != 0)
    return NULL;
  const char *name = arena_string(arena, slice_make(path, size - 2));
  const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(body->descriptor, name);
  return field != NULL && is_plain_text(field) ? field : NULL;
}

void resource_patch_read(const ProtobufCMessage *mask, const ProtobufCMessage *body, struct arena *arena,
                         struct resource_patch *patch)
{
  const Google__Protobuf__FieldMask *paths = (const Google__Protobuf__FieldMask *)(const void *)mask;
  Google__Protobuf__FieldMask *plain = NULL;
  *patch = (struct resource_patch){.mask = mask};
  for (size_t i = 0; paths != NULL && i < paths->n_paths; i++) {
    const ProtobufCFieldDescriptor *field = find_patched(body, paths->paths[i], arena);
    if (field == NULL)
      continue;
    if (plain == NULL) {
      plain = copy_bytes(arena, paths, sizeof(*paths));
      plain->paths = copy_bytes(arena, paths->paths, paths->n_paths * sizeof(*paths->paths));
      patch->fields = arena_array(arena, paths->n_paths, sizeof(*patch->fields));
      patch->mask = &plain->base;
    }
    plain->paths[i] = (char *)(uintptr_t)field->name;
    patch->fields[patch->count++] = field;
  }
}

static const char **text_at(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
  return (const char **)(void *)((char *)(uintptr_t)message + field->offset);
}

// Finds the rules of the message that the call's request holds under `name`; NULL where there are none.
static const struct message_rules *find_rules(const struct call *call, const char *name)
{
  const struct message_rules *request = call->method == NULL ? NULL : call->method->input_rules;
  const ProtobufCFieldDescriptor *field =
      request == NULL ? NULL : protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
  return field == NULL ? NULL : request->fields[field - request->descriptor->fields].message;
}

// Puts the merged text of a field into `body`. Reports what is wrong with it.
static bool merge_text(struct call *call, const ProtobufCFieldDescriptor *field, const struct message_rules *rules,
                       const ProtobufCMessage *stored, ProtobufCMessage *body)
{
  size_t place = (size_t)(field - body->descriptor->fields);
  struct strbuf merged, scratch;
  strbuf_init(&merged, 0);
  strbuf_init(&scratch, 0);
  const char *problem = NULL;
  if (!json_merge(slice_from_string(*text_at(stored, field)), slice_from_string(*text_at(body, field)),
                  call_arena(call), &merged))
    problem = "must be an object";
  else if (rules != NULL)
    problem = rules_check_text(&rules->fields[place].rules, strbuf_slice(&merged), &scratch);
  if (problem != NULL)
    call_violation(call, rules == NULL ? field->name : rules->shown_names[place],
                   arena_string(call_arena(call), slice_from_string(problem)));
  *text_at(body, field) = arena_string(call_arena(call), strbuf_slice(&merged));
  strbuf_free(&merged);
  strbuf_free(&scratch);
  return problem == NULL;
}

static bool is_empty_object(const char *text)
{
  return *text == '\0' || strcmp(text, "{}") == 0;
}

// Writes an object that the change leaves empty as it is stored, because the column may hold {} where a request has no
// text: such a change would count as one.
static void keep_empty_objects(const struct message_rules *rules, const ProtobufCMessage *stored,
                               ProtobufCMessage *body)
{
  for (unsigned i = 0; rules != NULL && i < body->descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
    if (!is_plain_text(field) || rules->fields[i].rules.format != FORMAT_JSON_OBJECT)
      continue;
    if (is_empty_object(*text_at(stored, field)) && is_empty_object(*text_at(body, field)))
      *text_at(body, field) = *text_at(stored, field);
  }
}

enum status resource_patch_apply(struct call *call, const struct resource *resource, const struct resource_patch *patch,
                                 const ProtobufCMessage *stored, const ProtobufCMessage **body)
{
  const struct message_rules *rules = find_rules(call, resource->name);
  ProtobufCMessage *copy = copy_bytes(call_arena(call), *body, (*body)->descriptor->sizeof_message);
  bool valid = true;
  for (size_t i = 0; i < patch->count; i++)
    valid = merge_text(call, patch->fields[i], rules, stored, copy) && valid;
  keep_empty_objects(rules, stored, copy);
  *body = copy;
  return valid ? STATUS_OK
               : call_fail(call, STATUS_INVALID_ARGUMENT, resource->invalid,
                           "the %s would not be valid after the change", resource->title);
}

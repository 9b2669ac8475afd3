#include "common/service/resource_shape_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/strbuf.h"
#include "google/protobuf/field_mask.pb-c.h"

// The mistakes of a resource, one sentence each.
struct mistakes {
  struct strbuf text;
};

static void add_mistake(struct mistakes *mistakes, const char *format, ...) PRINTF_LIKE(2, 3);
static void add_mistake(struct mistakes *mistakes, const char *format, ...)
{
  char sentence[300];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(sentence, sizeof(sentence), format, args);
  va_end(args);
  strbuf_add_string(&mistakes->text, mistakes->text.size == 0 ? "" : "; ");
  strbuf_add_string(&mistakes->text, sentence);
}

// ---- messages ----

// Finds a single field that is always there: a member of a oneof, also an `optional` field, may be missing.
static const ProtobufCFieldDescriptor *find_plain_field(const ProtobufCMessageDescriptor *message, const char *name)
{
  const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message, name);
  bool is_plain =
      field != NULL && field->label != PROTOBUF_C_LABEL_REPEATED && (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
  return is_plain ? field : NULL;
}

static void need_text(struct mistakes *mistakes, const ProtobufCMessageDescriptor *message, const char *name)
{
  const ProtobufCFieldDescriptor *field = find_plain_field(message, name);
  if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING)
    add_mistake(mistakes, "%s needs a field \"string %s\"", message->name, name);
}

// Checks If-None-Match, which a request need not have.
static void check_if_none_match(struct mistakes *mistakes, const ProtobufCMessageDescriptor *message)
{
  if (protobuf_c_message_descriptor_get_field_by_name(message, "if_none_match") != NULL)
    need_text(mistakes, message, "if_none_match");
}

static void need_message(struct mistakes *mistakes, const ProtobufCMessageDescriptor *message, const char *name,
                         const ProtobufCMessageDescriptor *type)
{
  const ProtobufCFieldDescriptor *field = find_plain_field(message, name);
  if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE || field->descriptor != type)
    add_mistake(mistakes, "%s needs a field \"%s %s\"", message->name, type->name, name);
}

// ---- queries ----

static bool is_text(const struct query *query, size_t index, size_t offset)
{
  const struct query_param *param = &query->params[index];
  return param->kind == QUERY_TEXT && param->from == QUERY_FROM_PARAMS && param->offset == offset;
}

static bool takes_id(const struct query *lock)
{
  return lock->param_count == 1 && is_text(lock, 0, offsetof(struct resource_id_params, id));
}

static bool takes_id_and_etag(const struct query *remove)
{
  return remove->param_count >= 2 && is_text(remove, 0, offsetof(struct resource_remove_params, id)) &&
         is_text(remove, 1, offsetof(struct resource_remove_params, etag)) && remove->params[1].nullable;
}

static bool takes_remover(const struct query *remove)
{
  const struct query_param *param = &remove->params[2];
  return remove->param_count == 3 && param->kind == QUERY_BYTES && param->from == QUERY_FROM_PARAMS &&
         param->offset == offsetof(struct resource_remove_params, remover) && !param->nullable;
}

// True where both queries read the same fields of the same message, so that a cache may hold the rows of either.
static bool reads_like(const struct query *query, const struct query *other)
{
  if (query->message != other->message || query->column_count != other->column_count)
    return false;
  for (size_t i = 0; i < query->column_count; i++)
    if (query->columns[i].number != other->columns[i].number)
      return false;
  return true;
}

static void check_update_query(struct mistakes *mistakes, const struct resource *resource, const struct query *update,
                               const char *member)
{
  const ProtobufCMessageDescriptor *row = resource->get->message;
  if (update->message != row || update->argument != row)
    add_mistake(mistakes, "%s must give a row of %s, and have no parameters but the fields of one %s, \"-- params:\"",
                member, row->name, row->name);
  else if (resource->cache != NULL && !reads_like(update, resource->get))
    add_mistake(mistakes, "%s must give the same columns in the same order as get, because a cache holds both", member);
}

// ---- methods ----

static void check_get(struct mistakes *mistakes, const struct resource *resource)
{
  need_text(mistakes, resource->get_request, "id");
}

static void check_update(struct mistakes *mistakes, const struct resource *resource)
{
  const ProtobufCMessageDescriptor *row = resource->get->message;
  need_message(mistakes, resource->update_request, resource->name, row);
  need_message(mistakes, resource->update_request, "update_mask", &google__protobuf__field_mask__descriptor);
  need_text(mistakes, resource->update_request, "if_match");
  check_if_none_match(mistakes, resource->update_request);
  need_text(mistakes, row, "id");
  need_text(mistakes, row, "etag");
  if (resource->lock == NULL || resource->update == NULL) {
    add_mistake(mistakes, "an update needs the queries lock and update");
    return;
  }
  if (resource->lock->message != row || !takes_id(resource->lock))
    add_mistake(mistakes, "lock must give a row of %s, and have one parameter, the id, a text", row->name);
  check_update_query(mistakes, resource, resource->update, "update");
  if (resource->update_part != NULL)
    check_update_query(mistakes, resource, resource->update_part, "update_part");
}

static void check_delete(struct mistakes *mistakes, const struct resource *resource)
{
  need_text(mistakes, resource->delete_request, "id");
  need_text(mistakes, resource->delete_request, "if_match");
  check_if_none_match(mistakes, resource->delete_request);
  need_text(mistakes, resource->get->message, "etag");
  if (resource->remove == NULL || !takes_id_and_etag(resource->remove))
    add_mistake(mistakes, "remove must have the parameters :id, and :etag? (::text), which may be NULL");
  else if (resource->describe_remover == NULL && resource->remove->param_count != 2)
    add_mistake(mistakes, "remove has a parameter more than :id and :etag, and there is no describe_remover");
  else if (resource->describe_remover != NULL && !takes_remover(resource->remove))
    add_mistake(mistakes, "with describe_remover, remove must have a third parameter: bytes (::bytea)");
}

static void check_resource(struct mistakes *mistakes, const struct resource *resource)
{
  if (resource->get == NULL || resource->get->message == NULL) {
    add_mistake(mistakes, "it needs the query get, which gives a row that is a message (\"-- row:\")");
    return;
  }
  if (resource->owned || resource->is_private)
    need_text(mistakes, resource->get->message, "owner_id");
  if (resource->get_request != NULL)
    check_get(mistakes, resource);
  if (resource->update_request != NULL)
    check_update(mistakes, resource);
  if (resource->delete_request != NULL)
    check_delete(mistakes, resource);
}

enum status resource_check_shapes(const struct resource *const *resources, struct error *error)
{
  struct mistakes mistakes;
  strbuf_init(&mistakes.text, 0);
  enum status status = STATUS_OK;
  for (size_t i = 0; resources != NULL && resources[i] != NULL && status == STATUS_OK; i++) {
    check_resource(&mistakes, resources[i]);
    if (mistakes.text.size > 0)
      status = error_set(error, STATUS_FAILED_PRECONDITION,
                         "the resource \"%s\" cannot be served: %s; mend its contract, queries or struct resource "
                         "(common/service/resource.h)",
                         resources[i]->name, strbuf_cstring(&mistakes.text));
  }
  strbuf_free(&mistakes.text);
  return status;
}

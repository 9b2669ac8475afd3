#include "proto/query/messages.h"

#include "common/contract/c_names.h"
#include "common/contract/contract.h"
#include "common/contract/diagnostics.h"
#include "proto/query/file.h"

static enum field_type type_of(const struct contract_field *field)
{
  switch (field->type) {
  case CONTRACT_STRING:
    return FIELD_STRING;
  case CONTRACT_INT32:
  case CONTRACT_SINT32:
  case CONTRACT_SFIXED32:
    return FIELD_INT32;
  case CONTRACT_INT64:
  case CONTRACT_SINT64:
  case CONTRACT_SFIXED64:
    return FIELD_INT64;
  case CONTRACT_BOOL:
    return FIELD_BOOL;
  case CONTRACT_DOUBLE:
    return FIELD_DOUBLE;
  case CONTRACT_BYTES:
    return FIELD_BYTES;
  case CONTRACT_MESSAGE:
    return field->message->well_known == CONTRACT_TIMESTAMP ? FIELD_TIME : FIELD_MESSAGE;
  default:
    return FIELD_OTHER;
  }
}

static const char *name_encoding(enum contract_type type)
{
  switch (type) {
  case CONTRACT_SINT32:
  case CONTRACT_SINT64:
    return "ZIGZAG";
  case CONTRACT_SFIXED32:
  case CONTRACT_SFIXED64:
    return "FIXED";
  default:
    return NULL;
  }
}

// True for a field that clients write for the service to keep. The others are the service's own (output_only,
// to_header) or steer the request (from_header, an update mask).
static bool is_written(const struct contract_field *field)
{
  const struct field_rules *rules = &field->rules;
  bool is_mask = field->message != NULL && field->message->well_known == CONTRACT_FIELD_MASK;
  return !rules->output_only && rules->from_header == NULL && rules->to_header == NULL && !is_mask;
}

static const char *const *keep_texts(const char *const *texts, size_t count, struct arena *arena)
{
  const char **kept = arena_array(arena, count, sizeof(*kept));
  for (size_t i = 0; i < count; i++)
    kept[i] = arena_printf(arena, "%s", texts[i]);
  return kept;
}

static struct field make_field(const struct contract_field *field, struct arena *arena)
{
  return (struct field){
      .name = arena_string(arena, field->name),
      .json_name = arena_string(arena, field->json_name),
      .type = type_of(field),
      .repeated = field->repeated || field->is_map,
      .in_oneof = field->oneof_index >= 0,
      .optional = field->optional,
      .is_written = is_written(field),
      .immutable = field->rules.immutable,
      .number = (int)field->number,
      .encoding = name_encoding(field->type),
      .one_of = keep_texts(field->rules.one_of, field->rules.one_of_count, arena),
      .one_of_count = field->rules.one_of_count,
      .message = field->message == NULL ? "" : arena_printf(arena, "%s", field->message->full_name),
  };
}

static struct message make_message(const struct contract_message *contract, struct arena *arena)
{
  struct message message = {
      .full_name = arena_printf(arena, "%s", contract->full_name),
      .stem = c_name_stem(arena, contract->file->name),
      .fields = arena_array(arena, contract->field_count, sizeof(struct field)),
      .field_count = contract->field_count,
  };
  for (size_t i = 0; i < contract->field_count; i++)
    message.fields[i] = make_field(&contract->fields[i], arena);
  return message;
}

enum status messages_load(struct messages *messages, const char *path, struct arena *arena, struct error *error)
{
  struct slice bytes;
  enum status status = file_read(path, arena, &bytes, error);
  if (status != STATUS_OK)
    return status;
  struct contract *contract = NULL;
  struct diagnostics diagnostics;
  diagnostics_init(&diagnostics);
  if (contract_load(bytes, &contract, &diagnostics) != STATUS_OK)
    status =
        error_set(error, STATUS_INVALID_ARGUMENT, "%s holds no valid contracts; build it with: make protoset", path);
  diagnostics_free(&diagnostics);
  size_t count = status == STATUS_OK ? contract_message_count(contract) : 0;
  *messages = (struct messages){.items = arena_array(arena, count, sizeof(struct message)), .count = count};
  for (size_t i = 0; i < count; i++)
    messages->items[i] = make_message(contract_message(contract, i), arena);
  contract_free(&contract);
  return status;
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

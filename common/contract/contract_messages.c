// Messages, fields and enums of a descriptor set as tables, built depth first from what the methods reach.
#include <stdlib.h>

#include "common/contract/builder_internal.h"

// Numbers of descriptor.proto, as source paths use them.
enum { MESSAGE_FIELD = 2, ENUM_VALUE = 2 };

#define MAX_ENUM_VALUES 4096
// A gap in the numbers costs two bytes a number.
#define MAX_FIELD_NUMBER 65535

static const struct {
  const char *name;
  enum contract_well_known kind;
} WELL_KNOWN[] = {
    {"google.protobuf.Timestamp", CONTRACT_TIMESTAMP},  {"google.protobuf.Duration", CONTRACT_DURATION},
    {"google.protobuf.FieldMask", CONTRACT_FIELD_MASK}, {"google.protobuf.Empty", CONTRACT_EMPTY},
    {"google.protobuf.DoubleValue", CONTRACT_WRAPPER},  {"google.protobuf.FloatValue", CONTRACT_WRAPPER},
    {"google.protobuf.Int64Value", CONTRACT_WRAPPER},   {"google.protobuf.UInt64Value", CONTRACT_WRAPPER},
    {"google.protobuf.Int32Value", CONTRACT_WRAPPER},   {"google.protobuf.UInt32Value", CONTRACT_WRAPPER},
    {"google.protobuf.BoolValue", CONTRACT_WRAPPER},    {"google.protobuf.StringValue", CONTRACT_WRAPPER},
    {"google.protobuf.BytesValue", CONTRACT_WRAPPER},
};

// Their JSON forms need knowledge of other types or recursion.
static const char *const UNSUPPORTED[] = {"google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value",
                                          "google.protobuf.ListValue"};

static char *keep(struct contract_builder *builder, const char *text)
{
  return arena_string(&builder->contract->arena, slice_from_string(text));
}

static struct type_entry *find_type(struct contract_builder *builder, const char *type_name)
{
  return type_name == NULL ? NULL : strmap_get(&builder->types, slice_from_string(type_name));
}

static bool is_plain_name(const char *name)
{
  if (name == NULL || *name == '\0')
    return false;
  for (const char *at = name; *at != '\0'; at++)
    if (*at <= ' ' || *at > '~' || *at == '"' || *at == '\\' || *at == '.')
      return false;
  return true;
}

// ---- enums ----

static enum status check_enum(struct contract_builder *builder, const struct type_entry *entry)
{
  const Google__Protobuf__EnumDescriptorProto *enumeration = entry->enumeration;
  if (enumeration->n_value == 0 || enumeration->n_value > MAX_ENUM_VALUES || enumeration->value[0]->number != 0)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "enum %s must have 1 to %d values, the first of them 0",
                     entry->full_name, MAX_ENUM_VALUES);
  for (size_t i = 0; i < enumeration->n_value; i++)
    if (!is_plain_name(enumeration->value[i]->name))
      return error_set(builder->error, STATUS_INVALID_ARGUMENT, "a value of enum %s has no valid name",
                       entry->full_name);
  return STATUS_OK;
}

static enum status build_enum(struct contract_builder *builder, struct type_entry *entry,
                              const struct contract_enum **out)
{
  const Google__Protobuf__EnumDescriptorProto *enumeration = entry->enumeration;
  if (entry->built_enum == NULL) {
    enum status status = check_enum(builder, entry);
    if (status != STATUS_OK)
      return status;
    struct arena *arena = &builder->contract->arena;
    struct contract_enum_value *values = arena_array(arena, enumeration->n_value, sizeof(*values));
    for (size_t i = 0; i < enumeration->n_value; i++) {
      struct declaration declaration = declaration_child(&entry->declaration, ENUM_VALUE, i);
      values[i] = (struct contract_enum_value){.name = slice_from_string(keep(builder, enumeration->value[i]->name)),
                                               .number = enumeration->value[i]->number,
                                               .comment = keep(builder, declaration_comment(&declaration))};
    }
    struct contract_enum *built = arena_alloc(arena, sizeof(*built));
    *built = (struct contract_enum){.full_name = keep(builder, entry->full_name),
                                    .comment = keep(builder, declaration_comment(&entry->declaration)),
                                    .values = values,
                                    .value_count = enumeration->n_value};
    entry->built_enum = built;
  }
  *out = entry->built_enum;
  return STATUS_OK;
}

// ---- fields ----

// lowerCamel, as protoc derives it; protoc writes json_name itself, other makers of descriptor sets need not.
static char *derive_json_name(struct contract_builder *builder, const char *name)
{
  char *json_name = keep(builder, name);
  char *to = json_name;
  bool upper = false;
  for (const char *at = name; *at != '\0'; at++) {
    if (*at == '_') {
      upper = true;
      continue;
    }
    *to++ = upper && *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    upper = false;
  }
  *to = '\0';
  return json_name;
}

static enum status resolve_type(struct contract_builder *builder, const Google__Protobuf__FieldDescriptorProto *source,
                                const char *message_name, struct contract_field *field)
{
  struct type_entry *entry = find_type(builder, source->type_name);
  bool is_enum = field->type == CONTRACT_ENUM;
  if (entry == NULL || (is_enum ? entry->enumeration == NULL : entry->message == NULL))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s.%s: its type is not in the descriptor set",
                     message_name, source->name);
  if (is_enum)
    return build_enum(builder, entry, &field->enumeration);
  enum status status = build_message(builder, source->type_name, &field->message);
  if (status != STATUS_OK)
    return status;
  const Google__Protobuf__MessageOptions *options = entry->message->options;
  field->is_map = options != NULL && options->has_map_entry && options->map_entry;
  return STATUS_OK;
}

static bool map_entry_is_valid(const struct contract_message *entry)
{
  if (entry->field_count != 2 || entry->fields[0].number != 1 || entry->fields[1].number != 2)
    return false;
  const struct contract_field *key = &entry->fields[0];
  const struct contract_field *value = &entry->fields[1];
  return !key->repeated && !value->repeated && key->type != CONTRACT_MESSAGE && key->type != CONTRACT_BYTES &&
         key->type != CONTRACT_ENUM && key->type != CONTRACT_DOUBLE && key->type != CONTRACT_FLOAT;
}

static enum status check_field(struct contract_builder *builder, const char *message_name,
                               const Google__Protobuf__FieldDescriptorProto *source)
{
  struct error *error = builder->error;
  if (!is_plain_name(source->name) || (source->json_name != NULL && !is_plain_name(source->json_name)))
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: a field has no valid name", message_name);
  if (source->number < 1 || source->number > MAX_FIELD_NUMBER)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s.%s: the number must be from 1 to %d", message_name,
                     source->name, MAX_FIELD_NUMBER);
  if ((unsigned)source->type < CONTRACT_DOUBLE || (unsigned)source->type > CONTRACT_SINT64 ||
      source->type == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s.%s: groups and unknown types are not supported", message_name,
                     source->name);
  if (source->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s.%s: proto2's required is not supported", message_name,
                     source->name);
  return STATUS_OK;
}

static enum status build_field(struct contract_builder *builder, const struct type_entry *owner, size_t position,
                               const struct contract_message *message, struct contract_field *field)
{
  const Google__Protobuf__FieldDescriptorProto *source = owner->message->field[position];
  enum status status = check_field(builder, message->full_name, source);
  if (status != STATUS_OK)
    return status;
  struct declaration declaration = declaration_child(&owner->declaration, MESSAGE_FIELD, position);
  *field = (struct contract_field){
      .number = (uint32_t)source->number,
      .type = (enum contract_type)source->type,
      .repeated = source->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED,
      .oneof_index = -1,
      .name = slice_from_string(keep(builder, source->name)),
      .json_name = slice_from_string(source->json_name == NULL ? derive_json_name(builder, source->name)
                                                               : keep(builder, source->json_name)),
      .comment = keep(builder, declaration_comment(&declaration)),
  };
  // A proto3 `optional` sits in a oneof of its own, which is no oneof for anybody else.
  bool optional = source->has_proto3_optional && source->proto3_optional;
  if (source->has_oneof_index && !optional) {
    if (source->oneof_index < 0 || (size_t)source->oneof_index >= message->oneof_count || field->repeated)
      return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s.%s: no such oneof", message->full_name,
                       source->name);
    field->oneof_index = source->oneof_index;
  }
  if (field->type == CONTRACT_MESSAGE || field->type == CONTRACT_ENUM)
    status = resolve_type(builder, source, message->full_name, field);
  if (status != STATUS_OK)
    return status;
  if (field->is_map && (!field->repeated || !map_entry_is_valid(field->message)))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s.%s: not a valid map", message->full_name,
                     source->name);
  field->optional = optional;
  field->has_presence = !field->repeated && (optional || field->oneof_index >= 0 || field->type == CONTRACT_MESSAGE);
  return build_field_rules(builder, source->options, message, field);
}

static int compare_numbers(const void *a, const void *b)
{
  const struct contract_field *left = a;
  const struct contract_field *right = b;
  return (left->number > right->number) - (left->number < right->number);
}

static enum status build_fields(struct contract_builder *builder, struct type_entry *entry,
                                struct contract_message *message)
{
  size_t count = entry->message->n_field;
  if (count > CONTRACT_MAX_FIELDS)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s: more than %u fields", message->full_name,
                     CONTRACT_MAX_FIELDS);
  struct contract_field *fields = arena_array(&builder->contract->arena, count, sizeof(*fields));
  for (size_t i = 0; i < count; i++) {
    enum status status = build_field(builder, entry, i, message, &fields[i]);
    if (status != STATUS_OK)
      return status;
  }
  qsort(fields, count, sizeof(*fields), compare_numbers);
  for (size_t i = 1; i < count; i++)
    if (fields[i].number == fields[i - 1].number)
      return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s: two fields have the number %u", message->full_name,
                       fields[i].number);
  message->fields = fields;
  message->field_count = count;
  return STATUS_OK;
}

static enum status build_oneofs(struct contract_builder *builder, struct type_entry *entry,
                                struct contract_message *message)
{
  size_t count = entry->message->n_oneof_decl;
  // Synthetic oneofs of proto3 `optional` come last and count too.
  if (count > CONTRACT_MAX_FIELDS)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s: more than %u oneofs", message->full_name,
                     CONTRACT_MAX_FIELDS);
  struct contract_oneof *oneofs = arena_array(&builder->contract->arena, count, sizeof(*oneofs));
  for (size_t i = 0; i < count; i++) {
    const Google__Protobuf__OneofDescriptorProto *source = entry->message->oneof_decl[i];
    Bulkhead__V1__OneofRules *rules;
    enum status status = options_oneof_rules(builder, source->options, &rules);
    if (status != STATUS_OK)
      return status;
    oneofs[i] = (struct contract_oneof){.name = keep(builder, source->name == NULL ? "" : source->name),
                                        .required = rules != NULL && rules->required};
  }
  message->oneofs = oneofs;
  message->oneof_count = count;
  return STATUS_OK;
}

// ---- the index ----

static void index_headers(struct arena *arena, const struct contract_message *message, struct message_index *index)
{
  index->from_header = arena_array(arena, message->field_count, sizeof(*index->from_header));
  index->to_header = arena_array(arena, message->field_count, sizeof(*index->to_header));
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (field->rules.from_header != NULL)
      index->from_header[index->from_header_count++] = field;
    if (field->rules.to_header != NULL)
      index->to_header[index->to_header_count++] = field;
  }
}

static enum status build_index(struct contract_builder *builder, struct contract_message *message)
{
  struct arena *arena = &builder->contract->arena;
  struct message_index *index = arena_zalloc(arena, sizeof(*index));
  size_t count = message->field_count;
  index->by_number_size = count == 0 ? 0 : message->fields[count - 1].number + 1;
  index->by_number = arena_zalloc(arena, index->by_number_size * sizeof(*index->by_number));
  struct slice *keys = arena_array(arena, count, sizeof(*keys));
  for (size_t i = 0; i < count; i++) {
    const struct contract_field *field = &message->fields[i];
    index->by_number[field->number] = (uint16_t)(i + 1);
    keys[i] = slice_from_string(arena_printf(arena, ",\"" SLICE_FMT "\":", SLICE_ARG(field->json_name)));
    if (field->rules.required) {
      field_set_add(&index->required, i);
      index->has_required = true;
    }
  }
  for (size_t i = 0; i < message->oneof_count; i++)
    index->has_required_oneof |= message->oneofs[i].required;
  index->keys = keys;
  index_headers(arena, message, index);
  message->index = index;
  return name_index_build(message, arena, index, builder->error);
}

// ---- messages ----

static enum contract_well_known well_known_kind(const char *full_name)
{
  for (size_t i = 0; i < ARRAY_LEN(WELL_KNOWN); i++)
    if (strcmp(WELL_KNOWN[i].name, full_name) == 0)
      return WELL_KNOWN[i].kind;
  return CONTRACT_PLAIN;
}

// Code reads these messages by their published field numbers, so a set must not bring others under their names.
static bool well_known_is_genuine(const struct contract_message *message)
{
  const struct contract_field *fields = message->fields;
  switch (message->well_known) {
  case CONTRACT_PLAIN:
    return true;
  case CONTRACT_TIMESTAMP:
  case CONTRACT_DURATION:
    return message->field_count == 2 && fields[0].number == 1 && fields[0].type == CONTRACT_INT64 &&
           fields[1].number == 2 && fields[1].type == CONTRACT_INT32 && !fields[0].repeated && !fields[1].repeated;
  case CONTRACT_FIELD_MASK:
    return message->field_count == 1 && fields[0].number == 1 && fields[0].type == CONTRACT_STRING &&
           fields[0].repeated;
  case CONTRACT_EMPTY:
    return message->field_count == 0;
  case CONTRACT_WRAPPER:
    return message->field_count == 1 && fields[0].number == 1 && fields[0].type != CONTRACT_MESSAGE &&
           fields[0].type != CONTRACT_ENUM && !fields[0].repeated;
  }
  return false;
}

static enum status check_type(struct contract_builder *builder, const struct type_entry *entry)
{
  struct error *error = builder->error;
  if (entry->state == TYPE_OPEN)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s holds itself; recursive messages are not supported",
                     entry->full_name);
  if (!entry->proto3)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its file must be proto3", entry->full_name);
  for (size_t i = 0; i < ARRAY_LEN(UNSUPPORTED); i++)
    if (strcmp(entry->full_name, UNSUPPORTED[i]) == 0)
      return error_set(error, STATUS_INVALID_ARGUMENT, "%s is not supported; use a string with FORMAT_JSON_OBJECT",
                       entry->full_name);
  return STATUS_OK;
}

static unsigned json_depth_of(struct contract_builder *builder, const struct contract_message *message)
{
  unsigned deepest = 0;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    unsigned depth = field->repeated ? 1 : 0;
    if (field->type == CONTRACT_MESSAGE) {
      struct slice name = slice_from_string(arena_printf(&builder->scratch, ".%s", field->message->full_name));
      const struct type_entry *entry = strmap_get(&builder->types, name);
      depth += entry->json_depth;
    }
    deepest = depth > deepest ? depth : deepest;
  }
  return deepest + 1;
}

static enum status build_open_message(struct contract_builder *builder, struct type_entry *entry,
                                      struct contract_message *message)
{
  enum status status = build_oneofs(builder, entry, message);
  if (status == STATUS_OK)
    status = build_fields(builder, entry, message);
  if (status == STATUS_OK)
    status = build_index(builder, message);
  if (status != STATUS_OK)
    return status;
  if (!well_known_is_genuine(message))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s is not the published message of that name",
                     entry->full_name);
  entry->json_depth = json_depth_of(builder, message);
  if (entry->json_depth > CONTRACT_MAX_DEPTH)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s nests more than %u deep", entry->full_name,
                     CONTRACT_MAX_DEPTH);
  if (!strmap_add(&builder->contract->messages_by_name, slice_from_string(message->full_name), message))
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s is declared twice", entry->full_name);
  return STATUS_OK;
}

enum status build_message(struct contract_builder *builder, const char *type_name, const struct contract_message **out)
{
  struct type_entry *entry = find_type(builder, type_name);
  if (entry == NULL || entry->message == NULL)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT,
                     "message %s is not in the descriptor set; was it made with --include_imports?",
                     type_name == NULL ? "" : type_name);
  if (entry->state != TYPE_DONE) {
    enum status status = check_type(builder, entry);
    if (status != STATUS_OK)
      return status;
    // Open types are those on the way down to here, so this bounds the recursion as well.
    if (++builder->open_types > CONTRACT_MAX_DEPTH + 1)
      return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s is nested more than %u deep", entry->full_name,
                       CONTRACT_MAX_DEPTH);
    entry->state = TYPE_OPEN;
    struct contract_message *message = arena_zalloc(&builder->contract->arena, sizeof(*message));
    message->full_name = keep(builder, entry->full_name);
    message->comment = keep(builder, declaration_comment(&entry->declaration));
    message->well_known = well_known_kind(entry->full_name);
    status = build_open_message(builder, entry, message);
    if (status != STATUS_OK)
      return status;
    builder->open_types--;
    entry->state = TYPE_DONE;
    entry->built_message = message;
  }
  *out = entry->built_message;
  return STATUS_OK;
}

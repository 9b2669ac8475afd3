// Builds messages and their fields as tables, depth first: the message that a field holds is built before the field.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

// The highest field number. Fields are looked up in an array, in which each unused number costs two bytes.
#define MAX_FIELD_NUMBER 65535

typedef Google__Protobuf__FieldDescriptorProto FieldProto;

// ---- fields ----

// Returns a name in lowerCamel, as protoc derives JSON names. protoc writes json_name itself; other makers of
// descriptor sets need not.
static char *derive_json_name(struct contract_builder *builder, const char *name)
{
  char *json_name = keep_text(builder, name);
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

static bool is_plain_name(const char *name)
{
  if (name == NULL || *name == '\0')
    return false;
  for (const char *at = name; *at != '\0'; at++)
    if (*at <= ' ' || *at > '~' || *at == '"' || *at == '\\' || *at == '.')
      return false;
  return true;
}

static bool is_map_entry(const struct type_entry *entry)
{
  const Google__Protobuf__MessageOptions *options = entry->message->options;
  return options != NULL && options->has_map_entry && options->map_entry;
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

// Returns false, after a report, for a field that protoc accepts and this suite does not, or that protoc would never
// write.
static bool check_field(struct contract_builder *builder, const struct declaration *declaration,
                        const FieldProto *source)
{
  if (!is_plain_name(source->name) || (source->json_name != NULL && !is_plain_name(source->json_name))) {
    report(builder, declaration,
           "the field's name or JSON name has a character that is not accepted; write visible ASCII without quotes, "
           "backslashes and dots");
    return false;
  }
  if (source->number < 1 || source->number > MAX_FIELD_NUMBER) {
    report(builder, declaration, "the number %d is out of range; write one from 1 to %d", source->number,
           MAX_FIELD_NUMBER);
    return false;
  }
  if ((unsigned)source->type < CONTRACT_DOUBLE || (unsigned)source->type > CONTRACT_SINT64 ||
      source->type == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP ||
      source->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED) {
    report(builder, declaration, "groups and required fields are proto2's; write a message field, or a rule required");
    return false;
  }
  return true;
}

// Finds the field's type. Returns false when it cannot be used, which has been reported.
static bool resolve_type(struct contract_builder *builder, const struct declaration *declaration,
                         const FieldProto *source, struct contract_field *field)
{
  struct type_entry *entry = find_type(builder, source->type_name);
  bool is_enum = field->type == CONTRACT_ENUM;
  if (entry == NULL || (is_enum ? entry->enumeration == NULL : entry->message == NULL)) {
    report(builder, declaration, "the type %s is not in the set; make it with --include_imports",
           source->type_name == NULL ? "" : source->type_name);
    return false;
  }
  if (is_enum) {
    field->enumeration = build_enum(builder, entry);
    return field->enumeration != NULL;
  }
  field->message = build_message(builder, declaration, source->type_name);
  if (field->message == NULL)
    return false;
  field->is_map = is_map_entry(entry);
  if (field->is_map && (!field->repeated || !map_entry_is_valid(field->message))) {
    report(builder, declaration, "the map is not one that protoc writes; build the set with protoc");
    return false;
  }
  return true;
}

static bool is_synthetic(const FieldProto *source)
{
  return source->has_proto3_optional && source->proto3_optional;
}

// Fills in presence and oneof of a field. A proto3 `optional` sits in a oneof of its own, which only C sees.
static bool resolve_presence(struct contract_builder *builder, const struct declaration *declaration,
                             const FieldProto *source, const struct contract_message *message,
                             struct contract_field *field)
{
  field->optional = is_synthetic(source);
  field->oneof_index = -1;
  if (source->has_oneof_index && !field->optional) {
    if (source->oneof_index < 0 || (size_t)source->oneof_index >= message->oneof_count || field->repeated) {
      report(builder, declaration, "the field's oneof is not in the message; build the set with protoc");
      return false;
    }
    field->oneof_index = source->oneof_index;
  }
  field->has_presence =
      !field->repeated && (field->optional || field->oneof_index >= 0 || field->type == CONTRACT_MESSAGE);
  return true;
}

// Fills in one field. Returns false when it cannot be used, which has been reported.
static bool build_field(struct contract_builder *builder, const struct declaration *declaration,
                        const FieldProto *source, const struct contract_message *message, struct contract_field *field)
{
  if (!check_field(builder, declaration, source))
    return false;
  *field = (struct contract_field){
      .number = (uint32_t)source->number,
      .type = (enum contract_type)source->type,
      .repeated = source->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED,
      .name = slice_from_string(keep_text(builder, source->name)),
      .json_name = slice_from_string(source->json_name == NULL ? derive_json_name(builder, source->name)
                                                               : keep_text(builder, source->json_name)),
      .comment = declaration_comment(builder, declaration),
      .place = declaration_place(declaration),
  };
  if ((field->type == CONTRACT_MESSAGE || field->type == CONTRACT_ENUM) &&
      !resolve_type(builder, declaration, source, field))
    return false;
  if (!resolve_presence(builder, declaration, source, message, field))
    return false;
  build_field_rules(builder, declaration, source->options, field);
  build_absence(builder, field);
  return true;
}

static int compare_numbers(const void *a, const void *b)
{
  const struct contract_field *left = a;
  const struct contract_field *right = b;
  return (left->number > right->number) - (left->number < right->number);
}

// Returns the name of a field for diagnostics. A field of a map's entry is named as the map, because the entry does not
// stand in the file.
static const char *field_element(struct contract_builder *builder, const struct type_entry *entry,
                                 const FieldProto *source)
{
  if (is_map_entry(entry))
    return entry->declaration.name;
  return arena_printf(&builder->scratch, "%s.%s", entry->full_name, source->name == NULL ? "" : source->name);
}

// Fills in all fields of a message. Returns false when one is missing because of a mistake, which has been reported.
static bool build_fields(struct contract_builder *builder, const struct type_entry *entry,
                         struct contract_message *message)
{
  size_t count = entry->message->n_field;
  if (count > CONTRACT_MAX_FIELDS) {
    report(builder, &entry->declaration, "the message has %zu fields; split it, %u are accepted", count,
           CONTRACT_MAX_FIELDS);
    return false;
  }
  struct contract_field *fields = arena_zalloc(&builder->contract->arena, count * sizeof(*fields));
  bool complete = true;
  for (size_t i = 0; i < count; i++) {
    const FieldProto *source = entry->message->field[i];
    struct declaration declaration =
        declaration_child(&entry->declaration, MESSAGE_FIELD, i, field_element(builder, entry, source));
    if (build_field(builder, &declaration, source, message, &fields[message->field_count]))
      message->field_count++;
    else
      complete = false;
  }
  message->fields = fields;
  qsort(fields, message->field_count, sizeof(*fields), compare_numbers);
  for (size_t i = 1; i < message->field_count; i++)
    if (fields[i].number == fields[i - 1].number) {
      report(builder, &entry->declaration, "two fields have the number %u; give each its own", fields[i].number);
      return false;
    }
  return complete;
}

// ---- oneofs and reserved numbers ----

static size_t count_real_oneofs(const Google__Protobuf__DescriptorProto *source)
{
  size_t count = source->n_oneof_decl;
  for (size_t i = 0; i < source->n_field; i++) {
    const FieldProto *field = source->field[i];
    if (is_synthetic(field) && field->oneof_index >= 0 && (size_t)field->oneof_index < count)
      count = (size_t)field->oneof_index;
  }
  return count;
}

static void build_oneofs(struct contract_builder *builder, const struct type_entry *entry,
                         struct contract_message *message)
{
  // protoc puts the oneofs of `optional` fields behind all others.
  size_t count = count_real_oneofs(entry->message);
  if (count > CONTRACT_MAX_FIELDS) {
    report(builder, &entry->declaration, "the message has %zu oneofs; %u are accepted, as many as fields", count,
           CONTRACT_MAX_FIELDS);
    count = CONTRACT_MAX_FIELDS;
  }
  struct contract_oneof *oneofs = arena_array(&builder->contract->arena, count, sizeof(*oneofs));
  for (size_t i = 0; i < count; i++) {
    const Google__Protobuf__OneofDescriptorProto *source = entry->message->oneof_decl[i];
    const char *name = source->name == NULL ? "" : source->name;
    struct declaration declaration = declaration_child(
        &entry->declaration, MESSAGE_ONEOF, i, arena_printf(&builder->scratch, "%s.%s", entry->full_name, name));
    const Bulkhead__V1__OneofRules *rules = options_oneof_rules(builder, &declaration, source->options);
    oneofs[i] = (struct contract_oneof){
        .name = keep_text(builder, name),
        .json_name = derive_json_name(builder, name),
        .required = rules != NULL && rules->required,
    };
  }
  message->oneofs = oneofs;
  message->oneof_count = count;
}

static void keep_reserved(struct contract_builder *builder, const Google__Protobuf__DescriptorProto *source,
                          struct contract_message *message)
{
  struct contract_reserved *reserved =
      arena_array(&builder->contract->arena, source->n_reserved_range, sizeof(*reserved));
  // The end of a message's range is exclusive in descriptors.
  for (size_t i = 0; i < source->n_reserved_range; i++)
    reserved[i] = (struct contract_reserved){source->reserved_range[i]->start, source->reserved_range[i]->end - 1};
  message->reserved = reserved;
  message->reserved_count = source->n_reserved_range;
}

// ---- messages ----

// Whether services must check the field, which may be without a rule of its own: texts are checked for UTF-8 and
// length, enums for known values, lists for their length.
static bool field_is_checked(const struct contract_field *field)
{
  switch (field->type) {
  case CONTRACT_STRING:
  case CONTRACT_BYTES:
  case CONTRACT_ENUM:
    return true;
  default:
    return field->repeated || field->has_rules || (field->message != NULL && field->message->is_checked);
  }
}

static bool message_is_checked(const struct contract_message *message)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (field_is_checked(&message->fields[i]))
      return true;
  for (size_t i = 0; i < message->oneof_count; i++)
    if (message->oneofs[i].required)
      return true;
  return false;
}

static unsigned measure_json_depth(struct contract_builder *builder, const struct contract_message *message)
{
  unsigned deepest = 0;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    unsigned depth = field->repeated ? 1 : 0;
    if (field->type == CONTRACT_MESSAGE)
      depth += find_type(builder, arena_printf(&builder->scratch, ".%s", field->message->full_name))->json_depth;
    deepest = depth > deepest ? depth : deepest;
  }
  return deepest + 1;
}

// Fills in one message. Returns false when it cannot be used, which has been reported.
static bool fill_message(struct contract_builder *builder, struct type_entry *entry, struct contract_message *message)
{
  build_oneofs(builder, entry, message);
  if (!build_fields(builder, entry, message) || !build_index(builder, &entry->declaration, message))
    return false;
  if (!well_known_is_genuine(message)) {
    report(builder, &entry->declaration, "the message is not the one that Google publishes under this name; import it");
    return false;
  }
  entry->json_depth = measure_json_depth(builder, message);
  if (entry->json_depth > CONTRACT_MAX_DEPTH) {
    report(builder, &entry->declaration, "the message nests more than %u deep; make it flatter", CONTRACT_MAX_DEPTH);
    return false;
  }
  message->is_checked = message->file->is_own && message_is_checked(message);
  return true;
}

static void build_entry(struct contract_builder *builder, struct type_entry *entry)
{
  entry->state = TYPE_OPEN;
  builder->open_types++;
  struct contract_message *message = arena_zalloc(&builder->contract->arena, sizeof(*message));
  message->full_name = keep_text(builder, entry->full_name);
  message->comment = declaration_comment(builder, &entry->declaration);
  message->well_known = well_known_kind(entry->full_name);
  message->is_map_entry = is_map_entry(entry);
  message->file = entry->declaration.source->file;
  message->place = declaration_place(&entry->declaration);
  keep_reserved(builder, entry->message, message);
  bool usable = fill_message(builder, entry, message) &&
                strmap_add(&builder->contract->messages_by_name, slice_from_string(message->full_name), message);
  entry->built_message = usable ? message : NULL;
  builder->open_types--;
  entry->state = TYPE_DONE;
}

// Returns what is wrong with the use of a type at this place, such as recursion; NULL when the use is right.
static const char *find_misuse(const struct contract_builder *builder, const struct type_entry *entry)
{
  if (!well_known_is_supported(entry->full_name))
    return "is not supported; use a string with FORMAT_JSON_OBJECT";
  if (entry->state == TYPE_OPEN)
    return "holds itself here, and protobuf-c has no limit on recursion; refer to it by id, or write the levels out";
  // Open types are those on the way down to here, so this bounds the recursion as well.
  if (builder->open_types > CONTRACT_MAX_DEPTH)
    return "is nested too deep here; make the message flatter";
  if (!entry->declaration.source->is_proto3 && !entry->declaration.source->file->is_own)
    return "is a proto2 message; declare a proto3 message";
  return NULL;
}

const struct contract_message *build_message(struct contract_builder *builder, const struct declaration *user,
                                             const char *type_name)
{
  struct type_entry *entry = find_type(builder, type_name);
  if (entry == NULL || entry->message == NULL) {
    report(builder, user, "the message %s is not in the set; make it with --include_imports",
           type_name == NULL ? "" : type_name);
    return NULL;
  }
  const char *misuse = find_misuse(builder, entry);
  if (misuse != NULL) {
    report(builder, user, "%s %s", entry->full_name, misuse);
    return NULL;
  }
  if (entry->state == TYPE_NEW && is_map_entry(entry))
    entry->declaration = *user;
  // A file of ours that is not proto3 has been reported as a whole.
  if (entry->state == TYPE_NEW && entry->declaration.source->is_proto3)
    build_entry(builder, entry);
  return entry->built_message;
}

void build_own_messages(struct contract_builder *builder)
{
  for (size_t i = 0; i < builder->type_count; i++) {
    struct type_entry *entry = builder->listed[i];
    const struct source_file *source = entry->declaration.source;
    if (!source->file->is_own || !source->is_proto3 || entry->state != TYPE_NEW)
      continue;
    if (entry->message != NULL)
      build_entry(builder, entry);
    else
      (void)build_enum(builder, entry);
  }
}

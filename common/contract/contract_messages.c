// Builds messages and their fields as tables. Messages may hold each other in circles: each is begun first, so that
// fields can point to it, and filled in when its turn comes. What it has of the messages inside it is worked out last.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

// The highest field number there is.
#define MAX_FIELD_NUMBER 536870911

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
      (source->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED &&
       declaration->source->is_proto3)) {
    report(builder, declaration,
           "groups are not accepted, and required fields are proto2's; write a message field, or a rule required");
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
  field->is_map = is_map_entry(entry);
  return field->message != NULL;
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
  field->has_presence = !field->repeated && (field->optional || field->oneof_index >= 0 ||
                                             field->type == CONTRACT_MESSAGE || !declaration->source->is_proto3);
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
  // What proto2 requires is required here, too.
  field->rules.required |= source->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED;
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

// Sets of oneofs have the size of sets of fields, and protoc writes no oneof without a field.
static bool check_oneof_count(struct contract_builder *builder, const struct type_entry *entry,
                              const struct contract_message *message)
{
  if (message->oneof_count <= message->field_count)
    return true;
  report(builder, &entry->declaration, "the message has %zu oneofs and %zu fields; build the set with protoc",
         message->oneof_count, message->field_count);
  return false;
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

// Fills in one message. Returns false when it cannot be used, which has been reported.
static bool fill_message(struct contract_builder *builder, struct type_entry *entry, struct contract_message *message)
{
  build_oneofs(builder, entry, message);
  if (!build_fields(builder, entry, message) || !check_oneof_count(builder, entry, message) ||
      !build_index(builder, &entry->declaration, message))
    return false;
  if (!well_known_is_genuine(message)) {
    report(builder, &entry->declaration, "the message is not the one that Google publishes under this name; import it");
    return false;
  }
  return true;
}

// Begins a message: what refers to it may point to it from now on, and its fields come when its turn comes.
static void begin_message(struct contract_builder *builder, struct type_entry *entry)
{
  struct contract_message *message = arena_zalloc(&builder->contract->arena, sizeof(*message));
  message->full_name = keep_text(builder, entry->full_name);
  message->comment = declaration_comment(builder, &entry->declaration);
  message->well_known = well_known_kind(entry->full_name);
  message->is_map_entry = is_map_entry(entry);
  message->file = entry->declaration.source->file;
  message->place = declaration_place(&entry->declaration);
  keep_reserved(builder, entry->message, message);
  entry->state = TYPE_DONE;
  entry->built_message = message;
  if (builder->last_begun == NULL)
    builder->first_begun = entry;
  else
    builder->last_begun->next_begun = entry;
  builder->last_begun = entry;
}

// ---- what is known of messages only when all that they hold is there ----

// Empties a message with a mistake, so that whatever points to it can still be walked. What holds it cannot be used
// either.
static void spoil(struct contract_builder *builder, struct type_entry *entry)
{
  struct contract_message *message = entry->built_message;
  message->fields = NULL;
  message->field_count = 0;
  message->oneof_count = 0;
  message->update_mask = NULL;
  message->updated = NULL;
  (void)build_index(builder, &entry->declaration, message);
  entry->built_message = NULL;
}

static bool is_spoilt(const struct contract_message *message)
{
  return message->fields == NULL;
}

static bool holds_spoilt(const struct contract_message *message)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].message != NULL && is_spoilt(message->fields[i].message))
      return true;
  return false;
}

// Whether the entry of a Struct's map is what the transcoder takes it for.
static bool struct_is_genuine(const struct contract_message *message)
{
  if (message->well_known != CONTRACT_STRUCT || message->fields[0].message->field_count != 2)
    return true;
  const struct contract_field *entry = message->fields[0].message->fields;
  return entry[0].type == CONTRACT_STRING && entry[1].type == CONTRACT_MESSAGE &&
         entry[1].message->well_known == CONTRACT_VALUE;
}

// Reports maps that protoc would not write. Their entries are complete now.
static bool check_maps(struct contract_builder *builder, const struct contract_message *message)
{
  bool valid = true;
  if (!struct_is_genuine(message)) {
    diagnostics_add(builder->diagnostics, &message->place, message->full_name,
                    "the message is not the one that Google publishes under this name; import it");
    return false;
  }
  for (size_t i = 0; i < message->field_count; i++) {
    const struct contract_field *field = &message->fields[i];
    if (!field->is_map || (field->repeated && (is_spoilt(field->message) || map_entry_is_valid(field->message))))
      continue;
    const char *element = arena_printf(&builder->scratch, "%s." SLICE_FMT, message->full_name, SLICE_ARG(field->name));
    diagnostics_add(builder->diagnostics, &field->place, element,
                    "the map is not one that protoc writes; build the set with protoc");
    valid = false;
  }
  return valid;
}

// Works out once more what a message has of those that it holds. Returns whether anything is new.
static bool settle(struct contract_builder *builder, struct type_entry *entry)
{
  struct contract_message *message = entry->built_message;
  if (holds_spoilt(message)) {
    spoil(builder, entry);
    return true;
  }
  bool was_checked = message->is_checked;
  message->is_checked = message->file->is_own && message_is_checked(message);
  return message->is_checked != was_checked;
}

// Messages may hold each other in circles, so this goes round until nothing changes any more.
static void settle_all(struct contract_builder *builder, struct type_entry *first)
{
  for (bool is_new = true; is_new;) {
    is_new = false;
    for (struct type_entry *entry = first; entry != NULL; entry = entry->next_begun)
      if (entry->built_message != NULL && settle(builder, entry))
        is_new = true;
  }
}

// Fills in all messages that have been begun, and those that these hold.
static void fill_begun(struct contract_builder *builder)
{
  builder->is_filling = true;
  for (struct type_entry *entry = builder->first_begun; entry != NULL; entry = entry->next_begun)
    if (!fill_message(builder, entry, entry->built_message))
      spoil(builder, entry);
  for (struct type_entry *entry = builder->first_begun; entry != NULL; entry = entry->next_begun)
    if (entry->built_message != NULL && !check_maps(builder, entry->built_message))
      spoil(builder, entry);
  settle_all(builder, builder->first_begun);
  for (struct type_entry *entry = builder->first_begun; entry != NULL; entry = entry->next_begun)
    if (entry->built_message != NULL &&
        !strmap_add(&builder->contract->messages_by_name, slice_from_string(entry->built_message->full_name),
                    entry->built_message))
      entry->built_message = NULL;
  builder->first_begun = builder->last_begun = NULL;
  builder->is_filling = false;
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
  if (entry->state == TYPE_NEW && is_map_entry(entry))
    entry->declaration = *user;
  // A file of ours that is not proto3 has been reported as a whole.
  if (entry->state == TYPE_NEW && (entry->declaration.source->is_proto3 || !entry->declaration.source->file->is_own))
    begin_message(builder, entry);
  if (!builder->is_filling)
    fill_begun(builder);
  return entry->built_message;
}

// An Any may hold what no field is of: Google's messages, as far as the set has them.
static void begin_well_known(struct contract_builder *builder)
{
  if (find_type(builder, ".google.protobuf.Any") == NULL)
    return;
  for (size_t i = 0; i < builder->type_count; i++) {
    struct type_entry *entry = builder->listed[i];
    if (entry->message != NULL && entry->state == TYPE_NEW && well_known_kind(entry->full_name) != CONTRACT_PLAIN)
      begin_message(builder, entry);
  }
}

void build_own_messages(struct contract_builder *builder)
{
  for (size_t i = 0; i < builder->type_count; i++) {
    struct type_entry *entry = builder->listed[i];
    const struct source_file *source = entry->declaration.source;
    if (!source->file->is_own || !source->is_proto3 || entry->state != TYPE_NEW)
      continue;
    // The entry of a map is begun by its field, whose place in the file it takes.
    if (entry->message != NULL && !is_map_entry(entry))
      begin_message(builder, entry);
    else if (entry->message == NULL)
      (void)build_enum(builder, entry);
  }
  begin_well_known(builder);
  fill_begun(builder);
}

// Registers every message and enum of the set by its full name. Enums are built here, messages in contract_messages.c.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

#define MAX_ENUM_VALUES 4096

// ---- registering ----

// Whether a name has only identifiers, with dots between them if `dots`. protoc accepts no other names, but a set of
// another origin may hold them.
static bool has_only_identifiers(const char *name, bool dots)
{
  for (const char *at = name; *at != '\0'; at++) {
    char letter = (char)(*at | 0x20);
    if (!(letter >= 'a' && letter <= 'z') && !(*at >= '0' && *at <= '9') && *at != '_' && !(dots && *at == '.'))
      return false;
  }
  return true;
}

bool is_identifier(const char *name)
{
  return name != NULL && *name != '\0' && has_only_identifiers(name, false);
}

static size_t count_types(Google__Protobuf__DescriptorProto *const *messages, size_t count)
{
  size_t sum = count;
  for (size_t i = 0; i < count; i++)
    sum += messages[i]->n_enum_type + count_types(messages[i]->nested_type, messages[i]->n_nested_type);
  return sum;
}

// Registers a type below `scope`, which is ".item.v1" or ".item.v1.Item". Returns NULL when the name is refused, which
// has been reported.
static struct type_entry *add_type(struct contract_builder *builder, const char *scope, const char *name,
                                   struct declaration declaration)
{
  const char *given = name == NULL ? "" : name;
  struct type_entry *added = arena_zalloc(&builder->scratch, sizeof(*added));
  char *dotted = arena_printf(&builder->scratch, "%s.%s", scope, given);
  added->full_name = dotted + 1;
  added->declaration = declaration;
  added->declaration.name = added->full_name;
  if (!is_identifier(given)) {
    report(builder, &added->declaration, "the name is not an identifier; write letters, digits and _");
    return NULL;
  }
  if (!strmap_add(&builder->types, slice_from_string(dotted), added)) {
    report(builder, &added->declaration, "the name is declared twice; choose another");
    return NULL;
  }
  builder->listed[builder->type_count++] = added;
  return added;
}

struct enum_list {
  int32_t field_number;  // number of the list's field in its owner
  Google__Protobuf__EnumDescriptorProto **enums;
  size_t count;
};

static void add_enums(struct contract_builder *builder, const char *scope, const struct declaration *owner,
                      struct enum_list list)
{
  for (size_t i = 0; i < list.count; i++) {
    struct declaration declaration = declaration_child(owner, list.field_number, i, NULL);
    struct type_entry *added = add_type(builder, scope, list.enums[i]->name, declaration);
    if (added != NULL)
      added->enumeration = list.enums[i];
  }
}

// Registers a message and the types inside it. The recursion is as deep as the nesting that contract_load accepts.
static void add_message(struct contract_builder *builder, const char *scope, struct declaration declaration,
                        const Google__Protobuf__DescriptorProto *message)
{
  struct type_entry *added = add_type(builder, scope, message->name, declaration);
  if (added == NULL)
    return;
  added->message = message;
  const char *inner = arena_printf(&builder->scratch, "%s.%s", scope, message->name);
  add_enums(builder, inner, &added->declaration,
            (struct enum_list){MESSAGE_ENUM_TYPE, message->enum_type, message->n_enum_type});
  for (size_t i = 0; i < message->n_nested_type; i++)
    add_message(builder, inner, declaration_child(&added->declaration, MESSAGE_NESTED_TYPE, i, NULL),
                message->nested_type[i]);
}

static void register_file(struct contract_builder *builder, const struct source_file *source)
{
  const Google__Protobuf__FileDescriptorProto *file = source->descriptor;
  const char *package = source->file->package;
  struct declaration root = declaration_of_file(source);
  if (!has_only_identifiers(package, true)) {
    report(builder, &root, "the package has no valid name; write letters, digits, _ and dots");
    return;
  }
  const char *scope = *package == '\0' ? "" : arena_printf(&builder->scratch, ".%s", package);
  add_enums(builder, scope, &root, (struct enum_list){FILE_ENUM_TYPE, file->enum_type, file->n_enum_type});
  for (size_t i = 0; i < file->n_message_type; i++)
    add_message(builder, scope, declaration_child(&root, FILE_MESSAGE_TYPE, i, NULL), file->message_type[i]);
}

void register_types(struct contract_builder *builder)
{
  size_t count = 0;
  for (size_t i = 0; i < builder->source_count; i++) {
    const Google__Protobuf__FileDescriptorProto *file = builder->sources[i].descriptor;
    count += file->n_enum_type + count_types(file->message_type, file->n_message_type);
  }
  builder->listed = arena_array(&builder->scratch, count, sizeof(struct type_entry *));
  for (size_t i = 0; i < builder->source_count; i++)
    register_file(builder, &builder->sources[i]);
}

struct type_entry *find_type(struct contract_builder *builder, const char *type_name)
{
  return type_name == NULL ? NULL : strmap_get(&builder->types, slice_from_string(type_name));
}

// ---- enums ----

static bool enum_is_valid(struct contract_builder *builder, const struct type_entry *entry)
{
  const Google__Protobuf__EnumDescriptorProto *source = entry->enumeration;
  size_t before = builder->diagnostics->count + builder->diagnostics->more;
  if (source->n_value == 0 || source->n_value > MAX_ENUM_VALUES ||
      (source->value[0]->number != 0 && entry->declaration.source->is_proto3))
    report(builder, &entry->declaration, "the enum must have 1 to %d values, and the first must be 0", MAX_ENUM_VALUES);
  for (size_t i = 0; i < source->n_value; i++) {
    const char *name = source->value[i]->name;
    struct declaration declaration = declaration_child(&entry->declaration, ENUM_VALUE, i, entry->full_name);
    if (!is_identifier(name))
      report(builder, &declaration, "the name of a value is not an identifier; write letters, digits and _");
  }
  return builder->diagnostics->count + builder->diagnostics->more == before;
}

static void keep_values(struct contract_builder *builder, const struct type_entry *entry, struct contract_enum *built)
{
  const Google__Protobuf__EnumDescriptorProto *source = entry->enumeration;
  struct contract_enum_value *values = arena_array(&builder->contract->arena, source->n_value, sizeof(*values));
  for (size_t i = 0; i < source->n_value; i++) {
    struct declaration declaration = declaration_child(&entry->declaration, ENUM_VALUE, i, entry->full_name);
    values[i] = (struct contract_enum_value){
        .name = slice_from_string(keep_text(builder, source->value[i]->name)),
        .number = source->value[i]->number,
        .comment = declaration_comment(builder, &declaration),
        .place = declaration_place(&declaration),
    };
  }
  built->values = values;
  built->value_count = source->n_value;
}

static int compare_values(const void *a, const void *b)
{
  const struct contract_enum_value *left = *(const struct contract_enum_value *const *)a;
  const struct contract_enum_value *right = *(const struct contract_enum_value *const *)b;
  if (left->number != right->number)
    return left->number < right->number ? -1 : 1;
  return (left > right) - (left < right);
}

static void sort_values(struct contract_builder *builder, struct contract_enum *built)
{
  const struct contract_enum_value **sorted =
      arena_array(&builder->contract->arena, built->value_count, sizeof(struct contract_enum_value *));
  for (size_t i = 0; i < built->value_count; i++)
    sorted[i] = &built->values[i];
  qsort(sorted, built->value_count, sizeof(struct contract_enum_value *), compare_values);
  for (size_t i = 0; i < built->value_count; i++)
    if (i == 0 || sorted[i]->number != sorted[built->number_count - 1]->number)
      sorted[built->number_count++] = sorted[i];
  built->by_number = sorted;
}

const struct contract_enum *build_enum(struct contract_builder *builder, struct type_entry *entry)
{
  if (entry->state == TYPE_DONE)
    return entry->built_enum;
  entry->state = TYPE_DONE;
  if (!enum_is_valid(builder, entry))
    return NULL;
  struct contract_enum *built = arena_alloc(&builder->contract->arena, sizeof(*built));
  *built = (struct contract_enum){
      .full_name = keep_text(builder, entry->full_name),
      .comment = declaration_comment(builder, &entry->declaration),
      .is_closed = !entry->declaration.source->is_proto3,
      .is_null = strcmp(entry->full_name, "google.protobuf.NullValue") == 0,
      .place = declaration_place(&entry->declaration),
  };
  keep_values(builder, entry, built);
  sort_values(builder, built);
  entry->built_enum = built;
  return built;
}

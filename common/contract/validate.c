// Walks protobuf-c structs by their descriptors and checks the rules of each field.
#include "common/contract/validate.h"

#include <inttypes.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/contract/duplicates.h"
#include "common/contract/update_mask.h"
#include "google/protobuf/field_mask.pb-c.h"

// The place in the request that is being checked: a chain on the stack, innermost first.
struct spot {
  const struct spot *parent;
  const char *name;  // the field's JSON name; NULL for an item of a list
  size_t index;
};

struct walk {
  struct violations *violations;
  struct strbuf scratch;
};

static void walk_message(struct walk *walk, const struct message_rules *rules, const ProtobufCMessage *message,
                         const struct update_mask *mask, const struct spot *parent);

// ---- reports ----

static void render(const struct spot *spot, struct strbuf *out)
{
  if (spot == NULL)
    return;
  render(spot->parent, out);
  if (spot->name == NULL) {
    strbuf_add_byte(out, '[');
    strbuf_add_uint(out, spot->index);
    strbuf_add_byte(out, ']');
    return;
  }
  if (out->size > 0)
    strbuf_add_byte(out, '.');
  strbuf_add_string(out, spot->name);
}

static void report(struct walk *walk, const struct spot *spot, const char *sentence)
{
  struct strbuf path;
  strbuf_init(&path, 0);
  render(spot, &path);
  violations_add(walk->violations, strbuf_slice(&path), slice_from_string(sentence));
  strbuf_free(&path);
}

// ---- values in a struct ----

size_t validate_value_size(ProtobufCType type)
{
  switch (type) {
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return 8;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_MESSAGE:
    return sizeof(void *);
  case PROTOBUF_C_TYPE_BYTES:
    return sizeof(ProtobufCBinaryData);
  case PROTOBUF_C_TYPE_BOOL:
    return sizeof(protobuf_c_boolean);
  default:
    return 4;
  }
}

// Returns the text of a string field. NULL counts as empty: protobuf-c sets empty strings, but a caller may have built
// the struct itself.
static struct slice load_text(const void *value)
{
  const char *text;
  memcpy(&text, value, sizeof(text));
  return slice_from_string(text);
}

static struct slice load_bytes(const void *value)
{
  ProtobufCBinaryData data;
  memcpy(&data, value, sizeof(data));
  return slice_make(data.data, data.len);
}

static int64_t load_signed(const void *value, size_t size)
{
  int64_t wide = 0;
  int32_t narrow = 0;
  if (size == 8) {
    memcpy(&wide, value, sizeof(wide));
    return wide;
  }
  memcpy(&narrow, value, sizeof(narrow));
  return narrow;
}

static double float_at(const void *value, ProtobufCType type)
{
  double wide;
  float narrow;
  if (type == PROTOBUF_C_TYPE_DOUBLE) {
    memcpy(&wide, value, sizeof(wide));
    return wide;
  }
  memcpy(&narrow, value, sizeof(narrow));
  return (double)narrow;
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const void *value)
{
  static const char ZEROS[8] = {0};
  if (field->type == PROTOBUF_C_TYPE_STRING)
    return load_text(value).size == 0;
  if (field->type == PROTOBUF_C_TYPE_BYTES)
    return load_bytes(value).size == 0;
  return memcmp(value, ZEROS, validate_value_size(field->type)) == 0;
}

// Whether the struct says if the field is set: true for members of a oneof, as `optional` fields are in C. Messages say
// it by not being NULL.
static bool has_presence(const ProtobufCFieldDescriptor *field)
{
  return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

static bool is_present(const ProtobufCFieldDescriptor *field, const char *base)
{
  int32_t which;
  memcpy(&which, base + field->quantifier_offset, sizeof(which));
  return which == (int32_t)field->id;
}

// ---- scalars ----

static const char *check_enum(const ProtobufCFieldDescriptor *field, const struct field_rules *rules, int64_t value,
                              struct strbuf *scratch)
{
  const ProtobufCEnumDescriptor *enumeration = field->descriptor;
  if (rules->defined_only && protobuf_c_enum_descriptor_get_value(enumeration, (int)value) == NULL) {
    rules_begin_names(scratch);
    for (unsigned i = 0; i < enumeration->n_values; i++)
      rules_add_name(slice_from_string(enumeration->values[i].name), i, scratch);
    return strbuf_cstring(scratch);
  }
  return rules_check_int(rules, value, scratch);
}

static const char *check_scalar(const ProtobufCFieldDescriptor *field, const struct field_rules *rules,
                                const void *value, struct strbuf *scratch)
{
  switch (field->type) {
  case PROTOBUF_C_TYPE_STRING:
    return rules_check_text(rules, load_text(value), scratch);
  case PROTOBUF_C_TYPE_BYTES:
    return rules_check_bytes(rules, load_bytes(value), scratch);
  case PROTOBUF_C_TYPE_ENUM:
    return check_enum(field, rules, load_signed(value, 4), scratch);
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
    return rules_check_uint(rules, (uint64_t)load_signed(value, 8), scratch);
  case PROTOBUF_C_TYPE_UINT32:
  case PROTOBUF_C_TYPE_FIXED32:
    return rules_check_uint(rules, (uint32_t)load_signed(value, 4), scratch);
  case PROTOBUF_C_TYPE_FLOAT:
  case PROTOBUF_C_TYPE_DOUBLE:
    return rules_check_double(rules, float_at(value, field->type), scratch);
  case PROTOBUF_C_TYPE_BOOL:
    // protobuf_c_boolean is a C int.
    return rules_check_int(rules, load_signed(value, sizeof(protobuf_c_boolean)), scratch);
  case PROTOBUF_C_TYPE_MESSAGE:
    return NULL;
  default:
    return rules_check_int(rules, load_signed(value, validate_value_size(field->type)), scratch);
  }
}

static void report_problem(struct walk *walk, const struct spot *spot, const char *problem)
{
  if (problem != NULL)
    report(walk, spot, problem);
}

// ---- lists ----

static struct slice item_bytes(const ProtobufCFieldDescriptor *field, const char *item)
{
  if (field->type == PROTOBUF_C_TYPE_STRING)
    return load_text(item);
  return field->type == PROTOBUF_C_TYPE_BYTES ? load_bytes(item) : slice_make(item, validate_value_size(field->type));
}

static void check_unique(struct walk *walk, const ProtobufCFieldDescriptor *field, const char *items, size_t count,
                         const struct spot *spot)
{
  struct slice *all = arena_array(walk->violations->arena, count, sizeof(*all));
  for (size_t i = 0; i < count; i++)
    all[i] = item_bytes(field, items + i * validate_value_size(field->type));
  size_t found = find_duplicate(all, count, walk->violations->arena);
  struct spot item = {.parent = spot, .index = found};
  if (found < count)
    report(walk, &item, "must not be the same as an item before it");
}

// Returns the key of a map's entry as JSON has it, to name the entry in violations.
static const char *render_key(struct walk *walk, const ProtobufCMessage *entry)
{
  const ProtobufCFieldDescriptor *field = &entry->descriptor->fields[0];
  const char *value = (const char *)entry + field->offset;
  struct arena *arena = walk->violations->arena;
  switch (field->type) {
  case PROTOBUF_C_TYPE_STRING:
    return load_text(value).data == NULL ? "" : load_text(value).data;
  case PROTOBUF_C_TYPE_BOOL:
    return is_zero(field, value) ? "false" : "true";
  case PROTOBUF_C_TYPE_UINT32:
  case PROTOBUF_C_TYPE_FIXED32:
    return arena_printf(arena, "%" PRIu32, (uint32_t)load_signed(value, 4));
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
    return arena_printf(arena, "%" PRIu64, (uint64_t)load_signed(value, 8));
  default:
    return arena_printf(arena, "%" PRId64, load_signed(value, validate_value_size(field->type)));
  }
}

static void walk_item_message(struct walk *walk, const struct message_rules *rules, const ProtobufCMessage *message,
                              const struct spot *spot)
{
  static const struct update_mask NO_UPDATE = {.kind = MASK_NONE};
  struct spot entry = *spot;
  if (rules != NULL && rules->is_map_entry)
    entry.name = render_key(walk, message);
  walk_message(walk, rules, message, &NO_UPDATE, &entry);
}

static void walk_item(struct walk *walk, const ProtobufCFieldDescriptor *field,
                      const struct message_field_rules *field_rules, const void *item, const struct spot *spot)
{
  if (field->type == PROTOBUF_C_TYPE_MESSAGE)
    walk_item_message(walk, field_rules->message, *(const ProtobufCMessage *const *)item, spot);
  else if (field->type == PROTOBUF_C_TYPE_STRING)
    report_problem(walk, spot, rules_check_text_item(&field_rules->rules, load_text(item), &walk->scratch));
  else
    report_problem(walk, spot, check_scalar(field, &field_rules->rules, item, &walk->scratch));
}

static void walk_list(struct walk *walk, const ProtobufCFieldDescriptor *field,
                      const struct message_field_rules *field_rules, const char *base, const struct spot *spot)
{
  size_t count;
  const char *items;
  memcpy(&count, base + field->quantifier_offset, sizeof(count));
  memcpy(&items, base + field->offset, sizeof(items));
  if (count == 0 && field_rules->rules.output_only)
    return;
  report_problem(walk, spot, rules_check_count(&field_rules->rules, count, &walk->scratch));
  // The items of a list that is too long are not checked.
  uint32_t max = field_rules->rules.max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : field_rules->rules.max_items;
  if (count > max)
    return;
  for (size_t i = 0; i < count; i++) {
    struct spot item = {.parent = spot, .index = i};
    walk_item(walk, field, field_rules, items + i * validate_value_size(field->type), &item);
  }
  if (field_rules->rules.unique_items)
    check_unique(walk, field, items, count, spot);
}

// ---- single fields ----

static void walk_submessage(struct walk *walk, const struct message_field_rules *field_rules, const void *value,
                            const struct update_mask *mask, const struct spot *spot)
{
  const ProtobufCMessage *message = *(const ProtobufCMessage *const *)value;
  if (message != NULL)
    walk_message(walk, field_rules->message, message, mask, spot);
  else if (field_rules->rules.required)
    report(walk, spot, RULES_REQUIRED);
}

static void walk_scalar(struct walk *walk, const ProtobufCFieldDescriptor *field,
                        const struct message_field_rules *field_rules, const void *value, const struct spot *spot)
{
  const struct field_rules *rules = &field_rules->rules;
  bool unset = !has_presence(field) && is_zero(field, value);
  if (unset && rules->output_only)
    return;
  if (unset && rules->required)
    report(walk, spot, RULES_REQUIRED);
  else
    report_problem(walk, spot, check_scalar(field, rules, value, &walk->scratch));
}

// ---- messages ----

// The message that is being checked.
struct level {
  const struct message_rules *rules;
  const char *base;                 // start of the protobuf-c struct
  const struct update_mask *mask;   // which of its fields an update writes
  struct update_mask updated_mask;  // in the request of an update: which fields of the message `updated` it writes
  const ProtobufCFieldDescriptor *updated;
  const struct spot *spot;
};

static struct update_mask read_mask(const Google__Protobuf__FieldMask *mask, struct arena *arena)
{
  if (mask == NULL)
    return (struct update_mask){.kind = MASK_ALL};
  struct slice *paths = arena_array(arena, mask->n_paths, sizeof(*paths));
  for (size_t i = 0; i < mask->n_paths; i++)
    paths[i] = slice_from_string(mask->paths[i]);
  return update_mask_make(paths, mask->n_paths);
}

static bool is_single_message(const ProtobufCFieldDescriptor *field)
{
  return field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED;
}

// Fills in `updated` and its mask where the message is the request of an update, as update_mask.h defines it.
static void find_update(struct level *level, struct arena *arena)
{
  const ProtobufCMessageDescriptor *descriptor = level->rules->descriptor;
  const ProtobufCFieldDescriptor *mask = NULL;
  const ProtobufCFieldDescriptor *updated = NULL;
  for (unsigned i = 0; i < descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
    if (!is_single_message(field))
      continue;
    const ProtobufCMessageDescriptor *type = field->descriptor;
    if (type == &google__protobuf__field_mask__descriptor && strcmp(field->name, UPDATE_MASK_FIELD) == 0)
      mask = field;
    else if (updated == NULL && strcmp(type->package_name, "google.protobuf") != 0)
      updated = field;
  }
  if (mask == NULL || updated == NULL)
    return;
  level->updated = updated;
  level->updated_mask =
      read_mask(*(const Google__Protobuf__FieldMask *const *)(const void *)(level->base + mask->offset), arena);
}

static struct update_mask enter_mask(const struct walk *walk, const struct level *level, size_t place)
{
  const ProtobufCFieldDescriptor *field = &level->rules->descriptor->fields[place];
  if (field == level->updated)
    return level->updated_mask;
  return update_mask_enter(level->mask, slice_from_string(field->name), level->rules->fields[place].rules.immutable,
                           walk->violations->arena);
}

static void walk_single(struct walk *walk, const struct level *level, size_t place, const struct update_mask *mask,
                        const struct spot *spot)
{
  const ProtobufCFieldDescriptor *field = &level->rules->descriptor->fields[place];
  const struct message_field_rules *field_rules = &level->rules->fields[place];
  const void *value = level->base + field->offset;
  if (has_presence(field) && !is_present(field, level->base))
    report_problem(walk, spot, field_rules->rules.required ? RULES_REQUIRED : NULL);
  else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
    walk_submessage(walk, field_rules, value, mask, spot);
  else
    walk_scalar(walk, field, field_rules, value, spot);
}

static void walk_field(struct walk *walk, const struct level *level, size_t place)
{
  const ProtobufCFieldDescriptor *field = &level->rules->descriptor->fields[place];
  const struct message_field_rules *field_rules = &level->rules->fields[place];
  // Violations inside a map's entry name the entry by its key, without "value".
  struct spot spot = {.parent = level->spot, .name = level->rules->shown_names[place]};
  if (level->rules->is_map_entry) {
    CHECK(level->spot != NULL);
    spot = *level->spot;
  }
  struct update_mask inside = *level->mask;
  if (level->updated != NULL || inside.kind != MASK_NONE)
    inside = enter_mask(walk, level, place);
  if (field_rules->rules.immutable && update_mask_names(level->mask, slice_from_string(field->name), false))
    report(walk, &spot, UPDATE_MASK_IMMUTABLE);
  // An output_only field is never updated, but it may name the resource, as an id in the path does, so it is checked.
  bool names_resource = field_rules->rules.output_only && field->type != PROTOBUF_C_TYPE_MESSAGE;
  if (inside.kind == MASK_LEFT_OUT && !names_resource)
    return;
  if (field->label == PROTOBUF_C_LABEL_REPEATED)
    walk_list(walk, field, field_rules, level->base, &spot);
  else
    walk_single(walk, level, place, &inside, &spot);
}

// Whether the request writes any field of the oneof, so that leaving all of them out is a violation if the oneof is
// required.
static bool oneof_is_written(const struct walk *walk, const struct level *level, const ProtobufCFieldDescriptor *member)
{
  const ProtobufCMessageDescriptor *descriptor = level->rules->descriptor;
  for (unsigned i = 0; i < descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
    if (has_presence(field) && field->quantifier_offset == member->quantifier_offset &&
        enter_mask(walk, level, i).kind != MASK_LEFT_OUT)
      return true;
  }
  return false;
}

// Reports a required oneof that is absent, with the names of its fields.
static void report_absent_oneof(struct walk *walk, const struct level *level, const struct required_oneof *oneof)
{
  const ProtobufCMessageDescriptor *descriptor = level->rules->descriptor;
  const ProtobufCFieldDescriptor *member = &descriptor->fields[oneof->field];
  const char *separator = ": ";
  strbuf_clear(&walk->scratch);
  strbuf_add_string(&walk->scratch, "one of its fields is required");
  for (unsigned i = 0; i < descriptor->n_fields; i++)
    if (has_presence(&descriptor->fields[i]) && descriptor->fields[i].quantifier_offset == member->quantifier_offset) {
      strbuf_printf(&walk->scratch, "%s%s", separator, level->rules->shown_names[i]);
      separator = ", ";
    }
  struct spot spot = {.parent = level->spot, .name = oneof->json_name};
  report(walk, &spot, strbuf_cstring(&walk->scratch));
}

static void check_oneofs(struct walk *walk, const struct level *level)
{
  for (size_t i = 0; i < level->rules->required_oneof_count; i++) {
    const struct required_oneof *oneof = &level->rules->required_oneofs[i];
    const ProtobufCFieldDescriptor *member = &level->rules->descriptor->fields[oneof->field];
    int32_t which;
    memcpy(&which, level->base + member->quantifier_offset, sizeof(which));
    if (which == 0 && oneof_is_written(walk, level, member))
      report_absent_oneof(walk, level, oneof);
  }
}

static void walk_message(struct walk *walk, const struct message_rules *rules, const ProtobufCMessage *message,
                         const struct update_mask *mask, const struct spot *parent)
{
  if (rules == NULL)
    return;
  struct level level = {.rules = rules, .base = (const char *)message, .mask = mask, .spot = parent};
  find_update(&level, walk->violations->arena);
  for (unsigned i = 0; i < rules->descriptor->n_fields; i++)
    walk_field(walk, &level, i);
  check_oneofs(walk, &level);
}

void validate_message(const struct message_rules *rules, const ProtobufCMessage *message, struct violations *violations)
{
  static const struct update_mask NO_UPDATE = {.kind = MASK_NONE};
  struct walk walk = {.violations = violations};
  strbuf_init(&walk.scratch, 0);
  walk_message(&walk, rules, message, &NO_UPDATE, NULL);
  strbuf_free(&walk.scratch);
}

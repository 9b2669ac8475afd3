// Rules on protobuf-c structs, walked by protobuf-c's own descriptors.
#include "common/contract/validate.h"

#include "common/base/strbuf.h"
#include "common/contract/duplicates.h"

// A chain on the stack, innermost first.
struct spot {
  const struct spot *parent;
  const char *name;  // NULL for an item
  size_t index;
};

struct walk {
  struct violations *violations;
  struct strbuf scratch;
};

static void walk_message(struct walk *walk, const struct message_rules *rules, const ProtobufCMessage *message,
                         const struct spot *parent);

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

static size_t value_size(ProtobufCType type)
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

// protobuf-c gives empty strings where nothing was set, and NULL where a caller built the struct itself.
static struct slice text_at(const void *value)
{
  const char *text;
  memcpy(&text, value, sizeof(text));
  return slice_from_string(text);
}

static struct slice bytes_at(const void *value)
{
  ProtobufCBinaryData data;
  memcpy(&data, value, sizeof(data));
  return slice_make(data.data, data.len);
}

static int64_t signed_at(const void *value, size_t size)
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

static const char *check_enum(const ProtobufCFieldDescriptor *field, const struct field_rules *rules, int64_t value,
                              struct strbuf *scratch)
{
  if (protobuf_c_enum_descriptor_get_value(field->descriptor, (int)value) == NULL)
    return "is not a value that is known here";
  return rules_check_int(rules, value, scratch);
}

static const char *check_scalar(const ProtobufCFieldDescriptor *field, const struct field_rules *rules,
                                const void *value, struct strbuf *scratch)
{
  switch (field->type) {
  case PROTOBUF_C_TYPE_STRING:
    return rules_check_text(rules, text_at(value), scratch);
  case PROTOBUF_C_TYPE_BYTES:
    return rules_check_bytes(rules, bytes_at(value), scratch);
  case PROTOBUF_C_TYPE_ENUM:
    return check_enum(field, rules, signed_at(value, 4), scratch);
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
    return rules_check_uint(rules, (uint64_t)signed_at(value, 8), scratch);
  case PROTOBUF_C_TYPE_UINT32:
  case PROTOBUF_C_TYPE_FIXED32:
    return rules_check_uint(rules, (uint32_t)signed_at(value, 4), scratch);
  case PROTOBUF_C_TYPE_FLOAT:
  case PROTOBUF_C_TYPE_DOUBLE:
    return rules_check_double(rules, float_at(value, field->type), scratch);
  case PROTOBUF_C_TYPE_BOOL:
    // A bool is a C int in protobuf-c.
    return rules_check_int(rules, signed_at(value, sizeof(protobuf_c_boolean)), scratch);
  case PROTOBUF_C_TYPE_MESSAGE:
    return NULL;
  default:
    return rules_check_int(rules, signed_at(value, value_size(field->type)), scratch);
  }
}

static void walk_value(struct walk *walk, const ProtobufCFieldDescriptor *field,
                       const struct message_field_rules *field_rules, const void *value, const struct spot *spot)
{
  if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
    const ProtobufCMessage *message = *(const ProtobufCMessage *const *)value;
    if (message == NULL && field_rules->rules.required)
      report(walk, spot, "is required");
    else if (message != NULL)
      walk_message(walk, field_rules->message, message, spot);
    return;
  }
  const char *problem = check_scalar(field, &field_rules->rules, value, &walk->scratch);
  if (problem != NULL)
    report(walk, spot, problem);
}

static struct slice item_bytes(const ProtobufCFieldDescriptor *field, const char *item)
{
  if (field->type == PROTOBUF_C_TYPE_STRING)
    return text_at(item);
  return field->type == PROTOBUF_C_TYPE_BYTES ? bytes_at(item) : slice_make(item, value_size(field->type));
}

static void check_unique(struct walk *walk, const ProtobufCFieldDescriptor *field, const char *items, size_t count,
                         const struct spot *spot)
{
  struct slice *all = arena_array(walk->violations->arena, count, sizeof(*all));
  for (size_t i = 0; i < count; i++)
    all[i] = item_bytes(field, items + i * value_size(field->type));
  size_t found = find_duplicate(all, count, walk->violations->arena);
  struct spot item = {.parent = spot, .index = found};
  if (found < count)
    report(walk, &item, "must not be the same as an item before it");
}

static void walk_list(struct walk *walk, const ProtobufCFieldDescriptor *field,
                      const struct message_field_rules *field_rules, const char *base, const struct spot *spot)
{
  size_t count;
  const char *items;
  memcpy(&count, base + field->quantifier_offset, sizeof(count));
  memcpy(&items, base + field->offset, sizeof(items));
  const char *problem = rules_check_count(&field_rules->rules, count, &walk->scratch);
  if (problem != NULL)
    report(walk, spot, problem);
  // What is beyond the cap is not looked at: the message is refused already.
  uint32_t max = field_rules->rules.max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : field_rules->rules.max_items;
  if (count > max)
    return;
  // `required` is a matter of the list; its items may be empty.
  struct message_field_rules item_rules = *field_rules;
  item_rules.rules.required = false;
  for (size_t i = 0; i < count; i++) {
    struct spot item = {.parent = spot, .index = i};
    walk_value(walk, field, &item_rules, items + i * value_size(field->type), &item);
  }
  if (field_rules->rules.unique_items)
    check_unique(walk, field, items, count, spot);
}

// Whether a field with presence is absent.
static bool is_absent(const ProtobufCFieldDescriptor *field, const char *base)
{
  int32_t which;
  if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_MESSAGE &&
      field->type != PROTOBUF_C_TYPE_STRING) {
    memcpy(&which, base + field->quantifier_offset, sizeof(which));
    return which == 0;
  }
  if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
    return false;
  memcpy(&which, base + field->quantifier_offset, sizeof(which));
  return which != (int32_t)field->id;
}

static void walk_message(struct walk *walk, const struct message_rules *rules, const ProtobufCMessage *message,
                         const struct spot *parent)
{
  if (rules == NULL)
    return;
  const char *base = (const char *)message;
  for (unsigned i = 0; i < rules->descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &rules->descriptor->fields[i];
    struct spot spot = {.parent = parent, .name = rules->json_names[i]};
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
      walk_list(walk, field, &rules->fields[i], base, &spot);
    else if (!is_absent(field, base))
      walk_value(walk, field, &rules->fields[i], base + field->offset, &spot);
    else if (rules->fields[i].rules.required)
      report(walk, &spot, "is required");
  }
}

void validate_message(const struct message_rules *rules, const ProtobufCMessage *message, struct violations *violations)
{
  struct walk walk = {.violations = violations};
  strbuf_init(&walk.scratch, 0);
  walk_message(&walk, rules, message, NULL);
  strbuf_free(&walk.scratch);
}

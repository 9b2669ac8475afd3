// The checks, from the file down to the field. A rule that would be ignored at run time is as bad as a wrong one, so a
// rule that does not fit its field's type is refused too.
#include "proto/plugin/review.h"

#include <string.h>

#include "common/contract/rules.h"
#include "proto/plugin/names.h"

struct review {
  const struct plugin_contract *contract;
  const FileProto *file;
  struct strbuf *findings;
};

static void find(const struct review *review, const char *element, const char *format, ...) PRINTF_LIKE(3, 4);
static void find(const struct review *review, const char *element, const char *format, ...)
{
  if (review->findings->size > 0)
    strbuf_add_byte(review->findings, '\n');
  strbuf_printf(review->findings, "%s: ", review->file->name);
  if (element != NULL)
    strbuf_printf(review->findings, "%s: ", element);
  va_list args;
  va_start(args, format);
  strbuf_vprintf(review->findings, format, args);
  va_end(args);
}

static bool is_integer(Google__Protobuf__FieldDescriptorProto__Type type)
{
  switch (type) {
  case FIELD_TYPE(INT32):
  case FIELD_TYPE(INT64):
  case FIELD_TYPE(UINT32):
  case FIELD_TYPE(UINT64):
  case FIELD_TYPE(SINT32):
  case FIELD_TYPE(SINT64):
  case FIELD_TYPE(FIXED32):
  case FIELD_TYPE(FIXED64):
  case FIELD_TYPE(SFIXED32):
  case FIELD_TYPE(SFIXED64):
    return true;
  default:
    return false;
  }
}

static bool is_unsigned(Google__Protobuf__FieldDescriptorProto__Type type)
{
  return type == FIELD_TYPE(UINT32) || type == FIELD_TYPE(UINT64) || type == FIELD_TYPE(FIXED32) ||
         type == FIELD_TYPE(FIXED64);
}

// Rules that hold only for some types.
static void review_fit(const struct review *review, const char *element, const struct plugin_field *field)
{
  const Bulkhead__V1__FieldRules *rules = field->rules;
  Google__Protobuf__FieldDescriptorProto__Type type = field->proto->type;
  bool text = type == FIELD_TYPE(STRING);
  bool single_text = text && !field->repeated;
  const struct {
    bool used;
    bool fits;
    const char *name;
    const char *where;
  } table[] = {
      {rules->min_length != 0, text || type == FIELD_TYPE(BYTES), "min_length", "strings and bytes"},
      {rules->max_length != 0, text || type == FIELD_TYPE(BYTES), "max_length", "strings and bytes"},
      {rules->min_items != 0, field->repeated, "min_items", "repeated fields"},
      {rules->max_items != 0, field->repeated, "max_items", "repeated fields"},
      {rules->unique_items, field->repeated && field->message == NULL, "unique_items",
       "repeated fields of scalars and strings"},
      {rules->minimum != NULL, is_integer(type), "minimum", "whole numbers"},
      {rules->maximum != NULL, is_integer(type), "maximum", "whole numbers"},
      {rules->format != 0, text, "format", "strings"},
      {rules->n_one_of != 0, text, "one_of", "strings"},
      {rules->from_header[0] != '\0', single_text, "from_header", "single strings"},
      {rules->to_header[0] != '\0', single_text, "to_header", "single strings"},
      {rules->required, type != FIELD_TYPE(BOOL) || field->repeated, "required", "fields that can be unset"},
  };
  for (size_t i = 0; i < ARRAY_LEN(table); i++) {
    if (table[i].used && !table[i].fits)
      find(review, element, "%s does not fit here, it is for %s", table[i].name, table[i].where);
  }
}

// Rules that contradict one another.
static void review_sense(const struct review *review, const char *element, const struct plugin_field *field)
{
  const Bulkhead__V1__FieldRules *rules = field->rules;
  uint32_t max_length = rules->max_length == 0 ? RULES_DEFAULT_MAX_LENGTH : rules->max_length;
  uint32_t max_items = rules->max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : rules->max_items;
  if (rules->min_length > max_length)
    find(review, element, "min_length %u is above max_length %u", rules->min_length, max_length);
  if (rules->min_items > max_items)
    find(review, element, "min_items %u is above max_items %u", rules->min_items, max_items);
  if (rules->minimum != NULL && rules->maximum != NULL && rules->minimum->value > rules->maximum->value)
    find(review, element, "minimum %lld is above maximum %lld", (long long)rules->minimum->value,
         (long long)rules->maximum->value);
  if (is_unsigned(field->proto->type) && rules->maximum != NULL && rules->maximum->value < 0)
    find(review, element, "maximum %lld is below 0 on an unsigned field", (long long)rules->maximum->value);
  if (rules->required && rules->output_only)
    find(review, element, "required and output_only exclude each other");
  if (rules->secret && (rules->output_only || rules->to_header[0] != '\0'))
    find(review, element, "a secret field is never sent out: output_only and to_header exclude it");
  if ((int)rules->format < 0 || (int)rules->format > FORMAT_LINE)
    find(review, element, "format %d is unknown", (int)rules->format);
}

static void review_field(const struct review *review, const struct plugin_message *message,
                         const struct plugin_field *field)
{
  const char *element = arena_printf(review->contract->arena, "%s.%s", message->full_name, field->proto->name);
  if (field->proto->proto3_optional)
    find(review, element, "optional fields are not supported: protoc-c 1.4 cannot make them");
  if (field->message != NULL && !field->message->finite)
    find(review, element, "%s is recursive; protobuf-c has no limit on recursion", field->message->full_name);
  if (field->rules == NULL)
    return;
  review_fit(review, element, field);
  review_sense(review, element, field);
}

enum { EXTENSION_ONEOF_RULES = 50003 };

static void review_message(const struct review *review, const struct plugin_message *message)
{
  for (size_t i = 0; i < message->proto->n_oneof_decl; i++) {
    const Google__Protobuf__OneofDescriptorProto *oneof = message->proto->oneof_decl[i];
    struct slice unused;
    if (oneof->options != NULL &&
        plugin_extension(&oneof->options->base, EXTENSION_ONEOF_RULES, review->contract->arena, &unused))
      find(review, arena_printf(review->contract->arena, "%s.%s", message->full_name, oneof->name),
           "rules on a oneof are not served yet");
  }
  for (size_t i = 0; i < message->field_count; i++)
    review_field(review, message, &message->fields[i]);
}

static bool has_no_side_effects(const struct plugin_method *method)
{
  return method->proto->options != NULL && method->proto->options->idempotency_level ==
                                               GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS;
}

static void review_policy(const struct review *review, const struct plugin_method *method)
{
  const Bulkhead__V1__MethodPolicy *policy = method->policy;
  if (policy == NULL || policy->access == BULKHEAD__V1__ACCESS__ACCESS_UNSPECIFIED) {
    find(review, method->path,
         "has no access policy; say who may call it: option (bulkhead.v1.method) = {access: ACCESS_...}");
    return;
  }
  bool by_role = policy->access == BULKHEAD__V1__ACCESS__ACCESS_ROLE;
  if ((int)policy->access < 0 || policy->access > BULKHEAD__V1__ACCESS__ACCESS_INTERNAL)
    find(review, method->path, "access %d is unknown", (int)policy->access);
  if (by_role && policy->n_roles == 0)
    find(review, method->path, "ACCESS_ROLE needs at least one of roles");
  if (!by_role && policy->n_roles > 0)
    find(review, method->path, "roles are for ACCESS_ROLE only");
  for (size_t i = 0; i < policy->n_roles; i++) {
    if (policy->roles[i][0] == '\0')
      find(review, method->path, "a role is empty");
  }
  if (policy->access == BULKHEAD__V1__ACCESS__ACCESS_INTERNAL && method->has_http)
    find(review, method->path, "ACCESS_INTERNAL and google.api.http exclude each other");
  if (policy->cache_ttl_ms != 0 && !has_no_side_effects(method))
    find(review, method->path, "cache_ttl_ms is for methods with idempotency_level = NO_SIDE_EFFECTS");
}

static void review_method(const struct review *review, const struct plugin_method *method)
{
  if (method->proto->client_streaming || method->proto->server_streaming)
    find(review, method->path, "streaming methods are not served yet");
  const char *member = name_member(review->contract->arena, method->proto->name);
  if (name_is_keyword(member))
    find(review, method->path, "the name becomes \"%s\" in C, which is a keyword; choose another", member);
  const struct plugin_message *types[] = {method->input, method->output};
  for (size_t i = 0; i < ARRAY_LEN(types); i++) {
    // A message of our own is reported where it is declared.
    if (!types[i]->finite && !plugin_file_is_ours(types[i]->file->name))
      find(review, method->path, "%s is recursive; protobuf-c has no limit on recursion", types[i]->full_name);
  }
  review_policy(review, method);
}

void review_file(const struct plugin_contract *contract, const FileProto *file, struct strbuf *findings)
{
  const struct review review = {.contract = contract, .file = file, .findings = findings};
  if (file->syntax == NULL || strcmp(file->syntax, "proto3") != 0)
    find(&review, NULL, "is not proto3; write syntax = \"proto3\" at its head");
  if (file->package == NULL || file->package[0] == '\0')
    find(&review, NULL, "has no package; its first part names the service that serves it");
  for (size_t i = 0; i < contract->message_count; i++) {
    if (contract->messages[i].file == file)
      review_message(&review, &contract->messages[i]);
  }
  for (size_t i = 0; i < contract->service_count; i++) {
    for (size_t m = 0; contract->services[i].file == file && m < contract->services[i].method_count; m++)
      review_method(&review, &contract->services[i].methods[m]);
  }
}

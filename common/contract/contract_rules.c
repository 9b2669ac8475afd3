// FieldRules from the descriptors, refused where they do not fit the type of their field: a rule that can never apply
// is a mistake of the contract's author, who should hear of it at start.
#include "common/base/strbuf.h"
#include "common/contract/builder_internal.h"

#define MAX_ONE_OF 256

static bool is_number(enum contract_type type)
{
  return type != CONTRACT_STRING && type != CONTRACT_BYTES && type != CONTRACT_MESSAGE && type != CONTRACT_BOOL &&
         type != CONTRACT_ENUM;
}

// RFC 9110: a field name is a token; these are the characters that header names really have.
static bool is_header_name(const char *name)
{
  if (*name == '\0')
    return false;
  for (const char *at = name; *at != '\0'; at++) {
    char letter = (char)(*at | 0x20);
    if (!(letter >= 'a' && letter <= 'z') && !(*at >= '0' && *at <= '9') && *at != '-')
      return false;
  }
  return true;
}

static bool is_set(const char *text)
{
  return text != NULL && *text != '\0';
}

// What is wrong with the rules for this field; NULL for nothing.
static const char *find_misfit(const Bulkhead__V1__FieldRules *rules, const struct contract_field *field)
{
  bool text = field->type == CONTRACT_STRING;
  bool measured = text || field->type == CONTRACT_BYTES;
  const struct {
    bool wrong;
    const char *sentence;
  } checks[] = {
      {!measured && (rules->min_length != 0 || rules->max_length != 0), "a length needs a string or bytes field"},
      {rules->max_length != 0 && rules->min_length > rules->max_length, "min_length is above max_length"},
      {!field->repeated && (rules->min_items != 0 || rules->max_items != 0), "a number of items needs a list"},
      {rules->max_items != 0 && rules->min_items > rules->max_items, "min_items is above max_items"},
      {rules->unique_items && (!field->repeated || field->type == CONTRACT_MESSAGE),
       "unique_items needs a list of scalars or strings"},
      {(rules->minimum != NULL || rules->maximum != NULL) && !is_number(field->type),
       "minimum and maximum need a number"},
      {rules->minimum != NULL && rules->maximum != NULL && rules->minimum->value > rules->maximum->value,
       "minimum is above maximum"},
      {rules->format != BULKHEAD__V1__FORMAT__FORMAT_UNSPECIFIED && !text, "a format needs a string field"},
      {(unsigned)rules->format > FORMAT_LINE, "unknown format"},
      {rules->n_one_of != 0 && (!text || rules->n_one_of > MAX_ONE_OF),
       "one_of needs a string field and 256 values at most"},
      {rules->output_only && rules->required, "a field cannot be output_only and required"},
      {rules->output_only && rules->secret, "a field cannot be output_only and secret"},
      {rules->output_only && rules->immutable, "a field cannot be output_only and immutable"},
      {(is_set(rules->from_header) || is_set(rules->to_header)) && (!text || field->repeated),
       "a header needs a single string field"},
      {is_set(rules->from_header) && !is_header_name(rules->from_header), "from_header is no header name"},
      {is_set(rules->to_header) && !is_header_name(rules->to_header), "to_header is no header name"},
  };
  for (size_t i = 0; i < ARRAY_LEN(checks); i++)
    if (checks[i].wrong)
      return checks[i].sentence;
  return NULL;
}

static const char *keep_if_set(struct arena *arena, const char *text)
{
  return is_set(text) ? arena_string(arena, slice_from_string(text)) : NULL;
}

static struct field_rules convert(struct arena *arena, const Bulkhead__V1__FieldRules *source)
{
  struct field_rules rules = {
      .required = source->required,
      .unique_items = source->unique_items,
      .output_only = source->output_only,
      .immutable = source->immutable,
      .secret = source->secret,
      .has_minimum = source->minimum != NULL,
      .has_maximum = source->maximum != NULL,
      .format = (enum field_format)source->format,
      .min_length = source->min_length,
      .max_length = source->max_length,
      .min_items = source->min_items,
      .max_items = source->max_items,
      .minimum = source->minimum == NULL ? 0 : source->minimum->value,
      .maximum = source->maximum == NULL ? 0 : source->maximum->value,
      .from_header = keep_if_set(arena, source->from_header),
      .to_header = keep_if_set(arena, source->to_header),
      .example = keep_if_set(arena, source->example),
      .one_of_count = source->n_one_of,
  };
  const char **one_of = arena_array(arena, source->n_one_of, sizeof(*one_of));
  for (size_t i = 0; i < source->n_one_of; i++)
    one_of[i] = arena_string(arena, slice_from_string(source->one_of[i]));
  rules.one_of = source->n_one_of == 0 ? NULL : one_of;
  return rules;
}

// An example that its own rules refuse would mislead every reader of the API page.
static enum status check_example(struct contract_builder *builder, const struct contract_message *message,
                                 const struct contract_field *field)
{
  if (field->rules.example == NULL || field->type != CONTRACT_STRING)
    return STATUS_OK;
  struct strbuf scratch;
  strbuf_init(&scratch, 0);
  const char *problem = rules_check_text(&field->rules, slice_from_string(field->rules.example), &scratch);
  enum status status = STATUS_OK;
  if (problem != NULL)
    status = error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s." SLICE_FMT ": its example %s", message->full_name,
                       SLICE_ARG(field->name), problem);
  strbuf_free(&scratch);
  return status;
}

enum status build_field_rules(struct contract_builder *builder, const Google__Protobuf__FieldOptions *options,
                              const struct contract_message *message, struct contract_field *field)
{
  Bulkhead__V1__FieldRules *source;
  enum status status = options_field_rules(builder, options, &source);
  if (status != STATUS_OK) {
    error_prefix(builder->error, "%s." SLICE_FMT, message->full_name, SLICE_ARG(field->name));
    return status;
  }
  if (source == NULL)
    return STATUS_OK;
  const char *misfit = find_misfit(source, field);
  if (misfit != NULL)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s." SLICE_FMT ": %s", message->full_name,
                     SLICE_ARG(field->name), misfit);
  field->rules = convert(&builder->contract->arena, source);
  return check_example(builder, message, field);
}

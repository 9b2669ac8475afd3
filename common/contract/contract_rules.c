// Reads FieldRules from the descriptors and refuses those that do not fit the type of their field: a rule that can
// never apply is a mistake of the contract's author.
#include <inttypes.h>

#include "common/base/strbuf.h"
#include "common/contract/builder_internal.h"

#define MAX_ONE_OF 256

struct rules_place {
  struct contract_builder *builder;
  const struct declaration *option;
  const struct contract_field *field;
  const Bulkhead__V1__FieldRules *rules;
};

static bool is_set(const char *text)
{
  return text != NULL && *text != '\0';
}

// ---- rules and types ----

static bool is_whole_number(enum contract_type type)
{
  switch (type) {
  case CONTRACT_INT64:
  case CONTRACT_UINT64:
  case CONTRACT_INT32:
  case CONTRACT_FIXED64:
  case CONTRACT_FIXED32:
  case CONTRACT_UINT32:
  case CONTRACT_SFIXED32:
  case CONTRACT_SFIXED64:
  case CONTRACT_SINT32:
  case CONTRACT_SINT64:
    return true;
  default:
    return false;
  }
}

// Reports rules that do not apply to the type of their field.
static void check_fit(const struct rules_place *place)
{
  const Bulkhead__V1__FieldRules *rules = place->rules;
  const struct contract_field *field = place->field;
  bool text = field->type == CONTRACT_STRING;
  bool single_text = text && !field->repeated;
  bool sized = text || field->type == CONTRACT_BYTES;
  bool whole = is_whole_number(field->type);
  const struct {
    bool is_used;
    bool fits;
    const char *name;
    const char *where;
  } table[] = {
      {rules->min_length != 0, sized, "min_length", "strings and bytes"},
      {rules->max_length != 0, sized, "max_length", "strings and bytes"},
      {rules->min_items != 0, field->repeated, "min_items", "repeated fields and maps"},
      {rules->max_items != 0, field->repeated, "max_items", "repeated fields and maps"},
      {rules->unique_items, field->repeated && field->type != CONTRACT_MESSAGE, "unique_items",
       "repeated fields of scalars and strings"},
      {rules->minimum != NULL, whole, "minimum", "whole numbers"},
      {rules->maximum != NULL, whole, "maximum", "whole numbers"},
      {rules->format != BULKHEAD__V1__FORMAT__FORMAT_UNSPECIFIED, text, "format", "strings"},
      {rules->defined_only, field->type == CONTRACT_ENUM, "defined_only", "enums"},
      {rules->n_one_of != 0, text, "one_of", "strings; for other types declare an enum"},
      {is_set(rules->from_header), single_text, "from_header", "single strings"},
      {is_set(rules->to_header), single_text, "to_header", "single strings"},
      {rules->required, field->type != CONTRACT_BOOL || field->repeated || field->has_presence, "required",
       "fields that can be left out; make the bool optional"},
  };
  for (size_t i = 0; i < ARRAY_LEN(table); i++)
    if (table[i].is_used && !table[i].fits)
      report(place->builder, place->option, "%s does not fit here; it is for %s", table[i].name, table[i].where);
}

// Reports rules that contradict each other.
static void check_pairs(const struct rules_place *place)
{
  const Bulkhead__V1__FieldRules *rules = place->rules;
  const struct {
    bool is_wrong;
    const char *sentence;
  } table[] = {
      {rules->output_only && rules->required,
       "required and output_only exclude each other; a client cannot set what the service sets"},
      {rules->output_only && rules->immutable,
       "immutable and output_only exclude each other; a client cannot set what the service sets"},
      {rules->output_only && is_set(rules->from_header),
       "from_header and output_only exclude each other; a client cannot set what the service sets"},
      {rules->secret && rules->output_only, "secret and output_only exclude each other; a secret is never sent out"},
      {rules->secret && is_set(rules->to_header),
       "secret and to_header exclude each other; a secret is never sent out"},
  };
  for (size_t i = 0; i < ARRAY_LEN(table); i++)
    if (table[i].is_wrong)
      report(place->builder, place->option, "%s", table[i].sentence);
}

// ---- limits ----

static void check_sizes(const struct rules_place *place)
{
  const Bulkhead__V1__FieldRules *rules = place->rules;
  uint32_t max_length = rules->max_length == 0 ? RULES_DEFAULT_MAX_LENGTH : rules->max_length;
  uint32_t max_items = rules->max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : rules->max_items;
  if (rules->min_length > max_length)
    report(place->builder, place->option, "min_length %" PRIu32 " is above max_length %" PRIu32 "; swap or change them",
           rules->min_length, max_length);
  if (rules->min_items > max_items)
    report(place->builder, place->option, "min_items %" PRIu32 " is above max_items %" PRIu32 "; swap or change them",
           rules->min_items, max_items);
}

// Returns the lowest and the highest number of a type, as far as the bounds of a rule (int64) reach.
static void find_range(enum contract_type type, int64_t *lowest, int64_t *highest)
{
  *lowest = INT64_MIN;
  *highest = INT64_MAX;
  switch (type) {
  case CONTRACT_INT32:
  case CONTRACT_SINT32:
  case CONTRACT_SFIXED32:
    *lowest = INT32_MIN;
    *highest = INT32_MAX;
    break;
  case CONTRACT_UINT32:
  case CONTRACT_FIXED32:
    *lowest = 0;
    *highest = UINT32_MAX;
    break;
  case CONTRACT_UINT64:
  case CONTRACT_FIXED64:
    *lowest = 0;
    break;
  default:
    break;
  }
}

static void check_bounds(const struct rules_place *place)
{
  const Bulkhead__V1__Bound *minimum = place->rules->minimum;
  const Bulkhead__V1__Bound *maximum = place->rules->maximum;
  if (!is_whole_number(place->field->type))
    return;
  int64_t lowest;
  int64_t highest;
  find_range(place->field->type, &lowest, &highest);
  if (minimum != NULL && maximum != NULL && minimum->value > maximum->value)
    report(place->builder, place->option, "minimum %" PRId64 " is above maximum %" PRId64 "; swap or change them",
           minimum->value, maximum->value);
  else if (maximum != NULL && maximum->value < lowest)
    report(place->builder, place->option,
           "maximum %" PRId64 " is below every value of the type; write %" PRId64 " or more", maximum->value, lowest);
  else if (minimum != NULL && minimum->value > highest)
    report(place->builder, place->option,
           "minimum %" PRId64 " is above every value of the type; write %" PRId64 " or less", minimum->value, highest);
}

// ---- headers ----

// Whether the name can be that of a header. RFC 9110 allows any token; only letters, digits and '-' are accepted here,
// which header names really have.
static bool is_header_name(const char *name)
{
  for (const char *at = name; *at != '\0'; at++) {
    char letter = (char)(*at | 0x20);
    if (!(letter >= 'a' && letter <= 'z') && !(*at >= '0' && *at <= '9') && *at != '-')
      return false;
  }
  return true;
}

// Whether the gateway itself writes the header, or the header decides how a message is read.
static bool is_taken_header(const char *name)
{
  static const char *const TAKEN[] = {
      "Authorization", "Connection", "Content-Encoding", "Content-Length",   "Content-Type",      "Cookie", "Date",
      "Host",          "Keep-Alive", "Location",         "Proxy-Connection", "Transfer-Encoding", "TE",     "Trailer",
      "Upgrade",
  };
  for (size_t i = 0; i < ARRAY_LEN(TAKEN); i++)
    if (slice_equal_ignore_case(slice_from_string(name), slice_from_string(TAKEN[i])))
      return true;
  return false;
}

static void check_header(const struct rules_place *place, const char *rule, const char *name)
{
  if (!is_set(name))
    return;
  if (!is_header_name(name))
    report(place->builder, place->option, "%s \"%s\" is not a header name; write letters, digits and -", rule, name);
  else if (is_taken_header(name))
    report(place->builder, place->option, "%s \"%s\" is a header of the gateway's own; choose another", rule, name);
}

// ---- texts ----

// Reports a value of one_of that another rule refuses, because it could never be sent.
static void check_one_of(const struct rules_place *place)
{
  const Bulkhead__V1__FieldRules *rules = place->rules;
  if (rules->n_one_of > MAX_ONE_OF)
    report(place->builder, place->option, "one_of has %zu values; write %d at most, or declare an enum",
           rules->n_one_of, MAX_ONE_OF);
  struct field_rules others = place->field->rules;
  others.one_of = NULL;
  others.one_of_count = 0;
  struct strbuf scratch;
  strbuf_init(&scratch, 0);
  for (size_t i = 0; i < rules->n_one_of && place->field->type == CONTRACT_STRING; i++) {
    // The empty text is skipped: it stands for a field that is left out.
    struct slice value = slice_from_string(rules->one_of[i]);
    const char *problem = value.size == 0 ? NULL : rules_check_text(&others, value, &scratch);
    if (problem != NULL)
      report(place->builder, place->option, "the value \"%s\" of one_of %s; change it or the rule that refuses it",
             rules->one_of[i], problem);
  }
  strbuf_free(&scratch);
}

static const char *keep_if_set(struct contract_builder *builder, const char *text)
{
  return is_set(text) ? keep_text(builder, text) : NULL;
}

static struct field_rules convert(struct contract_builder *builder, const Bulkhead__V1__FieldRules *source)
{
  struct field_rules rules = {
      .required = source->required,
      .unique_items = source->unique_items,
      .output_only = source->output_only,
      .immutable = source->immutable,
      .secret = source->secret,
      .defined_only = source->defined_only,
      .has_minimum = source->minimum != NULL,
      .has_maximum = source->maximum != NULL,
      .format = (unsigned)source->format <= FORMAT_LINE ? (enum field_format)source->format : FORMAT_NONE,
      .min_length = source->min_length,
      .max_length = source->max_length,
      .min_items = source->min_items,
      .max_items = source->max_items,
      .minimum = source->minimum == NULL ? 0 : source->minimum->value,
      .maximum = source->maximum == NULL ? 0 : source->maximum->value,
      .from_header = keep_if_set(builder, source->from_header),
      .to_header = keep_if_set(builder, source->to_header),
      .example = keep_if_set(builder, source->example),
      .one_of_count = source->n_one_of,
  };
  const char **one_of = arena_array(&builder->contract->arena, source->n_one_of, sizeof(*one_of));
  for (size_t i = 0; i < source->n_one_of; i++)
    one_of[i] = keep_text(builder, source->one_of[i]);
  rules.one_of = source->n_one_of == 0 ? NULL : one_of;
  return rules;
}

void build_field_rules(struct contract_builder *builder, const struct declaration *declaration,
                       const Google__Protobuf__FieldOptions *options, struct contract_field *field)
{
  const Bulkhead__V1__FieldRules *source = options_field_rules(builder, declaration, options);
  if (source == NULL)
    return;
  struct declaration option = declaration_of_rules(declaration);
  const struct rules_place place = {.builder = builder, .option = &option, .field = field, .rules = source};
  size_t before = builder->diagnostics->count;
  field->has_rules = true;
  field->rules = convert(builder, source);
  if ((unsigned)source->format > FORMAT_LINE)
    report(builder, &option, "format %d is unknown; write one of options.proto's Format", (int)source->format);
  check_fit(&place);
  check_pairs(&place);
  check_sizes(&place);
  check_bounds(&place);
  check_header(&place, "from_header", source->from_header);
  check_header(&place, "to_header", source->to_header);
  // An example is checked only against rules without mistakes.
  if (builder->diagnostics->count != before)
    return;
  check_one_of(&place);
  check_example(builder, &option, field);
}

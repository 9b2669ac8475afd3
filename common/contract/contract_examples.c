// Checks the examples that contracts give for the OpenAPI document: one that the field itself would refuse misleads
// every reader of the API's page. An example is written as a parameter would be, without the quotes of JSON. For a list
// it is one item.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/contract/builder_internal.h"

static const char *check_signed(const struct contract_field *field, int64_t lowest, int64_t highest,
                                struct strbuf *scratch)
{
  int64_t value;
  if (!slice_to_int64(slice_from_string(field->rules.example), lowest, highest, &value))
    return "is not a number of the field's type";
  return rules_check_int(&field->rules, value, scratch);
}

static const char *check_unsigned(const struct contract_field *field, uint64_t highest, struct strbuf *scratch)
{
  uint64_t value;
  if (!slice_to_uint64(slice_from_string(field->rules.example), 0, highest, &value))
    return "is not a number of the field's type";
  return rules_check_uint(&field->rules, value, scratch);
}

static const char *check_float(const struct contract_field *field, struct strbuf *scratch)
{
  const char *text = field->rules.example;
  // strtod also reads hexadecimal and names of infinities, which JSON does not have.
  char *end;
  double value = strtod(text, &end);
  if (strspn(text, "+-.0123456789eE") != strlen(text) || *end != '\0' || !isfinite(value))
    return "is not a number";
  return rules_check_double(&field->rules, value, scratch);
}

static const char *check_enum_name(const struct contract_field *field)
{
  const struct contract_enum *enumeration = field->enumeration;
  for (size_t i = 0; i < enumeration->value_count; i++)
    if (slice_equal_string(enumeration->values[i].name, field->rules.example))
      return NULL;
  return "is not the name of a value of the enum";
}

static const char *check_bytes(const struct contract_field *field, struct strbuf *scratch)
{
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  bool decoded = base64_decode(slice_from_string(field->rules.example), &bytes);
  const char *problem =
      decoded ? rules_check_bytes(&field->rules, strbuf_slice(&bytes), scratch) : "is not base64, as JSON has bytes";
  strbuf_free(&bytes);
  return problem;
}

static const char *check_message(const struct contract_field *field)
{
  int64_t seconds;
  int32_t nanos;
  switch (field->message->well_known) {
  case CONTRACT_TIMESTAMP:
    return clock_parse_rfc3339(slice_from_string(field->rules.example), &seconds, &nanos)
               ? NULL
               : "is not a time such as 2026-01-02T03:04:05Z";
  case CONTRACT_DURATION:
  case CONTRACT_FIELD_MASK:
  case CONTRACT_WRAPPER:
    return NULL;
  case CONTRACT_STRUCT:
  case CONTRACT_VALUE:
  case CONTRACT_LIST_VALUE:
  case CONTRACT_ANY:
    return "stands on a message that holds any JSON";
  default:
    return "stands on a message, whose fields have examples of their own";
  }
}

// Returns what is wrong with the example; NULL when it is a value of its field and keeps the rules.
static const char *find_problem(const struct contract_field *field, struct strbuf *scratch)
{
  const char *example = field->rules.example;
  switch (field->type) {
  case CONTRACT_STRING:
    return rules_check_text(&field->rules, slice_from_string(example), scratch);
  case CONTRACT_BYTES:
    return check_bytes(field, scratch);
  case CONTRACT_BOOL:
    return strcmp(example, "true") == 0 || strcmp(example, "false") == 0 ? NULL : "is neither true nor false";
  case CONTRACT_ENUM:
    return check_enum_name(field);
  case CONTRACT_DOUBLE:
  case CONTRACT_FLOAT:
    return check_float(field, scratch);
  case CONTRACT_UINT32:
  case CONTRACT_FIXED32:
    return check_unsigned(field, UINT32_MAX, scratch);
  case CONTRACT_UINT64:
  case CONTRACT_FIXED64:
    return check_unsigned(field, UINT64_MAX, scratch);
  case CONTRACT_INT32:
  case CONTRACT_SINT32:
  case CONTRACT_SFIXED32:
    return check_signed(field, INT32_MIN, INT32_MAX, scratch);
  case CONTRACT_INT64:
  case CONTRACT_SINT64:
  case CONTRACT_SFIXED64:
    return check_signed(field, INT64_MIN, INT64_MAX, scratch);
  case CONTRACT_MESSAGE:
    return check_message(field);
  }
  return NULL;
}

void check_example(struct contract_builder *builder, const struct declaration *option,
                   const struct contract_field *field)
{
  if (field->rules.example == NULL)
    return;
  struct strbuf scratch;
  strbuf_init(&scratch, 0);
  const char *problem = find_problem(field, &scratch);
  if (problem != NULL)
    report(builder, option, "the example \"%s\" %s; write one that the field accepts", field->rules.example, problem);
  strbuf_free(&scratch);
}

// Reads scalars from JSON and from parameters, as strictly as proto3 JSON allows: a number may come in quotes and with
// an exponent, as long as its value is exactly one of the type's.
#include <math.h>
#include <stdlib.h>

#include "common/base/codec.h"
#include "common/contract/rules.h"
#include "common/transcode/scalar_internal.h"

#define MAX_FLOAT_TEXT 512

static const struct {
  int64_t min;
  uint64_t max;
  const char *sentence;
} INTEGERS[] = {
    [CONTRACT_INT32] = {INT32_MIN, INT32_MAX, "must be a whole number of 32 bits"},
    [CONTRACT_INT64] = {INT64_MIN, INT64_MAX, "must be a whole number of 64 bits"},
    [CONTRACT_UINT32] = {0, UINT32_MAX, "must be a whole number of 32 bits without a sign"},
    [CONTRACT_UINT64] = {0, UINT64_MAX, "must be a whole number of 64 bits without a sign"},
    [CONTRACT_FIXED32] = {0, UINT32_MAX, "must be a whole number of 32 bits without a sign"},
    [CONTRACT_FIXED64] = {0, UINT64_MAX, "must be a whole number of 64 bits without a sign"},
    [CONTRACT_SFIXED32] = {INT32_MIN, INT32_MAX, "must be a whole number of 32 bits"},
    [CONTRACT_SFIXED64] = {INT64_MIN, INT64_MAX, "must be a whole number of 64 bits"},
    [CONTRACT_SINT32] = {INT32_MIN, INT32_MAX, "must be a whole number of 32 bits"},
    [CONTRACT_SINT64] = {INT64_MIN, INT64_MAX, "must be a whole number of 64 bits"},
    [CONTRACT_ENUM] = {INT32_MIN, INT32_MAX, "must be a whole number of 32 bits"},
};

// ---- whole numbers ----

static bool is_digit(char byte)
{
  return byte >= '0' && byte <= '9';
}

// The parts of a JSON number; `digits` and `fraction` are views of its text.
struct decimal {
  bool negative;
  struct slice digits;
  struct slice fraction;
  int64_t exponent;
};

static struct slice take_digits(struct slice *text)
{
  size_t count = 0;
  while (count < text->size && is_digit(text->data[count]))
    count++;
  struct slice digits = slice_make(text->data, count);
  *text = slice_make(text->data + count, text->size - count);
  return digits;
}

static bool take(struct slice *text, char byte)
{
  if (text->size == 0 || text->data[0] != byte)
    return false;
  *text = slice_make(text->data + 1, text->size - 1);
  return true;
}

// Splits a number into its parts by JSON's grammar. Returns false for any other text.
static bool parse_decimal(struct slice text, struct decimal *out)
{
  *out = (struct decimal){.negative = take(&text, '-')};
  out->digits = take_digits(&text);
  if (out->digits.size == 0 || (out->digits.size > 1 && out->digits.data[0] == '0'))
    return false;
  if (take(&text, '.')) {
    out->fraction = take_digits(&text);
    if (out->fraction.size == 0)
      return false;
  }
  if (take(&text, 'e') || take(&text, 'E')) {
    bool negative = take(&text, '-');
    if (!negative)
      (void)take(&text, '+');
    struct slice digits = take_digits(&text);
    if (digits.size == 0)
      return false;
    // A larger exponent changes nothing: every text is far shorter, so the number is zero or out of any range.
    for (size_t i = 0; i < digits.size && out->exponent < INT32_MAX; i++)
      out->exponent = out->exponent * 10 + (digits.data[i] - '0');
    out->exponent = negative ? -out->exponent : out->exponent;
  }
  return text.size == 0;
}

// Returns the digit at `place`, counted through digits and fraction.
static unsigned digit_at(const struct decimal *decimal, size_t place)
{
  char digit =
      place < decimal->digits.size ? decimal->digits.data[place] : decimal->fraction.data[place - decimal->digits.size];
  return (unsigned)(digit - '0');
}

// Returns the exact value of a whole number. False when a digit after the decimal point is not zero, or the value has
// more than 64 bits.
static bool decimal_to_whole(const struct decimal *decimal, uint64_t *out)
{
  int64_t point = (int64_t)decimal->digits.size + decimal->exponent;
  size_t count = decimal->digits.size + decimal->fraction.size;
  uint64_t value = 0;
  for (size_t i = 0; i < count; i++) {
    unsigned digit = digit_at(decimal, i);
    if ((int64_t)i >= point) {
      if (digit != 0)
        return false;
      continue;
    }
    if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, digit, &value))
      return false;
  }
  for (int64_t i = (int64_t)count; i < point && value != 0; i++)
    if (__builtin_mul_overflow(value, 10U, &value))
      return false;
  *out = value;
  return true;
}

// Reads the common case quickly: up to 18 digits and a sign.
static bool parse_short(struct slice text, bool *negative, uint64_t *magnitude)
{
  *negative = text.size > 0 && text.data[0] == '-';
  size_t at = *negative ? 1 : 0;
  size_t digits = text.size - at;
  if (digits == 0 || digits > 18 || (digits > 1 && text.data[at] == '0'))
    return false;
  uint64_t value = 0;
  for (; at < text.size; at++) {
    unsigned digit = (unsigned)(unsigned char)text.data[at] - '0';
    if (digit > 9)
      return false;
    value = value * 10 + digit;
  }
  *magnitude = value;
  return true;
}

static const char *parse_integer(enum contract_type type, struct slice text, uint64_t *bits)
{
  bool negative;
  uint64_t magnitude;
  if (!parse_short(text, &negative, &magnitude)) {
    struct decimal decimal;
    if (!parse_decimal(text, &decimal) || !decimal_to_whole(&decimal, &magnitude))
      return INTEGERS[type].sentence;
    negative = decimal.negative;
  }
  // The negation is unsigned because the least number has no positive counterpart.
  if (negative ? magnitude > 0 - (uint64_t)INTEGERS[type].min : magnitude > INTEGERS[type].max)
    return INTEGERS[type].sentence;
  *bits = negative ? 0 - magnitude : magnitude;
  return NULL;
}

// ---- others ----

static const char *parse_float(enum contract_type type, struct slice text, bool quoted, uint64_t *bits)
{
  static const char SENTENCE[] = "must be a number, or \"NaN\", \"Infinity\" or \"-Infinity\"";
  struct decimal decimal;
  char number[MAX_FLOAT_TEXT];
  double value;
  if (quoted && slice_equal(text, SLICE("NaN"))) {
    value = (double)NAN;
  } else if (quoted && slice_equal(text, SLICE("Infinity"))) {
    value = (double)INFINITY;
  } else if (quoted && slice_equal(text, SLICE("-Infinity"))) {
    value = -(double)INFINITY;
  } else {
    if (text.size >= sizeof(number) || !parse_decimal(text, &decimal))
      return SENTENCE;
    memcpy(number, text.data, text.size);
    number[text.size] = '\0';
    value = type == CONTRACT_FLOAT ? (double)strtof(number, NULL) : strtod(number, NULL);
    if (isinf(value))
      return type == CONTRACT_FLOAT ? "is out of the range of a 32-bit float" : "is out of the range of a 64-bit float";
  }
  float single = (float)value;
  uint32_t word;
  memcpy(&word, &single, sizeof(word));
  memcpy(bits, &value, sizeof(value));
  if (type == CONTRACT_FLOAT)
    *bits = word;
  return NULL;
}

const char *scalar_name_values(const struct contract_enum *enumeration, struct strbuf *scratch)
{
  rules_begin_names(scratch);
  for (size_t i = 0; i < enumeration->number_count; i++)
    rules_add_name(enumeration->by_number[i]->name, i, scratch);
  return strbuf_cstring(scratch);
}

static const struct contract_enum_value *find_name(const struct contract_enum *enumeration, struct slice name)
{
  for (size_t i = 0; i < enumeration->value_count; i++)
    if (slice_equal(enumeration->values[i].name, name))
      return &enumeration->values[i];
  return NULL;
}

bool scalar_knows_name(const struct contract_enum *enumeration, struct slice name)
{
  return find_name(enumeration, name) != NULL;
}

// Reads the name of a value, or a number, which need not be that of a value: a newer client may know more of them.
// Whether it must be is a rule (scalar_check_rules).
static const char *parse_enum(const struct contract_enum *enumeration, enum jsontext_token token, struct slice text,
                              struct strbuf *scratch, struct scalar *out)
{
  if (token == JSONTEXT_NUMBER)
    return parse_integer(CONTRACT_ENUM, text, &out->bits) == NULL ? NULL : scalar_name_values(enumeration, scratch);
  out->bits = 0;
  if (token == JSONTEXT_NULL && enumeration->is_null)
    return NULL;
  const struct contract_enum_value *value = token == JSONTEXT_STRING ? find_name(enumeration, text) : NULL;
  out->has_unknown_name = token == JSONTEXT_STRING && value == NULL;
  if (value == NULL)
    return scalar_name_values(enumeration, scratch);
  out->bits = (uint64_t)(int64_t)value->number;
  return NULL;
}

static const char *parse_bytes(struct slice text, struct arena *arena, struct slice *out)
{
  struct strbuf decoded;
  strbuf_init(&decoded, 0);
  bool valid = base64_decode(text, &decoded);
  if (valid)
    *out = arena_copy(arena, strbuf_slice(&decoded));
  strbuf_free(&decoded);
  return valid ? NULL : "must be base64";
}

static bool is_upper_hex(char byte)
{
  return byte >= 'A' && byte <= 'F';
}

// Returns a UUID in lower case. Either case means the same (RFC 9562, section 4), so that ids can be compared as texts
// from here on: as keys of caches, with owners, in page tokens.
static struct slice lower_uuid(struct slice text, struct arena *arena)
{
  size_t at = 0;
  while (at < text.size && !is_upper_hex(text.data[at]))
    at++;
  if (at == text.size)
    return text;
  char *lower = arena_alloc(arena, text.size);
  for (size_t i = 0; i < text.size; i++)
    lower[i] = (char)(is_upper_hex(text.data[i]) ? text.data[i] | 0x20 : text.data[i]);
  return slice_make(lower, text.size);
}

const char *scalar_from_json(const struct contract_field *field, enum jsontext_token token, struct slice text,
                             struct scalar_memory memory, struct scalar *out)
{
  bool quoted = token == JSONTEXT_STRING;
  switch (field->type) {
  case CONTRACT_STRING:
    out->bytes = field->rules.format == FORMAT_UUID && quoted ? lower_uuid(text, memory.arena) : text;
    return quoted ? NULL : "must be a string";
  case CONTRACT_BYTES:
    return quoted ? parse_bytes(text, memory.arena, &out->bytes) : "must be a string of base64";
  case CONTRACT_BOOL:
    out->bits = token == JSONTEXT_TRUE;
    return token == JSONTEXT_TRUE || token == JSONTEXT_FALSE ? NULL : "must be true or false";
  case CONTRACT_ENUM:
    return parse_enum(field->enumeration, token, text, memory.scratch, out);
  case CONTRACT_FLOAT:
  case CONTRACT_DOUBLE:
    return quoted || token == JSONTEXT_NUMBER ? parse_float(field->type, text, quoted, &out->bits) : "must be a number";
  case CONTRACT_MESSAGE:
    return "must be an object";
  default:
    return quoted || token == JSONTEXT_NUMBER ? parse_integer(field->type, text, &out->bits)
                                              : INTEGERS[field->type].sentence;
  }
}

const char *scalar_from_text(const struct contract_field *field, struct slice text, struct scalar_memory memory,
                             struct scalar *out)
{
  enum jsontext_token token = JSONTEXT_STRING;
  if (field->type == CONTRACT_BOOL)
    token = slice_equal(text, SLICE("true"))    ? JSONTEXT_TRUE
            : slice_equal(text, SLICE("false")) ? JSONTEXT_FALSE
                                                : JSONTEXT_STRING;
  bool number = text.size > 0 && (is_digit(text.data[0]) || text.data[0] == '-');
  if (field->type == CONTRACT_ENUM && number)
    token = JSONTEXT_NUMBER;
  return scalar_from_json(field, token, text, memory, out);
}

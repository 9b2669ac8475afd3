// Checks the formats of texts: each format is a predicate, and the table at the end gives it its sentence.
#include "common/contract/formats.h"

#include "common/base/compiler.h"
#include "common/base/jsontext_reader.h"
#include "common/base/uuid.h"

#define EMAIL_MAX_BYTES 254
#define EMAIL_LOCAL_MAX_BYTES 64
#define DOMAIN_LABEL_MAX_BYTES 63
#define DECIMAL_MAX_INTEGER_DIGITS 15
#define DECIMAL_MAX_FRACTION_DIGITS 4

static bool is_digit(char byte)
{
  return byte >= '0' && byte <= '9';
}

static bool is_alphanumeric(char byte)
{
  char letter = (char)(byte | 0x20);
  return (letter >= 'a' && letter <= 'z') || is_digit(byte);
}

// Whether RFC 5321 has the byte in its atext.
static bool is_atom_byte(char byte)
{
  return is_alphanumeric(byte) || (byte != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", byte) != NULL);
}

// Whether the text is RFC 5321's Dot-string: atoms between single dots.
static bool is_local_part(struct slice text)
{
  if (text.size == 0 || text.size > EMAIL_LOCAL_MAX_BYTES)
    return false;
  bool after_atom = false;
  for (size_t i = 0; i < text.size; i++) {
    bool dot = text.data[i] == '.';
    if (dot ? !after_atom : !is_atom_byte(text.data[i]))
      return false;
    after_atom = !dot;
  }
  return after_atom;
}

static bool is_domain_label(struct slice label)
{
  if (label.data == NULL || label.size == 0 || label.size > DOMAIN_LABEL_MAX_BYTES)
    return false;
  for (size_t i = 0; i < label.size; i++)
    if (!is_alphanumeric(label.data[i]) && label.data[i] != '-')
      return false;
  return label.data[0] != '-' && label.data[label.size - 1] != '-';
}

static bool is_domain(struct slice text)
{
  for (size_t start = 0; start <= text.size;) {
    size_t dot = slice_find(text, '.', start);
    if (!is_domain_label(slice_make(text.data + start, dot - start)))
      return false;
    start = dot + 1;
  }
  return true;
}

static bool is_email(struct slice text)
{
  size_t at = slice_find(text, '@', 0);
  if (text.size > EMAIL_MAX_BYTES || at + 1 >= text.size)
    return false;
  return is_local_part(slice_make(text.data, at)) && is_domain(slice_skip(text, at + 1));
}

static size_t count_digits(struct slice text, size_t from)
{
  size_t at = from;
  while (at < text.size && is_digit(text.data[at]))
    at++;
  return at - from;
}

static bool is_decimal(struct slice text)
{
  size_t at = text.data[0] == '-' ? 1 : 0;
  size_t digits = count_digits(text, at);
  if (digits == 0 || digits > DECIMAL_MAX_INTEGER_DIGITS)
    return false;
  at += digits;
  if (at == text.size)
    return true;
  if (text.data[at] != '.')
    return false;
  digits = count_digits(text, at + 1);
  return digits > 0 && digits <= DECIMAL_MAX_FRACTION_DIGITS && at + 1 + digits == text.size;
}

static bool is_currency(struct slice text)
{
  if (text.size != 3)
    return false;
  for (size_t i = 0; i < text.size; i++)
    if (text.data[i] < 'A' || text.data[i] > 'Z')
      return false;
  return true;
}

// Whether a valid JSON text contains the escape of U+0000. In valid JSON, a backslash only ever begins an escape.
static bool has_escaped_zero(struct slice text)
{
  for (size_t at = slice_find(text, '\\', 0); at < text.size; at = slice_find(text, '\\', at + 2))
    if (slice_starts_with(slice_skip(text, at), SLICE("\\u0000")))
      return true;
  return false;
}

static bool is_json_object(struct slice text)
{
  struct jsontext_reader reader;
  struct slice raw;
  jsontext_reader_init(&reader, text, RULES_JSON_MAX_DEPTH, NULL);
  return jsontext_skip_value(&reader, &raw) && raw.data[0] == '{' && jsontext_read(&reader) == JSONTEXT_END &&
         !has_escaped_zero(text);
}

static bool is_url_token(struct slice text)
{
  for (size_t i = 0; i < text.size; i++) {
    char byte = text.data[i];
    if (!is_alphanumeric(byte) && byte != '.' && byte != '_' && byte != '~' && byte != '-')
      return false;
  }
  return true;
}

// Decodes a valid UTF-8 sequence of two or three bytes. Returns 0 for one of four, because no white space is that long.
static uint32_t decode_short(const unsigned char *at, size_t size)
{
  if (size == 2)
    return (uint32_t)(at[0] & 0x1F) << 6 | (at[1] & 0x3F);
  if (size == 3)
    return (uint32_t)(at[0] & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
  return 0;
}

// Whether the code point has Unicode's property White_Space; control characters do not count here.
static bool is_white_space(uint32_t code_point)
{
  return code_point == ' ' || code_point == 0x85 || code_point == 0xA0 || code_point == 0x1680 ||
         (code_point >= 0x2000 && code_point <= 0x200A) || code_point == 0x2028 || code_point == 0x2029 ||
         code_point == 0x202F || code_point == 0x205F || code_point == 0x3000;
}

static uint32_t first_code_point(struct slice text)
{
  const unsigned char *at = (const unsigned char *)text.data;
  if (at[0] < 0x80)
    return at[0];
  size_t size = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
  return size > text.size ? 0 : decode_short(at, size);
}

static uint32_t last_code_point(struct slice text)
{
  const unsigned char *end = (const unsigned char *)text.data + text.size;
  size_t size = 1;
  while (size < text.size && (end[-(ptrdiff_t)size] & 0xC0) == 0x80)
    size++;
  return size == 1 ? end[-1] : decode_short(end - size, size);
}

static bool is_line(struct slice text)
{
  bool control = false;
  for (size_t i = 0; i < text.size; i++)
    control |= (unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7F;
  return !control && !is_white_space(first_code_point(text)) && !is_white_space(last_code_point(text));
}

static const struct {
  bool (*check)(struct slice text);
  const char *sentence;
  const char *pattern;
} FORMATS[] = {
    [FORMAT_EMAIL] = {is_email, "must be an e-mail address, such as ada@example.com", NULL},
    [FORMAT_UUID] = {uuid_valid, "must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", NULL},
    [FORMAT_DECIMAL] = {is_decimal, "must be a decimal number with up to 15 digits before and up to 4 after the point",
                        "^-?[0-9]{1,15}(\\.[0-9]{1,4})?$"},
    [FORMAT_CURRENCY] = {is_currency, "must be an ISO 4217 currency code of three capital letters", "^[A-Z]{3}$"},
    [FORMAT_JSON_OBJECT] = {is_json_object,
                            "must be a JSON object, nested at most 32 levels deep and without the character U+0000",
                            NULL},
    [FORMAT_URL_TOKEN] = {is_url_token, "must consist of letters, digits and the characters . _ ~ -",
                          "^[A-Za-z0-9._~-]*$"},
    [FORMAT_LINE] = {is_line, "must have no control characters, and no white space at either end",
                     "^([^\\s\\u0000-\\u001F\\u007F]([^\\u0000-\\u001F\\u007F]*[^\\s\\u0000-\\u001F\\u007F])?)?$"},
};

const char *format_check(enum field_format format, struct slice text)
{
  if (format == FORMAT_NONE || (size_t)format >= ARRAY_LEN(FORMATS))
    return NULL;
  return FORMATS[format].check(text) ? NULL : FORMATS[format].sentence;
}

const char *format_pattern(enum field_format format)
{
  return (size_t)format < ARRAY_LEN(FORMATS) ? FORMATS[format].pattern : NULL;
}

// Turns JSON text into tokens, one at a time. `state` says what may come next; one bit per level says whether the level
// is an object.
//
// Strings are checked in one pass that stops only at quotes, backslashes, control characters and bytes beyond ASCII.
// Only a string with an escape in it is copied, and its copy is never longer than what is written.
#include "common/base/jsontext_reader.h"

#include "common/base/scan_internal.h"
#include "common/base/utf8.h"

enum state {
  STATE_VALUE,        // after a key, after a comma in an array, at the start
  STATE_FIRST_VALUE,  // after [
  STATE_FIRST_KEY,    // after {
  STATE_NEXT_KEY,     // after a comma in an object
  STATE_AFTER_VALUE,  // a comma or a bracket; at level 0 the end
  STATE_ENDED,
  STATE_FAILED,
};

void jsontext_reader_init(struct jsontext_reader *reader, struct slice input, unsigned max_depth, struct arena *arena)
{
  unsigned depth = max_depth < 1 ? 1 : max_depth > JSONTEXT_MAX_DEPTH ? JSONTEXT_MAX_DEPTH : max_depth;
  *reader = (struct jsontext_reader){
      .input = input.size == 0 ? SLICE("") : input,
      .max_depth = depth,
      .state = STATE_VALUE,
      .arena = arena,
  };
}

static enum jsontext_token fail(struct jsontext_reader *reader, size_t offset, const char *error)
{
  reader->state = STATE_FAILED;
  reader->error = error;
  reader->error_offset = offset;
  return JSONTEXT_ERROR;
}

static bool at_end(const struct jsontext_reader *reader)
{
  return reader->offset == reader->input.size;
}

// Returns the byte at the offset, or 0 at the end; no rule below accepts a 0.
static char peek(const struct jsontext_reader *reader)
{
  return at_end(reader) ? '\0' : reader->input.data[reader->offset];
}

static void skip_space(struct jsontext_reader *reader)
{
  while (!at_end(reader)) {
    char byte = reader->input.data[reader->offset];
    if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t')
      return;
    reader->offset++;
  }
}

static bool in_object(const struct jsontext_reader *reader)
{
  return reader->depth > 0 && (reader->object_bits >> (reader->depth - 1) & 1) != 0;
}

static bool is_digit(char byte)
{
  return byte >= '0' && byte <= '9';
}

// ---- strings ----

// Reads four hexadecimal digits; -1 where there are fewer.
static int32_t read_hex4(const unsigned char *at, const unsigned char *end)
{
  if (end - at < 4)
    return -1;
  int32_t value = 0;
  for (unsigned i = 0; i < 4; i++) {
    unsigned digit = at[i] - (unsigned)'0';
    if (digit > 9) {
      unsigned letter = at[i] | 0x20U;
      if (letter < 'a' || letter > 'f')
        return -1;
      digit = letter - 'a' + 10;
    }
    value = value << 4 | (int32_t)digit;
  }
  return value;
}

// Reads the escape whose backslash is at `at`. Returns its length, with the code point in `out`; 0 when it is not
// valid, with the reason in `error`. A pair of surrogates is one escape; `end` is the end of the input.
static size_t read_unicode_escape(const unsigned char *at, const unsigned char *end, uint32_t *out, const char **error)
{
  int32_t unit = read_hex4(at + 2, end);
  if (unit < 0) {
    *error = "\\u must be followed by four hexadecimal digits";
    return 0;
  }
  *out = (uint32_t)unit;
  if (unit < 0xD800 || unit > 0xDFFF)
    return 6;
  int32_t low = unit < 0xDC00 && end - at >= 8 && at[6] == '\\' && at[7] == 'u' ? read_hex4(at + 8, end) : -1;
  if (low < 0xDC00 || low > 0xDFFF) {
    *error = "half of a surrogate pair stands alone";
    return 0;
  }
  *out = 0x10000 + (((uint32_t)unit - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
  return 12;
}

static size_t read_escape(const unsigned char *at, const unsigned char *end, uint32_t *out, const char **error)
{
  static const char MEANING[128] = {
      ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t',
  };
  *error = "the string has no end";
  if (end - at < 2)
    return 0;
  if (at[1] == 'u')
    return read_unicode_escape(at, end, out, error);
  if (at[1] >= sizeof(MEANING) || MEANING[at[1]] == 0) {
    *error = "unknown escape in a string";
    return 0;
  }
  *out = (uint32_t)MEANING[at[1]];
  return 2;
}

// Checks a string from behind its opening quote and returns where its closing quote stands; NULL when it is broken.
static const unsigned char *check_string(struct jsontext_reader *reader, const unsigned char *at, bool *escaped)
{
  const unsigned char *start = (const unsigned char *)reader->input.data;
  const unsigned char *end = start + reader->input.size;
  const char *error = "the string has no end";
  for (;;) {
    at = scan_json_plain(at, end);
    if (at == end)
      break;
    size_t size = 0;
    if (*at == '"')
      return at;
    if (*at >= 0x80) {
      size = scan_utf8_sequence(at, end);
      error = "invalid UTF-8";
    } else if (*at == '\\') {
      uint32_t code_point;
      size = read_escape(at, end, &code_point, &error);
      *escaped = true;
    } else {
      error = "a control character in a string must be escaped";
    }
    if (size == 0)
      break;
    at += size;
    error = "the string has no end";
  }
  fail(reader, (size_t)(at - start), error);
  return NULL;
}

// Copies checked text between quotes into the arena, escapes decoded.
static struct slice unescape_text(struct arena *arena, const unsigned char *at, const unsigned char *end)
{
  char *text = arena_alloc(arena, (size_t)(end - at));
  char *to = text;
  while (at < end) {
    const unsigned char *backslash = memchr(at, '\\', (size_t)(end - at));
    size_t plain = (size_t)((backslash == NULL ? end : backslash) - at);
    memcpy(to, at, plain);
    to += plain;
    at += plain;
    if (backslash == NULL)
      break;
    uint32_t code_point = 0;
    const char *error;
    at += read_escape(at, end, &code_point, &error);
    to += utf8_encode(code_point, to);
  }
  return slice_make(text, (size_t)(to - text));
}

// Reads a string from its opening quote on. Without `want_text` nothing is allocated.
static bool read_string(struct jsontext_reader *reader, bool want_text)
{
  const unsigned char *start = (const unsigned char *)reader->input.data + reader->offset + 1;
  bool escaped = false;
  const unsigned char *end = check_string(reader, start, &escaped);
  if (end == NULL)
    return false;
  if (escaped && want_text)
    reader->text = unescape_text(reader->arena, start, end);
  else
    reader->text = slice_make(start, (size_t)(end - start));
  reader->offset += (size_t)(end - start) + 2;
  return true;
}

// ---- other values ----

static size_t skip_digits(struct slice input, size_t at)
{
  while (at < input.size && is_digit(input.data[at]))
    at++;
  return at;
}

static enum jsontext_token read_number(struct jsontext_reader *reader)
{
  struct slice input = reader->input;
  size_t at = reader->offset + (input.data[reader->offset] == '-');
  size_t digits = at;
  at = skip_digits(input, at);
  if (at == digits)
    return fail(reader, at, "a digit must follow the minus sign");
  if (input.data[digits] == '0' && at - digits > 1)
    return fail(reader, digits, "a number must not begin with a zero");
  if (at < input.size && input.data[at] == '.') {
    digits = at + 1;
    at = skip_digits(input, digits);
    if (at == digits)
      return fail(reader, at, "a digit must follow the decimal point");
  }
  if (at < input.size && (input.data[at] == 'e' || input.data[at] == 'E')) {
    at++;
    if (at < input.size && (input.data[at] == '+' || input.data[at] == '-'))
      at++;
    digits = at;
    at = skip_digits(input, digits);
    if (at == digits)
      return fail(reader, at, "an exponent must have a digit");
  }
  reader->text = slice_make(input.data + reader->offset, at - reader->offset);
  reader->offset = at;
  reader->state = STATE_AFTER_VALUE;
  return JSONTEXT_NUMBER;
}

static enum jsontext_token read_literal(struct jsontext_reader *reader, struct slice literal, enum jsontext_token token)
{
  if (!slice_starts_with(slice_skip(reader->input, reader->offset), literal))
    return fail(reader, reader->offset, "not a JSON value; only true, false and null are written without quotes");
  reader->offset += literal.size;
  reader->state = STATE_AFTER_VALUE;
  return token;
}

static enum jsontext_token open_level(struct jsontext_reader *reader, bool object)
{
  if (reader->depth == reader->max_depth)
    return fail(reader, reader->offset, "nested too deeply");
  uint64_t bit = UINT64_C(1) << reader->depth;
  reader->object_bits = object ? reader->object_bits | bit : reader->object_bits & ~bit;
  reader->depth++;
  reader->offset++;
  reader->state = object ? STATE_FIRST_KEY : STATE_FIRST_VALUE;
  return object ? JSONTEXT_OBJECT_BEGIN : JSONTEXT_ARRAY_BEGIN;
}

static enum jsontext_token close_level(struct jsontext_reader *reader)
{
  enum jsontext_token token = in_object(reader) ? JSONTEXT_OBJECT_END : JSONTEXT_ARRAY_END;
  reader->depth--;
  reader->offset++;
  reader->state = STATE_AFTER_VALUE;
  return token;
}

static enum jsontext_token read_value(struct jsontext_reader *reader, bool want_text)
{
  char byte = peek(reader);
  switch (byte) {
  case '"':
    if (!read_string(reader, want_text))
      return JSONTEXT_ERROR;
    reader->state = STATE_AFTER_VALUE;
    return JSONTEXT_STRING;
  case '{':
    return open_level(reader, true);
  case '[':
    return open_level(reader, false);
  case 't':
    return read_literal(reader, SLICE("true"), JSONTEXT_TRUE);
  case 'f':
    return read_literal(reader, SLICE("false"), JSONTEXT_FALSE);
  case 'n':
    return read_literal(reader, SLICE("null"), JSONTEXT_NULL);
  default:
    break;
  }
  if (is_digit(byte) || byte == '-')
    return read_number(reader);
  if (at_end(reader))
    return fail(reader, reader->offset, "the text ends where a value must come");
  return fail(reader, reader->offset, "a value must come here");
}

static enum jsontext_token read_key(struct jsontext_reader *reader, bool want_text)
{
  if (peek(reader) != '"')
    return fail(reader, reader->offset,
                reader->state == STATE_FIRST_KEY ? "a key in quotes or } must follow {"
                                                 : "a key in quotes must follow a comma");
  if (!read_string(reader, want_text))
    return JSONTEXT_ERROR;
  skip_space(reader);
  if (peek(reader) != ':')
    return fail(reader, reader->offset, "a colon must follow a key");
  reader->offset++;
  reader->state = STATE_VALUE;
  return JSONTEXT_KEY;
}

// Returns whether the document has ended; otherwise passes over a comma, so that a key or a value must come.
static enum jsontext_token read_after_value(struct jsontext_reader *reader)
{
  if (reader->depth == 0) {
    if (!at_end(reader))
      return fail(reader, reader->offset, "nothing may follow the document");
    reader->state = STATE_ENDED;
    return JSONTEXT_END;
  }
  bool object = in_object(reader);
  if (peek(reader) == (object ? '}' : ']'))
    return close_level(reader);
  return fail(reader, reader->offset, object ? "a comma or } must follow a value" : "a comma or ] must follow a value");
}

static enum jsontext_token read_token(struct jsontext_reader *reader, bool want_text)
{
  if (reader->state == STATE_FAILED)
    return JSONTEXT_ERROR;
  skip_space(reader);
  if (reader->state == STATE_AFTER_VALUE && reader->depth > 0 && peek(reader) == ',') {
    reader->state = in_object(reader) ? STATE_NEXT_KEY : STATE_VALUE;
    reader->offset++;
    skip_space(reader);
  }
  reader->token_offset = reader->offset;
  switch ((enum state)reader->state) {
  case STATE_VALUE:
    return read_value(reader, want_text);
  case STATE_FIRST_VALUE:
    return peek(reader) == ']' ? close_level(reader) : read_value(reader, want_text);
  case STATE_FIRST_KEY:
    return peek(reader) == '}' ? close_level(reader) : read_key(reader, want_text);
  case STATE_NEXT_KEY:
    return read_key(reader, want_text);
  case STATE_AFTER_VALUE:
    return read_after_value(reader);
  case STATE_ENDED:
    return JSONTEXT_END;
  case STATE_FAILED:
    break;
  }
  return JSONTEXT_ERROR;
}

enum jsontext_token jsontext_read(struct jsontext_reader *reader)
{
  return read_token(reader, true);
}

bool jsontext_skip_value(struct jsontext_reader *reader, struct slice *raw)
{
  unsigned depth = reader->depth;
  enum jsontext_token token = read_token(reader, false);
  size_t start = reader->token_offset;
  if (token == JSONTEXT_ERROR)
    return false;
  if (token == JSONTEXT_KEY || token == JSONTEXT_OBJECT_END || token == JSONTEXT_ARRAY_END || token == JSONTEXT_END) {
    fail(reader, start, "a value must come here");
    return false;
  }
  while (reader->depth > depth)
    if (read_token(reader, false) == JSONTEXT_ERROR)
      return false;
  if (raw != NULL)
    *raw = slice_make(reader->input.data + start, reader->offset - start);
  return true;
}

void jsontext_position(struct slice input, size_t offset, size_t *line, size_t *column)
{
  if (offset > input.size)
    offset = input.size;
  size_t lines = 1;
  size_t line_start = 0;
  for (size_t at = slice_find(input, '\n', 0); at < offset; at = slice_find(input, '\n', line_start)) {
    lines++;
    line_start = at + 1;
  }
  *line = lines;
  *column = offset - line_start + 1;
}

#include "gateway/http_fields.h"

#include "common/base/etag.h"

static bool is_alphanumeric(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool request_id_valid(struct slice value)
{
  if (value.size == 0 || value.size > REQUEST_ID_MAX_BYTES)
    return false;
  for (size_t i = 0; i < value.size; i++) {
    char c = value.data[i];
    if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-')
      return false;
  }
  return true;
}

static struct slice strip_quotes(struct slice value)
{
  bool quoted = value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
  return quoted ? slice_make(value.data + 1, value.size - 2) : value;
}

bool idempotency_key_read(struct slice value, struct slice *key)
{
  *key = strip_quotes(value);
  if (value.data == NULL)
    return true;
  if (key->size == 0 || key->size > IDEMPOTENCY_KEY_MAX_BYTES)
    return false;
  for (size_t i = 0; i < key->size; i++)
    if (key->data[i] <= ' ' || key->data[i] >= 0x7f)
      return false;
  return true;
}

// The alphabet of b64token in RFC 6750: letters, digits and "-._~+/". It is a table because tokens are long and come
// with every request.
static const bool is_b64token_char[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
    ['_'] = true,         ['~'] = true,         ['+'] = true,         ['/'] = true,
};

// Whether the text is a b64token (RFC 6750): characters of its alphabet, then any number of '='.
static bool is_b64token(struct slice text)
{
  size_t i = 0;
  while (i < text.size && is_b64token_char[(unsigned char)text.data[i]])
    i++;
  if (i == 0)
    return false;
  while (i < text.size && text.data[i] == '=')
    i++;
  return i == text.size;
}

enum bearer_result bearer_token(struct slice authorization, struct slice *token)
{
  struct slice value = slice_trim(authorization);
  size_t space = slice_find(value, ' ', 0);
  if (!slice_equal_ignore_case(slice_make(value.data, space), SLICE("bearer")))
    return BEARER_ABSENT;
  struct slice rest = slice_trim(slice_skip(value, space));
  if (!is_b64token(rest))
    return BEARER_MALFORMED;
  *token = rest;
  return BEARER_TOKEN;
}

static bool is_media_type(struct slice content_type, struct slice wanted)
{
  size_t end = slice_find(content_type, ';', 0);
  if (!slice_equal_ignore_case(slice_trim(slice_make(content_type.data, end)), wanted))
    return false;
  struct slice parameters = slice_trim(slice_skip(content_type, end + 1));
  return parameters.size == 0 || slice_equal_ignore_case(parameters, SLICE("charset=utf-8")) ||
         slice_equal_ignore_case(parameters, SLICE("charset=\"utf-8\""));
}

bool media_type_is_json(struct slice content_type)
{
  return is_media_type(content_type, SLICE("application/json"));
}

bool media_type_is_lines(struct slice content_type)
{
  return is_media_type(content_type, SLICE("application/x-ndjson"));
}

bool media_type_is_merge_patch(struct slice content_type)
{
  return is_media_type(content_type, SLICE("application/merge-patch+json"));
}

bool if_match_holds(struct slice if_match, struct slice etag)
{
  struct slice value = slice_trim(if_match);
  return slice_equal(value, SLICE("*")) || etag_list_has(value, strip_quotes(etag), ETAG_STRONG);
}

bool if_none_match_holds(struct slice if_none_match, struct slice etag)
{
  struct slice value = slice_trim(if_none_match);
  return slice_equal(value, SLICE("*")) || etag_list_has(value, strip_quotes(etag), ETAG_WEAK);
}

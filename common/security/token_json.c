// Reading of JSON objects for token headers and claims. Keeps no state; texts are where jsontext_reader puts them.
#include "common/security/token_json_internal.h"

static bool is_repeated(const struct slice *seen, size_t count, struct slice name)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal(seen[i], name))
      return true;
  return false;
}

static bool read_member(struct jsontext_reader *reader, struct slice name, const struct token_member *members,
                        size_t count, void *target)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal_string(name, members[i].name))
      return members[i].read(reader, target);
  return jsontext_skip_value(reader, NULL);
}

bool token_read_object(struct jsontext_reader *reader, const struct token_member *members, size_t count, void *target)
{
  if (jsontext_read(reader) != JSONTEXT_OBJECT_BEGIN)
    return false;
  struct slice seen[TOKEN_MAX_MEMBERS];
  size_t seen_count = 0;
  enum jsontext_token token;
  while ((token = jsontext_read(reader)) == JSONTEXT_KEY) {
    struct slice name = reader->text;
    if (seen_count == TOKEN_MAX_MEMBERS || is_repeated(seen, seen_count, name))
      return false;
    seen[seen_count++] = name;
    if (!read_member(reader, name, members, count, target))
      return false;
  }
  return token == JSONTEXT_OBJECT_END;
}

bool token_read_document(struct slice json, unsigned max_depth, struct arena *arena, const struct token_member *members,
                         size_t count, void *target)
{
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, json, max_depth, arena);
  return token_read_object(&reader, members, count, target) && jsontext_read(&reader) == JSONTEXT_END;
}

bool token_read_string(struct jsontext_reader *reader, struct slice *out)
{
  if (jsontext_read(reader) != JSONTEXT_STRING)
    return false;
  *out = reader->text;
  return true;
}

bool token_text_fits(struct slice text, size_t max_bytes)
{
  if (text.size == 0 || text.size > max_bytes)
    return false;
  for (size_t i = 0; i < text.size; i++)
    if (text.data[i] <= ' ' || text.data[i] > '~')
      return false;
  return true;
}

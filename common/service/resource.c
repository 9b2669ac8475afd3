#include "common/service/resource.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/base/uuid.h"
#include "common/base/wire.h"

#define MAX_TOKEN_BYTES 1536

bool resource_etag_fits(const char *etag, const char *if_match, const char *body_etag)
{
  bool header = if_match[0] == '\0' || strcmp(if_match, "*") == 0 || strcmp(if_match, etag) == 0;
  bool body = body_etag[0] == '\0' || strcmp(body_etag, etag) == 0;
  return header && body;
}

bool resource_is_conditional(const char *if_match, const char *body_etag)
{
  return (if_match[0] != '\0' && strcmp(if_match, "*") != 0) || body_etag[0] != '\0';
}

static bool merge_path(void *to, const void *from, const char *path, const struct resource_field *fields, size_t count)
{
  bool all = strcmp(path, "*") == 0;
  bool known = all;
  for (size_t i = 0; i < count; i++) {
    if (!all && strcmp(path, fields[i].path) != 0)
      continue;
    known = true;
    if (fields[i].copy != NULL)
      fields[i].copy(to, from);
  }
  return known;
}

const char *resource_merge(void *to, const void *from, const Google__Protobuf__FieldMask *mask,
                           const struct resource_field *fields, size_t count)
{
  if (mask == NULL) {
    (void)merge_path(to, from, "*", fields, count);
    return NULL;
  }
  for (size_t i = 0; i < mask->n_paths; i++)
    if (!merge_path(to, from, mask->paths[i], fields, count))
      return mask->paths[i];
  return NULL;
}

// base64url of protobuf fields.
enum token_field { TOKEN_QUERY = 1, TOKEN_VALUE = 2, TOKEN_ID = 3 };

const char *resource_write_page_token(uint64_t query, struct slice value, struct slice id, struct arena *arena)
{
  struct strbuf wire, text;
  strbuf_init(&wire, 0);
  strbuf_init(&text, 0);
  wire_write_fixed64(&wire, TOKEN_QUERY, query);
  wire_write_bytes(&wire, TOKEN_VALUE, value);
  wire_write_bytes(&wire, TOKEN_ID, id);
  base64url_encode(strbuf_slice(&wire), &text);
  const char *token = arena_string(arena, strbuf_slice(&text));
  strbuf_free(&wire);
  strbuf_free(&text);
  return token;
}

static bool read_token(struct slice wire, uint64_t query, struct slice *value, struct slice *id)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  bool ours = false;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.number == TOKEN_QUERY && field.type == WIRE_FIXED64)
      ours = field.varint == query;
    else if (field.number == TOKEN_VALUE && field.type == WIRE_BYTES)
      *value = field.bytes;
    else if (field.number == TOKEN_ID && field.type == WIRE_BYTES)
      *id = field.bytes;
  }
  return result == WIRE_END && ours && uuid_valid(*id);
}

bool resource_read_page_token(const char *token, uint64_t query, struct arena *arena, struct slice *value,
                              struct slice *id)
{
  struct strbuf wire;
  strbuf_init(&wire, MAX_TOKEN_BYTES);
  *value = SLICE("");
  *id = SLICE("");
  bool good = base64_decode(slice_from_string(token), &wire) && read_token(strbuf_slice(&wire), query, value, id);
  *value = slice_make(arena_string(arena, good ? *value : SLICE("")), good ? value->size : 0);
  *id = slice_make(arena_string(arena, good ? *id : SLICE("")), good ? id->size : 0);
  strbuf_free(&wire);
  return good;
}

bool resource_parse_micros(struct slice text, int64_t *micros)
{
  return slice_to_int64(text, INT64_C(-62135596800000000), INT64_C(253402300799999999), micros);
}

Google__Protobuf__Timestamp *resource_time(int64_t micros, struct arena *arena)
{
  Google__Protobuf__Timestamp *time = arena_alloc(arena, sizeof(*time));
  google__protobuf__timestamp__init(time);
  int64_t below = micros % 1000000;
  if (below < 0)
    below += 1000000;
  time->seconds = (micros - below) / 1000000;
  time->nanos = (int32_t)below * 1000;
  return time;
}

int64_t resource_micros(const Google__Protobuf__Timestamp *time)
{
  return time->seconds * 1000000 + time->nanos / 1000;
}

char *resource_text(const struct pg_result *result, size_t row, size_t column)
{
  const char *text = pg_text(result, row, column);
  return text == NULL ? (char *)(uintptr_t)protobuf_c_empty_string : (char *)(uintptr_t)text;
}

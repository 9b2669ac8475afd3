#include "common/service/page_token_internal.h"

#include "common/base/codec.h"
#include "common/base/uuid.h"
#include "common/base/wire.h"

#define MAX_TOKEN_BYTES 1536

// A token is the base64url of a protobuf message with these fields.
enum token_field { TOKEN_QUERY = 1, TOKEN_VALUE = 2, TOKEN_ID = 3 };

const char *page_token_write(uint64_t query, struct slice value, struct slice id, struct arena *arena)
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

bool page_token_read(const char *token, uint64_t query, struct arena *arena, struct slice *value, struct slice *id)
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

bool page_token_micros(struct slice text, int64_t *micros)
{
  return slice_to_int64(text, INT64_C(-62135596800000000), INT64_C(253402300799999999), micros);
}

// Any bytes as JSON. Offsets stay inside, texts are valid UTF-8, reading and skipping agree on where a fault is, a raw
// value reads again to the same end, and what is read can be written and read again without a change.
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/json_reader.h"
#include "common/base/json_writer.h"
#include "common/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(const struct json_reader *reader)
{
  CHECK(reader->offset <= reader->input.size);
  CHECK(reader->token_offset <= reader->offset);
  CHECK(reader->depth <= reader->max_depth);
  CHECK(utf8_valid(reader->text));
}

static void copy_token(struct json_writer *writer, enum json_token token, struct slice text)
{
  switch (token) {
  case JSON_OBJECT_BEGIN:
    json_begin_object(writer);
    break;
  case JSON_OBJECT_END:
    json_end_object(writer);
    break;
  case JSON_ARRAY_BEGIN:
    json_begin_array(writer);
    break;
  case JSON_ARRAY_END:
    json_end_array(writer);
    break;
  case JSON_KEY:
    json_key(writer, text);
    break;
  case JSON_STRING:
    json_string(writer, text);
    break;
  case JSON_NUMBER:
    json_raw(writer, text);
    break;
  case JSON_TRUE:
  case JSON_FALSE:
    json_bool(writer, token == JSON_TRUE);
    break;
  case JSON_NULL:
    json_null(writer);
    break;
  case JSON_ERROR:
  case JSON_END:
    break;
  }
}

// Reads all of it; what it says goes to `out` as compact JSON. True when it is a document.
static bool read_all(struct json_reader *reader, struct strbuf *out)
{
  struct json_writer writer;
  json_writer_init(&writer, out);
  for (;;) {
    enum json_token token = json_read(reader);
    check_bounds(reader);
    if (token == JSON_ERROR) {
      CHECK(reader->error != NULL && reader->error_offset <= reader->input.size);
      CHECK(json_read(reader) == JSON_ERROR);
      return false;
    }
    if (token == JSON_END) {
      CHECK(reader->offset == reader->input.size && reader->depth == 0);
      return true;
    }
    copy_token(&writer, token, reader->text);
  }
}

static void check_skipping(struct slice input, unsigned max_depth, const struct json_reader *read, bool sound)
{
  struct arena arena = {0};
  struct strbuf ignored = {0};
  struct json_reader reader;
  struct slice raw;
  json_reader_init(&reader, input, max_depth, &arena);
  bool skipped = json_skip_value(&reader, &raw);
  check_bounds(&reader);
  if (skipped) {
    CHECK(raw.data >= input.data && raw.data + raw.size == input.data + reader.offset);
    struct json_reader again;
    json_reader_init(&again, raw, max_depth, &arena);
    CHECK(read_all(&again, &ignored));
  }
  CHECK((skipped && json_read(&reader) == JSON_END) == sound);
  CHECK(sound || reader.error_offset == read->error_offset);
  CHECK(sound || reader.error == read->error);
  strbuf_free(&ignored);
  arena_free(&arena);
}

static void check_rewriting(struct slice json, unsigned max_depth)
{
  struct arena arena = {0};
  struct strbuf again = {0};
  struct json_reader reader;
  json_reader_init(&reader, json, max_depth, &arena);
  CHECK(read_all(&reader, &again));
  CHECK(slice_equal(json, strbuf_slice(&again)));
  strbuf_free(&again);
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct arena arena = {0};
  struct strbuf out = {0};
  struct json_reader reader;
  struct slice input = slice_make(data, size);
  // Small inputs reach the small bounds, too.
  unsigned max_depth = size % 4 == 0 ? 2 : JSON_MAX_DEPTH;
  json_reader_init(&reader, input, max_depth, &arena);
  bool sound = read_all(&reader, &out);
  CHECK(!out.failed);
  if (size > 0)
    check_skipping(input, max_depth, &reader, sound);
  if (sound)
    check_rewriting(strbuf_slice(&out), max_depth);
  size_t line, column;
  json_position(input, sound ? size : reader.error_offset, &line, &column);
  CHECK(line >= 1 && column >= 1 && line + column <= size + 2);
  strbuf_free(&out);
  arena_free(&arena);
  return 0;
}

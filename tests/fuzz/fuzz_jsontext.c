// Any bytes as JSON. Offsets stay inside, texts are valid UTF-8, reading and skipping agree on where a fault is, a raw
// value reads again to the same end, and what is read can be written and read again without a change.
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"
#include "common/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(const struct jsontext_reader *reader)
{
  CHECK(reader->offset <= reader->input.size);
  CHECK(reader->token_offset <= reader->offset);
  CHECK(reader->depth <= reader->max_depth);
  CHECK(utf8_valid(reader->text));
}

static void copy_token(struct jsontext_writer *writer, enum jsontext_token token, struct slice text)
{
  switch (token) {
  case JSONTEXT_OBJECT_BEGIN:
    jsontext_begin_object(writer);
    break;
  case JSONTEXT_OBJECT_END:
    jsontext_end_object(writer);
    break;
  case JSONTEXT_ARRAY_BEGIN:
    jsontext_begin_array(writer);
    break;
  case JSONTEXT_ARRAY_END:
    jsontext_end_array(writer);
    break;
  case JSONTEXT_KEY:
    jsontext_key(writer, text);
    break;
  case JSONTEXT_STRING:
    jsontext_string(writer, text);
    break;
  case JSONTEXT_NUMBER:
    jsontext_raw(writer, text);
    break;
  case JSONTEXT_TRUE:
  case JSONTEXT_FALSE:
    jsontext_bool(writer, token == JSONTEXT_TRUE);
    break;
  case JSONTEXT_NULL:
    jsontext_raw(writer, SLICE("null"));
    break;
  case JSONTEXT_ERROR:
  case JSONTEXT_END:
    break;
  }
}

// Reads the whole text and writes it to `out` as compact JSON. True when it is a document.
static bool read_all(struct jsontext_reader *reader, struct strbuf *out)
{
  struct jsontext_writer writer;
  jsontext_writer_init(&writer, out);
  for (;;) {
    enum jsontext_token token = jsontext_read(reader);
    check_bounds(reader);
    if (token == JSONTEXT_ERROR) {
      CHECK(reader->error != NULL && reader->error_offset <= reader->input.size);
      CHECK(jsontext_read(reader) == JSONTEXT_ERROR);
      return false;
    }
    if (token == JSONTEXT_END) {
      CHECK(reader->offset == reader->input.size && reader->depth == 0);
      return true;
    }
    copy_token(&writer, token, reader->text);
  }
}

static void check_skipping(struct slice input, unsigned max_depth, const struct jsontext_reader *read, bool sound)
{
  struct arena arena = {0};
  struct strbuf ignored = {0};
  struct jsontext_reader reader;
  struct slice raw;
  jsontext_reader_init(&reader, input, max_depth, &arena);
  bool skipped = jsontext_skip_value(&reader, &raw);
  check_bounds(&reader);
  if (skipped) {
    CHECK(raw.data >= input.data && raw.data + raw.size == input.data + reader.offset);
    struct jsontext_reader again;
    jsontext_reader_init(&again, raw, max_depth, &arena);
    CHECK(read_all(&again, &ignored));
  }
  CHECK((skipped && jsontext_read(&reader) == JSONTEXT_END) == sound);
  CHECK(sound || reader.error_offset == read->error_offset);
  CHECK(sound || reader.error == read->error);
  strbuf_free(&ignored);
  arena_free(&arena);
}

static void check_rewriting(struct slice json, unsigned max_depth)
{
  struct arena arena = {0};
  struct strbuf again = {0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, json, max_depth, &arena);
  CHECK(read_all(&reader, &again));
  CHECK(slice_equal(json, strbuf_slice(&again)));
  strbuf_free(&again);
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct arena arena = {0};
  struct strbuf out = {0};
  struct jsontext_reader reader;
  struct slice input = slice_make(data, size);
  // Small inputs reach the small bounds, too.
  unsigned max_depth = size % 4 == 0 ? 2 : JSONTEXT_MAX_DEPTH;
  jsontext_reader_init(&reader, input, max_depth, &arena);
  bool sound = read_all(&reader, &out);
  CHECK(!out.failed);
  if (size > 0)
    check_skipping(input, max_depth, &reader, sound);
  if (sound)
    check_rewriting(strbuf_slice(&out), max_depth);
  size_t line, column;
  jsontext_position(input, sound ? size : reader.error_offset, &line, &column);
  CHECK(line >= 1 && column >= 1 && line + column <= size + 2);
  strbuf_free(&out);
  arena_free(&arena);
  return 0;
}

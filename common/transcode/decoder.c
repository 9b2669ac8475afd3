// The parts that all of the decoder shares: init and free, reports, skipping values, free-form objects.
#include "common/transcode/decoder_internal.h"

#include "common/base/jsontext_writer.h"

static const struct transcode_profile AS_CLIENTS_GET_IT = {0};

void decoder_init(struct decoder *decoder, struct slice json, struct arena *arena, struct strbuf *out,
                  struct violations *violations)
{
  decoder->arena = arena;
  decoder->out = out;
  decoder->violations = violations;
  strbuf_init(&decoder->scratch, 0);
  strbuf_init(&decoder->spans, 0);
  decoder->presets = NULL;
  decoder->preset_count = 0;
  decoder->gathered_mask = NULL;
  decoder->merge_patch = false;
  decoder->whole = NULL;
  decoder->rules_off = false;
  decoder->profile = &AS_CLIENTS_GET_IT;
  decoder->depth = 0;
  // JSONTEXT_MAX_DEPTH is enough: decoder_enter bounds how deep messages nest, decode_raw_object how deep a free-form
  // object does.
  jsontext_reader_init(&decoder->reader, json, JSONTEXT_MAX_DEPTH, arena);
}

void decoder_free(struct decoder *decoder)
{
  strbuf_free(&decoder->scratch);
  strbuf_free(&decoder->spans);
}

static void render_place(const struct place *place, struct strbuf *out)
{
  if (place == NULL)
    return;
  render_place(place->parent, out);
  if (place->name.data == NULL) {
    strbuf_add_byte(out, '[');
    strbuf_add_uint(out, place->index);
    strbuf_add_byte(out, ']');
    return;
  }
  if (out->size > 0)
    strbuf_add_byte(out, '.');
  strbuf_add(out, place->name);
}

void decoder_report(struct decoder *decoder, const struct place *place, const char *sentence)
{
  struct strbuf path;
  strbuf_init(&path, 0);
  render_place(place, &path);
  violations_add(decoder->violations, strbuf_slice(&path), slice_from_string(sentence));
  strbuf_free(&path);
}

bool decoder_enter(struct decoder *decoder, const struct place *place)
{
  if (decoder->depth == CONTRACT_MAX_DEPTH) {
    decoder_report(decoder, place, "is nested too deeply; 32 messages may lie inside each other");
    return false;
  }
  decoder->depth++;
  return true;
}

void decoder_report_rule(struct decoder *decoder, const struct place *place, const char *sentence)
{
  if (sentence != NULL && !decoder->rules_off)
    decoder_report(decoder, place, sentence);
}

void decoder_report_syntax(struct decoder *decoder)
{
  const struct jsontext_reader *reader = &decoder->reader;
  size_t line;
  size_t column;
  jsontext_position(reader->input, reader->error_offset, &line, &column);
  strbuf_clear(&decoder->scratch);
  strbuf_printf(&decoder->scratch, "is not valid JSON at line %zu, column %zu: %s", line, column, reader->error);
  decoder_report(decoder, NULL, strbuf_cstring(&decoder->scratch));
}

void slice_list_add(struct slice_list *list, struct slice item, struct arena *arena)
{
  if (list->count == list->capacity) {
    size_t capacity = list->capacity == 0 ? 32 : list->capacity * 2;
    struct slice *items = arena_array(arena, capacity, sizeof(*items));
    if (list->count > 0)
      memcpy(items, list->items, list->count * sizeof(*items));
    list->items = items;
    list->capacity = capacity;
  }
  list->items[list->count++] = item;
}

bool decode_skip(struct decoder *decoder, enum jsontext_token token)
{
  struct jsontext_reader *reader = &decoder->reader;
  if (token != JSONTEXT_OBJECT_BEGIN && token != JSONTEXT_ARRAY_BEGIN)
    return token != JSONTEXT_ERROR;
  unsigned outside = reader->depth - 1;
  while (reader->depth > outside)
    if (jsontext_read(reader) == JSONTEXT_ERROR)
      return false;
  return true;
}

// ---- free-form objects ----

struct raw_object {
  struct jsontext_writer writer;
  struct slice_list open;  // the keys of all open objects: those of an inner object stand behind those of its parent
  size_t level_starts[RULES_JSON_MAX_DEPTH + 1];
  unsigned depth;
  const char *problem;
};

static void open_level(struct raw_object *raw)
{
  if (raw->depth >= RULES_JSON_MAX_DEPTH)
    raw->problem = "must be nested at most 32 levels deep";
  else
    raw->level_starts[raw->depth] = raw->open.count;
  raw->depth++;
}

static void close_level(struct decoder *decoder, struct raw_object *raw)
{
  raw->depth--;
  if (raw->problem != NULL)
    return;
  size_t start = raw->level_starts[raw->depth];
  size_t count = raw->open.count - start;
  if (count > 1 && find_duplicate(raw->open.items + start, count, decoder->arena) < count)
    raw->problem = "must not have the same key twice in one object";
  raw->open.count = start;
}

// Refuses U+0000, which PostgreSQL's texts cannot hold.
static void refuse_zero(struct raw_object *raw, struct slice text)
{
  if (text.size > 0 && memchr(text.data, 0, text.size) != NULL)
    raw->problem = "must not contain the character U+0000";
}

// Copies one token to the writer. Numbers stay as the client wrote them.
static void copy_token(struct decoder *decoder, struct raw_object *raw, enum jsontext_token token)
{
  struct jsontext_reader *reader = &decoder->reader;
  switch (token) {
  case JSONTEXT_OBJECT_BEGIN:
  case JSONTEXT_ARRAY_BEGIN:
    open_level(raw);
    (token == JSONTEXT_OBJECT_BEGIN ? jsontext_begin_object : jsontext_begin_array)(&raw->writer);
    break;
  case JSONTEXT_OBJECT_END:
  case JSONTEXT_ARRAY_END:
    close_level(decoder, raw);
    (token == JSONTEXT_OBJECT_END ? jsontext_end_object : jsontext_end_array)(&raw->writer);
    break;
  case JSONTEXT_KEY:
    refuse_zero(raw, reader->text);
    slice_list_add(&raw->open, reader->text, decoder->arena);
    jsontext_key(&raw->writer, reader->text);
    break;
  case JSONTEXT_STRING:
    refuse_zero(raw, reader->text);
    jsontext_string(&raw->writer, reader->text);
    break;
  default:
    jsontext_raw(&raw->writer,
                 slice_make(reader->input.data + reader->token_offset, reader->offset - reader->token_offset));
    break;
  }
}

bool decode_raw_object(struct decoder *decoder, const struct place *place)
{
  struct raw_object raw;
  raw.open = (struct slice_list){0};
  raw.depth = 0;
  raw.problem = NULL;
  jsontext_writer_init(&raw.writer, decoder->out);
  copy_token(decoder, &raw, JSONTEXT_OBJECT_BEGIN);
  while (raw.depth > 0) {
    enum jsontext_token token = jsontext_read(&decoder->reader);
    if (token == JSONTEXT_ERROR)
      return false;
    copy_token(decoder, &raw, token);
  }
  if (raw.problem != NULL)
    decoder_report(decoder, place, raw.problem);
  return true;
}

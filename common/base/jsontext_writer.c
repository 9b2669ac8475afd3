// Writes JSON text into a strbuf, whose sticky failure is also the writer's.
#include "common/base/jsontext_writer.h"

#include "common/base/check.h"
#include "common/base/codec.h"
#include "common/base/scan_internal.h"
#include "common/base/utf8.h"

#define MAX_DEPTH 64

void jsontext_writer_init(struct jsontext_writer *writer, struct strbuf *out)
{
  *writer = (struct jsontext_writer){.out = out};
}

// Returns the bit of the current level: 0 for level 0, which has one value, and for levels that are too deep.
static uint64_t get_level_bit(const struct jsontext_writer *writer)
{
  return writer->depth == 0 || writer->depth > MAX_DEPTH ? 0 : UINT64_C(1) << (writer->depth - 1);
}

static void begin_value(struct jsontext_writer *writer)
{
  uint64_t bit = get_level_bit(writer);
  if ((writer->need_comma & bit) != 0)
    strbuf_add_byte(writer->out, ',');
  writer->need_comma |= bit;
}

static void open_level(struct jsontext_writer *writer, char bracket)
{
  begin_value(writer);
  writer->depth++;
  // A peer can send that depth, so it fails the buffer instead of aborting.
  if (writer->depth > MAX_DEPTH)
    writer->out->failed = true;
  writer->need_comma &= ~get_level_bit(writer);
  strbuf_add_byte(writer->out, bracket);
}

static void close_level(struct jsontext_writer *writer, char bracket)
{
  CHECK(writer->depth > 0);
  writer->depth--;
  strbuf_add_byte(writer->out, bracket);
}

void jsontext_begin_object(struct jsontext_writer *writer)
{
  open_level(writer, '{');
}

void jsontext_end_object(struct jsontext_writer *writer)
{
  close_level(writer, '}');
}

void jsontext_begin_array(struct jsontext_writer *writer)
{
  open_level(writer, '[');
}

void jsontext_end_array(struct jsontext_writer *writer)
{
  close_level(writer, ']');
}

static void escape_byte(struct strbuf *out, unsigned char byte)
{
  static const char SHORT[128] = {
      ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
  };
  char text[6] = {'\\', 'u', '0', '0'};
  hex_encode(&byte, 1, text + 4);
  size_t size = sizeof(text);
  if (SHORT[byte] != 0) {
    text[1] = SHORT[byte];
    size = 2;
  }
  strbuf_add(out, slice_make(text, size));
}

static void write_escaped(struct strbuf *out, struct slice text)
{
  if (text.size == 0)
    return;
  const unsigned char *at = (const unsigned char *)text.data;
  const unsigned char *end = at + text.size;
  for (;;) {
    const unsigned char *stop = scan_json_unescaped(at, end);
    strbuf_add(out, slice_make(at, (size_t)(stop - at)));
    if (stop == end)
      return;
    escape_byte(out, *stop);
    at = stop + 1;
  }
}

// Writes a string and what follows its closing quote (':' or nothing), in one reservation where nothing needs an
// escape.
static void write_quoted(struct strbuf *out, struct slice text, struct slice after)
{
  const unsigned char *start = (const unsigned char *)text.data;
  size_t size = text.size + 2 + after.size;
  bool plain = text.size == 0 || scan_json_unescaped(start, start + text.size) == start + text.size;
  char *to = plain ? strbuf_reserve(out, size) : NULL;
  if (to == NULL) {
    strbuf_add_byte(out, '"');
    write_escaped(out, text);
    strbuf_add_byte(out, '"');
    strbuf_add(out, after);
    return;
  }
  *to++ = '"';
  if (text.size > 0)
    memcpy(to, text.data, text.size);
  to += text.size;
  *to++ = '"';
  if (after.size > 0)
    memcpy(to, after.data, after.size);
  out->size += size;
}

void jsontext_key(struct jsontext_writer *writer, struct slice key)
{
  CHECK(writer->depth > 0);
  begin_value(writer);
  write_quoted(writer->out, key, SLICE(":"));
  // The value that follows a key has no comma before it.
  writer->need_comma &= ~get_level_bit(writer);
}

void jsontext_string(struct jsontext_writer *writer, struct slice value)
{
  begin_value(writer);
  write_quoted(writer->out, value, SLICE(""));
}

void jsontext_int(struct jsontext_writer *writer, int64_t value)
{
  begin_value(writer);
  strbuf_add_int(writer->out, value);
}

void jsontext_bool(struct jsontext_writer *writer, bool value)
{
  begin_value(writer);
  strbuf_add(writer->out, value ? SLICE("true") : SLICE("false"));
}

void jsontext_raw(struct jsontext_writer *writer, struct slice json)
{
  begin_value(writer);
  strbuf_add(writer->out, json);
}

void jsontext_key_string(struct jsontext_writer *writer, const char *key, struct slice value)
{
  jsontext_key(writer, slice_from_string(key));
  jsontext_string(writer, value);
}

void jsontext_key_int(struct jsontext_writer *writer, const char *key, int64_t value)
{
  jsontext_key(writer, slice_from_string(key));
  jsontext_int(writer, value);
}

void jsontext_key_bool(struct jsontext_writer *writer, const char *key, bool value)
{
  jsontext_key(writer, slice_from_string(key));
  jsontext_bool(writer, value);
}

// Writes a text that is ASCII and needs no escape, in one pass. False, with nothing written, for another.
static bool write_plain(struct strbuf *out, struct slice text)
{
  char *to = strbuf_reserve(out, text.size + 2);
  if (to == NULL || !scan_copy_plain(to + 1, (const unsigned char *)text.data, text.size))
    return false;
  to[0] = '"';
  to[text.size + 1] = '"';
  out->size += text.size + 2;
  return true;
}

bool jsontext_write_text(struct strbuf *out, struct slice text)
{
  if (write_plain(out, text))
    return true;
  if (!utf8_valid(text))
    return false;
  write_quoted(out, text, SLICE(""));
  return true;
}

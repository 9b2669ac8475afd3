// Writes JSON text into a strbuf. Commas are put by jsontext_begin_*, jsontext_key and the values, with one bit of
// state per level, for 64 levels; one more fails the buffer. Strings are escaped as RFC 8259 asks and otherwise left as
// they are: UTF-8 in, UTF-8 out.
#ifndef BULKHEAD_BASE_JSONTEXT_WRITER_H
#define BULKHEAD_BASE_JSONTEXT_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

struct jsontext_writer {
  struct strbuf *out;
  uint64_t need_comma;  // private: bit d is set where level d + 1 has a value already
  unsigned depth;
};

void jsontext_writer_init(struct jsontext_writer *writer, struct strbuf *out);

void jsontext_begin_object(struct jsontext_writer *writer);
void jsontext_end_object(struct jsontext_writer *writer);
void jsontext_begin_array(struct jsontext_writer *writer);
void jsontext_end_array(struct jsontext_writer *writer);
// Writes a key inside an object; exactly one value must follow.
void jsontext_key(struct jsontext_writer *writer, struct slice key);

void jsontext_string(struct jsontext_writer *writer, struct slice value);
void jsontext_int(struct jsontext_writer *writer, int64_t value);
void jsontext_bool(struct jsontext_writer *writer, bool value);
// Writes a value that is JSON text already.
void jsontext_raw(struct jsontext_writer *writer, struct slice json);

// Writes a key and its value; the keys are literals that need no escape.
void jsontext_key_string(struct jsontext_writer *writer, const char *key, struct slice value);
void jsontext_key_int(struct jsontext_writer *writer, const char *key, int64_t value);
void jsontext_key_bool(struct jsontext_writer *writer, const char *key, bool value);

// Writes a string that belongs to no writer, with its quotes. False, with nothing written, where it is not UTF-8.
bool jsontext_write_text(struct strbuf *out, struct slice text) MUST_CHECK;

#endif

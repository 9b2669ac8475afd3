// JSON text into a strbuf. json_begin_*, json_key and the values put the commas, with one bit of state a level, for 64
// levels; one more fails the buffer. Strings are escaped as RFC 8259 asks and otherwise left as they are: UTF-8 in,
// UTF-8 out.
#ifndef BULKHEAD_BASE_JSON_WRITER_H
#define BULKHEAD_BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

struct json_writer {
  struct strbuf *out;
  uint64_t need_comma;  // private: bit d is set where level d + 1 has a value already
  unsigned depth;
};

void json_writer_init(struct json_writer *writer, struct strbuf *out);

void json_begin_object(struct json_writer *writer);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer);
void json_end_array(struct json_writer *writer);
// Inside an object; exactly one value must follow.
void json_key(struct json_writer *writer, struct slice key);

void json_string(struct json_writer *writer, struct slice value);
void json_int(struct json_writer *writer, int64_t value);
void json_bool(struct json_writer *writer, bool value);
void json_null(struct json_writer *writer);
// A value that is JSON text already.
void json_raw(struct json_writer *writer, struct slice json);

// Key and value in one; keys here are our own literals.
void json_key_string(struct json_writer *writer, const char *key, struct slice value);
void json_key_int(struct json_writer *writer, const char *key, int64_t value);
void json_key_bool(struct json_writer *writer, const char *key, bool value);

// `text` escaped, without quotes.
void json_escape(struct strbuf *out, struct slice text);

#endif

// A strict pull reader for JSON text (RFC 8259) that is whole in memory. It allocates only to unescape strings.
//
// Strict: UTF-8 is checked, a lone surrogate escape, a duplicate comma, a leading zero, NaN, comments or anything after
// the document are errors. Nesting is bounded. Duplicate keys are the caller's to notice, for it knows the keys.
#ifndef BULKHEAD_BASE_JSON_READER_H
#define BULKHEAD_BASE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/slice.h"

#define JSON_MAX_DEPTH 64

enum json_token {
  JSON_ERROR,  // error, error_offset say what and where; sticky
  JSON_END,    // the document is complete and nothing follows
  JSON_OBJECT_BEGIN,
  JSON_OBJECT_END,
  JSON_ARRAY_BEGIN,
  JSON_ARRAY_END,
  JSON_KEY,     // text: the unescaped key; the next token is its value
  JSON_STRING,  // text: unescaped; "\u0000" makes a zero byte of it
  JSON_NUMBER,  // text: as written
  JSON_TRUE,
  JSON_FALSE,
  JSON_NULL,
};

struct json_reader {
  struct slice input;
  size_t offset;        // of the next unread byte
  size_t token_offset;  // where the last token begins
  unsigned depth;
  unsigned max_depth;    // set by init to the caller's, at most JSON_MAX_DEPTH
  uint8_t state;         // private: what may come next
  uint64_t object_bits;  // private: bit d is set where level d is an object
  struct arena *arena;
  struct slice text;  // in the input where there was nothing to unescape, else in the arena
  const char *error;  // a static sentence, such as "a comma or } must follow a value"
  size_t error_offset;
};

// `input` and `arena` must outlive the texts. max_depth 1 to JSON_MAX_DEPTH.
void json_reader_init(struct json_reader *reader, struct slice input, unsigned max_depth, struct arena *arena);

enum json_token json_read(struct json_reader *reader) MUST_CHECK;

// Right after JSON_KEY, or where a value may come: passes over the whole next value. `raw`, if not NULL, is its text as
// written (valid JSON, UTF-8 checked). False on an error.
bool json_skip_value(struct json_reader *reader, struct slice *raw) MUST_CHECK;

// Line and column of an offset, both from 1; columns count bytes.
void json_position(struct slice input, size_t offset, size_t *line, size_t *column);

#endif

// A strict pull reader for JSON text (RFC 8259) that is whole in memory. It allocates only to unescape strings.
//
// Strict: UTF-8 is checked, a lone surrogate escape, a duplicate comma, a leading zero, NaN, comments or anything after
// the document are errors. Nesting is bounded. Duplicate keys are the caller's to notice, because it knows the keys.
#ifndef BULKHEAD_BASE_JSONTEXT_READER_H
#define BULKHEAD_BASE_JSONTEXT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/slice.h"

#define JSONTEXT_MAX_DEPTH 64

enum jsontext_token {
  JSONTEXT_ERROR,  // error, error_offset say what and where; sticky
  JSONTEXT_END,    // the document is complete and nothing follows
  JSONTEXT_OBJECT_BEGIN,
  JSONTEXT_OBJECT_END,
  JSONTEXT_ARRAY_BEGIN,
  JSONTEXT_ARRAY_END,
  JSONTEXT_KEY,     // text: the unescaped key; the next token is its value
  JSONTEXT_STRING,  // text: unescaped; "\u0000" makes a zero byte of it
  JSONTEXT_NUMBER,  // text: as written
  JSONTEXT_TRUE,
  JSONTEXT_FALSE,
  JSONTEXT_NULL,
};

struct jsontext_reader {
  struct slice input;
  size_t offset;        // where the next unread byte is
  size_t token_offset;  // where the last token begins
  unsigned depth;
  unsigned max_depth;    // set by init to the caller's, at most JSONTEXT_MAX_DEPTH
  uint8_t state;         // private: what may come next
  uint64_t object_bits;  // private: bit d is set where level d is an object
  struct arena *arena;
  struct slice text;  // in the input where there was nothing to unescape, else in the arena
  const char *error;  // a static sentence, such as "a comma or } must follow a value"
  size_t error_offset;
};

// Starts reading. `input` and `arena` must outlive the texts; `max_depth` is 1 to JSONTEXT_MAX_DEPTH.
void jsontext_reader_init(struct jsontext_reader *reader, struct slice input, unsigned max_depth, struct arena *arena);

enum jsontext_token jsontext_read(struct jsontext_reader *reader) MUST_CHECK;

// Passes over the whole next value, after JSONTEXT_KEY or wherever a value may come. `raw`, if not NULL, becomes its
// text as written (valid JSON, UTF-8 checked). False on an error.
bool jsontext_skip_value(struct jsontext_reader *reader, struct slice *raw) MUST_CHECK;

// Finds line and column of an offset, both from 1; columns count bytes.
void jsontext_position(struct slice input, size_t offset, size_t *line, size_t *column);

#endif

// A growing byte buffer. Over its limit it stops growing and stays failed, so a builder checks once, at the end.
#ifndef BULKHEAD_BASE_STRBUF_H
#define BULKHEAD_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/compiler.h"
#include "common/base/slice.h"

struct strbuf {
  char *data;  // NULL until something is added; not terminated
  size_t size;
  size_t capacity;
  size_t max_size;  // 0 means SIZE_MAX
  bool failed;      // something did not fit within max_size
};

// Makes an empty buffer; allocates nothing. `max_size` 0 means no limit but memory (running out of it aborts).
void strbuf_init(struct strbuf *buf, size_t max_size);
// Frees the memory; the buffer is empty and usable afterwards.
void strbuf_free(struct strbuf *buf);
// Empties the buffer and clears its failure; keeps its memory.
void strbuf_clear(struct strbuf *buf);
// Cuts the content to `size` bytes, which must not be more than there are.
void strbuf_truncate(struct strbuf *buf, size_t size);

// Does what strbuf_reserve does, for a buffer that must grow or fail.
char *strbuf_grow(struct strbuf *buf, size_t size);
// Makes room for `size` more bytes and returns where they go (which may be NULL for 0); NULL when the buffer has
// failed.
static inline char *strbuf_reserve(struct strbuf *buf, size_t size)
{
  size_t usable = buf->max_size == 0 || buf->capacity < buf->max_size ? buf->capacity : buf->max_size;
  if (buf->failed || buf->data == NULL || size > usable - buf->size)
    return strbuf_grow(buf, size);
  return buf->data + buf->size;
}

// Adds to the end of the content; sets `failed` and adds nothing when the result would be over the limit.
void strbuf_add(struct strbuf *buf, struct slice bytes);
void strbuf_add_string(struct strbuf *buf, const char *string);
void strbuf_add_byte(struct strbuf *buf, char byte);
void strbuf_add_uint(struct strbuf *buf, uint64_t value);
void strbuf_add_int(struct strbuf *buf, int64_t value);
void strbuf_printf(struct strbuf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);
// Adds what is left of a stream, or a whole file. Returns false with errno set where that cannot be read, EFBIG where
// it does not fit; what was read by then has been added.
bool strbuf_read_stream(struct strbuf *buf, FILE *stream) MUST_CHECK;
bool strbuf_read_file(struct strbuf *buf, const char *path) MUST_CHECK;

// Returns a view of the content; valid until the next change.
static inline struct slice strbuf_slice(const struct strbuf *buf)
{
  return slice_make(buf->data, buf->size);
}

// Returns the content as a terminated string, "" when it is empty; the zero is not counted. Valid until the next
// change.
const char *strbuf_cstring(struct strbuf *buf);

#endif

// A growing byte buffer: doubled by realloc, so that adding costs constant time on average.
#include "common/base/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/digits_internal.h"

#define FIRST_CAPACITY 128

void strbuf_init(struct strbuf *buf, size_t max_size)
{
  *buf = (struct strbuf){.max_size = max_size};
}

void strbuf_free(struct strbuf *buf)
{
  free(buf->data);
  strbuf_init(buf, buf->max_size);
}

void strbuf_clear(struct strbuf *buf)
{
  buf->size = 0;
  buf->failed = false;
}

void strbuf_truncate(struct strbuf *buf, size_t size)
{
  CHECK(size <= buf->size);
  buf->size = size;
}

static size_t get_limit(const struct strbuf *buf)
{
  return buf->max_size == 0 ? SIZE_MAX : buf->max_size;
}

static void set_capacity(struct strbuf *buf, size_t needed)
{
  size_t capacity = buf->capacity < FIRST_CAPACITY / 2 ? FIRST_CAPACITY : buf->capacity * 2;
  // The capacity is capped at the limit, plus the zero of strbuf_cstring.
  if (capacity > get_limit(buf))
    capacity = get_limit(buf) + 1;
  // A doubling that overflows is smaller than what is needed.
  if (capacity < needed)
    capacity = needed;
  char *data = realloc(buf->data, capacity);
  CHECK(data != NULL);
  buf->data = data;
  buf->capacity = capacity;
}

char *strbuf_grow(struct strbuf *buf, size_t size)
{
  size_t limit = get_limit(buf);
  if (buf->failed || buf->size > limit || size > limit - buf->size) {
    buf->failed = true;
    return NULL;
  }
  if (size > buf->capacity - buf->size)
    set_capacity(buf, buf->size + size);
  return buf->data == NULL ? NULL : buf->data + buf->size;
}

void strbuf_add(struct strbuf *buf, struct slice bytes)
{
  if (bytes.size == 0)
    return;
  char *to = strbuf_reserve(buf, bytes.size);
  if (to == NULL)
    return;
  memcpy(to, bytes.data, bytes.size);
  buf->size += bytes.size;
}

void strbuf_add_string(struct strbuf *buf, const char *string)
{
  strbuf_add(buf, slice_from_string(string));
}

void strbuf_add_byte(struct strbuf *buf, char byte)
{
  char *to = strbuf_reserve(buf, 1);
  if (to == NULL)
    return;
  *to = byte;
  buf->size++;
}

// Writes the digits in front of `end`, two at a step; returns where the number begins.
static char *format_uint(char *end, uint64_t value)
{
  while (value >= 100) {
    end -= 2;
    digits_put_pair(end, value % 100);
    value /= 100;
  }
  if (value >= 10) {
    end -= 2;
    digits_put_pair(end, value);
  } else {
    *--end = (char)('0' + value);
  }
  return end;
}

void strbuf_add_uint(struct strbuf *buf, uint64_t value)
{
  char digits[20];
  char *end = digits + sizeof(digits);
  const char *start = format_uint(end, value);
  strbuf_add(buf, slice_make(start, (size_t)(end - start)));
}

void strbuf_add_int(struct strbuf *buf, int64_t value)
{
  char digits[21];
  char *end = digits + sizeof(digits);
  // Negated as unsigned, because INT64_MIN has no positive counterpart.
  char *start = format_uint(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
  if (value < 0)
    *--start = '-';
  strbuf_add(buf, slice_make(start, (size_t)(end - start)));
}

void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args)
{
  char text[512];
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(text, sizeof(text), format, args);
  CHECK(length >= 0);
  if ((size_t)length < sizeof(text)) {
    strbuf_add(buf, slice_make(text, (size_t)length));
  } else if (strbuf_reserve(buf, (size_t)length) != NULL) {
    // vsnprintf writes a zero too, which is not counted against the limit.
    if (buf->capacity - buf->size <= (size_t)length)
      set_capacity(buf, buf->size + (size_t)length + 1);
    vsnprintf(buf->data + buf->size, (size_t)length + 1, format, again);
    buf->size += (size_t)length;
  }
  va_end(again);
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  strbuf_vprintf(buf, format, args);
  va_end(args);
}

bool strbuf_read_stream(struct strbuf *buf, FILE *stream)
{
  char part[4096];
  size_t size;
  while (!buf->failed && (size = fread(part, 1, sizeof(part), stream)) > 0)
    strbuf_add(buf, slice_make(part, size));
  if (ferror(stream) != 0)
    return false;
  if (buf->failed)
    errno = EFBIG;
  return !buf->failed;
}

bool strbuf_read_file(struct strbuf *buf, const char *path)
{
  FILE *file = fopen(path, "rbe");
  if (file == NULL)
    return false;
  bool done = strbuf_read_stream(buf, file);
  int reason = errno;
  fclose(file);
  errno = reason;
  return done;
}

const char *strbuf_cstring(struct strbuf *buf)
{
  if (buf->size == 0)
    return "";
  if (buf->size == buf->capacity)
    set_capacity(buf, buf->size + 1);
  buf->data[buf->size] = '\0';
  return buf->data;
}

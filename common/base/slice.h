// A view of bytes that somebody else owns: a pointer and a length, not terminated.
#ifndef BULKHEAD_BASE_SLICE_H
#define BULKHEAD_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
  const char *data;
  size_t size;
};

// Prints a slice with the printf family: printf("id " SLICE_FMT, SLICE_ARG(id)).
#define SLICE_FMT "%.*s"
#define SLICE_ARG(slice) (int)(slice).size, (slice).data

// Makes a slice of a string literal; SLICE_INIT does so in static initialisers.
#define SLICE(literal) ((struct slice){.data = "" literal, .size = sizeof(literal) - 1})
#define SLICE_INIT(literal)                                                                                            \
  {                                                                                                                    \
    .data = "" literal, .size = sizeof(literal) - 1                                                                    \
  }

static inline struct slice slice_make(const void *data, size_t size)
{
  return (struct slice){.data = data, .size = size};
}

// Returns a view of a terminated string, without its zero; NULL gives the empty slice.
static inline struct slice slice_from_string(const char *string)
{
  return (struct slice){.data = string, .size = string == NULL ? 0 : strlen(string)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_equal_string(struct slice a, const char *b)
{
  return slice_equal(a, slice_from_string(b));
}

// Returns whether the texts are equal but for the case of ASCII letters.
bool slice_equal_ignore_case(struct slice a, struct slice b);

static inline bool slice_starts_with(struct slice a, struct slice prefix)
{
  return a.size >= prefix.size && (prefix.size == 0 || memcmp(a.data, prefix.data, prefix.size) == 0);
}

// Returns the bytes from `offset` on; past the end, the empty slice.
static inline struct slice slice_skip(struct slice a, size_t offset)
{
  if (offset >= a.size)
    return (struct slice){0};
  return (struct slice){.data = a.data + offset, .size = a.size - offset};
}

// Returns the offset of the first `byte` at or after `from`; a.size where there is none.
size_t slice_find(struct slice a, char byte, size_t from);

// Returns the text without the spaces and tabs at both ends.
struct slice slice_trim(struct slice a);

// Parses a decimal number from min to max without sign or leading zeros; false for anything else.
bool slice_to_uint64(struct slice a, uint64_t min, uint64_t max, uint64_t *out);
// Parses a decimal number from min to max, with an optional '-' and without leading zeros; false for anything else.
bool slice_to_int64(struct slice a, int64_t min, int64_t max, int64_t *out);

#endif

// The functions of slice.h that are too long to be inlined.
#include "common/base/slice.h"

static unsigned char lower_letter(char byte)
{
  unsigned char c = (unsigned char)byte;
  return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool slice_equal_ignore_case(struct slice a, struct slice b)
{
  if (a.size != b.size)
    return false;
  for (size_t i = 0; i < a.size; i++)
    if (lower_letter(a.data[i]) != lower_letter(b.data[i]))
      return false;
  return true;
}

size_t slice_find(struct slice a, char byte, size_t from)
{
  if (from >= a.size)
    return a.size;
  const char *found = memchr(a.data + from, byte, a.size - from);
  return found == NULL ? a.size : (size_t)(found - a.data);
}

static bool is_blank(char byte)
{
  return byte == ' ' || byte == '\t';
}

struct slice slice_trim(struct slice a)
{
  while (a.size > 0 && is_blank(a.data[0])) {
    a.data++;
    a.size--;
  }
  while (a.size > 0 && is_blank(a.data[a.size - 1]))
    a.size--;
  return a;
}

bool slice_to_uint64(struct slice a, uint64_t min, uint64_t max, uint64_t *out)
{
  if (a.size == 0 || (a.data[0] == '0' && a.size > 1))
    return false;
  uint64_t value = 0;
  for (size_t i = 0; i < a.size; i++) {
    unsigned digit = (unsigned)(unsigned char)a.data[i] - '0';
    if (digit > 9 || __builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, digit, &value))
      return false;
  }
  if (value < min || value > max)
    return false;
  *out = value;
  return true;
}

bool slice_to_int64(struct slice a, int64_t min, int64_t max, int64_t *out)
{
  bool negative = a.size > 0 && a.data[0] == '-';
  uint64_t magnitude;
  if (!slice_to_uint64(negative ? slice_skip(a, 1) : a, 0, (uint64_t)INT64_MAX + (negative ? 1 : 0), &magnitude))
    return false;
  // Negated as unsigned, because INT64_MIN has no positive counterpart.
  int64_t value = (int64_t)(negative ? 0 - magnitude : magnitude);
  if (value < min || value > max)
    return false;
  *out = value;
  return true;
}

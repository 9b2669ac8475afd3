// base64url for tokens and keys. The decoder of common/base accepts every spelling that proto3 JSON allows, which is
// too lenient for bytes under a signature.
#include "common/base/codec.h"
#include "common/security/base64url_internal.h"

// Returns the value of one character; 64 for one outside the alphabet.
static unsigned decode_digit(char c)
{
  if (c >= 'A' && c <= 'Z')
    return (unsigned)(c - 'A');
  if (c >= 'a' && c <= 'z')
    return (unsigned)(c - 'a') + 26;
  if (c >= '0' && c <= '9')
    return (unsigned)(c - '0') + 52;
  if (c == '-')
    return 62;
  return c == '_' ? 63 : 64;
}

bool base64url_decode_strict(struct slice text, struct arena *arena, struct slice *bytes)
{
  if (text.size % 4 == 1)
    return false;
  unsigned char *out = arena_alloc(arena, text.size / 4 * 3 + 3);
  size_t size = 0;
  uint32_t bits = 0;
  unsigned bit_count = 0;
  for (size_t i = 0; i < text.size; i++) {
    unsigned value = decode_digit(text.data[i]);
    if (value > 63)
      return false;
    bits = (bits << 6 | value) & 0xffff;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      out[size++] = (unsigned char)(bits >> bit_count);
    }
  }
  if ((bits & ((1U << bit_count) - 1)) != 0)
    return false;
  *bytes = slice_make(out, size);
  return true;
}

struct slice base64url_text(struct slice bytes, struct arena *arena)
{
  return slice_from_string(base64url_string(bytes, arena));
}

// Checks and writes UTF-8; runs of ASCII are passed over 16 bytes at a time.
#include "common/base/utf8.h"

#include "common/base/scan_internal.h"

size_t utf8_check(struct slice text)
{
  if (text.size == 0)
    return 0;
  const unsigned char *start = (const unsigned char *)text.data;
  const unsigned char *end = start + text.size;
  const unsigned char *at = start;
  while ((at = scan_ascii(at, end)) < end) {
    // Letters beyond ASCII come in runs; stay here for the length of one.
    while (at < end && *at >= 0x80) {
      size_t size = scan_utf8_sequence(at, end);
      if (size == 0)
        return (size_t)(at - start);
      at += size;
    }
  }
  return text.size;
}

size_t utf8_length(struct slice text)
{
  size_t length = 0;
  for (size_t i = 0; i < text.size; i++)
    length += !scan_is_continuation((unsigned char)text.data[i]);
  return length;
}

size_t utf8_encode(uint32_t code_point, char out[4])
{
  if (code_point < 0x80) {
    out[0] = (char)code_point;
    return 1;
  }
  if (code_point < 0x800) {
    out[0] = (char)(0xC0 | (code_point >> 6));
    out[1] = (char)(0x80 | (code_point & 0x3F));
    return 2;
  }
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF))
    return 0;
  if (code_point < 0x10000) {
    out[0] = (char)(0xE0 | (code_point >> 12));
    out[1] = (char)(0x80 | ((code_point >> 6) & 0x3F));
    out[2] = (char)(0x80 | (code_point & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | (code_point >> 18));
  out[1] = (char)(0x80 | ((code_point >> 12) & 0x3F));
  out[2] = (char)(0x80 | ((code_point >> 6) & 0x3F));
  out[3] = (char)(0x80 | (code_point & 0x3F));
  return 4;
}

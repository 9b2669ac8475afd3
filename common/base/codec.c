// Hexadecimal, base64 and percent-encoding. The decoders add nothing to `out` unless the whole text is well formed.
#include "common/base/codec.h"

#include <stdint.h>

static const char HEX_UPPER[] = "0123456789ABCDEF";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BASE64_URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Returns the value of a hexadecimal digit, -1 for any other byte.
static int read_hex_digit(char digit)
{
  if (digit >= '0' && digit <= '9')
    return digit - '0';
  char letter = (char)(digit | 0x20);
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

char *hex_encode(const void *bytes, size_t size, char *out)
{
  static const char digits[] = "0123456789abcdef";
  for (const unsigned char *byte = bytes; size > 0; byte++, size--) {
    *out++ = digits[*byte >> 4];
    *out++ = digits[*byte & 15];
  }
  return out;
}

bool hex_decode(struct slice text, void *out, size_t size)
{
  if (size > SIZE_MAX / 2 || text.size != size * 2)
    return false;
  unsigned char *to = out;
  for (size_t i = 0; i < size; i++) {
    int high = read_hex_digit(text.data[2 * i]);
    int low = read_hex_digit(text.data[2 * i + 1]);
    if (high < 0 || low < 0)
      return false;
    to[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

// Encodes one to three bytes as four characters; the caller keeps those that carry bits.
static void encode_group(const unsigned char *from, size_t count, const char *alphabet, char to[4])
{
  uint32_t bits = (uint32_t)from[0] << 16;
  if (count > 1)
    bits |= (uint32_t)from[1] << 8;
  if (count > 2)
    bits |= from[2];
  to[0] = alphabet[bits >> 18];
  to[1] = alphabet[bits >> 12 & 63];
  to[2] = alphabet[bits >> 6 & 63];
  to[3] = alphabet[bits & 63];
}

static void encode_base64(struct slice bytes, const char *alphabet, bool padded, struct strbuf *out)
{
  size_t whole = bytes.size / 3;
  size_t rest = bytes.size % 3;
  size_t tail = rest == 0 ? 0 : padded ? 4 : rest + 1;
  // 4/3 of any size that a buffer can have fits a size_t.
  char *to = whole > SIZE_MAX / 4 - 1 ? NULL : strbuf_reserve(out, whole * 4 + tail);
  if (to == NULL)
    return;
  const unsigned char *from = (const unsigned char *)bytes.data;
  for (size_t i = 0; i < whole; i++, from += 3, to += 4)
    encode_group(from, 3, alphabet, to);
  if (rest > 0) {
    char group[4];
    encode_group(from, rest, alphabet, group);
    for (size_t i = 0; i < tail; i++)
      to[i] = i <= rest ? group[i] : '=';
  }
  out->size += whole * 4 + tail;
}

void base64_encode(struct slice bytes, struct strbuf *out)
{
  encode_base64(bytes, BASE64, true, out);
}

void base64url_encode(struct slice bytes, struct strbuf *out)
{
  encode_base64(bytes, BASE64_URL, false, out);
}

char *base64url_string(struct slice bytes, struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(bytes, &text);
  char *copy = arena_string(arena, strbuf_slice(&text));
  strbuf_free(&text);
  return copy;
}

// Returns the value of a base64 character of either alphabet, -1 for any other byte.
static int read_base64_digit(char digit)
{
  if (digit >= 'A' && digit <= 'Z')
    return digit - 'A';
  if (digit >= 'a' && digit <= 'z')
    return digit - 'a' + 26;
  if (digit >= '0' && digit <= '9')
    return digit - '0' + 52;
  if (digit == '+' || digit == '-')
    return 62;
  return digit == '/' || digit == '_' ? 63 : -1;
}

// Padding, where there is any, must fill the last group of four.
static bool strip_padding(struct slice *text)
{
  size_t padding = 0;
  while (padding < 2 && padding < text->size && text->data[text->size - 1 - padding] == '=')
    padding++;
  if (padding > 0 && text->size % 4 != 0)
    return false;
  text->size -= padding;
  return text->size % 4 != 1;
}

bool base64_decode(struct slice text, struct strbuf *out)
{
  if (!strip_padding(&text))
    return false;
  size_t size = text.size / 4 * 3 + (text.size % 4 == 0 ? 0 : text.size % 4 - 1);
  char *to = strbuf_reserve(out, size);
  if (out->failed)
    return false;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size; i++) {
    int digit = read_base64_digit(text.data[i]);
    if (digit < 0)
      return false;
    bits = bits << 6 | (uint32_t)digit;
    // Each digit but the first of a group completes a byte. Bits left over at the end are not looked at: proto3's
    // conformance tests want "-_" to be read.
    if (i % 4 != 0)
      *to++ = (char)(bits >> (6 - 2 * (i % 4)));
  }
  out->size += size;
  return true;
}

static bool is_unreserved(unsigned char byte)
{
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '-' ||
         byte == '.' || byte == '_' || byte == '~';
}

void percent_encode(struct slice bytes, struct strbuf *out)
{
  size_t size = bytes.size;
  for (size_t i = 0; i < bytes.size; i++)
    size += is_unreserved((unsigned char)bytes.data[i]) ? 0 : 2;
  char *to = strbuf_reserve(out, size);
  if (to == NULL)
    return;
  for (size_t i = 0; i < bytes.size; i++) {
    unsigned char byte = (unsigned char)bytes.data[i];
    if (is_unreserved(byte)) {
      *to++ = (char)byte;
      continue;
    }
    *to++ = '%';
    *to++ = HEX_UPPER[byte >> 4];
    *to++ = HEX_UPPER[byte & 15];
  }
  out->size += size;
}

static bool decode_escapes(struct slice text, bool plus_is_space, struct strbuf *out)
{
  size_t run = 0;
  for (size_t i = 0; i < text.size; i++) {
    char byte = text.data[i];
    if (byte != '%' && !(byte == '+' && plus_is_space))
      continue;
    strbuf_add(out, slice_make(text.data + run, i - run));
    if (byte == '%') {
      int high = text.size - i < 3 ? -1 : read_hex_digit(text.data[i + 1]);
      int low = high < 0 ? -1 : read_hex_digit(text.data[i + 2]);
      if (low < 0)
        return false;
      strbuf_add_byte(out, (char)(high << 4 | low));
      i += 2;
    } else {
      strbuf_add_byte(out, ' ');
    }
    run = i + 1;
  }
  strbuf_add(out, slice_skip(text, run));
  return !out->failed;
}

bool percent_decode(struct slice text, bool plus_is_space, struct strbuf *out)
{
  size_t before = out->size;
  if (decode_escapes(text, plus_is_space, out))
    return true;
  strbuf_truncate(out, before);
  return false;
}

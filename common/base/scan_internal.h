// Fast passes over text, 16 bytes at a time with SSE2, 8 elsewhere.
//
// Each function returns where it stopped: at the first byte that it looks for, or at `end`. Nothing outside [at, end)
// is read.
#ifndef BULKHEAD_BASE_SCAN_INTERNAL_H
#define BULKHEAD_BASE_SCAN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(BULKHEAD_NO_SIMD)
#define SCAN_SSE2 1
#include <emmintrin.h>
#endif

#define SCAN_EACH UINT64_C(0x0101010101010101)
#define SCAN_HIGH UINT64_C(0x8080808080808080)

static inline uint64_t scan_load8(const unsigned char *at)
{
  uint64_t word;
  memcpy(&word, at, sizeof(word));
  return word;
}

// Nonzero where one of the eight bytes is below 0x20, '"' or '\\'. The borrow of a subtraction can only mark a byte
// too many beside one that is marked rightly, so "none" is exact; which one it is, the caller looks up byte by byte.
static inline uint64_t scan_escapes8(uint64_t word)
{
  uint64_t quote = word ^ (SCAN_EACH * '"');
  uint64_t backslash = word ^ (SCAN_EACH * '\\');
  return (((word - SCAN_EACH * 0x20) & ~word) | ((quote - SCAN_EACH) & ~quote) |
          ((backslash - SCAN_EACH) & ~backslash)) &
         SCAN_HIGH;
}

static inline bool scan_is_escape(unsigned char byte)
{
  return byte < 0x20 || byte == '"' || byte == '\\';
}

// Finds the first byte that is 0x80 or more.
static inline const unsigned char *scan_ascii(const unsigned char *at, const unsigned char *end)
{
#ifdef SCAN_SSE2
  for (; end - at >= 16; at += 16) {
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)at));
    if (mask != 0)
      return at + __builtin_ctz(mask);
  }
#endif
  while (end - at >= 8 && (scan_load8(at) & SCAN_HIGH) == 0)
    at += 8;
  while (at < end && *at < 0x80)
    at++;
  return at;
}

#ifdef SCAN_SSE2
// Returns 16 bits, each set where its byte is below 0x20, '"' or '\\'.
static inline __m128i scan_escapes16(__m128i bytes)
{
  const __m128i control = _mm_set1_epi8(0x1F);
  return _mm_or_si128(
      _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes),
      _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
}
#endif

// Finds the first byte that JSON wants escaped: below 0x20, '"' or '\\'.
static inline const unsigned char *scan_json_unescaped(const unsigned char *at, const unsigned char *end)
{
#ifdef SCAN_SSE2
  for (; end - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    unsigned mask = (unsigned)_mm_movemask_epi8(scan_escapes16(bytes));
    if (mask != 0)
      return at + __builtin_ctz(mask);
  }
#endif
  while (end - at >= 8 && scan_escapes8(scan_load8(at)) == 0)
    at += 8;
  while (at < end && !scan_is_escape(*at))
    at++;
  return at;
}

// Finds the first byte that JSON wants escaped or that is 0x80 or more.
static inline const unsigned char *scan_json_plain(const unsigned char *at, const unsigned char *end)
{
#ifdef SCAN_SSE2
  for (; end - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(scan_escapes16(bytes), bytes));
    if (mask != 0)
      return at + __builtin_ctz(mask);
  }
#endif
  while (end - at >= 8) {
    uint64_t word = scan_load8(at);
    if ((scan_escapes8(word) | (word & SCAN_HIGH)) != 0)
      break;
    at += 8;
  }
  while (at < end && *at < 0x80 && !scan_is_escape(*at))
    at++;
  return at;
}

// True where one of the eight bytes is 0x80 or more, or JSON wants it escaped.
static inline bool scan_is_special8(uint64_t word)
{
  return (scan_escapes8(word) | (word & SCAN_HIGH)) != 0;
}

// Copies fewer than 16 bytes; see scan_copy_plain.
static inline bool scan_copy_short(char *to, const unsigned char *at, size_t size)
{
  if (size >= 8) {
    // The two words may overlap.
    uint64_t first = scan_load8(at), last = scan_load8(at + size - 8);
    memcpy(to, &first, sizeof(first));
    memcpy(to + size - 8, &last, sizeof(last));
    return !scan_is_special8(first) && !scan_is_special8(last);
  }
  for (size_t i = 0; i < size; i++) {
    if (at[i] >= 0x80 || scan_is_escape(at[i]))
      return false;
    to[i] = (char)at[i];
  }
  return true;
}

#ifdef SCAN_SSE2
// Copies 16 bytes. True if none is 0x80 or more, and JSON wants none escaped.
static inline bool scan_copy16(char *to, const unsigned char *at)
{
  __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
  _mm_storeu_si128((__m128i *)(void *)to, bytes);
  return _mm_movemask_epi8(_mm_or_si128(scan_escapes16(bytes), bytes)) == 0;
}
#endif

// Copies a text in the same pass that looks for bytes that are 0x80 or more, or that JSON wants escaped. False where it
// has one; then only a part was copied.
static inline bool scan_copy_plain(char *to, const unsigned char *at, size_t size)
{
#ifdef SCAN_SSE2
  if (size >= 16) {
    size_t last = size - 16;
    for (size_t i = 0; i < last; i += 16)
      if (!scan_copy16(to + i, at + i))
        return false;
    // The last block may overlap the one before.
    return scan_copy16(to + last, at + last);
  }
#else
  for (; size >= 16; at += 8, to += 8, size -= 8) {
    uint64_t word = scan_load8(at);
    if (scan_is_special8(word))
      return false;
    memcpy(to, &word, sizeof(word));
  }
#endif
  return scan_copy_short(to, at, size);
}

static inline bool scan_is_continuation(unsigned char byte)
{
  return (byte & 0xC0) == 0x80;
}

// Returns the length, 2 to 4, of the UTF-8 sequence at `at`, whose first byte is 0x80 or more; 0 when it breaks RFC
// 3629. The bounds on the second byte are the table of its section 4: no overlong form, no surrogate, nothing too big.
static inline size_t scan_utf8_sequence(const unsigned char *at, const unsigned char *end)
{
  size_t left = (size_t)(end - at);
  unsigned char lead = at[0];
  if (lead < 0xC2 || lead > 0xF4 || left < 2)
    return 0;
  unsigned char second = at[1];
  if (lead < 0xE0)
    return scan_is_continuation(second) ? 2 : 0;
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (second < low || second > high || left < 3 || !scan_is_continuation(at[2]))
    return 0;
  if (lead < 0xF0)
    return 3;
  return left >= 4 && scan_is_continuation(at[3]) ? 4 : 0;
}

#endif

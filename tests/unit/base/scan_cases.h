// The cases of scan.h, for the build with vector instructions and the one without; SCAN_SUITE is the name.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/scan_internal.h"

typedef const unsigned char *scan_function(const unsigned char *at, const unsigned char *end);

static bool stops_ascii(unsigned char byte)
{
  return byte >= 0x80;
}

static bool stops_unescaped(unsigned char byte)
{
  return byte < 0x20 || byte == '"' || byte == '\\';
}

static bool stops_plain(unsigned char byte)
{
  return stops_ascii(byte) || stops_unescaped(byte);
}

// Every byte at every place of texts of every length up to two and a half vectors, in memory of just that size.
static void assert_scans(scan_function *scan, bool (*stops)(unsigned char byte))
{
  for (size_t size = 0; size <= 40; size++) {
    unsigned char *text = malloc(size + (size == 0));
    memset(text, ' ', size);
    cr_assert_eq(scan(text, text + size), text + size, "nothing in %zu", size);
    for (size_t place = 0; place < size; place++) {
      for (unsigned byte = 0; byte < 256; byte++) {
        text[place] = (unsigned char)byte;
        const unsigned char *wanted = stops((unsigned char)byte) ? text + place : text + size;
        if (scan(text, text + size) != wanted)
          cr_assert_fail("byte %02x at %zu of %zu", byte, place, size);
      }
      text[place] = ' ';
    }
    free(text);
  }
}

// The first of several is found, whatever is behind it.
static void assert_finds_first(scan_function *scan, bool (*stops)(unsigned char byte))
{
  uint64_t state = 3;
  for (int round = 0; round < 20000; round++) {
    unsigned char text[48];
    size_t wanted = sizeof(text);
    for (size_t i = 0; i < sizeof(text); i++) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      // Around the borders of what stops, where a trick with borrows would go wrong.
      static const unsigned char NEAR[] = {0x00, 0x1F, 0x20, 0x21, '"',  '#', '[',
                                           '\\', ']',  0x7F, 0x80, 0xFF, 'a', 'b'};
      unsigned choice = (unsigned)(state >> 33) % 64;
      text[i] = choice < sizeof(NEAR) ? NEAR[choice] : 'x';
      if (wanted == sizeof(text) && stops(text[i]))
        wanted = i;
    }
    cr_assert_eq((size_t)(scan(text, text + sizeof(text)) - text), wanted, "round %d", round);
  }
}

Test(SCAN_SUITE, ascii_stops_at_the_high_bit)
{
  assert_scans(scan_ascii, stops_ascii);
  assert_finds_first(scan_ascii, stops_ascii);
}

Test(SCAN_SUITE, unescaped_stops_at_what_json_escapes)
{
  assert_scans(scan_json_unescaped, stops_unescaped);
  assert_finds_first(scan_json_unescaped, stops_unescaped);
}

Test(SCAN_SUITE, plain_stops_at_both)
{
  assert_scans(scan_json_plain, stops_plain);
  assert_finds_first(scan_json_plain, stops_plain);
}

// Every byte at every place, as above; a text without a byte that stops is copied as it is.
Test(SCAN_SUITE, a_plain_text_is_copied_and_no_other)
{
  for (size_t size = 0; size <= 40; size++) {
    unsigned char *text = malloc(size + (size == 0));
    char *copy = malloc(size + (size == 0));
    for (size_t i = 0; i < size; i++)
      text[i] = (unsigned char)('a' + i % 26);
    cr_assert(scan_copy_plain(copy, text, size), "nothing in %zu", size);
    cr_assert_eq(memcmp(copy, text, size), 0, "%zu bytes", size);
    for (size_t place = 0; place < size; place++) {
      unsigned char before = text[place];
      for (unsigned byte = 0; byte < 256; byte++) {
        text[place] = (unsigned char)byte;
        if (scan_copy_plain(copy, text, size) == stops_plain((unsigned char)byte))
          cr_assert_fail("byte %02x at %zu of %zu", byte, place, size);
      }
      text[place] = before;
    }
    free(text);
    free(copy);
  }
}

// Against the definition: decode, then look at the number.
static size_t sequence_by_definition(const unsigned char *at, size_t size)
{
  static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t wanted = at[0] >= 0xF8 ? 0 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : at[0] >= 0xC0 ? 2 : 0;
  if (wanted == 0 || wanted > size)
    return 0;
  uint32_t code_point = at[0] & (0x7FU >> wanted);
  for (size_t i = 1; i < wanted; i++) {
    if ((at[i] & 0xC0) != 0x80)
      return 0;
    code_point = code_point << 6 | (at[i] & 0x3F);
  }
  bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return code_point < LEAST[wanted] || code_point > 0x10FFFF || surrogate ? 0 : wanted;
}

Test(SCAN_SUITE, sequences_are_those_of_rfc_3629)
{
  static const unsigned char TAIL[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
  for (unsigned lead = 0x80; lead < 256; lead++)
    for (unsigned second = 0; second < 256; second++)
      for (size_t third = 0; third < sizeof(TAIL); third++)
        for (size_t fourth = 0; fourth < sizeof(TAIL); fourth++)
          for (size_t size = 1; size <= 4; size++) {
            unsigned char text[] = {(unsigned char)lead, (unsigned char)second, TAIL[third], TAIL[fourth]};
            if (scan_utf8_sequence(text, text + size) != sequence_by_definition(text, size))
              cr_assert_fail("%02x %02x %02x %02x, %zu of them", lead, second, TAIL[third], TAIL[fourth], size);
          }
}

#include "common/base/utf8.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"

Test(utf8, the_ends_of_every_range_of_rfc_3629_are_valid)
{
  static const struct slice ROWS[] = {
      SLICE_INIT(""),
      SLICE_INIT("\x00"),
      SLICE_INIT("\x7F"),
      SLICE_INIT("\xC2\x80"),
      SLICE_INIT("\xDF\xBF"),
      SLICE_INIT("\xE0\xA0\x80"),
      SLICE_INIT("\xED\x9F\xBF"),
      SLICE_INIT("\xEE\x80\x80"),
      SLICE_INIT("\xEF\xBB\xBF"),
      SLICE_INIT("\xEF\xBF\xBF"),
      SLICE_INIT("\xF0\x90\x80\x80"),
      SLICE_INIT("\xF4\x8F\xBF\xBF"),
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
    cr_assert(utf8_valid(ROWS[i]), "row %zu", i);
  cr_assert(utf8_valid(slice_make(NULL, 0)));
}

static const struct slice BROKEN[] = {
    SLICE_INIT("\x80"),  // a continuation alone
    SLICE_INIT("\xBF"),
    SLICE_INIT("\xC0\x80"),  // overlong
    SLICE_INIT("\xC1\xBF"),
    SLICE_INIT("\xE0\x80\x80"),
    SLICE_INIT("\xE0\x9F\xBF"),
    SLICE_INIT("\xF0\x80\x80\x80"),
    SLICE_INIT("\xF0\x8F\xBF\xBF"),
    SLICE_INIT("\xED\xA0\x80"),  // surrogates
    SLICE_INIT("\xED\xBF\xBF"),
    SLICE_INIT("\xF4\x90\x80\x80"),  // above U+10FFFF
    SLICE_INIT("\xF5\x80\x80\x80"),
    SLICE_INIT("\xF8\x88\x80\x80\x80"),
    SLICE_INIT("\xFE"),
    SLICE_INIT("\xFF"),
    SLICE_INIT("\xC2"),  // cut short by the end
    SLICE_INIT("\xE2\x82"),
    SLICE_INIT("\xF0\x9F\x98"),
    SLICE_INIT("\xF0\x9F"),
    SLICE_INIT("\xF0"),
    SLICE_INIT("\xC2x"),  // cut short by something else
    SLICE_INIT("\xE2\x82x"),
    SLICE_INIT("\xF0\x9F\x98x"),
    SLICE_INIT("\xE2x\x82"),
};

Test(utf8, what_rfc_3629_forbids_is_found_at_every_place)
{
  // Before, across and behind each step of 8 and 16 bytes; the text ends with the fault, in memory of its own size.
  for (size_t i = 0; i < ARRAY_LEN(BROKEN); i++) {
    for (size_t before = 0; before < 40; before++) {
      size_t size = before + BROKEN[i].size;
      char *text = malloc(size);
      memset(text, 'x', before);
      memcpy(text + before, BROKEN[i].data, BROKEN[i].size);
      cr_assert_eq(utf8_check(slice_make(text, size)), before, "row %zu behind %zu bytes", i, before);
      cr_assert_not(utf8_valid(slice_make(text, size)));
      free(text);
    }
  }
}

Test(utf8, a_fault_behind_letters_beyond_ascii_is_found)
{
  struct slice text = SLICE("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80 and plain ASCII for a while \xE2\x82\xACx\xC3");
  cr_assert_eq(utf8_check(text), text.size - 1);
}

Test(utf8, exactly_the_scalar_values_are_encoded)
{
  size_t count = 0;
  for (uint32_t code_point = 0; code_point < 0x110800; code_point++) {
    char bytes[4];
    size_t size = utf8_encode(code_point, bytes);
    bool scalar = code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
    cr_assert_eq(size > 0, scalar, "U+%04X", code_point);
    if (size == 0)
      continue;
    count++;
    if (!utf8_valid(slice_make(bytes, size)) || utf8_length(slice_make(bytes, size)) != 1)
      cr_assert_fail("U+%04X", code_point);
  }
  cr_assert_eq(count, 0x110000 - 0x800);
  char bytes[4];
  cr_assert_eq(utf8_encode(0x20AC, bytes), 3);
  cr_assert_arr_eq(bytes, "\xE2\x82\xAC", 3);
  cr_assert_eq(utf8_encode(UINT32_MAX, bytes), 0);
}

Test(utf8, length_counts_code_points)
{
  cr_assert_eq(utf8_length(SLICE("")), 0);
  cr_assert_eq(utf8_length(SLICE("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}

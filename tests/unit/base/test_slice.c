#include "common/base/slice.h"

#include <criterion/criterion.h>

#include "common/base/compiler.h"

static const struct slice CONSTANT = SLICE_INIT("static");

Test(slice, literals_do_not_count_their_zero)
{
  cr_assert_eq(CONSTANT.size, 6);
  cr_assert_eq(SLICE("").size, 0);
  cr_assert_eq(SLICE("a\0b").size, 3);
  cr_assert_eq(slice_from_string(NULL).size, 0);
}

Test(slice, equality_looks_at_every_byte)
{
  cr_assert(slice_equal(SLICE("a\0b"), SLICE("a\0b")));
  cr_assert_not(slice_equal(SLICE("a\0b"), SLICE("a\0c")));
  cr_assert_not(slice_equal(SLICE("a"), SLICE("ab")));
  cr_assert(slice_equal(slice_make(NULL, 0), SLICE("")));
  cr_assert(slice_equal_string(SLICE("ab"), "ab"));
  cr_assert(slice_starts_with(SLICE("ab"), slice_make(NULL, 0)));
  cr_assert_not(slice_starts_with(SLICE("ab"), SLICE("abc")));
}

Test(slice, ignoring_case_is_about_ascii_letters_only)
{
  cr_assert(slice_equal_ignore_case(SLICE("Content-TYPE"), SLICE("content-type")));
  cr_assert(slice_equal_ignore_case(SLICE("AZaz"), SLICE("azAZ")));
  cr_assert_not(slice_equal_ignore_case(SLICE("@["), SLICE("`{")), "neighbours of the letters are no letters");
  cr_assert_not(slice_equal_ignore_case(SLICE("\xC3\x84"), SLICE("\xC3\xA4")));
  cr_assert_not(slice_equal_ignore_case(SLICE("a"), SLICE("ab")));
}

Test(slice, find_and_skip_stay_inside)
{
  struct slice text = SLICE("a,b,");
  cr_assert_eq(slice_find(text, ',', 0), 1);
  cr_assert_eq(slice_find(text, ',', 2), 3);
  cr_assert_eq(slice_find(text, 'x', 0), 4);
  cr_assert_eq(slice_find(text, ',', 4), 4);
  cr_assert_eq(slice_find(text, ',', 99), 4);
  cr_assert_eq(slice_find(slice_make(NULL, 0), ',', 0), 0);
  cr_assert(slice_equal(slice_skip(text, 3), SLICE(",")));
  cr_assert_eq(slice_skip(text, 4).size, 0);
  cr_assert_eq(slice_skip(text, SIZE_MAX).size, 0);
}

Test(slice, trim_takes_spaces_and_tabs_from_both_ends)
{
  cr_assert(slice_equal(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
  cr_assert_eq(slice_trim(SLICE(" \t ")).size, 0);
  cr_assert(slice_equal(slice_trim(SLICE("\na\n")), SLICE("\na\n")), "line ends are not blanks");
}

Test(slice, uint64_reads_whole_numbers_only)
{
  static const struct {
    const char *text;
    uint64_t value;
  } GOOD[] = {{"0", 0}, {"7", 7}, {"10", 10}, {"18446744073709551615", UINT64_MAX}};
  for (size_t i = 0; i < ARRAY_LEN(GOOD); i++) {
    uint64_t value = 99;
    cr_assert(slice_to_uint64(slice_from_string(GOOD[i].text), 0, UINT64_MAX, &value), "%s", GOOD[i].text);
    cr_assert_eq(value, GOOD[i].value, "%s", GOOD[i].text);
  }
  static const char *const BAD[] = {"",
                                    " 1",
                                    "1 ",
                                    "+1",
                                    "-1",
                                    "00",
                                    "01",
                                    "1.0",
                                    "0x1",
                                    "1e3",
                                    "a",
                                    "18446744073709551616",
                                    "-0",
                                    "1/",
                                    "1:",
                                    "\xB2",
                                    "1\n",
                                    "99999999999999999999",
                                    "100000000000000000000"};
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
    uint64_t value = 99;
    cr_assert_not(slice_to_uint64(slice_from_string(BAD[i]), 0, UINT64_MAX, &value), "%s", BAD[i]);
    cr_assert_eq(value, 99, "left alone: %s", BAD[i]);
  }
}

Test(slice, numbers_are_held_against_their_range)
{
  uint64_t value;
  cr_assert(slice_to_uint64(SLICE("1"), 1, 65535, &value));
  cr_assert(slice_to_uint64(SLICE("65535"), 1, 65535, &value));
  cr_assert_not(slice_to_uint64(SLICE("0"), 1, 65535, &value));
  cr_assert_not(slice_to_uint64(SLICE("65536"), 1, 65535, &value));
  int64_t number;
  cr_assert(slice_to_int64(SLICE("-5"), -5, 5, &number));
  cr_assert_eq(number, -5);
  cr_assert_not(slice_to_int64(SLICE("-6"), -5, 5, &number));
  cr_assert_not(slice_to_int64(SLICE("6"), -5, 5, &number));
}

Test(slice, int64_reads_both_ends)
{
  int64_t value;
  cr_assert(slice_to_int64(SLICE("9223372036854775807"), INT64_MIN, INT64_MAX, &value));
  cr_assert_eq(value, INT64_MAX);
  cr_assert(slice_to_int64(SLICE("-9223372036854775808"), INT64_MIN, INT64_MAX, &value));
  cr_assert_eq(value, INT64_MIN);
  cr_assert_not(slice_to_int64(SLICE("9223372036854775808"), INT64_MIN, INT64_MAX, &value));
  cr_assert_not(slice_to_int64(SLICE("-9223372036854775809"), INT64_MIN, INT64_MAX, &value));
  static const char *const BAD[] = {"", "-", "--1", "+1", "-01", "- 1", "1-"};
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_assert_not(slice_to_int64(slice_from_string(BAD[i]), INT64_MIN, INT64_MAX, &value), "%s", BAD[i]);
}

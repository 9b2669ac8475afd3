#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/base/etag.h"

Test(etag, lists_have_tags_in_quotes_between_commas)
{
  static const char *const VALID[] = {"\"a\"", "W/\"a\"", "\"\"", "\"a\",\"b\"", " \"a\" , W/\"b\"\t", ",\"a\",,"};
  static const char *const INVALID[] = {"",        " ",   ",",  "a",      "\"a", "a\"", "\"a\" \"b\"",
                                        "w/\"a\"", "W/a", "W/", "\"a\"b", "*"};
  for (size_t i = 0; i < ARRAY_LEN(VALID); i++)
    cr_expect(etag_list_valid(slice_from_string(VALID[i])), "%s", VALID[i]);
  for (size_t i = 0; i < ARRAY_LEN(INVALID); i++)
    cr_expect_not(etag_list_valid(slice_from_string(INVALID[i])), "%s", INVALID[i]);
}

Test(etag, a_tag_may_hold_commas_and_spaces)
{
  struct slice list = SLICE("\"a, b\", W/\"c\"");
  struct etag tag;
  cr_assert_eq(etag_next(&list, &tag), ETAG_TAG);
  cr_expect(slice_equal_string(tag.value, "a, b"));
  cr_expect_not(tag.is_weak);
  cr_assert_eq(etag_next(&list, &tag), ETAG_TAG);
  cr_expect(slice_equal_string(tag.value, "c"));
  cr_expect(tag.is_weak);
  cr_expect_eq(etag_next(&list, &tag), ETAG_END);
}

Test(etag, the_comparison_says_whether_weak_tags_count)
{
  struct slice list = SLICE("\"1\", W/\"2\", \"3\"");
  cr_expect(etag_list_has(list, SLICE("1"), ETAG_STRONG));
  cr_expect_not(etag_list_has(list, SLICE("2"), ETAG_STRONG));
  cr_expect(etag_list_has(list, SLICE("2"), ETAG_WEAK));
  cr_expect(etag_list_has(list, SLICE("3"), ETAG_STRONG));
  cr_expect_not(etag_list_has(list, SLICE("4"), ETAG_WEAK));
  cr_expect_not(etag_list_has(SLICE("\"1\" \"3\""), SLICE("3"), ETAG_STRONG), "what follows a mistake does not count");
}

// Lists are views: what follows them in memory is somebody else's.
Test(etag, nothing_is_read_behind_a_list)
{
  cr_expect_not(etag_list_valid(slice_make("\"a\"", 2)));
  cr_expect_not(etag_list_valid(slice_make("W/\"a\"", 2)));
  cr_expect(etag_list_has(slice_make("\"a\",\"b\"", 3), SLICE("a"), ETAG_STRONG));
  cr_expect_not(etag_list_has(slice_make("\"a\",\"b\"", 3), SLICE("b"), ETAG_STRONG));
}

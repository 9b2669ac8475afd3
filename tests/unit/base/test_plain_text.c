#include <criterion/criterion.h>
#include <string.h>

#include "common/base/plain_text.h"

Test(plain_text, is_what_people_see)
{
  static const char *const plain[] = {
      "", "Ada Lovelace", "Ren\xc3\xa9", "\xd0\x90\xd0\xb4\xd0\xb0", "\xe5\xbc\xa0", "\xf0\x9f\x98\x80"};
  static const char *const hidden[] = {
      "a\tb",          "a\x7f",         "a\xc2\x85",     "a\xc2\xad",           // control characters, a soft hyphen
      "a\xe2\x80\x8b", "a\xe2\x80\x8f", "a\xe2\x80\xae", "a\xe2\x81\xa6",       // no width, and other directions
      "a\xef\xbb\xbf", "\xe3\x85\xa4",  "a\xef\xb8\x8f", "a\xf3\xa0\x80\x81"};  // no-break, fillers, variants, tags
  for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
    cr_expect(plain_text_check(slice_from_string(plain[i])), "%zu", i);
  for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
    cr_expect_not(plain_text_check(slice_from_string(hidden[i])), "%zu", i);
}

Test(plain_text, is_copied_without_the_rest_and_no_further_than_told)
{
  char out[16];
  size_t size = plain_text_copy(slice_from_string("a\xe2\x80\xae"
                                                  "b\xc3\xa9"
                                                  "cd"),
                                4, out);
  cr_assert_eq(size, 5);
  cr_expect_arr_eq(out,
                   "ab\xc3\xa9"
                   "c",
                   5);
}

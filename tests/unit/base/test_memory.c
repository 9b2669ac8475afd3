#include "common/base/memory.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(memory, a_copied_text_ends_with_a_zero)
{
  char *copy = memory_copy_text(slice_make("keyword", 3));
  cr_assert_str_eq(copy, "key");
  free(copy);
}

Test(memory, no_text_is_copied_to_an_empty_string)
{
  char *copy = memory_copy_text((struct slice){0});
  cr_assert_str_eq(copy, "");
  free(copy);
}

Test(memory, a_copied_string_is_the_callers_own)
{
  char original[] = "key";
  char *copy = memory_copy_string(original);
  original[0] = 'x';
  cr_assert_str_eq(copy, "key");
  free(copy);
  cr_assert_null(memory_copy_string(NULL));
}

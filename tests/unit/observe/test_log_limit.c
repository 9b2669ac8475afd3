#include <criterion/criterion.h>

#include "common/observe/log_limit.h"

#define SECOND_US UINT64_C(1000000)

Test(log_limit, one_line_a_second_says_how_many_were_left_out)
{
  struct log_limit limit = {0};
  uint64_t suppressed = 99;
  cr_assert(log_limit_pass(&limit, 5, &suppressed));
  cr_assert_eq(suppressed, 0);
  cr_assert_not(log_limit_pass(&limit, 6, &suppressed));
  cr_assert_not(log_limit_pass(&limit, 4 + SECOND_US, &suppressed));
  cr_assert(log_limit_pass(&limit, 5 + SECOND_US, &suppressed));
  cr_assert_eq(suppressed, 2);
  cr_assert(log_limit_pass(&limit, 5 + 9 * SECOND_US, &suppressed));
  cr_assert_eq(suppressed, 0);
}

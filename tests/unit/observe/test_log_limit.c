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

Test(log_limit, a_few_lines_a_second_where_that_is_asked_for)
{
  struct log_limit limit = {0};
  uint64_t suppressed = 99;
  for (uint64_t i = 0; i < 3; i++) {
    cr_assert(log_limit_pass_some(&limit, 3, 5 + i, &suppressed));
    cr_assert_eq(suppressed, 0);
  }
  cr_assert_not(log_limit_pass_some(&limit, 3, 4 + SECOND_US, &suppressed));
  cr_assert(log_limit_pass_some(&limit, 3, 5 + SECOND_US, &suppressed));
  cr_assert_eq(suppressed, 1);
  cr_assert(log_limit_pass_some(&limit, 3, 5 + SECOND_US, &suppressed));
  cr_assert_eq(suppressed, 0);
}

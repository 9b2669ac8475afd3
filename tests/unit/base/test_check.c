#include "common/base/check.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(check, true_condition_goes_on)
{
  int looked = 0;
  CHECK(++looked == 1);
  cr_assert_eq(looked, 1, "the condition is evaluated once, in every build");
}

Test(check, false_condition_aborts, .signal = SIGABRT)
{
  CHECK(1 + 1 == 3);
}

// When very large replies give way to others.
#include <criterion/criterion.h>

#include "gateway/pacing.h"

enum { NOW_US = 1000000 };

Test(pacing, very_large_replies_pause_while_others_are_answered)
{
  cr_assert_eq(pacing_pause_ms(NOW_US, NOW_US), PACING_PAUSE_MS);
  cr_assert_eq(pacing_pause_ms(NOW_US, NOW_US - PACING_OTHERS_US + 1), PACING_PAUSE_MS);
  cr_assert_eq(pacing_pause_ms(NOW_US, NOW_US - PACING_OTHERS_US), 0);
}

Test(pacing, nobody_was_answered_yet)
{
  cr_assert_eq(pacing_pause_ms(1, 0), 0);
}

Test(pacing, neither_refusals_nor_very_large_replies_are_others)
{
  cr_assert(pacing_is_other(200, PACING_LARGE_BYTES));
  cr_assert(pacing_is_other(404, 300));
  cr_assert_not(pacing_is_other(429, 300));
  cr_assert_not(pacing_is_other(200, PACING_LARGE_BYTES + 1));
}

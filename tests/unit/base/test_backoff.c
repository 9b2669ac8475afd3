#include "common/base/backoff.h"

#include <criterion/criterion.h>

Test(backoff, the_limit_doubles_up_to_the_greatest_and_begins_anew_at_0)
{
  static const uint32_t expected[] = {50, 100, 200, 400, 800, 1500, 1500};
  uint32_t limit_ms = 0;
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
      uint32_t pause_ms = backoff_next_ms(&limit_ms, 50, 1500);
      cr_expect_eq(limit_ms, expected[i], "%u", limit_ms);
      cr_expect(pause_ms >= limit_ms / 2 && pause_ms <= limit_ms, "%u of %u", pause_ms, limit_ms);
    }
    limit_ms = 0;
  }
}

Test(backoff, no_limit_overflows)
{
  uint32_t limit_ms = UINT32_MAX - 1;
  backoff_next_ms(&limit_ms, 1, UINT32_MAX);
  cr_expect_eq(limit_ms, UINT32_MAX);
}

// That 64 draws from 501 numbers are all the same happens once in 501^63.
Test(backoff, pauses_of_those_who_failed_together_differ)
{
  uint32_t limit_ms = 500;
  uint32_t first = backoff_next_ms(&limit_ms, 1, 1000);
  bool differ = false;
  for (int i = 0; i < 63; i++)
    differ |= backoff_next_ms(&limit_ms, 1, 1000) != first;
  cr_expect(differ);
}

// How often a server that takes no writes is left, where nobody has taken over from it.
#include <criterion/criterion.h>

#include "common/storage/pg_internal.h"

#define SECOND_US UINT64_C(1000000)

// Returns how often a server is left that refuses ten writes a second.
static size_t count_leavings(struct pg_fence *fence, uint64_t from_s, uint64_t seconds)
{
  size_t leavings = 0;
  for (uint64_t tenth = 0; tenth < seconds * 10; tenth++)
    leavings += pg_fence_is_time(fence, from_s * SECOND_US + tenth * SECOND_US / 10);
  return leavings;
}

Test(pg_fence, a_server_without_a_successor_is_left_at_longer_and_longer_intervals)
{
  struct pg_fence fence = {0};
  cr_expect_eq(count_leavings(&fence, 100, 2), 1, "at once");
  cr_expect_eq(count_leavings(&fence, 102, 4), 1, "after 2 s");
  cr_expect_eq(count_leavings(&fence, 106, 8), 1, "after 4 s");
  cr_expect_eq(count_leavings(&fence, 114, 16), 1, "after 8 s");
  cr_expect_eq(count_leavings(&fence, 130, 30), 1, "after 16 s");
  cr_expect_eq(count_leavings(&fence, 160, 300), 10, "and every 30 s");
}

Test(pg_fence, after_a_write_that_was_accepted_the_pause_is_short)
{
  struct pg_fence fence = {0};
  (void)count_leavings(&fence, 100, 200);
  pg_fence_reset_pause(&fence, 300 * SECOND_US);
  cr_expect_eq(count_leavings(&fence, 300, 2), 0);
  cr_expect_eq(count_leavings(&fence, 302, 2), 1);
  cr_expect_eq(count_leavings(&fence, 304, 4), 1);
}

Test(pg_fence, half_a_minute_without_a_refusal_makes_the_pause_short)
{
  struct pg_fence fence = {0};
  cr_expect_eq(count_leavings(&fence, 100, 3), 2);
  cr_expect_eq(count_leavings(&fence, 136, 2), 1, "the pause of 4 s has ended 30 s ago");
  cr_expect_eq(count_leavings(&fence, 138, 4), 1);
}

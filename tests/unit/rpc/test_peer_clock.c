// Deadlines on the clock of a server, which begins anywhere, and whose packets take any time.
#include <criterion/criterion.h>

#include "common/rpc/peer_clock_internal.h"

#define SECOND_US UINT64_C(1000000)
// Our clock, and what the server's shows at the same moment.
#define OURS_US (1000 * SECOND_US)
#define THEIRS_US (50 * SECOND_US)

// Notes a packet that left `at_us` after the beginning and was `way_us` on its way.
static void note(struct peer_clock *clock, uint64_t at_us, uint64_t way_us)
{
  peer_clock_note(clock, THEIRS_US + at_us, OURS_US + at_us + way_us);
}

// Returns by how much a deadline 20 minutes after the beginning comes out too early. Wraps when it comes out too late.
static uint64_t find_error(const struct peer_clock *clock)
{
  uint64_t after_us = 1200 * SECOND_US;
  return THEIRS_US + after_us - peer_clock_turn(clock, OURS_US + after_us);
}

Test(peer_clock, is_unknown_before_the_first_packet)
{
  struct peer_clock clock = {0};
  cr_assert_eq(peer_clock_turn(&clock, OURS_US), 0);
  note(&clock, 0, 0);
  cr_assert_eq(find_error(&clock), 0);
}

Test(peer_clock, the_quickest_packet_counts)
{
  struct peer_clock clock = {0};
  note(&clock, 0, 300);
  note(&clock, 10, 80);
  note(&clock, 20, 5 * SECOND_US);
  cr_assert_eq(find_error(&clock), 80);
}

Test(peer_clock, a_slow_first_packet_makes_deadlines_too_early_until_the_next_one)
{
  struct peer_clock clock = {0};
  note(&clock, 0, 3 * SECOND_US);
  cr_assert_eq(find_error(&clock), 3 * SECOND_US);
  note(&clock, 3 * SECOND_US, 100);
  cr_assert_eq(find_error(&clock), 100);
}

// Our process was stopped for a minute: what waits in its socket looks as if it had been on its way for as long.
Test(peer_clock, packets_that_waited_for_us_are_held_against_older_ones)
{
  struct peer_clock clock = {0};
  note(&clock, 0, 100);
  note(&clock, 1 * SECOND_US, 60 * SECOND_US);
  note(&clock, 2 * SECOND_US, 59 * SECOND_US);
  cr_assert_eq(find_error(&clock), 100);
  note(&clock, 61 * SECOND_US, 120);
  cr_assert_leq(find_error(&clock), 120);
}

Test(peer_clock, what_was_measured_two_windows_ago_is_forgotten)
{
  struct peer_clock clock = {0};
  note(&clock, 0, 100);
  // The server's clock stands still for 5 s, as if its machine had been suspended.
  for (uint64_t at_us = 0; at_us <= 2 * PEER_CLOCK_WINDOW_US; at_us += SECOND_US)
    note(&clock, at_us, 5 * SECOND_US);
  cr_assert_eq(find_error(&clock), 5 * SECOND_US);
}

Test(peer_clock, the_last_measurement_is_kept_however_long_ago)
{
  struct peer_clock clock = {0};
  note(&clock, 0, 100);
  cr_assert_eq(find_error(&clock), 100);
}

// A server that started after us has the earlier clock, and one of long ago the later one.
Test(peer_clock, either_clock_may_be_ahead)
{
  struct peer_clock clock = {0};
  peer_clock_note(&clock, OURS_US, THEIRS_US);
  cr_assert_eq(peer_clock_turn(&clock, THEIRS_US + 5), OURS_US + 5);
}

Test(peer_clock, a_known_time_is_never_0)
{
  struct peer_clock clock = {0};
  peer_clock_note(&clock, 1, OURS_US);
  cr_assert_eq(peer_clock_turn(&clock, OURS_US - 1), 1);
}

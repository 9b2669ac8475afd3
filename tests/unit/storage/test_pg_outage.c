// How often an operator is told that PostgreSQL cannot be reached.
#include <criterion/criterion.h>

#include "common/storage/pg_internal.h"

#define SECOND_US UINT64_C(1000000)

// Returns how many warnings the failures of `seconds` bring, with several a second from several connections.
static size_t count_warnings(struct pg_outage *outage, bool is_connected, uint64_t from_s, uint64_t seconds)
{
  size_t warnings = 0;
  for (uint64_t tenth = 0; tenth < seconds * 10; tenth++)
    warnings += pg_outage_count_failure(outage, is_connected, from_s * SECOND_US + tenth * SECOND_US / 10);
  return warnings;
}

Test(pg_outage, a_warning_comes_at_once_and_every_half_minute_while_it_lasts)
{
  struct pg_outage outage = {0};
  cr_expect(pg_outage_count_failure(&outage, false, 100 * SECOND_US));
  cr_expect_eq(count_warnings(&outage, false, 100, 30), 0);
  cr_expect_eq(count_warnings(&outage, false, 130, 1), 1);
  cr_expect_eq(count_warnings(&outage, false, 131, 120), 4);
  cr_expect_eq(outage.began_us, 100 * SECOND_US);
}

Test(pg_outage, its_end_is_told_once)
{
  struct pg_outage outage = {0};
  cr_expect_not(pg_outage_end(&outage, false), "there was none");
  cr_expect_eq(count_warnings(&outage, false, 100, 5), 1);
  cr_expect(pg_outage_end(&outage, false));
  cr_expect_not(pg_outage_end(&outage, true));
  cr_expect_eq(outage.failures, 0);
}

Test(pg_outage, the_next_outage_is_told_at_once)
{
  struct pg_outage outage = {0};
  cr_expect_eq(count_warnings(&outage, false, 100, 5), 1);
  cr_expect(pg_outage_end(&outage, false));
  cr_expect(pg_outage_count_failure(&outage, false, 106 * SECOND_US));
}

// A server that takes one connection more and refuses the next would otherwise write a line for each.
Test(pg_outage, failures_beside_open_connections_stay_limited)
{
  struct pg_outage outage = {0};
  size_t warnings = 0;
  size_t ends = 0;
  for (uint64_t s = 100; s < 160; s += 2) {
    warnings += count_warnings(&outage, true, s, 2);
    ends += pg_outage_end(&outage, true);
  }
  cr_expect_eq(warnings, 2);
  cr_expect_eq(ends, 2);
}

Test(pg_outage, a_server_that_shuts_down_is_told_as_away)
{
  struct pg_outage outage = {0};
  cr_expect_eq(count_warnings(&outage, true, 100, 1), 0, "it may be about to close the others");
  cr_expect_eq(count_warnings(&outage, false, 101, 1), 1);
}

Test(pg_outage, an_outage_that_becomes_worse_is_told_at_once)
{
  struct pg_outage outage = {0};
  cr_expect_eq(count_warnings(&outage, true, 100, 5), 1);
  cr_expect_eq(count_warnings(&outage, false, 105, 5), 1);
  cr_expect_eq(count_warnings(&outage, true, 110, 5), 0);
}

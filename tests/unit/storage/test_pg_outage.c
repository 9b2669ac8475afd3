// How often an operator is told that PostgreSQL cannot be reached.
#include <criterion/criterion.h>

#include "common/storage/pg_internal.h"

#define SECOND_US UINT64_C(1000000)

// Returns how many warnings the failures of `seconds` bring, with several a second from several connections.
static size_t count_warnings(struct pg_outage *outage, uint64_t from_s, uint64_t seconds)
{
  size_t warnings = 0;
  for (uint64_t tenth = 0; tenth < seconds * 10; tenth++)
    warnings += pg_outage_count_failure(outage, from_s * SECOND_US + tenth * SECOND_US / 10);
  return warnings;
}

Test(pg_outage, a_warning_comes_at_once_and_every_half_minute_while_it_lasts)
{
  struct pg_outage outage = {0};
  cr_expect(pg_outage_count_failure(&outage, 100 * SECOND_US));
  cr_expect_eq(count_warnings(&outage, 100, 30), 0);
  cr_expect_eq(count_warnings(&outage, 130, 1), 1);
  cr_expect_eq(count_warnings(&outage, 131, 120), 4);
  cr_expect_eq(outage.began_us, 100 * SECOND_US);
}

Test(pg_outage, its_end_is_told_once)
{
  struct pg_outage outage = {0};
  cr_expect_not(pg_outage_end(&outage, false), "there was none");
  cr_expect_eq(count_warnings(&outage, 100, 5), 1);
  cr_expect(pg_outage_end(&outage, false));
  cr_expect_not(pg_outage_end(&outage, true));
  cr_expect_eq(outage.failures, 0);
}

Test(pg_outage, the_next_outage_is_told_at_once)
{
  struct pg_outage outage = {0};
  cr_expect_eq(count_warnings(&outage, 100, 5), 1);
  cr_expect(pg_outage_end(&outage, false));
  cr_expect(pg_outage_count_failure(&outage, 106 * SECOND_US));
}

// A server that takes one connection more and refuses the next would otherwise write a line for each.
Test(pg_outage, failures_beside_open_connections_stay_limited)
{
  struct pg_outage outage = {0};
  size_t warnings = 0;
  size_t ends = 0;
  for (uint64_t s = 100; s < 160; s++) {
    warnings += count_warnings(&outage, s, 1);
    ends += pg_outage_end(&outage, true);
  }
  cr_expect_eq(warnings, 2);
  cr_expect_eq(ends, 2);
}

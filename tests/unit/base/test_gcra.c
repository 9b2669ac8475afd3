#include <criterion/criterion.h>

#include "common/base/gcra.h"

#define MS UINT64_C(1000000)
#define START (1000000 * MS)

static const struct gcra_limit ten_a_second = {.interval_ns = 100 * MS, .burst = 3};

Test(gcra, settings_name_rate_unit_and_burst)
{
  static const struct {
    const char *text;
    uint64_t interval_ns;
    uint32_t burst;
  } valid[] = {
      {"", 0, 0},
      {"off", 0, 0},
      {"100/s", 10 * MS, 100},
      {"100/s burst 200", 10 * MS, 200},
      {" 30/m  burst  5 ", 2000 * MS, 5},
      {"1/h", 3600 * 1000 * MS, 1},
      {"86400/d burst 10", 1000 * MS, 10},
      {"1/d burst 366", 86400 * 1000 * MS, 366},
      {"1/m burst 527040", 60 * 1000 * MS, 527040},
  };
  static const char *const invalid[] = {"100", "0/s", "100/w", "100/s burst", "100/s burst 0", "100/s 5", "-1/s", "on",
                                        "1000001/s", "/s", "1.5/s", "100/s burst", "100/s, burst 2", "100/s burst 2 x",
                                        "100 / s",
                                        // Such a bucket would need more than 366 days to become full.
                                        "1/d burst 367", "1/d burst 1000000", "1/m burst 527041"};
  struct gcra_limit limit;
  for (size_t i = 0; i < sizeof(valid) / sizeof(*valid); i++) {
    cr_expect(gcra_parse(slice_from_string(valid[i].text), &limit), "%s", valid[i].text);
    cr_expect_eq(limit.interval_ns, valid[i].interval_ns, "%s", valid[i].text);
    cr_expect_eq(limit.burst, valid[i].burst, "%s", valid[i].text);
    cr_expect_eq(gcra_is_on(&limit), valid[i].interval_ns > 0);
  }
  for (size_t i = 0; i < sizeof(invalid) / sizeof(*invalid); i++)
    cr_expect_not(gcra_parse(slice_from_string(invalid[i]), &limit), "%s", invalid[i]);
}

Test(gcra, a_burst_passes_at_once_and_then_one_each_interval)
{
  uint64_t full = 0;
  cr_assert_eq(gcra_room(&ten_a_second, full, START), 3);
  for (int i = 0; i < 3; i++)
    cr_assert(gcra_take(&ten_a_second, &full, START));
  cr_assert_not(gcra_take(&ten_a_second, &full, START));
  cr_assert_eq(gcra_wait_ns(&ten_a_second, full, START), 100 * MS);
  cr_assert_not(gcra_take(&ten_a_second, &full, START + 100 * MS - 1));
  cr_assert(gcra_take(&ten_a_second, &full, START + 100 * MS));
  cr_assert_not(gcra_take(&ten_a_second, &full, START + 100 * MS));
  cr_assert_eq(gcra_reset_ns(full, START + 100 * MS), 300 * MS);
}

Test(gcra, over_a_long_time_no_more_than_rate_and_burst_pass)
{
  uint64_t full = 0;
  int passed = 0;
  for (uint64_t now = START; now < START + 10000 * MS; now += 7 * MS)
    passed += gcra_take(&ten_a_second, &full, now);
  cr_assert_geq(passed, 100);
  cr_assert_leq(passed, 103);
}

Test(gcra, a_unit_that_is_given_back_can_be_taken_again)
{
  uint64_t full = 0;
  for (int i = 0; i < 3; i++)
    cr_assert(gcra_take(&ten_a_second, &full, START));
  gcra_give_back(&ten_a_second, &full, START);
  cr_assert_eq(gcra_room(&ten_a_second, full, START), 1);
  for (int i = 0; i < 5; i++)
    gcra_give_back(&ten_a_second, &full, START);
  // A bucket never holds more than its burst.
  cr_assert_eq(gcra_room(&ten_a_second, full, START), 3);
}

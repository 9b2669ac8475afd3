#include "common/base/clock.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "common/base/compiler.h"

Test(clock, monotonic_time_does_not_go_back)
{
  uint64_t before = clock_now_us();
  for (int i = 0; i < 1000; i++) {
    uint64_t now = clock_now_us();
    cr_assert_geq(now, before);
    before = now;
  }
}

Test(clock, wall_time_is_in_microseconds)
{
  time_t before = time(NULL);
  int64_t now = clock_wall_us();
  // time() may be a tick behind clock_gettime, and a second may pass in between.
  cr_assert_geq(now / 1000000, (int64_t)before);
  cr_assert_leq(now / 1000000, (int64_t)time(NULL) + 1);
}

Test(clock, deadlines_do_not_wrap)
{
  cr_assert_eq(deadline_after_ms(5000, 2), 7000);
  cr_assert_eq(deadline_after_ms(5000, 0), 5000);
  cr_assert_eq(deadline_after_ms(5000, DEADLINE_NONE), DEADLINE_NONE);
  cr_assert_eq(deadline_after_ms(5000, UINT64_MAX / 1000), DEADLINE_NONE);
  cr_assert_eq(deadline_after_ms(0, UINT64_MAX / 1000 + 1), DEADLINE_NONE);
  cr_assert_eq(deadline_after_ms(UINT64_MAX - 1, 1), DEADLINE_NONE);
}

Test(clock, time_left_is_rounded_up)
{
  cr_assert_eq(deadline_left_ms(1000, 1000), 0);
  cr_assert_eq(deadline_left_ms(1000, 2000), 0);
  cr_assert_eq(deadline_left_ms(1001, 1000), 1, "a call that has time left must not be given 0");
  cr_assert_eq(deadline_left_ms(2000, 1000), 1);
  cr_assert_eq(deadline_left_ms(2001, 1000), 2);
  cr_assert_eq(deadline_left_ms(DEADLINE_NONE, 1000), UINT32_MAX);
  cr_assert_eq(deadline_left_ms(DEADLINE_NONE, 0), UINT32_MAX);
  cr_assert_eq(deadline_min(3, DEADLINE_NONE), 3);
}

struct moment {
  const char *text;
  int64_t seconds;
  int32_t nanos;
};

static void assert_parses(const struct moment *moment)
{
  int64_t seconds = -1;
  int32_t nanos = -1;
  cr_assert(clock_parse_rfc3339(slice_from_string(moment->text), &seconds, &nanos), "%s", moment->text);
  cr_assert_eq(seconds, moment->seconds, "%s gave %lld", moment->text, (long long)seconds);
  cr_assert_eq(nanos, moment->nanos, "%s gave %d", moment->text, nanos);
}

Test(clock, rfc3339_is_written_and_read_back)
{
  // Seconds checked against date(1).
  static const struct moment ROWS[] = {
      {"1970-01-01T00:00:00Z", 0, 0},
      {"1969-12-31T23:59:59.999999999Z", -1, 999999999},
      {"0001-01-01T00:00:00Z", -62135596800, 0},
      {"9999-12-31T23:59:59.999999999Z", 253402300799, 999999999},
      {"2000-02-29T12:00:00Z", 951825600, 0},
      {"1900-02-28T23:59:59Z", -2203891201, 0},
      {"1900-03-01T00:00:00Z", -2203891200, 0},
      {"2024-02-29T00:00:00.500Z", 1709164800, 500000000},
      {"2026-01-02T03:04:05.000001Z", 1767323045, 1000},
      {"2026-12-31T23:59:59.000000001Z", 1798761599, 1},
      {"2038-01-19T03:14:08Z", 2147483648, 0},
      {"0004-02-29T00:00:00Z", -62035891200, 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    char text[CLOCK_RFC3339_SIZE];
    size_t length = clock_format_rfc3339(ROWS[i].seconds, ROWS[i].nanos, text);
    cr_assert_str_eq(text, ROWS[i].text);
    cr_assert_eq(length, strlen(text));
    assert_parses(&ROWS[i]);
  }
}

Test(clock, every_day_of_four_centuries_survives_the_round_trip)
{
  for (int64_t day = -400; day < 146097 + 400; day++) {
    char text[CLOCK_RFC3339_SIZE];
    int64_t seconds;
    int32_t nanos;
    size_t length = clock_format_rfc3339(day * 86400 + 86399, 0, text);
    cr_assert(clock_parse_rfc3339(slice_make(text, length), &seconds, &nanos), "%s", text);
    cr_assert_eq(seconds, day * 86400 + 86399, "%s", text);
    // Against the C library's calendar.
    struct tm parts;
    char wanted[CLOCK_RFC3339_SIZE];
    time_t at = (time_t)seconds;
    strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &parts));
    cr_assert_str_eq(text, wanted);
  }
}

Test(clock, times_outside_of_the_years_1_to_9999_are_not_written)
{
  char text[CLOCK_RFC3339_SIZE] = "x";
  cr_assert_eq(clock_format_rfc3339(-62135596801, 0, text), 0);
  cr_assert_eq(clock_format_rfc3339(253402300800, 0, text), 0);
  cr_assert_eq(clock_format_rfc3339(INT64_MIN, 0, text), 0);
  cr_assert_eq(clock_format_rfc3339(INT64_MAX, 0, text), 0);
  cr_assert_eq(clock_format_rfc3339(0, -1, text), 0);
  cr_assert_eq(clock_format_rfc3339(0, 1000000000, text), 0);
  cr_assert_str_eq(text, "");
}

Test(clock, offsets_and_fractions_are_read)
{
  static const struct moment ROWS[] = {
      {"1970-01-01T01:00:00+01:00", 0, 0},
      {"1969-12-31T18:30:00-05:30", 0, 0},
      {"1970-01-01T00:00:00-00:00", 0, 0},
      {"1970-01-01T23:59:00+23:59", 0, 0},
      {"1970-01-01T00:00:00.1Z", 0, 100000000},
      {"1970-01-01T00:00:00.123456789Z", 0, 123456789},
      {"1970-01-01T00:00:00.000000000+00:00", 0, 0},
      {"1970-01-01T00:00:00.12+00:00", 0, 120000000},
      // The moment counts, not the year that is written.
      {"0000-12-31T23:00:00-01:00", -62135596800, 0},
      {"9999-12-31T23:59:59+00:01", 253402300739, 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
    assert_parses(&ROWS[i]);
}

Test(clock, what_is_no_time_is_refused)
{
  static const char *const ROWS[] = {
      "",
      "2026",
      "2026-01-02",
      "2026-01-02T03:04:05",
      "2026-01-02T03:04Z",
      "2026-01-02 03:04:05Z",
      "2026-01-02t03:04:05Z",
      "2026-01-02T03:04:05z",
      "2026-1-02T03:04:05Z",
      "26-01-02T03:04:05Z",
      "+2026-01-02T03:04:05Z",
      "-026-01-02T03:04:05Z",
      "10000-01-01T00:00:00Z",
      "2026-00-02T03:04:05Z",
      "2026-13-02T03:04:05Z",
      "2026-01-00T03:04:05Z",
      "2026-01-32T03:04:05Z",
      "2026-04-31T03:04:05Z",
      "2026-02-29T03:04:05Z",
      "1900-02-29T03:04:05Z",
      "2024-02-30T03:04:05Z",
      "2026-01-02T24:00:00Z",
      "2026-01-02T03:60:05Z",
      "2026-01-02T03:04:60Z",
      "2016-12-31T23:59:60Z",
      "2026-01-02T03:04:05.Z",
      "2026-01-02T03:04:05.1234567890Z",
      "2026-01-02T03:04:05,5Z",
      "2026-01-02T03:04:05.5",
      "2026-01-02T03:04:05ZZ",
      "2026-01-02T03:04:05Z ",
      " 2026-01-02T03:04:05Z",
      "2026-01-02T03:04:05+0100",
      "2026-01-02T03:04:05+01",
      "2026-01-02T03:04:05+01:",
      "2026-01-02T03:04:05+01:000",
      "2026-01-02T03:04:05+24:00",
      "2026-01-02T03:04:05+00:60",
      "2026-01-02T03:04:05 01:00",
      "2026-01-02T03:04:05+1:00",
      "202\xB2-01-02T03:04:05Z",
      // Out of the years 1 to 9999, as written or by their offset.
      "0000-12-31T23:59:59Z",
      "0000-01-01T00:00:00Z",
      "0001-01-01T00:00:00+00:01",
      "9999-12-31T23:59:59-00:01",
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    int64_t seconds = 42;
    int32_t nanos = 43;
    cr_assert_not(clock_parse_rfc3339(slice_from_string(ROWS[i]), &seconds, &nanos), "%s", ROWS[i]);
    cr_assert(seconds == 42 && nanos == 43, "left alone: %s", ROWS[i]);
  }
}

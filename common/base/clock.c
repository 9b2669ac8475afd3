// The two clocks, and RFC 3339.
//
// Calendar arithmetic counts days from 0000-03-01, so that a leap day is the last day of its year: no tables, no
// time zone database, no locale. All of it is the proleptic Gregorian calendar, as RFC 3339 and Timestamp ask.
#include "common/base/clock.h"

#include <time.h>

#include "common/base/check.h"
#include "common/base/digits_internal.h"

#define SECONDS_PER_DAY 86400
#define DATE_BYTES 11                       // 2026-11-21T
#define DATE_TIME_BYTES 19                  // 2026-11-21T13:51:54
#define DAYS_PER_ERA 146097                 // 400 years
#define DAYS_TO_EPOCH 719468                // 0000-03-01 to 1970-01-01
#define FIRST_SECOND INT64_C(-62135596800)  // 0001-01-01T00:00:00Z
#define LAST_SECOND INT64_C(253402300799)   // 9999-12-31T23:59:59Z

static struct timespec read_clock(clockid_t clock)
{
  struct timespec now;
  CHECK(clock_gettime(clock, &now) == 0);
  return now;
}

uint64_t clock_now_us(void)
{
  struct timespec now = read_clock(CLOCK_MONOTONIC);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
  struct timespec now = read_clock(CLOCK_REALTIME);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t deadline_after_ms(uint64_t now_us, uint64_t ms)
{
  uint64_t deadline_us;
  if (ms == DEADLINE_NONE || __builtin_mul_overflow(ms, UINT64_C(1000), &deadline_us) ||
      __builtin_add_overflow(deadline_us, now_us, &deadline_us))
    return DEADLINE_NONE;
  return deadline_us;
}

uint32_t deadline_left_ms(uint64_t deadline_us, uint64_t now_us)
{
  if (deadline_us <= now_us)
    return 0;
  uint64_t left_us = deadline_us - now_us;
  uint64_t left_ms = left_us / 1000 + (left_us % 1000 != 0);
  return left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms;
}

static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
  if (month <= 2)
    year--;
  // Year 0 before March is the last year of the era before.
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

static void date_from_days(int64_t days_since_epoch, uint32_t *year, uint32_t *month, uint32_t *day)
{
  // The sum is never negative, because callers begin at the year 1, and small, because they end at 9999.
  uint32_t days = (uint32_t)(days_since_epoch + DAYS_TO_EPOCH);
  uint32_t era = days / DAYS_PER_ERA;
  uint32_t day_of_era = days % DAYS_PER_ERA;
  uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  uint32_t month_from_march = (5 * day_of_year + 2) / 153;
  *day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  *month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  *year = era * 400 + year_of_era + (*month <= 2);
}

// Writes an even number of digits, two at a step.
static inline char *put_pairs(char *to, uint32_t value, int digits)
{
  for (int i = digits - 2; i >= 0; i -= 2) {
    digits_put_pair(to + i, value % 100);
    value /= 100;
  }
  return to + digits;
}

// Writes an odd number of digits.
static char *put_odd(char *to, uint32_t value, int digits)
{
  to[digits - 1] = (char)('0' + value % 10);
  return put_pairs(to, value / 10, digits - 1) + 1;
}

static char *put_fraction(char *to, int32_t nanos)
{
  if (nanos == 0)
    return to;
  *to++ = '.';
  if (nanos % 1000000 == 0)
    return put_odd(to, (uint32_t)nanos / 1000000, 3);
  if (nanos % 1000 == 0)
    return put_pairs(to, (uint32_t)nanos / 1000, 6);
  return put_odd(to, (uint32_t)nanos, 9);
}

size_t clock_format_rfc3339(int64_t seconds, int32_t nanos, char out[CLOCK_RFC3339_SIZE])
{
  out[0] = '\0';
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos < 0 || nanos > 999999999)
    return 0;
  int64_t days = seconds / SECONDS_PER_DAY;
  int64_t rest = seconds % SECONDS_PER_DAY;
  if (rest < 0) {
    rest += SECONDS_PER_DAY;
    days--;
  }
  uint32_t year, month, day;
  date_from_days(days, &year, &month, &day);
  uint32_t second_of_day = (uint32_t)rest;
  char *to = put_pairs(out, year, 4);
  *to++ = '-';
  to = put_pairs(to, month, 2);
  *to++ = '-';
  to = put_pairs(to, day, 2);
  *to++ = 'T';
  to = put_pairs(to, second_of_day / 3600, 2);
  *to++ = ':';
  to = put_pairs(to, second_of_day / 60 % 60, 2);
  *to++ = ':';
  to = put_pairs(to, second_of_day % 60, 2);
  to = put_fraction(to, nanos);
  *to++ = 'Z';
  *to = '\0';
  return (size_t)(to - out);
}

// Reads two digits. False where one is none.
static inline bool read_pair(const char *at, uint32_t *out)
{
  uint32_t high = (uint32_t)(unsigned char)at[0] - '0', low = (uint32_t)(unsigned char)at[1] - '0';
  *out = high * 10 + low;
  return high <= 9 && low <= 9;
}

// Reads "2026-11-21T".
static bool read_date(const char *at, int64_t *days)
{
  static const uint8_t MONTH_DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  uint32_t century, year, month, day;
  if (at[4] != '-' || at[7] != '-' || at[10] != 'T' || !read_pair(at, &century) || !read_pair(at + 2, &year) ||
      !read_pair(at + 5, &month) || !read_pair(at + 8, &day))
    return false;
  year += century * 100;
  if (month < 1 || month > 12 || day < 1)
    return false;
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (day > MONTH_DAYS[month - 1] + (uint32_t)(month == 2 && leap))
    return false;
  *days = days_from_date(year, month, day);
  return true;
}

// Reads "13:51:54". A leap second (60) is refused: Unix time has no number for it.
static bool read_time(const char *at, int64_t *seconds)
{
  uint32_t hour, minute, second;
  if (at[2] != ':' || at[5] != ':' || !read_pair(at, &hour) || !read_pair(at + 3, &minute) ||
      !read_pair(at + 6, &second))
    return false;
  *seconds = hour * 3600 + minute * 60 + second;
  return hour < 24 && minute < 60 && second < 60;
}

static bool take_fraction(struct slice *text, int32_t *nanos)
{
  *nanos = 0;
  if (text->size == 0 || text->data[0] != '.')
    return true;
  size_t digits = 0;
  int32_t value = 0;
  while (digits < 9 && digits + 1 < text->size) {
    unsigned digit = (unsigned)(unsigned char)text->data[digits + 1] - '0';
    if (digit > 9)
      break;
    value = value * 10 + (int32_t)digit;
    digits++;
  }
  if (digits == 0)
    return false;
  *text = slice_skip(*text, digits + 1);
  for (; digits < 9; digits++)
    value *= 10;
  *nanos = value;
  return true;
}

// Reads a zone: "Z", "+hh:mm" or "-hh:mm", and nothing after it.
static bool read_offset(struct slice text, int64_t *seconds)
{
  *seconds = 0;
  if (slice_equal(text, SLICE("Z")))
    return true;
  uint32_t hour, minute;
  if (text.size != 6 || (text.data[0] != '+' && text.data[0] != '-') || text.data[3] != ':' ||
      !read_pair(text.data + 1, &hour) || !read_pair(text.data + 4, &minute) || hour > 23 || minute > 59)
    return false;
  *seconds = hour * 3600 + minute * 60;
  if (text.data[0] == '-')
    *seconds = -*seconds;
  return true;
}

bool clock_parse_rfc3339(struct slice text, int64_t *seconds, int32_t *nanos)
{
  int64_t days, of_day, offset;
  int32_t fraction;
  if (text.size < DATE_TIME_BYTES || !read_date(text.data, &days) || !read_time(text.data + DATE_BYTES, &of_day))
    return false;
  text = slice_skip(text, DATE_TIME_BYTES);
  if (!take_fraction(&text, &fraction) || !read_offset(text, &offset))
    return false;
  // The range holds for the moment itself: an offset can carry it out of the years, or into them.
  int64_t value = days * SECONDS_PER_DAY + of_day - offset;
  if (value < FIRST_SECOND || value > LAST_SECOND)
    return false;
  *seconds = value;
  *nanos = fraction;
  return true;
}

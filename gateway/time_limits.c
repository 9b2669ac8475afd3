#include "gateway/time_limits.h"

#include <stddef.h>

#include "common/base/compiler.h"

#define SECOND_US UINT64_C(1000000)
#define MAX_SECOND_DIGITS 9
#define MAX_FRACTION_DIGITS 9
// As the protocols have it: a number of at most 8 and at most 10 digits.
#define MAX_GRPC_DIGITS 8
#define MAX_CONNECT_DIGITS 10

static size_t count_digits(struct slice text)
{
  size_t count = 0;
  while (count < text.size && text.data[count] >= '0' && text.data[count] <= '9')
    count++;
  return count;
}

// Returns the number at the beginning of the text, which has so many digits.
static uint64_t read_digits(struct slice text, size_t digits)
{
  uint64_t number = 0;
  for (size_t i = 0; i < digits; i++)
    number = number * 10 + (uint64_t)(text.data[i] - '0');
  return number;
}

// Returns the microseconds in a part of a second that is written as so many digits behind the point, rounded up.
static uint64_t read_fraction_us(struct slice text, size_t digits)
{
  uint64_t nanoseconds = read_digits(text, digits);
  for (size_t i = digits; i < MAX_FRACTION_DIGITS; i++)
    nanoseconds *= 10;
  return (nanoseconds + 999) / 1000;
}

// The readers return 0 for a value that is not accepted.
static uint64_t read_seconds(struct slice value)
{
  size_t digits = count_digits(value);
  if (digits == 0 || digits > MAX_SECOND_DIGITS)
    return 0;
  uint64_t whole_us = read_digits(value, digits) * SECOND_US;
  struct slice rest = slice_skip(value, digits);
  if (rest.size == 0)
    return whole_us;
  struct slice fraction = slice_skip(rest, 1);
  digits = count_digits(fraction);
  if (rest.data[0] != '.' || digits == 0 || digits > MAX_FRACTION_DIGITS || digits != fraction.size)
    return 0;
  return whole_us + read_fraction_us(fraction, digits);
}

static uint64_t read_grpc(struct slice value)
{
  size_t digits = count_digits(value);
  if (digits == 0 || digits > MAX_GRPC_DIGITS || value.size != digits + 1)
    return 0;
  uint64_t number = read_digits(value, digits);
  switch (value.data[digits]) {
  case 'H':
    return number * 3600 * SECOND_US;
  case 'M':
    return number * 60 * SECOND_US;
  case 'S':
    return number * SECOND_US;
  case 'm':
    return number * 1000;
  case 'u':
    return number;
  case 'n':
    return (number + 999) / 1000;
  default:
    return 0;
  }
}

static uint64_t read_connect(struct slice value)
{
  size_t digits = count_digits(value);
  return digits == 0 || digits > MAX_CONNECT_DIGITS || digits != value.size ? 0 : read_digits(value, digits) * 1000;
}

static const struct {
  size_t offset;  // of the value in struct time_limits
  uint64_t (*read)(struct slice value);
  struct violation violation;
} HEADERS[] = {
    {offsetof(struct time_limits, request_timeout),
     read_seconds,
     {SLICE_INIT("Request-Timeout"), SLICE_INIT("must come once, with seconds above 0: at most 9 digits, and perhaps a "
                                                "point and at most 9 more, such as 2 or 0.25")}},
    {offsetof(struct time_limits, grpc_timeout),
     read_grpc,
     {SLICE_INIT("Grpc-Timeout"), SLICE_INIT("must come once, with a number above 0 of at most 8 digits and one of the "
                                             "units H, M, S, m, u and n, such as 250m for 250 milliseconds")}},
    {offsetof(struct time_limits, connect_timeout_ms),
     read_connect,
     {SLICE_INIT("Connect-Timeout-Ms"), SLICE_INIT("must come once, with milliseconds above 0 of at most 10 digits, "
                                                   "such as 250")}},
};

bool time_limits_read(const struct time_limits *limits, uint64_t *limit_us, const struct violation **wrong)
{
  *limit_us = TIME_LIMIT_NONE;
  for (size_t i = 0; i < ARRAY_LEN(HEADERS); i++) {
    const struct slice *value = (const struct slice *)(const void *)((const char *)limits + HEADERS[i].offset);
    if (value->data == NULL)
      continue;
    uint64_t read_us = HEADERS[i].read(*value);
    if (read_us == 0) {
      *wrong = &HEADERS[i].violation;
      return false;
    }
    *limit_us = read_us < *limit_us ? read_us : *limit_us;
  }
  return true;
}

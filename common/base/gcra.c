#include "common/base/gcra.h"

#define SECOND_NS UINT64_C(1000000000)

// Returns the length of a unit of time; 0 for an unknown one.
static uint64_t unit_ns(struct slice unit)
{
  static const struct {
    const char *name;
    uint64_t seconds;
  } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
  for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
    if (slice_equal_string(unit, units[i].name))
      return units[i].seconds * SECOND_NS;
  return 0;
}

// Reads " burst 200". Nothing at all means the rate.
static bool parse_burst(struct slice text, uint64_t rate, uint64_t *burst)
{
  static const char word[] = "burst";
  *burst = rate;
  text = slice_trim(text);
  if (text.size == 0)
    return true;
  if (!slice_starts_with(text, SLICE("burst")))
    return false;
  return slice_to_uint64(slice_trim(slice_skip(text, sizeof(word) - 1)), 1, GCRA_MAX_UNITS, burst);
}

bool gcra_is_in_bounds(const struct gcra_limit *limit)
{
  return limit->interval_ns > 0 && limit->burst > 0 && limit->burst <= GCRA_MAX_UNITS &&
         limit->interval_ns <= GCRA_LONGEST_FILL_NS / limit->burst;
}

bool gcra_parse(struct slice text, struct gcra_limit *out)
{
  *out = (struct gcra_limit){0};
  text = slice_trim(text);
  if (text.size == 0 || slice_equal_string(text, "off"))
    return true;
  size_t slash = slice_find(text, '/', 0);
  if (slash >= text.size)
    return false;
  struct slice behind = slice_skip(text, slash + 1);
  if (behind.size == 0)
    return false;
  size_t space = slice_find(behind, ' ', 0);
  uint64_t period_ns = unit_ns(slice_make(behind.data, space));
  uint64_t rate, burst;
  if (period_ns == 0 || !slice_to_uint64(slice_trim(slice_make(text.data, slash)), 1, GCRA_MAX_UNITS, &rate) ||
      !parse_burst(slice_skip(behind, space), rate, &burst))
    return false;
  const struct gcra_limit limit = {.interval_ns = period_ns / rate, .burst = (uint32_t)burst};
  if (!gcra_is_in_bounds(&limit))
    return false;
  *out = limit;
  return true;
}

uint32_t gcra_room(const struct gcra_limit *limit, uint64_t full_ns, uint64_t now_ns)
{
  uint64_t missing = (gcra_reset_ns(full_ns, now_ns) + limit->interval_ns - 1) / limit->interval_ns;
  return missing >= limit->burst ? 0 : limit->burst - (uint32_t)missing;
}

bool gcra_take(const struct gcra_limit *limit, uint64_t *full_ns, uint64_t now_ns)
{
  if (gcra_room(limit, *full_ns, now_ns) == 0)
    return false;
  *full_ns = (*full_ns > now_ns ? *full_ns : now_ns) + limit->interval_ns;
  return true;
}

void gcra_give_back(const struct gcra_limit *limit, uint64_t *full_ns, uint64_t now_ns)
{
  uint64_t reset_ns = gcra_reset_ns(*full_ns, now_ns);
  *full_ns = reset_ns > limit->interval_ns ? *full_ns - limit->interval_ns : now_ns;
}

uint64_t gcra_wait_ns(const struct gcra_limit *limit, uint64_t full_ns, uint64_t now_ns)
{
  uint64_t reset_ns = gcra_reset_ns(full_ns, now_ns);
  uint64_t allowed_ns = (limit->burst - 1) * limit->interval_ns;
  return reset_ns > allowed_ns ? reset_ns - allowed_ns : 0;
}

#include "common/base/backoff.h"

#include "common/base/random.h"

uint32_t backoff_next_ms(uint32_t *limit_ms, uint32_t first_ms, uint32_t max_ms)
{
  uint32_t limit = *limit_ms == 0 ? first_ms : *limit_ms;
  if (*limit_ms != 0)
    limit = limit > max_ms / 2 ? max_ms : limit * 2;
  *limit_ms = limit;
  return limit / 2 + (uint32_t)random_below(limit - limit / 2 + 1);
}

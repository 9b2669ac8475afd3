#include "common/rpc/method_cost_internal.h"

static uint32_t find_lesser(uint32_t a, uint32_t b)
{
  if (a == 0 || b == 0)
    return a + b;
  return a < b ? a : b;
}

void method_cost_note(struct method_cost *cost, uint64_t duration_us, uint64_t now_us)
{
  if (now_us - cost->window_begin_us >= METHOD_COST_WINDOW_US) {
    // A method that was not called for long is measured again.
    cost->least_before_us = now_us - cost->window_begin_us < 2 * METHOD_COST_WINDOW_US ? cost->least_us : 0;
    cost->least_us = 0;
    cost->window_begin_us = now_us;
  }
  uint32_t bounded_us = duration_us > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)duration_us;
  cost->least_us = find_lesser(cost->least_us, bounded_us == 0 ? 1 : bounded_us);
}

uint32_t method_cost_us(const struct method_cost *cost)
{
  uint32_t least_us = find_lesser(cost->least_us, cost->least_before_us);
  return least_us == 0 ? METHOD_COST_UNKNOWN_US : least_us;
}

#include "common/observe/log_limit.h"

#define INTERVAL_US UINT64_C(1000000)

bool log_limit_pass_some(struct log_limit *limit, uint32_t lines, uint64_t now_us, uint64_t *suppressed)
{
  if (now_us >= limit->next_us) {
    limit->next_us = now_us + INTERVAL_US;
    limit->written = 0;
  }
  if (limit->written >= lines) {
    limit->suppressed++;
    return false;
  }
  limit->written++;
  *suppressed = limit->suppressed;
  limit->suppressed = 0;
  return true;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_us, uint64_t *suppressed)
{
  return log_limit_pass_some(limit, 1, now_us, suppressed);
}

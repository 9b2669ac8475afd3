#include "common/observe/log_limit.h"

#define INTERVAL_US UINT64_C(1000000)

bool log_limit_pass(struct log_limit *limit, uint64_t now_us, uint64_t *suppressed)
{
  if (now_us < limit->next_us) {
    limit->suppressed++;
    return false;
  }
  *suppressed = limit->suppressed;
  *limit = (struct log_limit){.next_us = now_us + INTERVAL_US};
  return true;
}

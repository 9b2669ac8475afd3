#include "common/rpc/ejection_internal.h"

bool ejection_note(struct ejection *ejection, bool failed, uint64_t now_us)
{
  if (!failed) {
    ejection->failures = 0;
    if (ejection->rounds != 0 && now_us > ejection->until_us + EJECTION_FORGET_US)
      ejection->rounds = 0;
    return false;
  }
  if (ejection->failures < EJECTION_FAILURES)
    ejection->failures++;
  return ejection->failures >= EJECTION_FAILURES && !ejection_is_active(ejection, now_us);
}

void ejection_begin(struct ejection *ejection, uint64_t now_us)
{
  uint64_t pause_us = EJECTION_MAX_US;
  if (ejection->rounds < 5 && EJECTION_FIRST_US << ejection->rounds < EJECTION_MAX_US)
    pause_us = EJECTION_FIRST_US << ejection->rounds;
  ejection->rounds++;
  ejection->failures = EJECTION_FAILURES - 1;
  ejection->until_us = now_us + pause_us;
}

void ejection_end(struct ejection *ejection, uint64_t now_us)
{
  if (ejection_is_active(ejection, now_us))
    ejection->until_us = now_us;
}

#include "common/rpc/liveness_internal.h"

#include "common/base/clock.h"

void liveness_begin(struct liveness *liveness, bool asked, uint64_t now_us)
{
  *liveness = (struct liveness){.heard_us = now_us, .looked_us = now_us, .asked_us = asked ? now_us : 0};
}

// Leaves the time out in which our process should have looked and did not.
static void skip_own_pause(struct liveness *liveness, uint64_t now_us)
{
  uint64_t expected_us = deadline_after_ms(liveness->looked_us, LIVENESS_IDLE_LOOK_MS);
  if (now_us > expected_us && liveness->asked_us != 0)
    liveness->asked_us += now_us - expected_us;
  liveness->looked_us = now_us;
}

enum liveness_verdict liveness_look(struct liveness *liveness, uint64_t received, bool awaited, uint64_t now_us)
{
  skip_own_pause(liveness, now_us);
  if (received != liveness->received) {
    liveness->received = received;
    liveness->heard_us = now_us;
    liveness->asked_us = 0;
    return LIVENESS_FINE;
  }
  if (liveness->asked_us == 0) {
    if (!awaited && now_us < deadline_after_ms(liveness->heard_us, LIVENESS_IDLE_ASK_MS))
      return LIVENESS_FINE;
    liveness->asked_us = now_us;
    return LIVENESS_ASK;
  }
  if (now_us >= deadline_after_ms(liveness->asked_us, LIVENESS_LOST_MS))
    return LIVENESS_LOST;
  return now_us >= deadline_after_ms(liveness->asked_us, LIVENESS_SILENT_MS) ? LIVENESS_SILENT : LIVENESS_FINE;
}

uint64_t liveness_next_look_us(const struct liveness *liveness, bool awaited)
{
  bool busy = awaited || liveness->asked_us != 0 || liveness->heard_us == liveness->looked_us;
  return deadline_after_ms(liveness->looked_us, busy ? LIVENESS_BUSY_LOOK_MS : LIVENESS_IDLE_LOOK_MS);
}

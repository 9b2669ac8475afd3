#include "common/base/queue_limit.h"

#include "common/base/clock.h"

// A new measurement counts as one part of this.
#define SMOOTHING 8

void queue_limit_note_service(struct queue_limit *limit, uint64_t service_us)
{
  if (limit->service_us == 0)
    limit->service_us = service_us;
  else
    limit->service_us = (limit->service_us * (SMOOTHING - 1) + service_us) / SMOOTHING;
}

void queue_limit_note_waiting(struct queue_limit *limit, size_t waiting, uint64_t now_us)
{
  if (waiting == 0)
    limit->waiting_since_us = 0;
  else if (limit->waiting_since_us == 0)
    limit->waiting_since_us = now_us;
}

uint64_t queue_limit_wait_us(const struct queue_limit *limit, size_t ahead, size_t servers)
{
  return ahead * limit->service_us / servers;
}

bool queue_limit_admits(const struct queue_limit *limit, size_t ahead, size_t servers, uint64_t now_us)
{
  bool is_steady = limit->waiting_since_us != 0 && now_us >= deadline_after_ms(limit->waiting_since_us, QUEUE_BURST_MS);
  uint64_t most_us = UINT64_C(1000) * (is_steady ? QUEUE_STEADY_MS : QUEUE_BURST_MS);
  return ahead < servers || queue_limit_wait_us(limit, ahead, servers) <= most_us;
}

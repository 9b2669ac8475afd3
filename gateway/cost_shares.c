#include "gateway/cost_shares.h"

// A new measurement counts as one part of this, of one caller's and of all.
#define CALLER_SMOOTHING 8
#define SMOOTHING 64

// A call weighs no more and no less, so that nobody is shut out by one answer.
#define MOST_WEIGHT (32 * CONCURRENCY_UNIT)
#define LEAST_WEIGHT (CONCURRENCY_UNIT / 8)

uint16_t cost_shares_weigh(const struct cost_shares *shares, uint16_t caller)
{
  if (shares->cost[caller] == 0)
    return CONCURRENCY_UNIT;
  uint64_t weight = (uint64_t)CONCURRENCY_UNIT * shares->cost[caller] / shares->average;
  if (weight > MOST_WEIGHT)
    return MOST_WEIGHT;
  return weight < LEAST_WEIGHT ? LEAST_WEIGHT : (uint16_t)weight;
}

// Moves a smoothed value towards a new one, and never to 0.
static void smooth(uint32_t *value, uint32_t next, uint32_t smoothing)
{
  uint64_t sum = *value == 0 ? (uint64_t)next * smoothing : (uint64_t)*value * (smoothing - 1) + next;
  *value = (uint32_t)((sum + smoothing - 1) / smoothing);
}

void cost_shares_note(struct cost_shares *shares, uint16_t caller, size_t cost)
{
  uint32_t next = cost == 0 ? 1 : cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
  smooth(&shares->cost[caller], next, CALLER_SMOOTHING);
  smooth(&shares->average, next, SMOOTHING);
}

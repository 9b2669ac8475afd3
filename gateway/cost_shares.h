// What each caller has in flight of a method, weighed by what its calls cost, so that callers share a limit by cost and
// not by number: one that asks for the largest lists has fewer of them in flight than others have small ones. A pure
// state machine.
//
// The cost of a call is known when it has ended. A call weighs what its caller's calls have cost lately:
// CONCURRENCY_UNIT where that is as much as calls of the method cost on average. So calls of a caller alone weigh that,
// whatever they cost.
#ifndef BULKHEAD_GATEWAY_COST_SHARES_H
#define BULKHEAD_GATEWAY_COST_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/concurrency_limit.h"

// Callers are told apart by a hash, so two may share their share by chance.
#define COST_CALLERS 1024

// Zeroed, nobody has called yet.
struct cost_shares {
  uint32_t held[COST_CALLERS];  // weights of what is in flight; whoever admits calls keeps them
  uint32_t cost[COST_CALLERS];  // of a call, smoothed; 0 before the first has ended
  uint32_t average;             // of all calls, smoothed; 0 before the first has ended
};

// Returns what a call of the caller weighs that begins now.
uint16_t cost_shares_weigh(const struct cost_shares *shares, uint16_t caller);
// Notes what a call of the caller has cost, in any unit.
void cost_shares_note(struct cost_shares *shares, uint16_t caller, size_t cost);

#endif

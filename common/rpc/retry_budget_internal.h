// How many calls may be sent again, as retries or hedges: at most a fifth as many as were made in the last ten seconds,
// so that a service in trouble gets hardly more requests than it would without retries. A few are always allowed,
// because a quiet client has made hardly any calls.
#ifndef BULKHEAD_RPC_RETRY_BUDGET_INTERNAL_H
#define BULKHEAD_RPC_RETRY_BUDGET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RETRY_BUDGET_SLOTS 10
#define RETRY_BUDGET_SLOT_US UINT64_C(1000000)
// The share of the recent calls that may be sent again.
#define RETRY_BUDGET_PERCENT 20
// The retries that are allowed whatever the number of recent calls.
#define RETRY_BUDGET_MIN 10

// A zeroed budget is ready to use. Slots are seconds of the clock.
struct retry_budget {
  uint64_t last_slot;
  uint64_t calls;    // in all slots
  uint64_t retries;  // in all slots
  uint32_t calls_in[RETRY_BUDGET_SLOTS];
  uint32_t retries_in[RETRY_BUDGET_SLOTS];
};

// Counts a call that was made now. The clock must not go back.
void retry_budget_note_call(struct retry_budget *budget, uint64_t now_us);
// Takes one retry out of the budget. False when it is exhausted.
bool retry_budget_take(struct retry_budget *budget, uint64_t now_us);

// Takes one hedge out of the budget. False when half of the budget is used, because the other half is kept for retries
// of calls that would fail otherwise.
bool retry_budget_take_hedge(struct retry_budget *budget, uint64_t now_us);

#endif

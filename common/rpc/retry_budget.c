#include "common/rpc/retry_budget_internal.h"

// Empties the slots that have become too old, and returns the index of the present one.
static size_t advance_slots(struct retry_budget *budget, uint64_t now_us)
{
  uint64_t slot = now_us / RETRY_BUDGET_SLOT_US;
  // The time of a turn is a little older than that of a call in it.
  if (slot <= budget->last_slot)
    return budget->last_slot % RETRY_BUDGET_SLOTS;
  uint64_t passed = slot - budget->last_slot;
  for (uint64_t i = 1; i <= passed && i <= RETRY_BUDGET_SLOTS; i++) {
    size_t index = (budget->last_slot + i) % RETRY_BUDGET_SLOTS;
    budget->calls -= budget->calls_in[index];
    budget->retries -= budget->retries_in[index];
    budget->calls_in[index] = 0;
    budget->retries_in[index] = 0;
  }
  budget->last_slot = slot;
  return slot % RETRY_BUDGET_SLOTS;
}

void retry_budget_note_call(struct retry_budget *budget, uint64_t now_us)
{
  budget->calls_in[advance_slots(budget, now_us)]++;
  budget->calls++;
}

static bool take(struct retry_budget *budget, uint64_t percent_of_budget, uint64_t now_us)
{
  size_t index = advance_slots(budget, now_us);
  uint64_t allowed = budget->calls * RETRY_BUDGET_PERCENT / 100;
  if (allowed < RETRY_BUDGET_MIN)
    allowed = RETRY_BUDGET_MIN;
  if (budget->retries >= allowed * percent_of_budget / 100)
    return false;
  budget->retries_in[index]++;
  budget->retries++;
  return true;
}

bool retry_budget_take(struct retry_budget *budget, uint64_t now_us)
{
  return take(budget, 100, now_us);
}

bool retry_budget_take_hedge(struct retry_budget *budget, uint64_t now_us)
{
  return take(budget, 50, now_us);
}

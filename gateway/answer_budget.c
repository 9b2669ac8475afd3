#include "gateway/answer_budget.h"

#include "common/base/hash.h"

// An expectation that was too high goes down by one part of this with each answer.
#define EXPECTED_DECAY 16

// Returns whether the caller may hold `bytes` beside what others hold, and what it holds with other exchanges.
static bool has_room(const struct answer_budget *budget, const struct answer_share *share, size_t bytes)
{
  size_t held = budget->held[share->caller] - share->bytes;
  size_t total = budget->total - share->bytes;
  return (held == 0 || held + bytes <= ANSWER_CALLER_BYTES) && (total == 0 || total + bytes <= ANSWER_TOTAL_BYTES);
}

static void hold(struct answer_budget *budget, struct answer_share *share, size_t bytes)
{
  budget->held[share->caller] = budget->held[share->caller] - share->bytes + bytes;
  budget->total = budget->total - share->bytes + bytes;
  share->bytes = bytes;
}

bool answer_budget_reserve(struct answer_budget *budget, struct answer_share *share, uint64_t caller, uint64_t method)
{
  *share = (struct answer_share){.caller = (uint16_t)(caller % ANSWER_CALLERS),
                                 .expectation = (uint16_t)(hash_integers(caller, method) % ANSWER_EXPECTATIONS)};
  size_t expected = budget->expected[share->expectation];
  // What a caller who holds nothing asks for is judged when it has come.
  if (expected < ANSWER_SMALL_BYTES || budget->held[share->caller] == 0) {
    hold(budget, share, expected < ANSWER_SMALL_BYTES ? 0 : expected);
    return true;
  }
  if (!has_room(budget, share, expected))
    return false;
  hold(budget, share, expected);
  return true;
}

bool answer_budget_take(struct answer_budget *budget, struct answer_share *share, size_t bytes, bool is_needed)
{
  size_t *expected = &budget->expected[share->expectation];
  size_t lower = *expected - *expected / EXPECTED_DECAY;
  *expected = bytes > lower ? bytes : lower;
  size_t counted = bytes < ANSWER_SMALL_BYTES ? 0 : bytes;
  if (counted != 0 && !is_needed && !has_room(budget, share, counted))
    return false;
  if (counted != share->bytes)
    hold(budget, share, counted);
  return true;
}

void answer_budget_release(struct answer_budget *budget, struct answer_share *share)
{
  if (share->bytes != 0)
    hold(budget, share, 0);
}

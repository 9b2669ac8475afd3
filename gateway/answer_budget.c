#include "gateway/answer_budget.h"

#include "common/base/compiler.h"
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

// Returns how large an answer is expected to be: 0 where nothing is known.
static size_t find_expected(const struct answer_budget *budget, uint64_t key)
{
  const struct answer_expectation *expectation = &budget->expected[key % ANSWER_EXPECTATIONS];
  return expectation->key == key ? expectation->bytes : 0;
}

// Learns from an answer. A small one of which nothing is known leaves the place to what is known of another.
static void learn(struct answer_budget *budget, uint64_t key, size_t bytes)
{
  struct answer_expectation *expectation = &budget->expected[key % ANSWER_EXPECTATIONS];
  if (expectation->key != key && bytes < ANSWER_SMALL_BYTES)
    return;
  if (expectation->key != key)
    *expectation = (struct answer_expectation){.key = key};
  size_t lower = expectation->bytes - expectation->bytes / EXPECTED_DECAY;
  expectation->bytes = bytes > lower ? bytes : lower;
}

// Notes a share that has no room, because its answer is expected to be small.
static void note_unsized(struct answer_budget *budget, struct answer_share *share)
{
  if (budget->unsized.next == NULL)
    list_init(&budget->unsized);
  list_append(&budget->unsized, &share->node);
}

bool answer_budget_reserve(struct answer_budget *budget, struct answer_share *share, uint64_t caller, uint64_t method)
{
  *share = (struct answer_share){.caller = (uint16_t)(caller % ANSWER_CALLERS), .key = hash_integers(caller, method)};
  list_init(&share->node);
  size_t expected = find_expected(budget, share->key);
  if (expected < ANSWER_SMALL_BYTES) {
    note_unsized(budget, share);
    return true;
  }
  // What a caller who holds nothing asks for is judged when it has come.
  if (budget->held[share->caller] != 0 && !has_room(budget, share, expected))
    return false;
  hold(budget, share, expected);
  return true;
}

bool answer_budget_take(struct answer_budget *budget, struct answer_share *share, size_t bytes, bool is_needed)
{
  list_remove(&share->node);
  learn(budget, share->key, bytes);
  size_t counted = bytes < ANSWER_SMALL_BYTES ? 0 : bytes;
  if (counted != 0 && !is_needed && !has_room(budget, share, counted))
    return false;
  if (counted != share->bytes)
    hold(budget, share, counted);
  return true;
}

void answer_budget_judge_again(struct answer_budget *budget, const struct answer_share *learned, struct list *excess)
{
  size_t expected = find_expected(budget, learned->key);
  if (expected < ANSWER_SMALL_BYTES || budget->unsized.next == NULL)
    return;
  for (struct list *node = budget->unsized.next, *next; node != &budget->unsized; node = next) {
    struct answer_share *share = CONTAINER_OF(node, struct answer_share, node);
    next = node->next;
    if (share->key != learned->key)
      continue;
    bool fits = has_room(budget, share, expected);
    if (!fits && budget->held[share->caller] == 0)
      continue;
    list_remove(node);
    if (fits)
      hold(budget, share, expected);
    else
      list_append(excess, node);
  }
}

void answer_budget_release(struct answer_budget *budget, struct answer_share *share)
{
  if (share->node.next != NULL)
    list_remove(&share->node);
  if (share->bytes != 0)
    hold(budget, share, 0);
}

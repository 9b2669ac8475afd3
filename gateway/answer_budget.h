// How many bytes of large answers one worker holds, in all and for each caller: what is sent slowly must not fill the
// memory, and whoever asks for much must not keep the worker busy with nothing else. Small answers are not counted.
// Counted is the answer as its service has sent it: while it is translated by turns, the JSON lies beside it.
//
// Room is reserved before the service is called, by the size that answers of the method to the caller have had, and
// corrected when the answer comes. What was called before the first answer has shown their size is judged again then:
// it is better given up than answered and turned away. A pure state machine; callers are told apart by a hash, so two
// may share their room by chance.
#ifndef BULKHEAD_GATEWAY_ANSWER_BUDGET_H
#define BULKHEAD_GATEWAY_ANSWER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"

// Answers below this size are not counted.
#define ANSWER_SMALL_BYTES ((size_t)64 * 1024)
// What one worker holds for one caller, and for all. A single answer is held whatever its size.
#define ANSWER_CALLER_BYTES ((size_t)16 * 1024 * 1024)
#define ANSWER_TOTAL_BYTES ((size_t)128 * 1024 * 1024)

#define ANSWER_CALLERS 1024
#define ANSWER_EXPECTATIONS 4096

// A zeroed budget is ready.
struct answer_budget {
  size_t held[ANSWER_CALLERS];
  size_t expected[ANSWER_EXPECTATIONS];  // by caller and method
  size_t total;
  struct list unsized;  // shares without room, whose answers are expected to be small; empty while zeroed
};

// What one exchange holds. Zeroed: nothing.
struct answer_share {
  struct list node;  // in answer_budget.unsized, until the answer comes
  size_t bytes;
  uint16_t caller;
  uint16_t expectation;
};

// Reserves room for an answer of the method to the caller, both as hashes. False when the caller holds too much for
// another one, or all do and the caller some of it: then nothing is held.
bool answer_budget_reserve(struct answer_budget *budget, struct answer_share *share, uint64_t caller, uint64_t method);
// Corrects the reservation to the size of the answer that has come. False when there is no room for it: then the
// reservation is as before. `is_needed` says that the answer must be held all the same, because it tells of a change;
// then it is always true.
bool answer_budget_take(struct answer_budget *budget, struct answer_share *share, size_t bytes, bool is_needed);
// Judges calls again whose answers were expected to be small, after answer_budget_take has found that of `learned` to
// be large. Those of the same caller and method get room, as far as there is some; the others are moved to `excess`,
// which need not be initialised, in the order of their calls. By chance there may be calls of another caller and method
// among them.
void answer_budget_judge_again(struct answer_budget *budget, const struct answer_share *learned, struct list *excess);
// Gives the room of the share back.
void answer_budget_release(struct answer_budget *budget, struct answer_share *share);

#endif

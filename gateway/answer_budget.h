// How many bytes of large answers one worker holds, in all and for each caller: what is sent slowly must not fill the
// memory, and whoever asks for much must not keep the worker busy with nothing else. Small answers are not counted.
// Counted is the answer as its service has sent it: while it is translated by turns, the JSON lies beside it.
//
// Room is reserved before the service is called, by the size that answers of the method to the caller have had, and
// corrected when the answer comes. What was called before the first answer has shown their size is judged again then:
// it is better given up than answered and turned away. A pure state machine. Callers share 1,024 places by a hash, so
// two may share their room by chance; what is expected of one caller's method never holds for another's.
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

// How large the answers to one caller are of one method. Of another one in the same place nothing is known.
struct answer_expectation {
  uint64_t key;  // a hash of both
  size_t bytes;
};

// A zeroed budget is ready.
struct answer_budget {
  size_t held[ANSWER_CALLERS];
  struct answer_expectation expected[ANSWER_EXPECTATIONS];  // by key
  size_t total;
  struct list unsized;  // shares without room, whose answers are expected to be small; empty while zeroed
};

// What one exchange holds. Zeroed: nothing.
struct answer_share {
  struct list node;  // in answer_budget.unsized, or among what is to be given up, until the answer comes
  size_t bytes;
  uint64_t key;  // of the expectation
  uint16_t caller;
};

// Reserves room for an answer of the method to the caller, both as hashes. False when the caller holds too much for
// another one, or all do and the caller some of it: then nothing is held.
bool answer_budget_reserve(struct answer_budget *budget, struct answer_share *share, uint64_t caller, uint64_t method);
// Corrects the reservation to the size of the answer that has come. False when there is no room for it: then the
// reservation is as before. `is_needed` says that the answer must be held all the same, because it tells of a change;
// then it is always true.
bool answer_budget_take(struct answer_budget *budget, struct answer_share *share, size_t bytes, bool is_needed);
// Judges calls again whose answers were expected to be small, after answer_budget_take has found that of `learned` to
// be large. Those of the same caller and method get room, as far as there is some; the others are moved to the end of
// `excess`, in the order of their calls. As long as a caller holds nothing, its calls are judged when they have come.
void answer_budget_judge_again(struct answer_budget *budget, const struct answer_share *learned, struct list *excess);
// Gives the room of the share back.
void answer_budget_release(struct answer_budget *budget, struct answer_share *share);

#endif

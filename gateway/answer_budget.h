// How many bytes of large answers one worker holds, in all and for each caller: what is sent slowly must not fill the
// memory, and whoever asks for much must not keep the worker busy with nothing else. Small answers are not counted.
// Counted is the answer as its service has sent it: while it is translated by turns, the JSON lies beside it.
//
// Room is reserved before the service is called, by the size that answers of the method to the caller have had, and
// corrected when the answer comes. A pure state machine; callers are told apart by a hash, so two may share their room
// by chance.
#ifndef BULKHEAD_GATEWAY_ANSWER_BUDGET_H
#define BULKHEAD_GATEWAY_ANSWER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
};

// What one exchange holds. Zeroed: nothing.
struct answer_share {
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
// Gives the room of the share back.
void answer_budget_release(struct answer_budget *budget, struct answer_share *share);

#endif

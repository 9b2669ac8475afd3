// Whether calls of one method should go to an instance: its circuit breaker. It opens when the instance has failed or
// refused most of the method's recent calls; then calls go to other instances, and one now and then tries whether it
// does better. Calls of other methods go on, which is what tells it from an ejection: that is for an instance as a
// whole.
//
// Where all instances have theirs open for a method, there is nowhere to go, and the breaker of the one that was chosen
// says what becomes of the call. Where they refuse because they have too much to do, an instance gets twice as many
// calls as it lately has answered of those that wanted to go there (the client-side throttling of Google's SRE book,
// with K = 2), and a tenth of them in any case. The rest is refused here, so that an instance does not spend on
// refusals what it needs for its work. Where they fail, the fault is behind them, and most of what is served (from a
// cache, say) would be lost by refusing: all go there, until very many calls in a row have failed. From then on only
// tries go out, until one is answered. Answers that the instance cannot do a call now, and has not begun it, cost
// little, and come where its database is away: they lead calls to other instances, but end that row.
//
// A refusal counts where the instance says that it has too much to do, whoever asks. One that is aimed at a single
// caller, because of what it wants, is not noted at all: the calls of the others would pay for it.
//
// Rates count by calls and not by time, so that a busy instance is left within milliseconds, and a rare method, too,
// has a breaker. A few failures among many good calls do not open it.
#ifndef BULKHEAD_RPC_BREAKER_INTERNAL_H
#define BULKHEAD_RPC_BREAKER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How long after its opening an instance is tried, and the longest time between two tries while others do its calls.
#define BREAKER_FIRST_TRY_US UINT64_C(250000)
#define BREAKER_MAX_TRY_US UINT64_C(8000000)
// The time between two tries where calls are refused here.
#define BREAKER_REFUSED_TRY_US UINT64_C(250000)
// The failures in a row, without a single answer, after which calls are refused here.
#define BREAKER_DEAD_FAILURES 100

enum breaker_state {
  BREAKER_CLOSED,  // calls go to the instance
  BREAKER_OPEN,    // calls go to others
};

// How a call of the method has ended at the instance.
enum breaker_outcome {
  BREAKER_ANSWERED,
  BREAKER_TRY_ANSWERED,  // the same, for a call that was sent as a try: it was picked by time, and says more
  BREAKER_FAILED,
  BREAKER_UNABLE,   // the instance says that it cannot do the call now, and has not begun it
  BREAKER_REFUSED,  // the instance has too much to do
};

enum breaker_verdict {
  BREAKER_LETS,            // the call goes to the instance
  BREAKER_SHEDS_FAILING,   // it is refused here: the method fails everywhere
  BREAKER_SHEDS_REFUSING,  // it is refused here: all instances have too much to do
};

// A zeroed one is that of a method of which nothing bad is known.
struct breaker {
  enum breaker_state state;
  uint32_t failed_in_a_row;  // BREAKER_FAILED, up to BREAKER_DEAD_FAILURES; any other outcome ends the row
  float failed;              // share of the recent calls
  float refused;             // the same
  float missed;              // share of the recent calls without an answer, those refused here included
  float credit;              // calls that may go although the breaker is open, where all are
  uint64_t pause_us;         // between two tries
  uint64_t next_try_us;
  uint64_t next_refused_try_us;
};

// Learns how a call has ended. Returns whether the state has changed.
bool breaker_note(struct breaker *breaker, enum breaker_outcome outcome, uint64_t now_us);
// Takes a try of an open breaker: true when one is due, which the caller must then send to the instance.
bool breaker_take_try(struct breaker *breaker, uint64_t now_us);
// Gives a try back that has ended without an outcome: the next comes as soon as it would have without it.
void breaker_return_try(struct breaker *breaker, uint64_t now_us);
// Judges a call for which all instances have their breakers open.
enum breaker_verdict breaker_judge(struct breaker *breaker, uint64_t now_us);

// The breakers of one instance, by the index of the method. Methods that have not failed there have none.
struct breaker_set {
  struct breaker *breakers;
  size_t count;
  size_t open;
};

void breaker_set_free(struct breaker_set *set);
// Finds the breaker of a method; NULL when it has none.
static inline struct breaker *breaker_set_find(const struct breaker_set *set, size_t method)
{
  return method < set->count ? &set->breakers[method] : NULL;
}
// Learns how a call of a method has ended. Returns whether its breaker has opened or closed.
bool breaker_set_note(struct breaker_set *set, size_t method, enum breaker_outcome outcome, uint64_t now_us);

static inline bool breaker_set_is_open(const struct breaker_set *set, size_t method)
{
  return set->open != 0 && method < set->count && set->breakers[method].state == BREAKER_OPEN;
}

#endif

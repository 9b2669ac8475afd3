#include "common/rpc/breaker_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

// The weight of one call among the recent ones.
#define WEIGHT 0.1f
// While the breaker is open, an answer outweighs failures, and one to a try also refusals: a few close it. Answers
// among many calls that are refused do not, because that half of them are answered is what is aimed at.
#define RECOVERY_WEIGHT 0.3f
// The share of calls without an answer above which a breaker opens, and below which it closes.
#define OPEN_SHARE 0.5f
#define CLOSE_SHARE 0.4f
// The weight of one call among those that wanted to go to the instance.
#define MISSED_WEIGHT (1.0f / 32)
// An instance gets so many times the calls that it answers.
#define SHARE_OF_ANSWERS 2.0f
// The least share of the calls that an instance gets, so that it can show that it does better.
#define LEAST_SHARE 0.1f

static void move(float *share, float towards, float weight)
{
  *share += (towards - *share) * weight;
}

// Changes the state; nothing else does.
static void set_state(struct breaker *breaker, enum breaker_state state, uint64_t now_us)
{
  breaker->state = state;
  breaker->credit = 0;
  breaker->pause_us = BREAKER_FIRST_TRY_US;
  breaker->next_try_us = now_us + breaker->pause_us;
  breaker->next_refused_try_us = now_us + BREAKER_REFUSED_TRY_US;
}

static void note_answer(struct breaker *breaker, bool is_try, uint64_t now_us)
{
  bool is_open = breaker->state == BREAKER_OPEN;
  breaker->failed_in_a_row = 0;
  move(&breaker->failed, 0, is_open ? RECOVERY_WEIGHT : WEIGHT);
  move(&breaker->refused, 0, is_open && is_try ? RECOVERY_WEIGHT : WEIGHT);
  move(&breaker->missed, 0, MISSED_WEIGHT);
  // The next try comes soon: the instance may be well again.
  if (is_open) {
    breaker->pause_us = BREAKER_FIRST_TRY_US;
    breaker->next_try_us = now_us + breaker->pause_us;
  }
}

static void note_miss(struct breaker *breaker, enum breaker_outcome outcome)
{
  bool is_refusal = outcome == BREAKER_REFUSED;
  breaker->failed_in_a_row = outcome == BREAKER_FAILED ? breaker->failed_in_a_row + 1 : 0;
  if (breaker->failed_in_a_row > BREAKER_DEAD_FAILURES)
    breaker->failed_in_a_row = BREAKER_DEAD_FAILURES;
  move(&breaker->failed, is_refusal ? 0 : 1, WEIGHT);
  move(&breaker->refused, is_refusal ? 1 : 0, WEIGHT);
  move(&breaker->missed, 1, MISSED_WEIGHT);
}

bool breaker_note(struct breaker *breaker, enum breaker_outcome outcome, uint64_t now_us)
{
  if (outcome == BREAKER_ANSWERED || outcome == BREAKER_TRY_ANSWERED)
    note_answer(breaker, outcome == BREAKER_TRY_ANSWERED, now_us);
  else
    note_miss(breaker, outcome);
  float share = breaker->failed + breaker->refused;
  enum breaker_state state = breaker->state;
  if (share > OPEN_SHARE)
    state = BREAKER_OPEN;
  else if (share < CLOSE_SHARE)
    state = BREAKER_CLOSED;
  if (state == breaker->state)
    return false;
  set_state(breaker, state, now_us);
  return true;
}

bool breaker_take_try(struct breaker *breaker, uint64_t now_us)
{
  if (breaker->state != BREAKER_OPEN || now_us < breaker->next_try_us)
    return false;
  breaker->pause_us = 2 * breaker->pause_us < BREAKER_MAX_TRY_US ? 2 * breaker->pause_us : BREAKER_MAX_TRY_US;
  breaker->next_try_us = now_us + breaker->pause_us;
  return true;
}

void breaker_return_try(struct breaker *breaker, uint64_t now_us)
{
  if (breaker->state != BREAKER_OPEN)
    return;
  if (breaker->pause_us > BREAKER_FIRST_TRY_US)
    breaker->pause_us /= 2;
  breaker->next_try_us = now_us + breaker->pause_us;
}

// Lets twice as many calls go as were answered of those that wanted to, and some in any case.
static bool takes_its_share(struct breaker *breaker)
{
  float share = SHARE_OF_ANSWERS * (1 - breaker->missed);
  breaker->credit += share > LEAST_SHARE ? share : LEAST_SHARE;
  if (breaker->credit < 1)
    return false;
  breaker->credit = breaker->credit < 2 ? breaker->credit - 1 : 1;
  return true;
}

enum breaker_verdict breaker_judge(struct breaker *breaker, uint64_t now_us)
{
  bool is_refusing = breaker->refused >= breaker->failed;
  if (breaker->state != BREAKER_OPEN || (is_refusing && takes_its_share(breaker)) ||
      (!is_refusing && breaker->failed_in_a_row < BREAKER_DEAD_FAILURES))
    return BREAKER_LETS;
  if (now_us >= breaker->next_refused_try_us) {
    breaker->next_refused_try_us = now_us + BREAKER_REFUSED_TRY_US;
    return BREAKER_LETS;
  }
  move(&breaker->missed, 1, MISSED_WEIGHT);
  return is_refusing ? BREAKER_SHEDS_REFUSING : BREAKER_SHEDS_FAILING;
}

// ---- the breakers of an instance ----

void breaker_set_free(struct breaker_set *set)
{
  free(set->breakers);
  *set = (struct breaker_set){0};
}

static void make_room(struct breaker_set *set, size_t method)
{
  if (method < set->count)
    return;
  set->breakers = realloc(set->breakers, (method + 1) * sizeof(*set->breakers));
  CHECK(set->breakers != NULL);
  memset(&set->breakers[set->count], 0, (method + 1 - set->count) * sizeof(*set->breakers));
  set->count = method + 1;
}

bool breaker_set_note(struct breaker_set *set, size_t method, enum breaker_outcome outcome, uint64_t now_us)
{
  bool is_answer = outcome == BREAKER_ANSWERED || outcome == BREAKER_TRY_ANSWERED;
  if (is_answer && method >= set->count)
    return false;
  make_room(set, method);
  struct breaker *breaker = &set->breakers[method];
  if (!breaker_note(breaker, outcome, now_us))
    return false;
  if (breaker->state == BREAKER_OPEN)
    set->open++;
  else
    set->open--;
  return true;
}

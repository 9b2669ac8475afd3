#include "common/base/concurrency_limit.h"

#include <string.h>

enum {
  WINDOW_US = 100 * 1000,
  // A median of fewer calls says little. The window is longer then, up to LONGEST_WINDOW_US.
  ENOUGH_CALLS = 8,
  LONGEST_WINDOW_US = 1000 * 1000,
  // After so long a pause what was learnt does not hold any more.
  QUIET_US = 2 * LONGEST_WINDOW_US,
  // What counts as calm grows by one part of this in each calm window, so that one quick window does not hold for ever.
  CALM_DECAY = 256,
  // A caller has few calls in flight below one part of this of the limit, and may exceed it by one part of that.
  FEW_PART = 8,
  RESERVE_PART = 4,
};

// ---- the median ----

static size_t find_bucket(uint64_t duration_us)
{
  if (duration_us < 4)
    return (size_t)duration_us;
  size_t octave = 63 - (size_t)__builtin_clzll(duration_us);
  size_t bucket = 4 * (octave - 1) + (size_t)(duration_us >> (octave - 2) & 3);
  return bucket < CONCURRENCY_BUCKETS ? bucket : CONCURRENCY_BUCKETS - 1;
}

// Returns the middle of a bucket.
static uint64_t bucket_us(size_t bucket)
{
  if (bucket < 4)
    return bucket;
  size_t shift = bucket / 4 - 1;
  return ((4 + (uint64_t)bucket % 4) << shift) + ((UINT64_C(1) << shift) >> 1);
}

static uint64_t find_median(const struct concurrency_limit *limit)
{
  uint32_t seen = 0;
  size_t bucket = 0;
  while (bucket < CONCURRENCY_BUCKETS - 1 && 2 * (seen += limit->buckets[bucket]) < limit->ended)
    bucket++;
  return bucket_us(bucket);
}

// ---- windows ----

static void begin_window(struct concurrency_limit *limit, uint64_t now_us)
{
  limit->began_us = now_us;
  limit->most_in_flight = limit->in_flight;
  limit->least_in_flight = limit->in_flight;
  limit->ended = 0;
  memset(limit->buckets, 0, sizeof(limit->buckets));
}

// Tells how many usual calls weigh as much, rounded up.
static size_t count_calls(size_t weight)
{
  return (weight + CONCURRENCY_UNIT - 1) / CONCURRENCY_UNIT;
}

// Tells whether the window saw so few calls at a time that they cannot have waited for each other for long.
static bool is_calm(const struct concurrency_limit *limit)
{
  return count_calls(limit->most_in_flight) <= limit->bounds.least / 4;
}

static void note_calm(struct concurrency_limit *limit, uint64_t median_us)
{
  limit->calm_us += limit->calm_us / CALM_DECAY;
  if (limit->calm_us == 0 || median_us < limit->calm_us)
    limit->calm_us = median_us;
}

static uint32_t find_root(uint32_t value)
{
  uint32_t root = 1;
  while ((root + 1) * (root + 1) <= value)
    root++;
  return root;
}

// Tells whether so many calls were in flight that they may have held each other up: much of what is let in, or a queue
// that was there all the time. Where few are slow, something else is the cause, and to let in fewer would help nobody.
static bool is_crowd(const struct concurrency_limit *limit)
{
  return count_calls(limit->most_in_flight) >= limit->limit / 2 ||
         count_calls(limit->least_in_flight) > limit->bounds.least;
}

// Returns the limit that follows from a median: what was in flight times allowed / median, but at least half of it, and
// the square root of the old limit.
static uint32_t follow_gradient(const struct concurrency_limit *limit, uint64_t median_us)
{
  uint64_t allowed_us = 2 * limit->calm_us > limit->bounds.calm_us ? 2 * limit->calm_us : limit->bounds.calm_us;
  uint64_t next = limit->limit;
  if (is_crowd(limit) && median_us > allowed_us) {
    if (count_calls(limit->most_in_flight) < next)
      next = count_calls(limit->most_in_flight);
    next = median_us > 2 * allowed_us ? next / 2 : next * allowed_us / median_us;
  }
  next += find_root(limit->limit);
  if (next < limit->bounds.least)
    return limit->bounds.least;
  return next > limit->bounds.most ? limit->bounds.most : (uint32_t)next;
}

static void end_window(struct concurrency_limit *limit, uint64_t now_us)
{
  if (limit->ended > 0) {
    limit->usual_us = find_median(limit);
    if (is_calm(limit))
      note_calm(limit, limit->usual_us);
    limit->limit = follow_gradient(limit, limit->usual_us);
  } else {
    // Nobody learns what calls take while none ends: what was bad is forgotten.
    limit->usual_us /= 2;
  }
  if (limit->in_flight == 0 && now_us >= limit->began_us + QUIET_US) {
    limit->limit = limit->bounds.most;
    limit->usual_us = 0;
    limit->calm_us = 0;
  }
  begin_window(limit, now_us);
}

static void move_window(struct concurrency_limit *limit, uint64_t now_us)
{
  if (limit->limit == 0) {
    limit->limit = limit->bounds.most;
    begin_window(limit, now_us);
  }
  uint64_t age_us = now_us > limit->began_us ? now_us - limit->began_us : 0;
  if (age_us >= LONGEST_WINDOW_US || (age_us >= WINDOW_US && limit->ended >= ENOUGH_CALLS))
    end_window(limit, now_us);
}

// ---- calls ----

// Tells whether the call would end after its deadline, by what calls have taken lately. Few are let in all the same,
// because nobody would learn otherwise that calls take less time again.
static bool is_late(const struct concurrency_limit *limit, uint64_t left_us)
{
  return left_us < limit->usual_us && count_calls(limit->in_flight) >= limit->bounds.least / 4;
}

// Tells whether a caller may have one more. One who has few may exceed the limit a little, because a caller who has
// many may have taken all of it when it was higher.
static bool has_share(const struct concurrency_limit *limit, const struct concurrency_call *call)
{
  size_t most = (size_t)limit->limit * CONCURRENCY_UNIT;
  if (call->held < most / FEW_PART)
    most += most / RESERVE_PART;
  size_t free = most > limit->in_flight ? most - limit->in_flight : 0;
  // Whoever has nothing yet is let in where a usual call is, because callers with light ones might fill all the rest.
  size_t needed = call->held == 0 && call->weight > CONCURRENCY_UNIT ? CONCURRENCY_UNIT : call->weight;
  return limit->in_flight == 0 || (free >= needed && call->held < CONCURRENCY_SHARE * free);
}

bool concurrency_limit_has_room(const struct concurrency_limit *limit, const struct concurrency_call *call)
{
  return limit->limit == 0 || has_share(limit, call);
}

enum concurrency_verdict concurrency_limit_begin(struct concurrency_limit *limit, const struct concurrency_call *call,
                                                 uint64_t now_us)
{
  move_window(limit, now_us);
  if (!has_share(limit, call))
    return CONCURRENCY_CROWDED;
  if (is_late(limit, call->left_us))
    return CONCURRENCY_LATE;
  limit->in_flight += call->weight;
  if (limit->in_flight > limit->most_in_flight)
    limit->most_in_flight = limit->in_flight;
  return CONCURRENCY_ADMITTED;
}

void concurrency_limit_end(struct concurrency_limit *limit, size_t weight, uint64_t duration_us, uint64_t now_us)
{
  limit->in_flight -= weight;
  if (limit->in_flight < limit->least_in_flight)
    limit->least_in_flight = limit->in_flight;
  if (duration_us > 0) {
    limit->buckets[find_bucket(duration_us)]++;
    limit->ended++;
  }
  move_window(limit, now_us);
}

#include "common/rpc/balancer_internal.h"

// A rise of slowness by a reply counts with this weight, a fall by the time that has passed since the last reply.
#define RISE 0.1f
#define FALL_US 1000000.0f
// Without replies slowness halves in this time, so that the endpoint is tried again.
#define HALVING_US UINT64_C(1000000)
#define MAX_SLOWNESS 1000.0f
// Below this, differences of slowness matter less than those of the calls in flight: they are chance.
#define CALM_SLOWNESS 4.0f
// A failure counts as a reply that took so many times as long as others.
#define FAILURE_FACTOR 30.0f
// The quiet after which an endpoint with calls in flight is thought to be slow.
#define QUIET_US UINT64_C(50000)
// An endpoint is far slower than the others when its replies take so many times their time, and so long.
#define FAR_SLOWER 8.0f
#define FAR_SLOWER_US 20000.0f
#define SLOW_LOOKS 10
// A call leaves the zone when its candidate there is so many times slower than one elsewhere.
#define SPILL_FACTOR 2.0f
// What is known of candidates elsewhere is forgotten more slowly, because few calls go there to learn it again.
#define FAR_HALVING_US UINT64_C(20000000)

// ---- slowness ----

// Returns how slow an endpoint is that is quiet although it has calls in flight.
static float find_quiet_slowness(const struct balancer_candidate *candidate, uint64_t now_us)
{
  uint64_t since_us = candidate->heard_us > candidate->busy_since_us ? candidate->heard_us : candidate->busy_since_us;
  if (candidate->calls_in_flight == 0 || now_us < since_us + QUIET_US)
    return 0;
  return (float)(now_us - since_us) * (float)candidate->calls_in_flight / (float)(candidate->cost_us + 1);
}

// Returns the slowness of a candidate whose past counts half after each `halving_us` without replies.
static float remember_slowness(const struct balancer_candidate *candidate, uint64_t halving_us, uint64_t now_us)
{
  float slowness = candidate->slowness;
  uint64_t halvings = now_us > candidate->judged_us ? (now_us - candidate->judged_us) / halving_us : 0;
  slowness /= (float)(1u << (halvings > 20 ? 20 : halvings));
  float quiet = find_quiet_slowness(candidate, now_us);
  if (quiet > slowness)
    slowness = quiet;
  return slowness < 1 ? 1 : slowness;
}

static float find_slowness(const struct balancer_candidate *candidate, uint64_t now_us)
{
  return remember_slowness(candidate, HALVING_US, now_us);
}

static void learn_slowness(struct balancer_candidate *candidate, float sample, uint64_t now_us)
{
  float before = find_slowness(candidate, now_us);
  float passed_us = now_us > candidate->judged_us ? (float)(now_us - candidate->judged_us) : 0;
  float weight = sample > before ? RISE : passed_us / (passed_us + FALL_US);
  float after = before + (sample - before) * weight;
  candidate->slowness = after > MAX_SLOWNESS ? MAX_SLOWNESS : after;
  candidate->judged_us = now_us;
}

bool balancer_note_reply(struct balancer_candidate *candidate, const struct balancer_reply *reply, uint64_t now_us)
{
  float sample = reply->is_untimed ? 0 : (float)reply->duration_us / (float)(reply->cost_us + 1);
  if (reply->failed) {
    // The first failure after an answer may be that of its method alone, which is for the method's breaker to judge.
    bool is_single = !reply->is_overload && candidate->ejection.failures == 0;
    float worse = find_slowness(candidate, now_us) * (is_single ? 1 : FAILURE_FACTOR);
    sample = worse > sample ? worse : sample;
  }
  if (reply->failed || !reply->is_untimed)
    learn_slowness(candidate, sample, now_us);
  if (!reply->is_untimed)
    candidate->reply_us += ((float)reply->duration_us - candidate->reply_us) / 16;
  return !reply->is_overload && ejection_note(&candidate->ejection, reply->failed, now_us);
}

void balancer_note_unanswered(struct balancer_candidate *candidate, uint64_t waited_us, uint32_t cost_us,
                              uint64_t now_us)
{
  float sample = (float)waited_us / (float)(cost_us + 1);
  if (sample > find_slowness(candidate, now_us))
    learn_slowness(candidate, sample, now_us);
}

void balancer_note_ready(struct balancer_candidate *candidate, uint64_t now_us)
{
  candidate->ready_since_us = now_us;
  candidate->heard_us = now_us;
  candidate->slowness = 0;
  candidate->reply_us = 0;
  candidate->ejection.failures = 0;
  ejection_end(&candidate->ejection, now_us);
}

void balancer_count_sent(struct balancer_candidate *candidate, uint32_t cost_us, uint64_t now_us)
{
  if (candidate->calls_in_flight++ == 0)
    candidate->busy_since_us = now_us;
  candidate->cost_us += cost_us;
}

// ---- the choice ----

// Returns how many times longer a new candidate is said to take, so that it comes to its full share slowly.
static float find_start_factor(const struct balancer_candidate *candidate, uint64_t now_us)
{
  uint64_t age_us = now_us - candidate->ready_since_us;
  if (candidate->ready_since_us == 0 || now_us < candidate->ready_since_us || age_us >= BALANCER_SLOW_START_US)
    return 1;
  uint64_t least_us = BALANCER_SLOW_START_US / 10;
  return (float)BALANCER_SLOW_START_US / (float)(age_us < least_us ? least_us : age_us);
}

// Returns how long the candidate should take for one more call.
static float estimate_wait(const struct balancer_candidate *candidate, uint32_t cost_us, uint64_t now_us)
{
  float wait = (CALM_SLOWNESS + find_slowness(candidate, now_us)) * (float)(candidate->cost_us + cost_us);
  return wait * find_start_factor(candidate, now_us);
}

enum demand {
  DEMAND_HEALTHY,  // answers, is not ejected, and does the calls of the method
  DEMAND_AWAKE,    // answers
  DEMAND_ROOM,     // has room for a call
  DEMAND_READY,
};

enum place {
  PLACE_ANY,
  PLACE_NEAR,
  PLACE_FAR,
};

struct search {
  struct balancer *balancer;
  struct balancer_candidate *const *candidates;
  size_t count;
  enum demand demand;
  enum place place;
  uint32_t cost_us;  // of the call
  uint64_t now_us;
};

static bool meets_demand(const struct search *search, const struct balancer_candidate *candidate)
{
  bool has_room = balancer_has_room(search->balancer, candidate);
  if (!candidate->ready || (search->place != PLACE_ANY && candidate->near != (search->place == PLACE_NEAR)))
    return false;
  switch (search->demand) {
  case DEMAND_HEALTHY:
    return has_room && !candidate->avoided && balancer_is_usable(candidate, search->now_us);
  case DEMAND_AWAKE:
    return has_room && !candidate->silent;
  case DEMAND_ROOM:
    return has_room;
  case DEMAND_READY:
    break;
  }
  return true;
}

static uint64_t draw_random(struct balancer *balancer)
{
  balancer->random = balancer->random * 6364136223846793005u + 1442695040888963407u;
  return balancer->random >> 33;
}

// Returns the index of the first candidate from `from` on that meets the demand and is not `except`; `count` if there
// is none.
static size_t find_candidate(const struct search *search, size_t from, const struct balancer_candidate *except)
{
  for (size_t i = 0; i < search->count; i++) {
    size_t index = (from + i) % search->count;
    if (search->candidates[index] != except && meets_demand(search, search->candidates[index]))
      return index;
  }
  return search->count;
}

static struct balancer_candidate *find_better(const struct search *search, struct balancer_candidate *first,
                                              struct balancer_candidate *second)
{
  float wait = estimate_wait(first, search->cost_us, search->now_us);
  return estimate_wait(second, search->cost_us, search->now_us) >= wait ? first : second;
}

// Chooses one of two candidates that meet the demand; NULL if there is none.
static struct balancer_candidate *choose_of_two(const struct search *search)
{
  struct balancer *balancer = search->balancer;
  size_t first = find_candidate(search, balancer->next, NULL);
  if (first == search->count)
    return NULL;
  balancer->next = first + 1;
  struct balancer_candidate *chosen = search->candidates[first];
  size_t second = find_candidate(search, (size_t)draw_random(balancer) % search->count, chosen);
  return second == search->count ? chosen : find_better(search, chosen, search->candidates[second]);
}

// ---- zones ----

// Returns whether enough of the near candidates can be used that calls should stay with them.
static bool has_usable_zone(const struct search *search)
{
  size_t near = 0;
  size_t usable = 0;
  for (size_t i = 0; i < search->count; i++) {
    const struct balancer_candidate *candidate = search->candidates[i];
    if (!candidate->near)
      continue;
    near++;
    usable += balancer_is_usable(candidate, search->now_us) ? 1 : 0;
  }
  return near != 0 && near != search->count && 2 * usable >= near;
}

static bool prefers_near(const struct search *search)
{
  struct balancer *balancer = search->balancer;
  if (search->now_us >= balancer->next_zone_look_us) {
    balancer->next_zone_look_us = search->now_us + BALANCER_LOOK_US;
    balancer->prefers_near = has_usable_zone(search);
  }
  return balancer->prefers_near;
}

// Returns whether a near candidate is so much slower than one elsewhere that the call may go there.
static bool is_spilling(const struct balancer_candidate *near, const struct balancer_candidate *far, uint64_t now_us)
{
  float here = (CALM_SLOWNESS + find_slowness(near, now_us)) * find_start_factor(near, now_us);
  float there = (CALM_SLOWNESS + remember_slowness(far, FAR_HALVING_US, now_us)) * find_start_factor(far, now_us);
  return here > SPILL_FACTOR * there;
}

// Chooses a healthy candidate of the zone, or one elsewhere if the zone has too much to do. NULL if the zone has none.
static struct balancer_candidate *choose_near(const struct search *search)
{
  struct search zone = *search;
  zone.place = PLACE_NEAR;
  struct balancer_candidate *near = choose_of_two(&zone);
  if (near == NULL)
    return NULL;
  zone.place = PLACE_FAR;
  size_t index = find_candidate(&zone, (size_t)draw_random(search->balancer) % search->count, NULL);
  if (index == search->count || !is_spilling(near, search->candidates[index], search->now_us))
    return near;
  return find_better(search, near, search->candidates[index]);
}

// ---- picking ----

static struct balancer_candidate *choose_candidate(struct search *search)
{
  struct balancer_candidate *chosen = prefers_near(search) ? choose_near(search) : NULL;
  while (chosen == NULL) {
    chosen = choose_of_two(search);
    if (chosen != NULL || search->demand == DEMAND_READY)
      break;
    search->demand++;
  }
  return chosen;
}

static bool batch_goes_on(const struct balancer *balancer, uint32_t cost_us)
{
  const struct balancer_candidate *chosen = balancer->chosen;
  return balancer->batch_left != 0 && balancer->batch_cost_us >= cost_us && chosen->ready && !chosen->silent &&
         !chosen->avoided && balancer_has_room(balancer, chosen);
}

struct balancer_candidate *balancer_pick(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count, uint32_t cost_us, uint64_t now_us)
{
  if (!batch_goes_on(balancer, cost_us)) {
    struct search search = {
        .balancer = balancer, .candidates = candidates, .count = count, .cost_us = cost_us, .now_us = now_us};
    balancer->chosen = choose_candidate(&search);
    balancer->batch_left = balancer->chosen == NULL ? 0 : BALANCER_BATCH;
    balancer->batch_cost_us = BALANCER_BATCH_COST_US;
  }
  if (balancer->batch_left != 0)
    balancer->batch_left--;
  balancer->batch_cost_us -= cost_us < balancer->batch_cost_us ? cost_us : balancer->batch_cost_us;
  return balancer->chosen;
}

void balancer_end_batch(struct balancer *balancer)
{
  balancer->chosen = NULL;
  balancer->batch_left = 0;
}

// ---- another endpoint ----

// Finds the candidate that meets the demand and should answer first; NULL if there is none.
static struct balancer_candidate *find_best(const struct search *search, const struct balancer_candidate *except)
{
  struct balancer_candidate *best = NULL;
  float best_wait = 0;
  size_t from = search->count == 0 ? 0 : (size_t)draw_random(search->balancer) % search->count;
  for (size_t i = 0; i < search->count; i++) {
    struct balancer_candidate *candidate = search->candidates[(from + i) % search->count];
    if (candidate == except || !meets_demand(search, candidate))
      continue;
    float wait = estimate_wait(candidate, search->cost_us, search->now_us);
    if (best == NULL || wait < best_wait) {
      best = candidate;
      best_wait = wait;
    }
  }
  return best;
}

static struct balancer_candidate *find_healthy_other(const struct search *search,
                                                     const struct balancer_candidate *except)
{
  struct search zone = *search;
  zone.place = PLACE_NEAR;
  struct balancer_candidate *near = prefers_near(search) ? find_best(&zone, except) : NULL;
  return near != NULL ? near : find_best(search, except);
}

struct balancer_candidate *balancer_pick_other(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                               size_t count, const struct balancer_candidate *except, uint64_t now_us)
{
  struct search search = {
      .balancer = balancer, .candidates = candidates, .count = count, .cost_us = 1, .now_us = now_us};
  struct balancer_candidate *other = find_healthy_other(&search, except);
  search.demand = DEMAND_AWAKE;
  return other != NULL ? other : find_best(&search, except);
}

struct balancer_candidate *balancer_pick_hedge(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                               size_t count, const struct balancer_candidate *except, uint64_t now_us)
{
  struct search search = {
      .balancer = balancer, .candidates = candidates, .count = count, .cost_us = 1, .now_us = now_us};
  size_t usable = 0;
  for (size_t i = 0; i < count; i++)
    usable += balancer_is_usable(candidates[i], now_us) ? 1 : 0;
  return usable < 2 || 2 * usable < count ? NULL : find_healthy_other(&search, except);
}

// ---- ejection ----

struct survey {
  size_t ready;
  size_t ejected;  // of those that are ready
  size_t well;     // answer, are not ejected, and did not fail last
  float slowness;  // sum over those
};

static struct survey survey_candidates(struct balancer_candidate *const *candidates, size_t count,
                                       const struct balancer_candidate *except, uint64_t now_us)
{
  struct survey survey = {0};
  for (size_t i = 0; i < count; i++) {
    const struct balancer_candidate *candidate = candidates[i];
    if (!candidate->ready)
      continue;
    survey.ready++;
    if (ejection_is_active(&candidate->ejection, now_us)) {
      survey.ejected++;
    } else if (!candidate->silent && candidate->ejection.failures == 0 && candidate != except) {
      survey.well++;
      survey.slowness += find_slowness(candidate, now_us);
    }
  }
  return survey;
}

bool balancer_eject(struct balancer_candidate *const *candidates, size_t count, struct balancer_candidate *failing,
                    uint64_t now_us)
{
  struct survey survey = survey_candidates(candidates, count, failing, now_us);
  // Where all fail, the fault is behind them, and nothing would be won.
  if (survey.well == 0 || 2 * (survey.ejected + 1) > survey.ready)
    return false;
  ejection_begin(&failing->ejection, now_us);
  return true;
}

static bool is_far_slower(const struct balancer_candidate *candidate, const struct survey *others, uint64_t now_us)
{
  return others->well != 0 && candidate->ready && candidate->reply_us > FAR_SLOWER_US &&
         find_slowness(candidate, now_us) > FAR_SLOWER * others->slowness / (float)others->well;
}

// Notes whether a candidate is far slower than the others. Returns whether it has been so for long enough.
static bool note_look(struct balancer_candidate *candidate, const struct survey *all, uint64_t now_us)
{
  struct survey others = *all;
  if (candidate->ready && !candidate->silent && candidate->ejection.failures == 0 &&
      !ejection_is_active(&candidate->ejection, now_us)) {
    others.well--;
    others.slowness -= find_slowness(candidate, now_us);
  }
  candidate->slow_looks = is_far_slower(candidate, &others, now_us) ? candidate->slow_looks + 1 : 0;
  return candidate->slow_looks >= SLOW_LOOKS && !ejection_is_active(&candidate->ejection, now_us);
}

struct balancer_candidate *balancer_find_slow(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                              size_t count, uint64_t now_us)
{
  if (now_us < balancer->next_look_us)
    return NULL;
  balancer->next_look_us = now_us + BALANCER_LOOK_US;
  struct survey survey = survey_candidates(candidates, count, NULL, now_us);
  struct balancer_candidate *found = NULL;
  for (size_t i = 0; i < count; i++) {
    if (2 * survey.ejected > survey.ready)
      ejection_end(&candidates[i]->ejection, now_us);
    if (note_look(candidates[i], &survey, now_us) && found == NULL &&
        balancer_eject(candidates, count, candidates[i], now_us))
      found = candidates[i];
  }
  return found;
}

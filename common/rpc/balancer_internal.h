// Chooses the endpoint of the next call: of two candidates the one that should answer first, by its slowness and the
// cost of the calls that it has in flight. The first of the two goes around, the second is random, so that equals take
// turns and no candidate is everybody's favourite. The calls of one turn go to the same endpoint in batches, because
// they then leave as one packet.
//
// Slowness is the time of replies by the usual cost of their methods: a rise counts at once, and what has been bad is
// forgotten within seconds. Failures in a row make slower, however fast they come. An endpoint with calls in flight
// that says nothing is as slow as it has been quiet. An endpoint that is new gets its full share only after a while.
// One that fails or is slow where others are not is ejected, at most half of them at a time.
//
// Candidates that are near, in the zone of the client, are preferred while at least half of those listed can be used:
// the two come from the near ones. When the better one of these is far slower than a random one elsewhere, the call
// goes to the better of both, so that what a zone cannot do spills over. Calls in flight alone do not count for that:
// idle candidates elsewhere would always have fewer.
#ifndef BULKHEAD_RPC_BALANCER_INTERNAL_H
#define BULKHEAD_RPC_BALANCER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rpc/ejection_internal.h"

// The most calls of one turn that go to the same endpoint. They leave as one packet, and a packet costs both sides far
// more than one more call in it.
#define BALANCER_BATCH 32
// The most that the calls of a batch may cost together, if there is more than one.
#define BALANCER_BATCH_COST_US 16000
// The time in which a new endpoint comes to its full share.
#define BALANCER_SLOW_START_US UINT64_C(3000000)
// How often balancer_find_slow looks, and how often it is counted how many near candidates can be used.
#define BALANCER_LOOK_US UINT64_C(100000)

// What the choice of an endpoint depends on; embedded in the endpoint.
struct balancer_candidate {
  bool ready;    // connected and taking calls
  bool silent;   // does not answer: chosen only when all that are ready do not
  bool near;     // in the zone of the client
  bool avoided;  // its breaker is open for the method of the call at hand: chosen only when all are so; see channel.c
  bool full;     // as many bytes wait to be sent to it as may: chosen only when it is so with all that are ready
  size_t calls_in_flight;
  uint64_t cost_us;         // of the calls in flight
  uint64_t ready_since_us;  // 0: it is not new
  uint64_t busy_since_us;   // when it got the first of the calls in flight
  uint64_t heard_us;        // when its last packet came
  uint64_t judged_us;       // when `slowness` changed last
  float slowness;           // 0 without a reply
  float reply_us;           // of recent replies
  uint32_t slow_looks;      // looks in a row at which it was far slower than the others
  struct ejection ejection;
};

// How a call has ended at an endpoint.
struct balancer_reply {
  uint64_t duration_us;
  uint32_t cost_us;
  bool failed;
  bool is_untimed;   // how long it took says nothing of the endpoint
  bool is_overload;  // with `failed`: the endpoint has too much to do, which ejects it never
};

// A zeroed balancer is ready to use.
struct balancer {
  size_t max_in_flight;  // calls of one endpoint; 0: no limit
  size_t next;           // index at which the next search begins, so that ties take turns
  uint64_t random;
  uint64_t next_look_us;
  uint64_t next_zone_look_us;
  bool prefers_near;
  struct balancer_candidate *chosen;
  size_t batch_left;       // calls that may still go to `chosen`
  uint64_t batch_cost_us;  // what they may cost
};

// Returns whether the candidate takes calls, answers, and is not ejected.
static inline bool balancer_is_usable(const struct balancer_candidate *candidate, uint64_t now_us)
{
  return candidate->ready && !candidate->silent && !ejection_is_active(&candidate->ejection, now_us);
}

// Returns whether one more call may go to the candidate.
static inline bool balancer_has_room(const struct balancer *balancer, const struct balancer_candidate *candidate)
{
  bool has_calls_left = balancer->max_in_flight == 0 || candidate->calls_in_flight < balancer->max_in_flight;
  return has_calls_left && !candidate->full;
}

// Picks the endpoint of a call that costs `cost_us`: the current batch's if it still takes calls, else the better one
// of two. NULL when none is ready. One with as many calls as are allowed, or with too many unsent bytes, is picked only
// when all ready ones are so.
struct balancer_candidate *balancer_pick(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count, uint32_t cost_us, uint64_t now_us);
// Picks another endpoint than `except` for a call that is sent again: the one that should answer first, of the near
// ones while these are preferred. One that is ejected is picked only when all others are so. NULL when no other is
// ready, answers and has room.
struct balancer_candidate *balancer_pick_other(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                               size_t count, const struct balancer_candidate *except, uint64_t now_us);
// Picks the endpoint of a hedge in the same way. NULL also when all others are ejected, or when fewer than two or fewer
// than half of the candidates can be used: then those that are left have enough to do.
struct balancer_candidate *balancer_pick_hedge(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                               size_t count, const struct balancer_candidate *except, uint64_t now_us);
// Ends the current batch: the turn is over, or the candidates have changed.
void balancer_end_batch(struct balancer *balancer);

// Notes that the endpoint takes calls from now on: it may be another process than before.
void balancer_note_ready(struct balancer_candidate *candidate, uint64_t now_us);
// Counts a call that goes to the endpoint, and one that has ended there or was taken back.
void balancer_count_sent(struct balancer_candidate *candidate, uint32_t cost_us, uint64_t now_us);
static inline void balancer_count_ended(struct balancer_candidate *candidate, uint32_t cost_us)
{
  candidate->calls_in_flight--;
  candidate->cost_us -= cost_us;
}
// Learns from a reply. Returns whether the endpoint has failed so often that it should be ejected.
bool balancer_note_reply(struct balancer_candidate *candidate, const struct balancer_reply *reply, uint64_t now_us);
// Learns from a call that was given up after `waited_us`, because its deadline came, its caller went or another
// endpoint was quicker: the reply would have taken at least as long. That never makes an endpoint look quicker than
// before, and never slower than the reply would have. It is no failure, and is not counted among the replies without
// which no endpoint is ejected for its slowness, so that callers without patience eject none.
void balancer_note_unanswered(struct balancer_candidate *candidate, uint64_t waited_us, uint32_t cost_us,
                              uint64_t now_us);
// Ejects an endpoint that fails. False when that must not be: half of the endpoints are out, or no other does better.
bool balancer_eject(struct balancer_candidate *const *candidates, size_t count, struct balancer_candidate *failing,
                    uint64_t now_us);
// Looks now and then for an endpoint that has been far slower than the others for a second, and ejects it. NULL when
// there is none. Lets ejected endpoints return when they have become more than half of those that are ready.
struct balancer_candidate *balancer_find_slow(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                              size_t count, uint64_t now_us);

#endif

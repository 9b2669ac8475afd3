// The choice of an endpoint by itself: what it depends on, batches, and ejection.
#include <criterion/criterion.h>

#include "common/rpc/balancer_internal.h"
#include "common/rpc/method_cost_internal.h"

#define NOW_US UINT64_C(1000000000)
#define MS UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)
#define COST_US 100

static struct balancer_candidate *pick_next(struct balancer *balancer, struct balancer_candidate *const *all,
                                            size_t count)
{
  balancer_end_batch(balancer);
  return balancer_pick(balancer, all, count, COST_US, NOW_US);
}

Test(balancer, picks_the_least_busy_of_the_ready)
{
  struct balancer balancer = {0};
  struct balancer_candidate a = {.ready = true, .calls_in_flight = 3, .cost_us = 3 * COST_US};
  struct balancer_candidate b = {.ready = true, .calls_in_flight = 1, .cost_us = COST_US};
  struct balancer_candidate c = {.ready = false, .calls_in_flight = 0};
  struct balancer_candidate *all[] = {&a, &b, &c};
  cr_assert_eq(balancer_pick(&balancer, all, 3, COST_US, NOW_US), &b);
  b.calls_in_flight = 4;
  b.cost_us = 4 * COST_US;
  cr_assert_eq(pick_next(&balancer, all, 3), &a);
  a.ready = b.ready = false;
  cr_assert_null(pick_next(&balancer, all, 3));
  cr_assert_null(pick_next(&balancer, NULL, 0));
}

Test(balancer, equals_take_turns)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[3] = {{.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2]};
  size_t picks[3] = {0};
  for (size_t i = 0; i < 30; i++)
    picks[pick_next(&balancer, all, 3) - candidates]++;
  for (size_t i = 0; i < 3; i++)
    cr_assert_eq(picks[i], 10);
  // A list that has become shorter since the last pick is no problem.
  cr_assert_eq(pick_next(&balancer, all, 1), &candidates[0]);
}

Test(balancer, the_calls_of_a_turn_stay_together_up_to_a_bound)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  size_t picks[2] = {0};
  for (size_t i = 0; i < 2 * BALANCER_BATCH; i++) {
    struct balancer_candidate *pick = balancer_pick(&balancer, all, 2, COST_US, NOW_US);
    balancer_count_sent(pick, COST_US, NOW_US);
    picks[pick - candidates]++;
    if (i + 1 == BALANCER_BATCH)
      cr_assert_eq(picks[0] * picks[1], 0, "a part of the turn has gone elsewhere");
  }
  cr_assert_eq(picks[0], picks[1], "a long turn is shared");
}

Test(balancer, one_that_is_not_ready_any_more_keeps_no_turn)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  struct balancer_candidate *first = balancer_pick(&balancer, all, 2, COST_US, NOW_US);
  first->ready = false;
  cr_assert_neq(balancer_pick(&balancer, all, 2, COST_US, NOW_US), first);
}

// ---- cost ----

Test(balancer, expensive_calls_of_a_turn_are_shared)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  for (size_t i = 0; i < 32; i++)
    balancer_count_sent(balancer_pick(&balancer, all, 2, 50000, NOW_US), 50000, NOW_US);
  cr_assert_eq(candidates[0].calls_in_flight, 16);
  cr_assert_eq(candidates[1].calls_in_flight, 16);
}

Test(balancer, one_expensive_call_outweighs_many_cheap_ones)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  balancer_count_sent(&candidates[0], 50000, NOW_US);
  for (size_t i = 0; i < 100; i++)
    balancer_count_sent(pick_next(&balancer, all, 2), COST_US, NOW_US);
  cr_assert_eq(candidates[1].calls_in_flight, 100);
}

Test(method_cost, is_the_shortest_time_of_the_last_seconds)
{
  struct method_cost cost = {0};
  cr_assert_eq(method_cost_us(&cost), METHOD_COST_UNKNOWN_US);
  for (size_t i = 0; i < 100; i++)
    method_cost_note(&cost, 200 + i * 37 % 1000, NOW_US + i * MS);
  cr_assert_eq(method_cost_us(&cost), 200);
  // A method that has become more expensive is believed after two windows.
  for (size_t i = 0; i < 30; i++)
    method_cost_note(&cost, 5000, NOW_US + SECOND_US + i * SECOND_US);
  cr_assert_eq(method_cost_us(&cost), 5000);
  method_cost_note(&cost, 0, NOW_US + 40 * SECOND_US);
  cr_assert_eq(method_cost_us(&cost), 1);
}

// ---- slowness ----

static void answer(struct balancer_candidate *candidate, uint64_t duration_us, bool failed, uint64_t now_us)
{
  const struct balancer_reply reply = {.duration_us = duration_us, .cost_us = COST_US, .failed = failed};
  (void)balancer_note_reply(candidate, &reply, now_us);
}

static size_t count_picks(struct balancer *balancer, struct balancer_candidate *const *all, size_t count,
                          const struct balancer_candidate *wanted, uint64_t now_us)
{
  size_t picks = 0;
  for (size_t i = 0; i < 100; i++) {
    balancer_end_batch(balancer);
    picks += balancer_pick(balancer, all, count, COST_US, now_us) == wanted ? 1 : 0;
  }
  return picks;
}

Test(balancer, an_instance_that_refuses_at_once_attracts_nothing)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  for (size_t i = 0; i < 4; i++) {
    answer(&candidates[0], 10, true, NOW_US);
    answer(&candidates[1], 5 * COST_US, false, NOW_US);
  }
  balancer_count_sent(&candidates[1], COST_US, NOW_US);
  cr_assert_eq(count_picks(&balancer, all, 2, &candidates[0], NOW_US), 0);
}

Test(balancer, a_call_that_is_given_up_makes_an_endpoint_slower_and_never_quicker)
{
  struct balancer_candidate candidate = {.ready = true};
  balancer_note_unanswered(&candidate, 300 * MS, COST_US, NOW_US);
  float slow = candidate.slowness;
  cr_assert_gt(slow, 100);
  balancer_note_unanswered(&candidate, COST_US, COST_US, NOW_US + 10 * MS);
  cr_assert_eq(candidate.slowness, slow);
  cr_assert_eq(candidate.judged_us, NOW_US);
  // Nothing is learnt of one that waited for less than others take.
  struct balancer_candidate usual = {.ready = true};
  balancer_note_unanswered(&usual, COST_US / 2, COST_US, NOW_US);
  cr_assert_eq(usual.slowness, 0);
}

Test(balancer, what_has_been_slow_is_tried_again_after_some_seconds)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  for (size_t i = 0; i < 50; i++)
    answer(&candidates[0], 1000 * COST_US, false, NOW_US);
  cr_assert_eq(count_picks(&balancer, all, 2, &candidates[0], NOW_US), 0);
  cr_assert_gt(count_picks(&balancer, all, 2, &candidates[0], NOW_US + 12 * SECOND_US), 0);
}

// An instance that was stopped has calls in flight and says nothing.
Test(balancer, the_quiet_of_an_instance_with_calls_in_flight_is_slowness)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  balancer_count_sent(&candidates[0], COST_US, NOW_US);
  for (size_t i = 0; i < 20; i++)
    balancer_count_sent(&candidates[1], COST_US, NOW_US);
  uint64_t later_us = NOW_US + 200 * MS;
  candidates[1].heard_us = later_us;
  cr_assert_eq(count_picks(&balancer, all, 2, &candidates[0], later_us), 0);
  candidates[0].heard_us = later_us;
  cr_assert_gt(count_picks(&balancer, all, 2, &candidates[0], later_us), 0);
}

Test(balancer, a_new_instance_gets_its_share_slowly)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  balancer_note_ready(&candidates[1], NOW_US);
  balancer_count_sent(&candidates[0], COST_US, NOW_US);
  cr_assert_eq(count_picks(&balancer, all, 2, &candidates[1], NOW_US), 0);
  cr_assert_gt(count_picks(&balancer, all, 2, &candidates[1], NOW_US + BALANCER_SLOW_START_US), 0);
}

// ---- room ----

Test(balancer, an_endpoint_with_too_much_unsent_is_chosen_only_where_all_are_so)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true, .full = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  cr_assert_eq(count_picks(&balancer, all, 2, &candidates[0], NOW_US), 0);
  // Better one that is silent than one that takes nothing more.
  candidates[1].silent = true;
  cr_assert_eq(count_picks(&balancer, all, 2, &candidates[0], NOW_US), 0);
  candidates[1].full = true;
  cr_assert_not_null(balancer_pick(&balancer, all, 2, 1, NOW_US), "the caller is told why");
}

// ---- ejection ----

static bool fail_often(struct balancer_candidate *candidate, uint64_t now_us)
{
  const struct balancer_reply reply = {.duration_us = COST_US, .cost_us = COST_US, .failed = true};
  for (size_t i = 1; i < EJECTION_FAILURES; i++)
    if (balancer_note_reply(candidate, &reply, now_us))
      return true;
  return balancer_note_reply(candidate, &reply, now_us);
}

Test(ejection, comes_after_failures_in_a_row_and_lasts_longer_each_time)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  const struct balancer_reply failure = {.failed = true, .cost_us = COST_US};
  uint64_t now_us = NOW_US, pause_us = EJECTION_FIRST_US;
  cr_assert(fail_often(&candidates[0], now_us));
  for (size_t i = 0; i < 8; i++) {
    cr_assert(balancer_eject(all, 2, &candidates[0], now_us));
    cr_assert_eq(candidates[0].ejection.until_us - now_us, pause_us);
    cr_assert_eq(count_picks(&balancer, all, 2, &candidates[0], now_us + pause_us - 1), 0);
    now_us += pause_us;
    cr_assert(balancer_note_reply(&candidates[0], &failure, now_us), "one failure is enough now");
    pause_us = 2 * pause_us > EJECTION_MAX_US ? EJECTION_MAX_US : 2 * pause_us;
  }
  answer(&candidates[0], COST_US, false, now_us + EJECTION_FORGET_US + EJECTION_MAX_US);
  cr_assert_eq(candidates[0].ejection.rounds, 0);
}

// One caller asks for more than is served: each instance refuses most of it, and serves the others.
Test(ejection, does_not_come_of_too_much_to_do)
{
  struct balancer_candidate candidate = {.ready = true};
  const struct balancer_reply refusal = {.duration_us = 100, .cost_us = 100, .failed = true, .is_overload = true};
  for (size_t i = 0; i < 100; i++)
    cr_assert_not(balancer_note_reply(&candidate, &refusal, NOW_US + i));
  cr_assert_gt(candidate.slowness, 10, "it gets fewer calls all the same");
}

Test(ejection, does_not_happen_where_all_fail)
{
  struct balancer_candidate candidates[3] = {{.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2]};
  for (size_t i = 0; i < 3; i++)
    cr_assert(fail_often(&candidates[i], NOW_US));
  for (size_t i = 0; i < 3; i++)
    cr_assert_not(balancer_eject(all, 3, &candidates[i], NOW_US));
}

Test(ejection, takes_half_of_the_instances_at_most)
{
  struct balancer_candidate candidates[5] = {
      {.ready = true}, {.ready = true}, {.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2], &candidates[3], &candidates[4]};
  size_t ejected = 0;
  for (size_t i = 0; i < 4; i++)
    ejected += fail_often(&candidates[i], NOW_US) && balancer_eject(all, 5, &candidates[i], NOW_US) ? 1 : 0;
  cr_assert_eq(ejected, 2);
  struct balancer_candidate alone = {.ready = true};
  struct balancer_candidate *only[] = {&alone};
  cr_assert(fail_often(&alone, NOW_US));
  cr_assert_not(balancer_eject(only, 1, &alone, NOW_US));
}

// Two of four are out when the other two go.
Test(ejection, ends_when_too_few_others_are_left)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[4] = {{.ready = true}, {.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2], &candidates[3]};
  for (size_t i = 0; i < 2; i++)
    cr_assert(fail_often(&candidates[i], NOW_US) && balancer_eject(all, 4, &candidates[i], NOW_US));
  candidates[2].ready = false;
  candidates[3].ready = false;
  cr_assert_not_null(pick_next(&balancer, all, 4), "an ejected one is better than none");
  candidates[3].ready = true;
  cr_assert_null(balancer_find_slow(&balancer, all, 4, NOW_US + 1));
  cr_assert_not(ejection_is_active(&candidates[0].ejection, NOW_US + 1));
}

Test(ejection, comes_after_a_second_of_far_slower_replies)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[3] = {{.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2]};
  struct balancer_candidate *found = NULL;
  uint64_t now_us = NOW_US;
  for (; found == NULL && now_us < NOW_US + 3 * SECOND_US; now_us += 10 * MS) {
    answer(&candidates[0], COST_US * 3, false, now_us);
    answer(&candidates[1], 50 * MS, false, now_us);
    answer(&candidates[2], COST_US * 2, false, now_us);
    found = balancer_find_slow(&balancer, all, 3, now_us);
  }
  cr_assert_eq(found, &candidates[1]);
  cr_assert_geq(now_us - NOW_US, 900 * MS);
  cr_assert_leq(now_us - NOW_US, 2 * SECOND_US);
}

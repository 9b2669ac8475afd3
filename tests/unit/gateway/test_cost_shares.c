// How callers share what may be in flight, by what their calls cost: single decisions, and a simulation of servers that
// take longer for costly calls.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/concurrency_limit.h"
#include "gateway/cost_shares.h"

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)

Test(cost_shares, calls_of_a_caller_alone_weigh_one_whatever_they_cost)
{
  static struct cost_shares shares;
  for (int i = 0; i < 1000; i++)
    cost_shares_note(&shares, 1, 4000000);
  cr_assert_eq(cost_shares_weigh(&shares, 1), CONCURRENCY_UNIT);
}

Test(cost_shares, costly_calls_weigh_more_than_cheap_ones_and_none_shuts_its_caller_out)
{
  static struct cost_shares shares;
  for (int i = 0; i < 1000; i++) {
    cost_shares_note(&shares, 1, 10000);
    cost_shares_note(&shares, 2, 30000);
  }
  cr_assert_eq(cost_shares_weigh(&shares, 3), CONCURRENCY_UNIT, "nobody knows what a new caller's calls cost");
  uint16_t cheap = cost_shares_weigh(&shares, 1), costly = cost_shares_weigh(&shares, 2);
  cr_assert_geq(costly, 5 * cheap / 2, "%u and %u", cheap, costly);
  cr_assert_leq(costly, 7 * cheap / 2, "%u and %u", cheap, costly);
  cost_shares_note(&shares, 4, SIZE_MAX);
  cr_assert_leq(cost_shares_weigh(&shares, 4), 32 * CONCURRENCY_UNIT);
}

Test(cost_shares, a_caller_whose_calls_become_cheap_is_treated_so_after_some_calls)
{
  static struct cost_shares shares;
  for (int i = 0; i < 1000; i++) {
    cost_shares_note(&shares, 1, 1000);
    cost_shares_note(&shares, 2, 100000);
  }
  cr_assert_gt(cost_shares_weigh(&shares, 2), CONCURRENCY_UNIT);
  for (int i = 0; i < 1000; i++)
    cost_shares_note(&shares, 2, 1000);
  cr_assert_eq(cost_shares_weigh(&shares, 2), cost_shares_weigh(&shares, 1));
}

// ---- a simulation ----

enum { SERVERS = 4, CALLERS = 11, MOST_WAITING = 1 << 12, STEP_US = 100, CHEAP_US = 2000, TIMES = 20 };

struct call {
  uint64_t began_us;
  uint16_t caller;
  uint16_t weight;
};

// Caller 0's calls cost TIMES as much as those of the ten others. A call takes what it costs.
struct world {
  struct concurrency_limit limit;
  struct cost_shares shares;
  bool by_number;
  uint64_t random;
  struct call queue[MOST_WAITING];
  size_t head, tail;
  struct call served[SERVERS];
  uint64_t free_us[SERVERS];  // 0 while the server has nothing to do
  size_t offered[CALLERS], ended[CALLERS];
};

static double draw(struct world *world)
{
  // A linear congruential generator: the same numbers in each run (Knuth, MMIX).
  world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (double)(world->random >> 11) / (double)(UINT64_C(1) << 53);
}

static uint64_t cost_us(uint16_t caller)
{
  return caller == 0 ? TIMES * CHEAP_US : CHEAP_US;
}

static void end_call(struct world *world, size_t server)
{
  const struct call *call = &world->served[server];
  concurrency_limit_end(&world->limit, call->weight, world->free_us[server] - call->began_us, world->free_us[server]);
  world->shares.held[call->caller] -= call->weight;
  cost_shares_note(&world->shares, call->caller, cost_us(call->caller));
  world->ended[call->caller]++;
  world->free_us[server] = 0;
}

static void serve(struct world *world, uint64_t now_us)
{
  for (size_t i = 0; i < SERVERS; i++) {
    if (world->free_us[i] != 0 && world->free_us[i] <= now_us)
      end_call(world, i);
    if (world->free_us[i] != 0 || world->head == world->tail)
      continue;
    world->served[i] = world->queue[world->head++ % MOST_WAITING];
    world->free_us[i] = now_us + (uint64_t)((0.5 + draw(world)) * (double)cost_us(world->served[i].caller));
  }
}

static void offer(struct world *world, uint16_t caller, uint64_t now_us)
{
  world->offered[caller]++;
  const struct concurrency_call call = {.held = world->shares.held[caller],
                                        .weight = world->by_number ? CONCURRENCY_UNIT
                                                                   : cost_shares_weigh(&world->shares, caller),
                                        .left_us = 5 * SECOND};
  if (concurrency_limit_begin(&world->limit, &call, now_us) != CONCURRENCY_ADMITTED)
    return;
  world->shares.held[caller] += (uint32_t)call.weight;
  cr_assert_lt(world->tail - world->head, MOST_WAITING);
  world->queue[world->tail++ % MOST_WAITING] =
      (struct call){.began_us = now_us, .caller = caller, .weight = (uint16_t)call.weight};
}

static void run(struct world *world, uint64_t from_us, uint64_t seconds, const double per_second[2])
{
  memset(world->offered, 0, sizeof(world->offered));
  memset(world->ended, 0, sizeof(world->ended));
  for (uint64_t now_us = from_us; now_us < from_us + seconds * SECOND; now_us += STEP_US) {
    serve(world, now_us);
    for (unsigned caller = 0; caller < CALLERS; caller++)
      if (draw(world) < per_second[caller == 0 ? 0 : 1] * STEP_US / 1e6)
        offer(world, (uint16_t)caller, now_us);
  }
}

// Four servers have 4,000 ms of work done a second. Caller 0 wants six times as much, each of the others a twentieth.
// Returns the part of what the others want that they get.
static double share_of_others(struct world *world, bool by_number)
{
  *world = (struct world){
      .limit = {.bounds = {.least = 32, .most = 512, .calm_us = 50 * MS}}, .by_number = by_number, .random = 5};
  static const double per_second[] = {600, 100};
  run(world, SECOND, 2, per_second);
  run(world, 3 * SECOND, 20, per_second);
  size_t offered = 0, ended = 0;
  for (size_t caller = 1; caller < CALLERS; caller++) {
    offered += world->offered[caller];
    ended += world->ended[caller];
  }
  printf("%s: the others get %zu of %zu, the costly caller %zu of %zu; limit %u\n", by_number ? "by number" : "by cost",
         ended, offered, world->ended[0], world->offered[0], world->limit.limit);
  return (double)ended / (double)offered;
}

Test(cost_shares, one_with_costly_calls_gives_way_before_those_with_cheap_ones)
{
  static struct world world;
  double by_number = share_of_others(&world, true);
  double by_cost = share_of_others(&world, false);
  cr_expect_gt(by_cost, by_number);
  cr_expect_geq(by_cost, 0.95);
  cr_expect_geq(world.ended[0], 20 * 20, "what the others leave goes to the costly caller: half of the servers");
}

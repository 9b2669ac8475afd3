// How many calls are let in at a time: single decisions, and simulations of servers that get more than they can serve.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/concurrency_limit.h"

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)
#define NO_DEADLINE UINT64_MAX

#define LEAST 32
#define MOST 512
#define BOUNDS                                                                                                         \
  {                                                                                                                    \
    .least = LEAST, .most = MOST, .calm_us = 50 * MS                                                                   \
  }

// Begins and ends a usual call of a caller who has so many.
static enum concurrency_verdict begin_at(struct concurrency_limit *limit, size_t held, uint64_t left_us,
                                         uint64_t now_us)
{
  const struct concurrency_call call = {
      .held = held * CONCURRENCY_UNIT, .weight = CONCURRENCY_UNIT, .left_us = left_us};
  return concurrency_limit_begin(limit, &call, now_us);
}

static void end_at(struct concurrency_limit *limit, uint64_t duration_us, uint64_t now_us)
{
  concurrency_limit_end(limit, CONCURRENCY_UNIT, duration_us, now_us);
}

static enum concurrency_verdict begin(struct concurrency_limit *limit, size_t held)
{
  return begin_at(limit, held, NO_DEADLINE, SECOND);
}

Test(concurrency_limit, one_caller_gets_nearly_all_and_another_finds_room)
{
  struct concurrency_limit limit = {.bounds = BOUNDS};
  size_t held = 0;
  while (begin(&limit, held) == CONCURRENCY_ADMITTED)
    held++;
  cr_assert_gt(held, MOST * 8 / 10);
  cr_assert_lt(held, MOST);
  cr_assert_eq(begin(&limit, 0), CONCURRENCY_ADMITTED);
}

Test(concurrency_limit, a_further_heavy_call_waits_for_as_much_room_as_it_takes_and_a_light_one_goes_before_it)
{
  enum { HEAVY = 10 * CONCURRENCY_UNIT };
  const struct concurrency_call heavy = {.held = HEAVY, .weight = HEAVY, .left_us = NO_DEADLINE};
  const struct concurrency_call light = {.weight = 1, .left_us = NO_DEADLINE};
  struct concurrency_limit limit = {.bounds = {.least = 16, .most = 16, .calm_us = 50 * MS}};
  cr_assert_eq(concurrency_limit_begin(&limit, &heavy, SECOND), CONCURRENCY_ADMITTED, "nothing is in flight");
  cr_assert_not(concurrency_limit_has_room(&limit, &heavy));
  cr_assert_eq(concurrency_limit_begin(&limit, &heavy, SECOND), CONCURRENCY_CROWDED);
  cr_assert_eq(concurrency_limit_begin(&limit, &light, SECOND), CONCURRENCY_ADMITTED);
}

// One with many cheap calls takes all that its share allows, and would keep another out for good.
Test(concurrency_limit, a_heavy_call_of_one_who_has_nothing_needs_the_room_of_a_usual_one)
{
  const struct concurrency_call heavy = {.weight = 32 * CONCURRENCY_UNIT, .left_us = NO_DEADLINE};
  struct concurrency_limit limit = {.bounds = {.least = 32, .most = 32, .calm_us = 50 * MS}};
  struct concurrency_call light = {.weight = 1, .left_us = NO_DEADLINE};
  while (concurrency_limit_begin(&limit, &light, SECOND) == CONCURRENCY_ADMITTED)
    light.held += light.weight;
  cr_assert_gt(light.held, 24 * CONCURRENCY_UNIT);
  cr_assert_eq(concurrency_limit_begin(&limit, &heavy, SECOND), CONCURRENCY_ADMITTED);
  cr_assert_eq(concurrency_limit_begin(&limit, &heavy, SECOND), CONCURRENCY_CROWDED);
}

Test(concurrency_limit, what_cannot_end_in_time_is_refused_while_others_are_in_flight)
{
  struct concurrency_limit limit = {.bounds = BOUNDS};
  for (size_t i = 0; i < LEAST; i++)
    cr_assert_eq(begin(&limit, i), CONCURRENCY_ADMITTED);
  for (size_t i = 0; i < LEAST / 2; i++)
    end_at(&limit, 200 * MS, SECOND + 200 * MS);
  cr_assert_eq(begin_at(&limit, 0, 100 * MS, SECOND + 200 * MS), CONCURRENCY_LATE);
  cr_assert_eq(begin_at(&limit, 0, 300 * MS, SECOND + 200 * MS), CONCURRENCY_ADMITTED);
  while (limit.in_flight > (LEAST / 4 - 1) * CONCURRENCY_UNIT)
    end_at(&limit, 200 * MS, SECOND + 250 * MS);
  cr_assert_eq(begin_at(&limit, 0, 100 * MS, SECOND + 250 * MS), CONCURRENCY_ADMITTED, "calls may have become faster");
}

Test(concurrency_limit, a_few_slow_calls_are_never_refused)
{
  struct concurrency_limit limit = {.bounds = BOUNDS};
  for (uint64_t now_us = SECOND; now_us < 600 * SECOND; now_us += 5 * SECOND) {
    for (size_t i = 0; i < LEAST / 4; i++)
      cr_assert_eq(begin_at(&limit, i, NO_DEADLINE, now_us), CONCURRENCY_ADMITTED);
    for (size_t i = 0; i < LEAST / 4; i++)
      end_at(&limit, 5 * SECOND, now_us + 5 * SECOND);
  }
  cr_assert_geq(limit.limit, LEAST);
}

Test(concurrency_limit, a_pause_of_some_seconds_lets_a_burst_in_again)
{
  struct concurrency_limit limit = {.bounds = BOUNDS};
  uint64_t now_us = SECOND;
  for (int round = 0; round < 20; round++, now_us += SECOND) {
    size_t held = 0;
    while (begin_at(&limit, 0, NO_DEADLINE, now_us) == CONCURRENCY_ADMITTED)
      held++;
    while (held-- > 0)
      end_at(&limit, SECOND, now_us + SECOND);
  }
  cr_assert_eq(limit.limit, LEAST);
  (void)begin_at(&limit, 0, NO_DEADLINE, now_us + 10 * SECOND);
  cr_assert_eq(limit.limit, MOST);
}

// ---- a simulation ----

enum { MOST_SERVERS = 64, MOST_WAITING = 1 << 16, CALLERS = 11, STEP_US = 100 };

struct call {
  uint64_t began_us;
  size_t caller;
};

struct server {
  bool is_busy;
  uint64_t free_us;
  struct call call;
};

// Servers that serve one call each, first come, first served; the times of service are exponential.
struct world {
  struct concurrency_limit limit;
  bool is_unlimited;
  size_t servers;
  uint64_t service_us;
  struct server each[MOST_SERVERS];
  struct call queue[MOST_WAITING];
  size_t head;
  size_t tail;
  size_t held[CALLERS];
  uint64_t random;
  // What was counted in the phase that runs.
  size_t offered[CALLERS];
  size_t served[CALLERS];
  size_t total;
  uint32_t durations_us[400000];
};

static double draw(struct world *world)
{
  // A linear congruential generator: the same numbers in each run (Knuth, MMIX).
  world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (double)(world->random >> 11) / (double)(UINT64_C(1) << 53);
}

// Returns -ln(1 - u) of a random u, by its series, which is exact enough here.
static double draw_exponential(struct world *world)
{
  double u = draw(world), sum = 0, power = 1;
  if (u > 0.98)
    return 4 + 2 * draw(world);
  for (int n = 1; n < 200; n++)
    sum += (power *= u) / n;
  return sum;
}

static void end_call(struct world *world, struct server *server)
{
  const struct call *call = &server->call;
  uint64_t duration_us = server->free_us - call->began_us;
  server->is_busy = false;
  world->held[call->caller]--;
  world->served[call->caller]++;
  if (world->total < sizeof(world->durations_us) / sizeof(world->durations_us[0]))
    world->durations_us[world->total++] = (uint32_t)duration_us;
  if (!world->is_unlimited)
    end_at(&world->limit, duration_us, server->free_us);
}

static void serve(struct world *world, uint64_t now_us)
{
  for (size_t i = 0; i < MOST_SERVERS; i++) {
    struct server *server = &world->each[i];
    if (server->is_busy && server->free_us <= now_us)
      end_call(world, server);
    if (server->is_busy || i >= world->servers || world->head == world->tail)
      continue;
    server->is_busy = true;
    server->call = world->queue[world->head++ % MOST_WAITING];
    server->free_us = now_us + 1 + (uint64_t)(draw_exponential(world) * (double)world->service_us);
  }
}

static void offer(struct world *world, size_t caller, uint64_t now_us)
{
  world->offered[caller]++;
  if (!world->is_unlimited && begin_at(&world->limit, world->held[caller], 5 * SECOND, now_us) != CONCURRENCY_ADMITTED)
    return;
  world->held[caller]++;
  cr_assert_lt(world->tail - world->head, MOST_WAITING);
  world->queue[world->tail++ % MOST_WAITING] = (struct call){.began_us = now_us, .caller = caller};
}

static int compare(const void *a, const void *b)
{
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return (left > right) - (left < right);
}

struct seen {
  double per_second;
  double p50_ms;
  double p99_ms;
};

// Runs for some seconds with `rate` calls per second of caller 0, and `other_rate` of each of the ten others.
static struct seen run(struct world *world, const char *what, uint64_t *now_us, double seconds, const double rates[2])
{
  memset(world->offered, 0, sizeof(world->offered));
  memset(world->served, 0, sizeof(world->served));
  world->total = 0;
  uint64_t end_us = *now_us + (uint64_t)(seconds * 1e6);
  for (; *now_us < end_us; *now_us += STEP_US) {
    serve(world, *now_us);
    for (size_t caller = 0; caller < CALLERS; caller++)
      if (draw(world) < rates[caller == 0 ? 0 : 1] * STEP_US / 1e6)
        offer(world, caller, *now_us);
  }
  qsort(world->durations_us, world->total, sizeof(uint32_t), compare);
  size_t middle = world->total / 2, late = world->total * 99 / 100;
  struct seen seen = {.per_second = (double)world->total / seconds,
                      .p50_ms = world->durations_us[middle] / 1e3,
                      .p99_ms = world->durations_us[late] / 1e3};
  printf("%-52s %6.0f/s, p50 %6.1f ms, p99 %6.1f ms, limit %u\n", what, seen.per_second, seen.p50_ms, seen.p99_ms,
         world->limit.limit);
  return seen;
}

static struct world *make_world(size_t servers, uint64_t service_us)
{
  static struct world world;
  world = (struct world){.limit = {.bounds = BOUNDS}, .servers = servers, .service_us = service_us, .random = 20};
  return &world;
}

// Eight servers of 4 ms serve 2,000 a second.
Test(concurrency_limit, three_and_five_times_too_much_leave_goodput_and_durations_as_they_are)
{
  struct world *world = make_world(8, 4 * MS);
  uint64_t now_us = SECOND;
  struct seen peak = run(world, "1 x", &now_us, 20, (double[]){0, 190});
  struct seen three = run(world, "3 x, from its first moment", &now_us, 20, (double[]){0, 600});
  struct seen five = run(world, "5 x", &now_us, 20, (double[]){0, 1000});
  struct seen after = run(world, "half of 1 x, from its first moment", &now_us, 1, (double[]){0, 100});
  cr_expect_geq(three.per_second, 0.9 * 2000);
  cr_expect_geq(five.per_second, 0.9 * 2000);
  cr_expect_leq(five.p99_ms, 2 * (peak.p99_ms > 50 ? peak.p99_ms : 50));
  cr_expect_geq(after.per_second, 950, "nobody is refused any more");
  world->is_unlimited = true;
  struct seen without = run(world, "3 x without a limit", &now_us, 5, (double[]){0, 600});
  cr_expect_gt(without.p50_ms, 10 * three.p50_ms);
}

// A queue that grows slowly is as bad as one that comes at once.
Test(concurrency_limit, a_little_too_much_does_not_stand_in_a_queue_below_a_high_limit)
{
  struct world *world = make_world(8, 4 * MS);
  uint64_t now_us = SECOND;
  (void)run(world, "half of 1 x", &now_us, 5, (double[]){0, 100});
  cr_assert_eq(world->limit.limit, MOST);
  struct seen first = run(world, "1.05 x, the first seconds", &now_us, 2, (double[]){0, 210});
  struct seen later = run(world, "1.05 x, later", &now_us, 20, (double[]){0, 210});
  cr_expect_leq(first.p99_ms, 100);
  cr_expect_geq(later.per_second, 0.95 * 2000);
  cr_expect_leq(later.p99_ms, 100);
}

Test(concurrency_limit, it_follows_servers_that_become_half_as_many_and_twice_as_many)
{
  struct world *world = make_world(16, 4 * MS);
  uint64_t now_us = SECOND;
  (void)run(world, "16 servers, 3 x", &now_us, 5, (double[]){0, 1200});
  world->servers = 8;
  (void)run(world, "8 servers, the first second", &now_us, 1, (double[]){0, 1200});
  struct seen half = run(world, "8 servers, later", &now_us, 5, (double[]){0, 1200});
  cr_expect_geq(half.per_second, 0.9 * 2000);
  cr_expect_leq(half.p99_ms, 120);
  world->servers = 32;
  (void)run(world, "32 servers, the first second", &now_us, 1, (double[]){0, 1200});
  struct seen twice = run(world, "32 servers, later", &now_us, 5, (double[]){0, 1200});
  cr_expect_geq(twice.per_second, 0.9 * 8000);
}

// One caller offers ten times what can be served, and ten others a twentieth each.
Test(concurrency_limit, a_caller_that_floods_takes_nothing_from_the_others)
{
  struct world *world = make_world(8, 4 * MS);
  uint64_t now_us = SECOND;
  (void)run(world, "a flood, the first seconds", &now_us, 2, (double[]){20000, 100});
  (void)run(world, "a flood, later", &now_us, 20, (double[]){20000, 100});
  size_t offered = 0, served = 0;
  for (size_t caller = 1; caller < CALLERS; caller++) {
    offered += world->offered[caller];
    served += world->served[caller];
  }
  printf("others: offered %zu, served %zu; the flood: offered %zu, served %zu\n", offered, served, world->offered[0],
         world->served[0]);
  cr_expect_geq(served, offered * 99 / 100);
  cr_expect_geq(world->served[0], 20 * 900u, "what the others leave goes to the flood");
}

// ---- after an outage ----

// Begins this many calls of different callers at a time, and returns how many were let in.
static size_t begin_crowd(struct concurrency_limit *limit, size_t count, uint64_t left_us, uint64_t now_us)
{
  size_t admitted = 0;
  for (size_t i = 0; i < count; i++)
    admitted += begin_at(limit, 0, left_us, now_us) == CONCURRENCY_ADMITTED;
  return admitted;
}

static void end_crowd(struct concurrency_limit *limit, size_t count, uint64_t duration_us, uint64_t now_us)
{
  for (size_t i = 0; i < count; i++)
    end_at(limit, duration_us, now_us);
}

Test(concurrency_limit, an_outage_is_forgotten_in_a_quiet_time)
{
  struct concurrency_limit limit = {.bounds = {.least = 32, .most = 512, .calm_us = 50000}};
  uint64_t now_us = 1000000;
  cr_assert_eq(begin_crowd(&limit, 100, 30000000, now_us), 100);
  now_us += 30000000;
  end_crowd(&limit, 100, 30000000, now_us);
  now_us += UINT64_C(3600) * 1000000;
  cr_assert_eq(begin_crowd(&limit, 100, 30000000, now_us), 100);
}

Test(concurrency_limit, calls_that_wait_and_do_not_end_let_the_next_ones_in_again)
{
  struct concurrency_limit limit = {.bounds = {.least = 256, .most = 1024, .calm_us = 500000}};
  uint64_t now_us = 1000000;
  cr_assert_eq(begin_crowd(&limit, 200, 5000000, now_us), 200);
  now_us += 5000000;
  end_crowd(&limit, 100, 5000000, now_us);
  // A hundred hang; nothing ends meanwhile.
  size_t admitted = 0;
  for (size_t i = 0; i < 10; i++) {
    now_us += 1100000;
    admitted = begin_crowd(&limit, 1, 4600000, now_us);
  }
  cr_assert_eq(admitted, 1);
}

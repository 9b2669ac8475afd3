// Simulates clients and instances for minutes of virtual time where some calls take far longer than others: what
// hedging does for the slowest of them and what it costs, and what calls that are given up early teach the balancer.
// The seeds are fixed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rpc/balancer_internal.h"
#include "common/rpc/retry_budget_internal.h"
#include "tests/unit/rpc/event_queue.h"

enum { INSTANCES = 12, CLIENTS = 4 };

#define MS UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)
#define START_US SECOND_US
// What a call costs an instance on average, and what clients take for its cost: the shortest time.
#define WORK_US (4 * MS)
#define COST_US 2000

struct scenario {
  const char *name;
  uint64_t seconds;
  uint64_t gap_us;       // between two calls
  uint64_t patience_us;  // of callers
  unsigned impatient;    // percent of the calls whose callers wait for WORK_US / 2 only
  uint64_t hedge_us;     // 0: no hedging
  unsigned stalls;       // of 10,000 calls that an instance begins, so many stop it for STALL_US
  unsigned slow_factor;  // the first instance takes so many times longer; 0: no longer
  bool learns;           // from calls that are given up
};

#define STALL_US (400 * MS)

enum event_kind { EVENT_REPLY, EVENT_HEDGE, EVENT_EXPIRY };

struct call {
  uint64_t sent_us[2];
  int16_t instance[2];  // -1: none
  uint8_t client;
  bool has_ended;
};

struct client {
  struct balancer balancer;
  struct retry_budget budget;
  struct balancer_candidate states[INSTANCES];
  struct balancer_candidate *candidates[INSTANCES];
};

struct result {
  size_t calls, expired, hedges, won, to_slow, ejected;
  uint32_t p50_us, p99_us, p999_us;
};

struct simulation {
  struct scenario scenario;
  uint64_t seed;
  uint64_t free_us[INSTANCES];
  struct client clients[CLIENTS];
  struct call *calls;
  uint32_t *durations;
  struct event_queue events;
  struct result result;
};

static uint64_t draw(struct simulation *simulation, uint64_t below)
{
  simulation->seed = simulation->seed * 6364136223846793005u + 1442695040888963407u;
  return (simulation->seed >> 24) % below;
}

// ---- instances ----

// Returns when an instance will have answered a request that comes now. It does what was cancelled, too.
static uint64_t work_on(struct simulation *simulation, int instance, uint64_t now_us)
{
  uint64_t work_us = COST_US + draw(simulation, 2 * (WORK_US - COST_US));
  if (instance == 0 && simulation->scenario.slow_factor != 0)
    return now_us + work_us * simulation->scenario.slow_factor;
  if (draw(simulation, 10000) < simulation->scenario.stalls)
    work_us += STALL_US;
  uint64_t begin_us = simulation->free_us[instance] > now_us ? simulation->free_us[instance] : now_us;
  simulation->free_us[instance] = begin_us + work_us;
  return begin_us + work_us;
}

// ---- clients ----

static void begin_attempt(struct simulation *simulation, uint32_t number, unsigned attempt,
                          const struct balancer_candidate *picked, uint64_t now_us)
{
  struct call *call = &simulation->calls[number];
  struct client *client = &simulation->clients[call->client];
  call->instance[attempt] = (int16_t)(picked - client->states);
  call->sent_us[attempt] = now_us;
  balancer_count_sent(&client->states[call->instance[attempt]], COST_US, now_us);
  uint64_t end_us = work_on(simulation, call->instance[attempt], now_us);
  event_queue_push(&simulation->events,
                   (struct event){.end_us = end_us, .call = number, .kind = EVENT_REPLY, .attempt = (uint8_t)attempt});
}

static void send_call(struct simulation *simulation, uint64_t now_us)
{
  const struct scenario *scenario = &simulation->scenario;
  uint32_t number = (uint32_t)simulation->result.calls++;
  struct call *call = &simulation->calls[number];
  *call = (struct call){.client = (uint8_t)draw(simulation, CLIENTS), .instance = {-1, -1}};
  struct client *client = &simulation->clients[call->client];
  retry_budget_note_call(&client->budget, now_us);
  balancer_end_batch(&client->balancer);
  begin_attempt(simulation, number, 0, balancer_pick(&client->balancer, client->candidates, INSTANCES, COST_US, now_us),
                now_us);
  simulation->result.to_slow += call->instance[0] == 0 ? 1 : 0;
  bool is_impatient = draw(simulation, 100) < scenario->impatient;
  uint64_t expiry_us = now_us + (is_impatient ? WORK_US / 2 : scenario->patience_us);
  event_queue_push(&simulation->events, (struct event){.end_us = expiry_us, .call = number, .kind = EVENT_EXPIRY});
  if (scenario->hedge_us != 0)
    event_queue_push(&simulation->events,
                     (struct event){.end_us = now_us + scenario->hedge_us, .call = number, .kind = EVENT_HEDGE});
}

// Ends an attempt without a reply.
static void give_up(struct simulation *simulation, struct call *call, unsigned attempt, uint64_t now_us)
{
  if (call->instance[attempt] < 0)
    return;
  struct balancer_candidate *candidate = &simulation->clients[call->client].states[call->instance[attempt]];
  balancer_count_ended(candidate, COST_US);
  if (simulation->scenario.learns)
    balancer_note_unanswered(candidate, now_us - call->sent_us[attempt], COST_US, now_us);
}

static void end_call(struct simulation *simulation, struct call *call, uint64_t now_us)
{
  call->has_ended = true;
  simulation->durations[call - simulation->calls] = (uint32_t)(now_us - call->sent_us[0]);
}

static void take_reply(struct simulation *simulation, struct call *call, unsigned attempt, uint64_t now_us)
{
  struct client *client = &simulation->clients[call->client];
  struct balancer_candidate *candidate = &client->states[call->instance[attempt]];
  candidate->heard_us = now_us;
  if (call->has_ended)
    return;
  const struct balancer_reply reply = {.duration_us = now_us - call->sent_us[attempt], .cost_us = COST_US};
  balancer_count_ended(candidate, COST_US);
  (void)balancer_note_reply(candidate, &reply, now_us);
  give_up(simulation, call, 1 - attempt, now_us);
  end_call(simulation, call, now_us);
  simulation->result.won += attempt == 1 ? 1 : 0;
}

static void hedge_call(struct simulation *simulation, uint32_t number, uint64_t now_us)
{
  const struct call *call = &simulation->calls[number];
  struct client *client = &simulation->clients[call->client];
  const struct balancer_candidate *other =
      balancer_pick_hedge(&client->balancer, client->candidates, INSTANCES, &client->states[call->instance[0]], now_us);
  if (other == NULL || !retry_budget_take_hedge(&client->budget, now_us))
    return;
  simulation->result.hedges++;
  begin_attempt(simulation, number, 1, other, now_us);
}

static void handle_event(struct simulation *simulation, const struct event *event)
{
  struct call *call = &simulation->calls[event->call];
  if (event->kind == EVENT_REPLY) {
    take_reply(simulation, call, event->attempt, event->end_us);
  } else if (!call->has_ended && event->kind == EVENT_HEDGE) {
    hedge_call(simulation, event->call, event->end_us);
  } else if (!call->has_ended) {
    simulation->result.expired++;
    give_up(simulation, call, 0, event->end_us);
    give_up(simulation, call, 1, event->end_us);
    end_call(simulation, call, event->end_us);
  }
  struct client *client = &simulation->clients[call->client];
  simulation->result.ejected +=
      balancer_find_slow(&client->balancer, client->candidates, INSTANCES, event->end_us) != NULL ? 1 : 0;
}

// ---- results ----

static int compare(const void *a, const void *b)
{
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right ? 1 : 0;
}

static struct simulation *open_simulation(const struct scenario *scenario)
{
  struct simulation *simulation = calloc(1, sizeof(*simulation));
  cr_assert_not_null(simulation);
  size_t calls = scenario->seconds * SECOND_US / scenario->gap_us + 1;
  simulation->scenario = *scenario;
  simulation->seed = 20261122;
  simulation->calls = calloc(calls, sizeof(struct call));
  simulation->durations = calloc(calls, sizeof(uint32_t));
  for (unsigned c = 0; c < CLIENTS; c++) {
    simulation->clients[c].balancer.random = c;
    for (unsigned i = 0; i < INSTANCES; i++) {
      simulation->clients[c].states[i].ready = true;
      simulation->clients[c].candidates[i] = &simulation->clients[c].states[i];
    }
  }
  return simulation;
}

static double percent(size_t part, size_t whole)
{
  return 100.0 * (double)part / (double)whole;
}

static void print_result(const char *name, const struct result *result)
{
  printf("%-34s %8zu calls, %6zu expired; p50 %6.1f ms, p99 %6.1f, p99.9 %6.1f;", name, result->calls, result->expired,
         result->p50_us / 1000.0, result->p99_us / 1000.0, result->p999_us / 1000.0);
  printf(" hedges %5zu, won %3zu, requests x %.3f; to the first instance %5.2f %%, ejections %zu\n", result->hedges,
         result->won, 1 + percent(result->hedges, result->calls) / 100, percent(result->to_slow, result->calls),
         result->ejected);
}

static struct result simulate(const struct scenario *scenario)
{
  struct simulation *simulation = open_simulation(scenario);
  uint64_t end_us = START_US + scenario->seconds * SECOND_US;
  for (uint64_t now_us = START_US; now_us < end_us || simulation->events.count > 0; now_us += scenario->gap_us) {
    struct event event;
    while (event_queue_pop(&simulation->events, now_us, &event))
      handle_event(simulation, &event);
    if (now_us < end_us)
      send_call(simulation, now_us);
  }
  struct result result = simulation->result;
  qsort(simulation->durations, result.calls, sizeof(uint32_t), compare);
  result.p50_us = simulation->durations[result.calls / 2];
  result.p99_us = simulation->durations[result.calls / 100 * 99];
  result.p999_us = simulation->durations[result.calls / 1000 * 999];
  print_result(scenario->name, &result);
  free(simulation->calls);
  free(simulation->durations);
  event_queue_free(&simulation->events);
  free(simulation);
  return result;
}

// How often a call is made so that the instances are at `percent` of what they can do.
#define GAP_AT(percent) (WORK_US * 100 / (percent) / INSTANCES)

// ---- hedging ----

Test(tails, hedging_shortens_the_tail_where_instances_stand_still_now_and_then)
{
  struct scenario scenario = {.name = "stalls, without hedging",
                              .seconds = 200,
                              .gap_us = GAP_AT(30),
                              .patience_us = 5 * SECOND_US,
                              .stalls = 4,
                              .learns = true};
  struct result without = simulate(&scenario);
  scenario.name = "stalls, hedged after 100 ms";
  scenario.hedge_us = 100 * MS;
  struct result with = simulate(&scenario);
  cr_expect_lt(with.p999_us * 2, without.p999_us);
  cr_expect_leq(with.p99_us, without.p99_us * 11 / 10);
  cr_expect_gt(with.won * 2, with.hedges, "most hedges are worth it");
  cr_expect_lt(with.hedges * 100, with.calls, "few calls are sent twice");
}

Test(tails, hedging_adds_a_tenth_at_most_where_all_instances_have_too_much_to_do)
{
  struct scenario scenario = {.name = "overload, without hedging",
                              .seconds = 60,
                              .gap_us = GAP_AT(125),
                              .patience_us = SECOND_US,
                              .learns = true};
  struct result without = simulate(&scenario);
  scenario.name = "overload, hedged after 100 ms";
  scenario.hedge_us = 100 * MS;
  struct result with = simulate(&scenario);
  cr_expect_gt(with.hedges, 0);
  cr_expect_leq(with.hedges, with.calls / 10 + CLIENTS * RETRY_BUDGET_MIN * 7);
  cr_expect_gt(without.expired, 0);
}

// ---- callers without patience ----

Test(tails, calls_that_expire_early_teach_that_an_instance_is_slow)
{
  struct scenario scenario = {.name = "one takes 600 ms, patience 300 ms",
                              .seconds = 60,
                              .gap_us = GAP_AT(30),
                              .patience_us = 300 * MS,
                              .slow_factor = 150};
  struct result without = simulate(&scenario);
  scenario.name = "the same, learning from these";
  scenario.learns = true;
  struct result with = simulate(&scenario);
  cr_expect_lt(with.to_slow * 4, without.to_slow);
  cr_expect_lt(with.expired * 4, without.expired);
}

Test(tails, callers_without_patience_eject_no_healthy_instance)
{
  struct scenario scenario = {.name = "all healthy, 90 % give up at once",
                              .seconds = 60,
                              .gap_us = GAP_AT(30),
                              .patience_us = 5 * SECOND_US,
                              .impatient = 90,
                              .learns = true};
  struct result result = simulate(&scenario);
  cr_expect_gt(result.expired * 2, result.calls);
  cr_expect_eq(result.ejected, 0);
  // An even share would be 1 / 12.
  cr_expect_gt(percent(result.to_slow, result.calls), 5);
  cr_expect_lt(percent(result.to_slow, result.calls), 12);
}

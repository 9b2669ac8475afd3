// Simulates clients and instances for minutes of virtual time where one method fails or is refused, with circuit
// breakers and without: how many calls fail, where those of a healthy method go, how much is done, and how soon all is
// as before. The seeds are fixed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rpc/balancer_internal.h"
#include "common/rpc/breaker_internal.h"
#include "tests/unit/rpc/event_queue.h"

enum { INSTANCES = 6, CLIENTS = 4, METHODS = 2, WELL = 0, ILL = 1 };

#define MS UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)
#define START_US SECOND_US
#define WORK_US (4 * MS)
#define COST_US 2000
// What an instance needs to refuse a call, and how much work may wait in it.
#define REFUSAL_US 1000
#define QUEUE_US (40 * MS)
#define FAULT_BEGIN_US (START_US + 20 * SECOND_US)
#define FAULT_END_US (START_US + 60 * SECOND_US)
#define END_US (START_US + 90 * SECOND_US)
// From here on all is to be as before.
#define HEALED_US (FAULT_END_US + 10 * SECOND_US)

struct scenario {
  const char *name;
  uint64_t gap_us;          // between two calls
  uint64_t fault_gap_us;    // the same, during the fault
  unsigned percent_failed;  // of the calls of ILL at the failing instances, during the fault
  unsigned failing;         // instances, from the first one on
  bool has_limit;           // instances refuse what they cannot do soon
  bool is_flooded;          // the same, during the fault: of one caller only, who makes nearly all calls
  bool counts_shares;       // refusals of that caller count as if they were for everybody
  bool has_breakers;
};

struct client {
  struct balancer balancer;
  struct balancer_candidate states[INSTANCES];
  struct balancer_candidate *candidates[INSTANCES];
  struct breaker_set breakers[INSTANCES];
};

struct result {
  size_t calls[METHODS];     // during the fault
  size_t at_first[METHODS];  // of those, at the first instance
  size_t failed[METHODS];    // at any time; refused ones as well
  size_t done[METHODS];      // during the fault
  size_t refused;            // by instances, during the fault
  size_t shed;               // by clients, at any time
  size_t shed_healed;        // of those, after HEALED_US
  size_t healed;             // calls of ILL after HEALED_US
  size_t healed_at_first;    // of those, at the first instance
  size_t ejections;
  size_t others;         // calls of other callers than the one who floods, during the fault
  size_t others_failed;  // of those
  uint64_t last_failure_us;
};

struct simulation {
  struct scenario scenario;
  uint64_t seed;
  uint64_t free_us[INSTANCES];
  struct client clients[CLIENTS];
  struct event_queue events;
  struct result result;
};

static uint64_t draw(struct simulation *simulation, uint64_t below)
{
  simulation->seed = simulation->seed * 6364136223846793005u + 1442695040888963407u;
  return (simulation->seed >> 24) % below;
}

static bool is_fault(uint64_t now_us)
{
  return now_us >= FAULT_BEGIN_US && now_us < FAULT_END_US;
}

// ---- instances ----

// Tells whether a call is of the caller who wants far more than its share.
static bool is_flood(const struct scenario *scenario, const struct event *call)
{
  return scenario->is_flooded && is_fault(call->sent_us) && call->call % 20 != 0;
}

static enum breaker_outcome work_on(struct simulation *simulation, const struct event *call, uint64_t *end_us)
{
  const struct scenario *scenario = &simulation->scenario;
  uint64_t *free_us = &simulation->free_us[call->instance];
  uint64_t now_us = call->sent_us;
  *free_us = *free_us > now_us ? *free_us : now_us;
  bool is_limited = scenario->has_limit || is_flood(scenario, call);
  bool is_full = is_limited && *free_us > now_us + QUEUE_US;
  *free_us += is_full ? REFUSAL_US : COST_US + draw(simulation, 2 * (WORK_US - COST_US));
  // A refusal does not wait behind the work.
  *end_us = is_full ? now_us + REFUSAL_US : *free_us;
  if (is_full)
    return BREAKER_REFUSED;
  bool fails = call->kind == ILL && call->instance < scenario->failing && is_fault(now_us) &&
               draw(simulation, 100) < scenario->percent_failed;
  return fails ? BREAKER_FAILED : BREAKER_ANSWERED;
}

// ---- clients, as channel.c has it ----

static struct balancer_candidate *pick(struct client *client, unsigned method, uint64_t now_us, bool *is_try)
{
  *is_try = false;
  for (size_t i = 0; i < INSTANCES; i++)
    client->states[i].avoided = breaker_set_is_open(&client->breakers[i], method);
  for (size_t i = 0; i < INSTANCES; i++)
    if (client->states[i].avoided && balancer_is_usable(&client->states[i], now_us) &&
        breaker_take_try(breaker_set_find(&client->breakers[i], method), now_us)) {
      client->states[i].avoided = false;
      *is_try = true;
      return &client->states[i];
    }
  balancer_end_batch(&client->balancer);
  return balancer_pick(&client->balancer, client->candidates, INSTANCES, COST_US, now_us);
}

static bool is_shed(struct client *client, const struct balancer_candidate *picked, unsigned method, uint64_t now_us)
{
  struct breaker *breaker = breaker_set_find(&client->breakers[picked - client->states], method);
  return picked->avoided && breaker_judge(breaker, now_us) != BREAKER_LETS;
}

static void count_call(struct simulation *simulation, unsigned method, unsigned instance, uint64_t now_us)
{
  struct result *result = &simulation->result;
  if (is_fault(now_us)) {
    result->calls[method]++;
    result->at_first[method] += instance == 0 ? 1 : 0;
  } else if (method == ILL && now_us >= HEALED_US) {
    result->healed++;
    result->healed_at_first += instance == 0 ? 1 : 0;
  }
}

static void send_call(struct simulation *simulation, uint64_t now_us)
{
  unsigned number = (unsigned)draw(simulation, CLIENTS);
  unsigned method = draw(simulation, 10) < 3 ? ILL : WELL;
  struct client *client = &simulation->clients[number];
  bool is_try = false;
  struct balancer_candidate *picked = pick(client, method, now_us, &is_try);
  unsigned instance = (unsigned)(picked - client->states);
  struct event call = {.sent_us = now_us, .client = number, .instance = instance, .kind = (uint8_t)method};
  if (simulation->scenario.is_flooded)
    call.call = (uint32_t)draw(simulation, 1000);
  bool is_other = is_fault(now_us) && !is_flood(&simulation->scenario, &call);
  count_call(simulation, method, instance, now_us);
  simulation->result.others += is_other ? 1 : 0;
  if (is_shed(client, picked, method, now_us)) {
    simulation->result.others_failed += is_other ? 1 : 0;
    simulation->result.shed++;
    simulation->result.failed[method]++;
    simulation->result.shed_healed += now_us >= HEALED_US ? 1 : 0;
    return;
  }
  call.attempt = (uint8_t)work_on(simulation, &call, &call.end_us);
  if (is_try && call.attempt == BREAKER_ANSWERED)
    call.attempt = BREAKER_TRY_ANSWERED;
  balancer_count_sent(picked, COST_US, now_us);
  event_queue_push(&simulation->events, call);
}

static void end_call(struct simulation *simulation, const struct event *call)
{
  struct client *client = &simulation->clients[call->client];
  struct balancer_candidate *candidate = &client->states[call->instance];
  struct breaker_set *breakers = &client->breakers[call->instance];
  enum breaker_outcome outcome = (enum breaker_outcome)call->attempt;
  const struct balancer_reply reply = {.duration_us = call->end_us - call->sent_us,
                                       .cost_us = COST_US,
                                       .failed = outcome == BREAKER_FAILED || outcome == BREAKER_REFUSED,
                                       .is_overload = outcome == BREAKER_REFUSED};
  struct result *result = &simulation->result;
  candidate->heard_us = call->end_us;
  balancer_count_ended(candidate, COST_US);
  result->failed[call->kind] += reply.failed ? 1 : 0;
  result->done[call->kind] += !reply.failed && is_fault(call->sent_us) ? 1 : 0;
  result->refused += reply.is_overload && is_fault(call->sent_us) ? 1 : 0;
  if (reply.failed)
    result->last_failure_us = call->end_us;
  // A refusal that is for its caller says nothing of the instance.
  if (reply.is_overload && simulation->scenario.is_flooded && !simulation->scenario.counts_shares)
    return;
  bool was_open = breaker_set_is_open(breakers, call->kind);
  if (simulation->scenario.has_breakers)
    (void)breaker_set_note(breakers, call->kind, outcome, call->end_us);
  if (was_open && reply.failed)
    return;
  if (balancer_note_reply(candidate, &reply, call->end_us))
    result->ejections += balancer_eject(client->candidates, INSTANCES, candidate, call->end_us) ? 1 : 0;
  (void)balancer_find_slow(&client->balancer, client->candidates, INSTANCES, call->end_us);
}

// ---- results ----

static double percent(size_t part, size_t whole)
{
  return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static void print_result(const struct scenario *scenario, const struct result *result)
{
  printf("%-30s %-16s ill: %6zu calls, %6zu failed, %5.2f %% at the first; well: %6zu failed, %5.2f %% at the first;",
         scenario->name, scenario->has_breakers ? "with breakers" : "without", result->calls[ILL], result->failed[ILL],
         percent(result->at_first[ILL], result->calls[ILL]), result->failed[WELL],
         percent(result->at_first[WELL], result->calls[WELL]));
  printf(" done %6zu, refused %6zu, shed %6zu; %zu ejections; healed %5.2f %%\n", result->done[0] + result->done[1],
         result->refused, result->shed, result->ejections, percent(result->healed_at_first, result->healed));
  if (scenario->is_flooded)
    printf("  of %zu calls of other callers %zu failed\n", result->others, result->others_failed);
}

static struct result simulate(const struct scenario *scenario)
{
  struct simulation *simulation = calloc(1, sizeof(*simulation));
  cr_assert_not_null(simulation);
  simulation->scenario = *scenario;
  simulation->seed = 20261122;
  for (unsigned c = 0; c < CLIENTS; c++) {
    simulation->clients[c].balancer.random = c;
    for (unsigned i = 0; i < INSTANCES; i++) {
      simulation->clients[c].states[i].ready = true;
      simulation->clients[c].candidates[i] = &simulation->clients[c].states[i];
    }
  }
  struct event event;
  for (uint64_t now_us = START_US; now_us < END_US;
       now_us += is_fault(now_us) ? scenario->fault_gap_us : scenario->gap_us) {
    while (event_queue_pop(&simulation->events, now_us, &event))
      end_call(simulation, &event);
    send_call(simulation, now_us);
  }
  struct result result = simulation->result;
  for (unsigned c = 0; c < CLIENTS; c++)
    for (unsigned i = 0; i < INSTANCES; i++)
      breaker_set_free(&simulation->clients[c].breakers[i]);
  event_queue_free(&simulation->events);
  free(simulation);
  print_result(scenario, &result);
  return result;
}

// How often a call is made so that the instances are at `percent` of what they can do.
#define GAP_AT(percent) (WORK_US * 100 / (percent) / INSTANCES)

static void compare(struct scenario scenario, struct result *without, struct result *with)
{
  scenario.has_breakers = false;
  *without = simulate(&scenario);
  scenario.has_breakers = true;
  *with = simulate(&scenario);
}

Test(breaking, calls_of_the_method_that_an_instance_fails_leave_it_and_the_others_stay)
{
  struct result without, with;
  compare((struct scenario){.name = "one fails a method",
                            .gap_us = GAP_AT(40),
                            .fault_gap_us = GAP_AT(40),
                            .percent_failed = 100,
                            .failing = 1},
          &without, &with);
  cr_expect_lt(with.failed[ILL] * 100, with.calls[ILL]);
  cr_expect_lt(with.failed[ILL] * 4, without.failed[ILL]);
  cr_expect_eq(with.failed[WELL], 0);
  // An even share would be 16.7 %, and more where the instance does less of the other method.
  cr_expect_gt(percent(with.at_first[WELL], with.calls[WELL]), 14);
  cr_expect_gt(percent(with.healed_at_first, with.healed), 13);
  cr_expect_eq(with.shed, 0);
}

Test(breaking, an_instance_that_fails_some_calls_is_not_left)
{
  struct result without, with;
  compare((struct scenario){.name = "one fails a tenth of a method",
                            .gap_us = GAP_AT(40),
                            .fault_gap_us = GAP_AT(40),
                            .percent_failed = 10,
                            .failing = 1},
          &without, &with);
  cr_expect_leq(with.failed[ILL], without.failed[ILL] + 10);
  cr_expect_eq(with.shed, 0);
}

Test(breaking, a_method_that_fails_everywhere_is_refused_at_once_and_comes_back_soon)
{
  struct result without, with;
  compare((struct scenario){.name = "all fail a method",
                            .gap_us = GAP_AT(40),
                            .fault_gap_us = GAP_AT(40),
                            .percent_failed = 100,
                            .failing = INSTANCES},
          &without, &with);
  cr_expect_gt(percent(with.shed, with.calls[ILL]), 40);
  cr_expect_eq(with.failed[WELL], 0);
  cr_expect_eq(with.shed_healed, 0);
  cr_expect_gt(percent(with.healed_at_first, with.healed), 13);
}

Test(breaking, a_method_of_which_a_third_is_served_everywhere_goes_on)
{
  struct result without, with;
  compare((struct scenario){.name = "all fail two of three",
                            .gap_us = GAP_AT(40),
                            .fault_gap_us = GAP_AT(40),
                            .percent_failed = 67,
                            .failing = INSTANCES},
          &without, &with);
  cr_expect_eq(with.shed, 0, "what is served from a cache still is");
}

Test(breaking, instances_that_have_far_too_much_to_do_waste_less_on_refusals)
{
  struct result without, with;
  compare(
      (struct scenario){
          .name = "4 times too much", .gap_us = GAP_AT(40), .fault_gap_us = GAP_AT(400), .has_limit = true},
      &without, &with);
  cr_expect_gt(with.done[0] + with.done[1], (without.done[0] + without.done[1]) * 11 / 10);
  cr_expect_lt(with.refused, 2 * (with.done[0] + with.done[1]));
  cr_expect_eq(with.ejections, 0);
  cr_expect_eq(with.shed_healed, 0);
}

Test(breaking, a_caller_who_floods_takes_the_method_from_nobody_else)
{
  struct scenario scenario = {
      .name = "one caller floods", .gap_us = GAP_AT(40), .fault_gap_us = GAP_AT(400), .is_flooded = true};
  struct result without, with, counted, ignored;
  compare(scenario, &without, &with);
  cr_expect_gt(with.refused, 1000);
  cr_expect_eq(with.others_failed, 0, "%zu of %zu calls of other callers failed", with.others_failed, with.others);
  cr_expect_eq(with.shed, 0);
  scenario.name = "the same, taken for overload";
  scenario.counts_shares = true;
  compare(scenario, &ignored, &counted);
  cr_expect_gt(counted.others_failed * 3, counted.others, "what counting these refusals would do");
}

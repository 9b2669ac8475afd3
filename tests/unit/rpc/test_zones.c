// Simulates clients and instances in three zones for minutes of virtual time: which zone calls go to, and what becomes
// of them where a zone has too much to do or loses its instances. The seeds are fixed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rpc/balancer_internal.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/rpc_client.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/event_queue.h"
#include "tests/unit/rpc/harness.h"

enum { ZONES = 3, PER_ZONE = 4, INSTANCES = ZONES * PER_ZONE, CLIENTS = 6 };

#define MS UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)
#define START_US SECOND_US
#define WORK_US (4 * MS)
#define TIMEOUT_US (2 * SECOND_US)
// What another zone takes for the way there and back.
#define FAR_US (2 * MS)
#define NEVER UINT64_MAX

struct client {
  struct balancer balancer;
  struct balancer_candidate states[INSTANCES];
  struct balancer_candidate *candidates[INSTANCES];
};

struct scenario {
  uint64_t seconds;
  uint64_t gap_us;         // between two calls
  unsigned share_of_zone;  // percent of the calls that clients of the first zone make
  uint32_t cost_us;        // that clients expect of a call; 0: what it costs on average
  unsigned lost;           // instances of the first zone that break, at lost_us
  uint64_t lost_us;
  uint64_t back_us;
  unsigned frozen;  // instances of the first zone that answer nothing any more, and are not known to, from lost_us on
};

struct count {
  size_t calls;  // of clients of the first zone
  size_t near;   // of those, at its instances
};

struct result {
  struct count before;  // lost_us
  struct count during;
  struct count after;  // back_us
  size_t calls;
  size_t ended;
  size_t failed;
  uint64_t longest_us;
};

struct simulation {
  struct scenario scenario;
  uint64_t seed;
  uint64_t free_us[INSTANCES];
  struct client clients[CLIENTS];
  struct event_queue calls;
  struct result result;
};

static uint64_t draw(struct simulation *simulation, uint64_t below)
{
  simulation->seed = simulation->seed * 6364136223846793005u + 1442695040888963407u;
  return (simulation->seed >> 24) % below;
}

static unsigned zone_of(unsigned instance)
{
  return instance % ZONES;
}

static unsigned zone_of_client(unsigned client)
{
  return client % ZONES;
}

// ---- instances ----

static bool is_over(const struct scenario *scenario, uint64_t now_us)
{
  return now_us < START_US + scenario->lost_us || now_us >= START_US + scenario->back_us;
}

static bool is_among_first(unsigned instance, unsigned count)
{
  return zone_of(instance) == 0 && instance / ZONES < count;
}

static bool is_lost(const struct scenario *scenario, unsigned instance, uint64_t now_us)
{
  return !is_over(scenario, now_us) && is_among_first(instance, scenario->lost);
}

static bool is_frozen(const struct scenario *scenario, unsigned instance, uint64_t now_us)
{
  return !is_over(scenario, now_us) && is_among_first(instance, scenario->frozen);
}

// Tells all clients which instances are connected.
static void connect_instances(struct simulation *simulation, uint64_t now_us)
{
  for (unsigned c = 0; c < CLIENTS; c++)
    for (unsigned i = 0; i < INSTANCES; i++) {
      struct balancer_candidate *candidate = &simulation->clients[c].states[i];
      bool ready = !is_lost(&simulation->scenario, i, now_us);
      if (ready && !candidate->ready && now_us > START_US)
        balancer_note_ready(candidate, now_us);
      candidate->ready = ready;
    }
}

// ---- clients ----

static uint32_t find_cost_us(const struct scenario *scenario)
{
  return scenario->cost_us == 0 ? (uint32_t)WORK_US : scenario->cost_us;
}

static struct count *choose_count(struct simulation *simulation, uint64_t now_us)
{
  if (now_us < START_US + simulation->scenario.lost_us)
    return &simulation->result.before;
  return now_us < START_US + simulation->scenario.back_us ? &simulation->result.during : &simulation->result.after;
}

static unsigned choose_client(struct simulation *simulation)
{
  unsigned of_zone = (unsigned)draw(simulation, CLIENTS / ZONES) * ZONES;
  if (draw(simulation, 100) < simulation->scenario.share_of_zone)
    return of_zone;
  return of_zone + 1 + (unsigned)draw(simulation, ZONES - 1);
}

static void send_call(struct simulation *simulation, uint64_t now_us)
{
  unsigned number = choose_client(simulation);
  struct client *client = &simulation->clients[number];
  balancer_end_batch(&client->balancer);
  const struct balancer_candidate *picked =
      balancer_pick(&client->balancer, client->candidates, INSTANCES, find_cost_us(&simulation->scenario), now_us);
  cr_assert_not_null(picked);
  unsigned instance = (unsigned)(picked - client->states);
  cr_assert(!is_lost(&simulation->scenario, instance, now_us), "a call went to an instance that is away");
  bool near = zone_of(instance) == zone_of_client(number);
  if (zone_of_client(number) == 0) {
    struct count *count = choose_count(simulation, now_us);
    count->calls++;
    count->near += near ? 1 : 0;
  }
  uint64_t begin_us = simulation->free_us[instance] > now_us ? simulation->free_us[instance] : now_us;
  uint64_t end_us = begin_us + WORK_US / 2 + draw(simulation, WORK_US);
  simulation->free_us[instance] = end_us;
  struct event event = {.sent_us = now_us, .client = number, .instance = instance};
  event.end_us = end_us + (near ? 0 : FAR_US);
  event.failed = is_frozen(&simulation->scenario, instance, now_us) || event.end_us > now_us + TIMEOUT_US;
  if (event.failed)
    event.end_us = now_us + TIMEOUT_US;
  balancer_count_sent(&client->states[instance], find_cost_us(&simulation->scenario), now_us);
  event_queue_push(&simulation->calls, event);
  simulation->result.calls++;
}

static void end_call(struct simulation *simulation, const struct event *event)
{
  struct client *client = &simulation->clients[event->client];
  struct balancer_candidate *candidate = &client->states[event->instance];
  uint64_t duration_us = event->end_us - event->sent_us;
  uint32_t cost_us = find_cost_us(&simulation->scenario);
  const struct balancer_reply reply = {.duration_us = duration_us, .cost_us = cost_us, .failed = event->failed};
  balancer_count_ended(candidate, cost_us);
  if (!event->failed)
    candidate->heard_us = event->end_us;
  if (balancer_note_reply(candidate, &reply, event->end_us))
    (void)balancer_eject(client->candidates, INSTANCES, candidate, event->end_us);
  (void)balancer_find_slow(&client->balancer, client->candidates, INSTANCES, event->end_us);
  struct result *result = &simulation->result;
  result->ended++;
  result->failed += event->failed ? 1 : 0;
  result->longest_us = duration_us > result->longest_us ? duration_us : result->longest_us;
}

// ---- the simulation ----

static struct simulation *open_simulation(const struct scenario *scenario)
{
  struct simulation *simulation = calloc(1, sizeof(*simulation));
  cr_assert_not_null(simulation);
  simulation->scenario = *scenario;
  simulation->seed = 20261122;
  for (unsigned c = 0; c < CLIENTS; c++) {
    simulation->clients[c].balancer.random = c;
    for (unsigned i = 0; i < INSTANCES; i++) {
      simulation->clients[c].candidates[i] = &simulation->clients[c].states[i];
      simulation->clients[c].states[i] =
          (struct balancer_candidate){.ready = true, .near = zone_of(i) == zone_of_client(c)};
    }
  }
  return simulation;
}

static void end_calls_until(struct simulation *simulation, uint64_t now_us)
{
  struct event event;
  while (event_queue_pop(&simulation->calls, now_us, &event))
    end_call(simulation, &event);
}

static struct result simulate(const struct scenario *scenario)
{
  struct simulation *simulation = open_simulation(scenario);
  uint64_t end_us = START_US + scenario->seconds * SECOND_US;
  for (uint64_t now_us = START_US; now_us < end_us; now_us += scenario->gap_us) {
    connect_instances(simulation, now_us);
    end_calls_until(simulation, now_us);
    send_call(simulation, now_us);
  }
  end_calls_until(simulation, NEVER);
  struct result result = simulation->result;
  cr_assert_eq(result.ended, result.calls, "a call was lost");
  event_queue_free(&simulation->calls);
  free(simulation);
  return result;
}

static double percent(const struct count *count)
{
  return count->calls == 0 ? 0 : 100.0 * (double)count->near / (double)count->calls;
}

static void print_result(const char *name, const struct result *result)
{
  cr_log_info("%s: %zu calls, %zu failed, longest %.0f ms; in the zone %.1f %%, then %.1f %%, then %.1f %%", name,
              result->calls, result->failed, (double)result->longest_us / 1000, percent(&result->before),
              percent(&result->during), percent(&result->after));
}

// How often a call is made so that the instances are at `percent` of what they can do.
#define GAP_AT(percent) (WORK_US * 100 / (percent) / INSTANCES)

Test(zones, calls_stay_in_the_zone_while_it_can_do_them)
{
  static const unsigned loads[] = {5, 30, 60};
  for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
    struct result result = simulate(&(struct scenario){
        .seconds = 60, .gap_us = GAP_AT(loads[i]), .share_of_zone = 33, .lost_us = NEVER / 2, .back_us = NEVER / 2});
    print_result("balanced", &result);
    cr_assert_eq(result.failed, 0);
    cr_assert_gt(percent(&result.before), 95, "at %u %%: %.1f %%", loads[i], percent(&result.before));
  }
}

Test(zones, a_method_whose_calls_usually_take_far_longer_than_its_shortest_stays_in_the_zone)
{
  struct result result = simulate(&(struct scenario){.seconds = 60,
                                                     .gap_us = GAP_AT(40),
                                                     .share_of_zone = 33,
                                                     .cost_us = WORK_US / 20,
                                                     .lost_us = NEVER / 2,
                                                     .back_us = NEVER / 2});
  print_result("varied", &result);
  cr_assert_eq(result.failed, 0);
  cr_assert_gt(percent(&result.before), 90);
}

Test(zones, what_a_zone_cannot_do_spills_over)
{
  // 90 % of the calls of 60 % of what all can do: 1.6 times what the zone can.
  struct result result = simulate(&(struct scenario){
      .seconds = 60, .gap_us = GAP_AT(60), .share_of_zone = 90, .lost_us = NEVER / 2, .back_us = NEVER / 2});
  print_result("overloaded", &result);
  cr_assert_eq(result.failed, 0);
  cr_assert_gt(percent(&result.before), 35);
  cr_assert_lt(percent(&result.before), 65);
  cr_assert_lt(result.longest_us, 500 * MS);
}

Test(zones, a_zone_that_loses_most_of_its_instances_is_not_preferred_until_they_are_back)
{
  struct result result = simulate(&(struct scenario){.seconds = 90,
                                                     .gap_us = GAP_AT(60),
                                                     .share_of_zone = 33,
                                                     .lost = 3,
                                                     .lost_us = 30 * SECOND_US,
                                                     .back_us = 60 * SECOND_US});
  print_result("lost", &result);
  cr_assert_eq(result.failed, 0);
  cr_assert_gt(percent(&result.before), 95);
  cr_assert_lt(percent(&result.during), 25);
  cr_assert_gt(percent(&result.after), 80);
  cr_assert_lt(result.longest_us, 500 * MS);
}

Test(zones, instances_that_freeze_in_the_zone_cost_no_more_than_elsewhere)
{
  struct result result = simulate(&(struct scenario){.seconds = 60,
                                                     .gap_us = GAP_AT(30),
                                                     .share_of_zone = 33,
                                                     .frozen = 2,
                                                     .lost_us = 30 * SECOND_US,
                                                     .back_us = NEVER / 2});
  print_result("frozen", &result);
  cr_assert_lt(result.failed * 200, result.calls);
}

// ---- the choice by itself ----

Test(zones, where_no_instance_is_near_all_are_alike)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[3] = {{.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2]};
  size_t picks[3] = {0};
  for (size_t i = 0; i < 30; i++) {
    balancer_end_batch(&balancer);
    picks[balancer_pick(&balancer, all, 3, 100, START_US) - candidates]++;
  }
  for (size_t i = 0; i < 3; i++)
    cr_assert_eq(picks[i], 10);
}

Test(zones, calls_in_flight_alone_do_not_leave_the_zone)
{
  struct balancer balancer = {0};
  struct balancer_candidate near = {.ready = true, .near = true, .calls_in_flight = 500, .cost_us = 50000};
  struct balancer_candidate far = {.ready = true};
  near.heard_us = near.busy_since_us = START_US;
  struct balancer_candidate *all[] = {&far, &near};
  cr_assert_eq(balancer_pick(&balancer, all, 2, 100, START_US), &near);
}

Test(zones, the_last_instance_of_a_zone_may_go_at_once)
{
  struct balancer balancer = {0};
  struct balancer_candidate near = {.ready = true, .near = true};
  struct balancer_candidate far = {.ready = true};
  struct balancer_candidate *all[] = {&far, &near};
  cr_assert_eq(balancer_pick(&balancer, all, 2, 100, START_US), &near);
  balancer_end_batch(&balancer);
  near.ready = false;
  cr_assert_eq(balancer_pick(&balancer, all, 2, 100, START_US), &far);
  near.ready = true;
  near.full = true;
  balancer_end_batch(&balancer);
  cr_assert_eq(balancer_pick(&balancer, all, 2, 100, START_US), &far);
}

// ---- another endpoint ----

Test(zones, a_call_that_is_sent_again_stays_in_the_zone_while_that_does_well)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[5] = {{.ready = true},
                                             {.ready = true, .near = true},
                                             {.ready = true, .near = true, .calls_in_flight = 3, .cost_us = 300},
                                             {.ready = true},
                                             {.ready = true, .near = true, .calls_in_flight = 9, .cost_us = 900}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2], &candidates[3], &candidates[4]};
  candidates[2].heard_us = candidates[4].heard_us = START_US;
  cr_expect_eq(balancer_pick_other(&balancer, all, 5, &candidates[1], START_US), &candidates[2]);
  cr_expect_eq(balancer_pick_hedge(&balancer, all, 5, &candidates[1], START_US), &candidates[2]);
  candidates[2].ejection.until_us = START_US + 1;
  cr_expect_eq(balancer_pick_other(&balancer, all, 5, &candidates[1], START_US), &candidates[4]);
  candidates[4].full = true;
  const struct balancer_candidate *other = balancer_pick_other(&balancer, all, 5, &candidates[1], START_US);
  cr_expect(other != NULL && !other->near, "the zone has no other that does well");
  // One of three is left in the zone.
  candidates[4].full = false;
  candidates[1].silent = candidates[2].silent = true;
  other = balancer_pick_other(&balancer, all, 5, &candidates[1], START_US + BALANCER_LOOK_US);
  cr_expect(other != NULL && !other->near, "most of the zone is away");
}

Test(zones, a_call_that_is_sent_again_goes_to_an_ejected_instance_rather_than_to_none)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  candidates[1].ejection.until_us = START_US + 1;
  cr_expect_eq(balancer_pick_other(&balancer, all, 2, &candidates[0], START_US), &candidates[1]);
  cr_expect_null(balancer_pick_hedge(&balancer, all, 2, &candidates[0], START_US));
  candidates[1].silent = true;
  cr_expect_null(balancer_pick_other(&balancer, all, 2, &candidates[0], START_US));
  cr_expect_null(balancer_pick_other(&balancer, NULL, 0, &candidates[0], START_US));
}

// ---- the client ----

static void set_zones(struct rpc_client *client, struct slice first, struct slice second)
{
  const struct rpc_endpoint endpoints[] = {
      {.id = SLICE("first"), .url = SLICE("tcp://127.0.0.1:1"), .zone = first},
      {.id = SLICE("second"), .url = SLICE("tcp://127.0.0.1:2"), .zone = second},
  };
  rpc_client_set_endpoints(client, "test", endpoints, 2);
}

Test(zones, the_endpoints_of_the_clients_zone_are_near_also_when_it_is_known_later)
{
  struct rpc_client *client = rpc_client_create(&(struct rpc_client_options){.zone = "eu-1a"});
  set_zones(client, SLICE(""), SLICE("eu-1b"));
  struct balancer_candidate *const *candidates = client->channels->candidates;
  cr_expect(!candidates[0]->near && !candidates[1]->near);
  set_zones(client, SLICE("eu-1a"), SLICE("eu-1b"));
  candidates = client->channels->candidates;
  cr_expect(candidates[0]->near && !candidates[1]->near);
  set_zones(client, SLICE("eu-1"), SLICE("eu-1a"));
  candidates = client->channels->candidates;
  cr_expect(!candidates[0]->near && candidates[1]->near);
  rpc_client_free(&client);
}

static int64_t count_left_zone(void)
{
  struct slice label = SLICE("test");
  return read_metric(METRIC_RPC_LEFT_ZONE, &label, 1);
}

Test(zones, requests_that_leave_the_zone_are_counted)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  char url[64];
  snprintf(url, sizeof(url), "%s", rig_url(&rig));
  rpc_client_free(&rig.client);
  rig.client = rpc_client_create(&(struct rpc_client_options){.zone = "eu-1a"});
  struct rpc_endpoint endpoint = {.id = SLICE("only"), .url = slice_from_string(url), .zone = SLICE("eu-1b")};
  static const struct slice zones[] = {SLICE_INIT("eu-1b"), SLICE_INIT("eu-1a"), SLICE_INIT("")};
  for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
    endpoint.zone = zones[i];
    rpc_client_set_endpoints(rig.client, "test", &endpoint, 1);
    rig_until_ready(&rig, 1);
    struct outcome outcome;
    rig_call(&rig, SLICE("x"), &outcome);
    rig_until_done(&rig, &outcome, 1);
    cr_expect_eq(outcome.code, STATUS_OK);
    cr_expect_eq(count_left_zone(), 1, "its own zone and one that is not known do not count");
  }
  rig_stop(&rig);
}

Test(zones, a_client_without_a_zone_is_near_to_none)
{
  struct rpc_client *client = rpc_client_create(&(struct rpc_client_options){0});
  set_zones(client, SLICE(""), SLICE("eu-1b"));
  cr_expect(!client->channels->candidates[0]->near && !client->channels->candidates[1]->near);
  rpc_client_free(&client);
}

// Simulates clients and instances for thousands of virtual seconds, with faults, and compares the balancer with simpler
// choices. Nothing in it takes real time or depends on chance: the seeds are fixed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rpc/balancer_internal.h"
#include "tests/unit/rpc/event_queue.h"

enum { INSTANCES = 200, CLIENTS = 8, SECONDS = 2000, SLOW = 10 };

#define MS UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)
#define START_US SECOND_US
// The usual time of a call at an idle instance, on average and at least.
#define WORK_US (160 * MS)
#define LEAST_US 20000
// How often a call is made by all clients together: 60 % of what the instances can do.
#define GAP_US (WORK_US * 10 / 6 / INSTANCES)
#define TIMEOUT_US (5 * SECOND_US)
// The first instance answers every call with a failure at once for some time; the second stands still for a minute; the
// next ten take four times as long as the others for all the time.
#define REFUSAL_BEGIN_US (200 * SECOND_US)
#define REFUSAL_END_US (600 * SECOND_US)
#define FREEZE_BEGIN_US (1000 * SECOND_US)
#define FREEZE_END_US (1060 * SECOND_US)

enum choice { CHOICE_RANDOM, CHOICE_IN_TURN, CHOICE_LEAST, CHOICE_OURS, CHOICES };

static const char *const names[CHOICES] = {"random", "round robin", "least in flight", "balancer"};

struct client {
  struct balancer balancer;
  struct balancer_candidate states[INSTANCES];
  struct balancer_candidate *candidates[INSTANCES];
  size_t next;
};

struct result {
  size_t calls;
  size_t failed;
  size_t refusing;  // calls to the refusing instance while it refused
  size_t frozen;    // calls to the frozen one, from a second after its freeze
  size_t slow;      // calls to the slow ones
  size_t ejections;
  uint64_t p50_us, p99_us, p999_us;
};

struct simulation {
  enum choice choice;
  uint64_t seed;
  uint64_t free_us[INSTANCES];  // when an instance has done what it was given
  struct client clients[CLIENTS];
  struct event_queue calls;
  uint32_t *durations;  // of the calls that have ended, in microseconds
  struct result result;
};

static uint64_t draw(struct simulation *simulation, uint64_t below)
{
  simulation->seed = simulation->seed * 6364136223846793005u + 1442695040888963407u;
  return (simulation->seed >> 24) % below;
}

// ---- instances ----

static bool refuses(unsigned instance, uint64_t now_us)
{
  return instance == 0 && now_us >= REFUSAL_BEGIN_US && now_us < REFUSAL_END_US;
}

static bool is_slow(unsigned instance)
{
  return instance >= 2 && instance < 2 + SLOW;
}

// Returns when an instance will have answered a call that comes now.
static uint64_t work_on(struct simulation *simulation, unsigned instance, uint64_t now_us)
{
  // One call of four is long.
  uint64_t work_us = LEAST_US + draw(simulation, 80 * MS);
  if (draw(simulation, 4) == 0)
    work_us += 2 * WORK_US + draw(simulation, WORK_US);
  if (is_slow(instance))
    work_us *= 4;
  uint64_t begin_us = simulation->free_us[instance] > now_us ? simulation->free_us[instance] : now_us;
  uint64_t end_us = begin_us + work_us;
  if (instance == 1 && end_us > FREEZE_BEGIN_US && begin_us < FREEZE_END_US)
    end_us += FREEZE_END_US - (begin_us > FREEZE_BEGIN_US ? begin_us : FREEZE_BEGIN_US);
  simulation->free_us[instance] = end_us;
  return end_us;
}

// ---- clients ----

static unsigned choose_least(const struct client *client, size_t from)
{
  size_t best = from % INSTANCES;
  for (size_t i = 1; i < INSTANCES; i++) {
    size_t index = (from + i) % INSTANCES;
    if (client->states[index].calls_in_flight < client->states[best].calls_in_flight)
      best = index;
  }
  return (unsigned)best;
}

static unsigned choose_instance(struct simulation *simulation, struct client *client, uint64_t now_us)
{
  switch (simulation->choice) {
  case CHOICE_RANDOM:
    return (unsigned)draw(simulation, INSTANCES);
  case CHOICE_IN_TURN:
    return (unsigned)(client->next++ % INSTANCES);
  case CHOICE_LEAST:
    return choose_least(client, client->next++);
  default:
    balancer_end_batch(&client->balancer);
    return (unsigned)(balancer_pick(&client->balancer, client->candidates, INSTANCES, LEAST_US, now_us) -
                      client->states);
  }
}

static void send_call(struct simulation *simulation, uint64_t now_us)
{
  unsigned number = (unsigned)draw(simulation, CLIENTS);
  struct client *client = &simulation->clients[number];
  unsigned instance = choose_instance(simulation, client, now_us);
  struct event event = {.sent_us = now_us, .client = number, .instance = instance};
  event.failed = refuses(instance, now_us);
  event.end_us = event.failed ? now_us + MS : work_on(simulation, instance, now_us);
  if (event.end_us > now_us + TIMEOUT_US) {
    event.end_us = now_us + TIMEOUT_US;
    event.failed = true;
  }
  balancer_count_sent(&client->states[instance], LEAST_US, now_us);
  event_queue_push(&simulation->calls, event);
  simulation->result.refusing += refuses(instance, now_us) ? 1 : 0;
  simulation->result.slow += is_slow(instance) ? 1 : 0;
  simulation->result.frozen += instance == 1 && now_us > FREEZE_BEGIN_US + SECOND_US && now_us < FREEZE_END_US ? 1 : 0;
}

static void end_call(struct simulation *simulation, const struct event *event)
{
  struct client *client = &simulation->clients[event->client];
  struct balancer_candidate *candidate = &client->states[event->instance];
  uint64_t duration_us = event->end_us - event->sent_us;
  const struct balancer_reply reply = {.duration_us = duration_us, .cost_us = LEAST_US, .failed = event->failed};
  balancer_count_ended(candidate, LEAST_US);
  if (duration_us < TIMEOUT_US)
    candidate->heard_us = event->end_us;
  if (balancer_note_reply(candidate, &reply, event->end_us))
    simulation->result.ejections += balancer_eject(client->candidates, INSTANCES, candidate, event->end_us) ? 1 : 0;
  simulation->result.ejections +=
      balancer_find_slow(&client->balancer, client->candidates, INSTANCES, event->end_us) != NULL ? 1 : 0;
  simulation->result.failed += event->failed ? 1 : 0;
  // Who gets a failure has waited for nothing.
  simulation->durations[simulation->result.calls++] = (uint32_t)(event->failed ? TIMEOUT_US : duration_us);
}

// ---- results ----

static int compare(const void *a, const void *b)
{
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right ? 1 : 0;
}

static struct result simulate(enum choice choice)
{
  const uint64_t end_us = START_US + SECONDS * SECOND_US;
  struct simulation *simulation = calloc(1, sizeof(*simulation));
  cr_assert_not_null(simulation);
  simulation->choice = choice;
  simulation->seed = 20261122;
  simulation->durations = calloc(SECONDS * SECOND_US / GAP_US + 1, sizeof(uint32_t));
  cr_assert_not_null(simulation->durations);
  for (size_t c = 0; c < CLIENTS; c++) {
    simulation->clients[c].next = c * INSTANCES / CLIENTS;
    simulation->clients[c].balancer.random = c;
    for (size_t i = 0; i < INSTANCES; i++) {
      simulation->clients[c].candidates[i] = &simulation->clients[c].states[i];
      simulation->clients[c].states[i].ready = true;
    }
  }
  for (uint64_t now_us = START_US; now_us < end_us; now_us += GAP_US) {
    struct event event;
    while (event_queue_pop(&simulation->calls, now_us, &event))
      end_call(simulation, &event);
    send_call(simulation, now_us);
  }
  struct result result = simulation->result;
  qsort(simulation->durations, result.calls, sizeof(uint32_t), compare);
  result.p50_us = simulation->durations[result.calls / 2];
  result.p99_us = simulation->durations[result.calls / 100 * 99];
  result.p999_us = simulation->durations[result.calls / 1000 * 999];
  free(simulation->durations);
  event_queue_free(&simulation->calls);
  free(simulation);
  return result;
}

static double percent(size_t part, size_t whole)
{
  return 100.0 * (double)part / (double)whole;
}

Test(balancing, goes_round_what_fails_stands_still_or_is_slow)
{
  struct result results[CHOICES];
  printf("%d instances, %d clients, %d virtual seconds at 60 %% of what the instances can do\n", INSTANCES, CLIENTS,
         SECONDS);
  printf("%-16s %9s %8s %10s %8s %9s %8s %8s %8s\n", "choice", "calls", "failed", "refusing", "frozen", "slow ones",
         "p50 ms", "p99 ms", "p99.9");
  for (enum choice choice = 0; choice < CHOICES; choice++) {
    const struct result *result = &results[choice];
    results[choice] = simulate(choice);
    printf("%-16s %9zu %8zu %10zu %8zu %7.2f %% %8.0f %8.0f %8.0f\n", names[choice], result->calls, result->failed,
           result->refusing, result->frozen, percent(result->slow, result->calls), (double)result->p50_us / 1000,
           (double)result->p99_us / 1000, (double)result->p999_us / 1000);
  }
  const struct result *ours = &results[CHOICE_OURS], *chance = &results[CHOICE_RANDOM];
  printf("ejections of the balancer: %zu\n", ours->ejections);
  cr_assert_lt(ours->failed * 20, chance->failed);
  cr_assert_lt(ours->refusing * 5, chance->refusing);
  cr_assert_lt(ours->refusing, results[CHOICE_LEAST].refusing);
  cr_assert_lt(ours->frozen * 5, chance->frozen);
  cr_assert_lt(ours->slow * 2, chance->slow);
  for (enum choice choice = 0; choice < CHOICE_OURS; choice++)
    cr_assert_lt(ours->p99_us * 2, results[choice].p99_us);
}

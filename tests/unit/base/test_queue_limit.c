// How long a queue becomes: single decisions, and a simulation of servers that get more than they can serve.
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/queue_limit.h"

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)

Test(queue_limit, admits_everybody_before_anybody_was_served)
{
  struct queue_limit limit = {0};
  cr_assert(queue_limit_admits(&limit, 1000000, 1, SECOND));
}

Test(queue_limit, a_burst_may_wait_for_a_second_and_a_standing_queue_for_much_less)
{
  struct queue_limit limit = {0};
  queue_limit_note_service(&limit, 10 * MS);
  cr_assert(queue_limit_admits(&limit, 400, 4, SECOND), "1,000 ms");
  cr_assert_not(queue_limit_admits(&limit, 401, 4, SECOND));
  queue_limit_note_waiting(&limit, 1, SECOND);
  queue_limit_note_waiting(&limit, 2, SECOND + 500 * MS);
  cr_assert(queue_limit_admits(&limit, 400, 4, 2 * SECOND - 1));
  cr_assert_not(queue_limit_admits(&limit, 400, 4, 2 * SECOND));
  cr_assert(queue_limit_admits(&limit, 20, 4, 2 * SECOND), "50 ms");
  cr_assert_not(queue_limit_admits(&limit, 21, 4, 2 * SECOND));
  queue_limit_note_waiting(&limit, 0, 2 * SECOND);
  cr_assert(queue_limit_admits(&limit, 400, 4, 2 * SECOND), "it was empty once");
}

Test(queue_limit, no_server_idles_however_long_one_takes)
{
  struct queue_limit limit = {.service_us = 30 * SECOND, .waiting_since_us = 1};
  cr_assert(queue_limit_admits(&limit, 3, 4, 100 * SECOND));
  cr_assert_not(queue_limit_admits(&limit, 4, 4, 100 * SECOND));
}

// ---- a simulation ----

enum { SERVERS = 4, SERVICE_US = 10 * 1000, STEP_US = 100, MOST_WAITING = 4096 };

struct simulation {
  struct queue_limit limit;
  uint64_t free_us[SERVERS];  // when each server is free
  uint64_t queue[MOST_WAITING];
  size_t head;
  size_t tail;
  size_t offered;
  size_t served;
  uint64_t longest_wait_us;
};

static void serve(struct simulation *s, uint64_t now_us)
{
  for (size_t i = 0; i < SERVERS && s->head != s->tail; i++) {
    if (s->free_us[i] > now_us)
      continue;
    uint64_t wait_us = now_us - s->queue[s->head++ % MOST_WAITING];
    s->longest_wait_us = wait_us > s->longest_wait_us ? wait_us : s->longest_wait_us;
    s->free_us[i] = now_us + SERVICE_US;
    s->served++;
    queue_limit_note_service(&s->limit, SERVICE_US);
    queue_limit_note_waiting(&s->limit, s->tail - s->head, now_us);
  }
}

static void offer(struct simulation *s, uint64_t now_us)
{
  s->offered++;
  if (!queue_limit_admits(&s->limit, s->tail - s->head, SERVERS, now_us))
    return;
  s->queue[s->tail++ % MOST_WAITING] = now_us;
  cr_assert_lt(s->tail - s->head, MOST_WAITING);
  queue_limit_note_waiting(&s->limit, s->tail - s->head, now_us);
}

// Offers one request each `gap_us` from `from_us` to `to_us`.
static void run(struct simulation *s, uint64_t from_us, uint64_t to_us, uint64_t gap_us)
{
  s->offered = s->served = 0;
  s->longest_wait_us = 0;
  for (uint64_t now_us = from_us; now_us < to_us; now_us += STEP_US) {
    serve(s, now_us);
    if ((now_us - from_us) % gap_us == 0)
      offer(s, now_us);
  }
}

// Four servers of 10 ms serve 400 a second; they are offered 2,000.
Test(queue_limit, five_times_too_much_leaves_goodput_and_waits_as_they_are)
{
  static struct simulation s;
  run(&s, 1 * SECOND, 11 * SECOND, 500);
  printf("the first 10 s: offered %zu, served %zu, longest wait %zu ms\n", s.offered, s.served,
         (size_t)(s.longest_wait_us / MS));
  cr_assert_geq(s.served, 3950);
  cr_assert_leq(s.longest_wait_us, (QUEUE_BURST_MS + 20) * MS);
  run(&s, 11 * SECOND, 41 * SECOND, 500);
  printf("the next 30 s: offered %zu, served %zu, longest wait %zu ms\n", s.offered, s.served,
         (size_t)(s.longest_wait_us / MS));
  cr_assert_geq(s.served, 11900);
  cr_assert_leq(s.longest_wait_us, (QUEUE_STEADY_MS + 20) * MS);
  // Less is offered again: what comes then waits for the rest of the queue only, and a burst is taken again.
  run(&s, 41 * SECOND, 42 * SECOND, 5000);
  cr_assert_geq(s.served, 200);
  cr_assert_leq(s.longest_wait_us, (QUEUE_STEADY_MS + 20) * MS);
  cr_assert(queue_limit_admits(&s.limit, 300, SERVERS, 42 * SECOND));
}

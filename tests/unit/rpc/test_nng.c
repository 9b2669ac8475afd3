// What the workarounds around nng promise.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/rpc/nng_compat_internal.h"
#include "tests/unit/rpc/harness.h"

// Two tasks of nng's, of which the first waits for the second: with one thread left at work the second is never run.
struct pair {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool first_runs;
  bool second_ran;
  bool first_ended;
};

static struct pair pair = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void set_flag(bool *flag)
{
  pthread_mutex_lock(&pair.mutex);
  *flag = true;
  pthread_cond_broadcast(&pair.changed);
  pthread_mutex_unlock(&pair.mutex);
}

static void wait_for_flag(const bool *flag)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 60;
  pthread_mutex_lock(&pair.mutex);
  int result = 0;
  while (!*flag && result == 0)
    result = pthread_cond_timedwait(&pair.changed, &pair.mutex, &end);
  bool set = *flag;
  pthread_mutex_unlock(&pair.mutex);
  cr_assert(set, "nng made no progress for a minute");
}

static void run_first(void *arg)
{
  (void)arg;
  set_flag(&pair.first_runs);
  wait_for_flag(&pair.second_ran);
  set_flag(&pair.first_ended);
}

static void run_second(void *arg)
{
  (void)arg;
  set_flag(&pair.second_ran);
}

Test(nng, a_task_that_waits_for_another_one_costs_time_but_not_progress)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  nng_aio *first, *second;
  cr_assert_eq(nng_aio_alloc(&first, run_first, NULL), 0);
  cr_assert_eq(nng_aio_alloc(&second, run_second, NULL), 0);
  nng_sleep_aio(0, first);
  wait_for_flag(&pair.first_runs);
  nng_sleep_aio(0, second);
  wait_for_flag(&pair.first_ended);
  // All threads are at work again, and calls go on.
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  nng_aio_free(first);
  nng_aio_free(second);
  rig_stop(&rig);
}

Test(nng, nothing_of_an_old_connection_reaches_the_next_server)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  struct outcome before, after;
  rig_call(&rig, SLICE("before"), &before);
  rig_until_done(&rig, &before, 1);
  // The server ends and another one listens on the same port.
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", rpc_server_port(rig.server));
  rpc_server_free(&rig.server);
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  rig_until_ready(&rig, 0);
  rig_until_ready(&rig, 1);
  rig_call(&rig, SLICE("after"), &after);
  rig_until_done(&rig, &after, 1);
  cr_assert_eq(after.code, STATUS_OK);
  cr_assert_eq(rig.requests, 2);
  rig_stop(&rig);
}

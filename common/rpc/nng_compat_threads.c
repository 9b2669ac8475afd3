// Parking works by tasks that do not return: each occupies one thread of nng's pool. The first parked thread becomes
// the guard. It parks the others one by one, and probes after each whether nng still runs tasks, so that neither
// another number of threads than expected nor a thread that starts late can stop nng.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/observe/log.h"
#include "common/rpc/nng_compat_internal.h"

// The most task threads that nng starts (NNG_MAX_TASKQ_THREADS in its build).
#define MAX_TASK_THREADS 16
#define PROBE_INTERVAL_MS 1000
#define PROBE_TIMEOUT_MS 1000

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool probe_answered;
  bool released;  // parked threads return to nng's pool
  size_t parked;
  // The aios are never freed: a parked thread is inside the callback of its aio until the process ends.
  nng_aio *guard;
  nng_aio *probe;
  nng_aio *parkings[MAX_TASK_THREADS];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static nng_aio *make_task(void (*run)(void *arg))
{
  nng_aio *aio;
  CHECK(nng_aio_alloc(&aio, run, NULL) == 0);
  return aio;
}

// Has nng run the callback of `aio` on a task thread. A sleep of no time is the plainest way to do so.
static void dispatch_task(nng_aio *aio)
{
  nng_sleep_aio(0, aio);
}

// Waits for `pool.changed`; the caller holds the mutex. False once `deadline_us` has passed.
static bool wait_for_change(uint64_t deadline_us)
{
  return condition_wait_until(&pool.changed, &pool.mutex, deadline_us);
}

static void answer_probe(void *arg)
{
  (void)arg;
  pthread_mutex_lock(&pool.mutex);
  pool.probe_answered = true;
  pthread_cond_broadcast(&pool.changed);
  pthread_mutex_unlock(&pool.mutex);
}

// Returns whether a task thread that is not parked runs a task within the timeout. The caller holds the mutex. After a
// false result the probe's aio is still in use, so no further probe may be sent.
static bool probe_pool(void)
{
  pool.probe_answered = false;
  dispatch_task(pool.probe);
  uint64_t end_us = deadline_after_ms(clock_now_us(), PROBE_TIMEOUT_MS);
  while (!pool.probe_answered && wait_for_change(end_us))
    continue;
  return pool.probe_answered;
}

static void park_thread(void *arg)
{
  (void)arg;
  pthread_mutex_lock(&pool.mutex);
  pool.parked++;
  pthread_cond_broadcast(&pool.changed);
  while (!pool.released)
    pthread_cond_wait(&pool.changed, &pool.mutex);
  pthread_mutex_unlock(&pool.mutex);
}

// Returns how many task threads nng 1.5.2 is expected to have started. If there are more, too few are parked; if there
// are fewer, a probe fails before the last one is lost.
static size_t count_expected_threads(void)
{
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  size_t threads = cpus < 1 ? 2 : (size_t)cpus * 2;
  return threads > MAX_TASK_THREADS ? MAX_TASK_THREADS : threads;
}

// Parks all task threads but two: the caller, which is the guard, and the one that stays at work. False when nng ran
// no task within PROBE_TIMEOUT_MS. The caller holds the mutex.
static bool park_surplus(void)
{
  for (size_t i = 0; i + 2 < count_expected_threads(); i++) {
    size_t before = pool.parked;
    pool.parkings[i] = make_task(park_thread);
    dispatch_task(pool.parkings[i]);
    uint64_t end_us = deadline_after_ms(clock_now_us(), PROBE_TIMEOUT_MS);
    while (pool.parked == before && wait_for_change(end_us))
      continue;
    if (pool.parked == before || !probe_pool())
      return false;
  }
  return probe_pool();
}

static void guard_pool(void *arg)
{
  (void)arg;
  pthread_mutex_lock(&pool.mutex);
  bool responsive = park_surplus();
  while (responsive) {
    uint64_t next_us = deadline_after_ms(clock_now_us(), PROBE_INTERVAL_MS);
    while (wait_for_change(next_us))
      continue;
    responsive = probe_pool();
  }
  pool.released = true;
  size_t occupied = pool.parked + 1;
  pthread_cond_broadcast(&pool.changed);
  pthread_mutex_unlock(&pool.mutex);
  log_warn("rpc", "nng ran no task for a second; all its threads work again, calls may be slower until a restart",
           LOG_STRING("nngVersion", nng_version()), LOG_INT("parkedThreads", occupied));
}

static void start_guard(void)
{
  condition_init(&pool.changed);
  pool.probe = make_task(answer_probe);
  pool.guard = make_task(guard_pool);
  dispatch_task(pool.guard);
}

void rpc_limit_nng_threads(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_guard);
}

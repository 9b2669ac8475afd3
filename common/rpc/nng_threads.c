// nng 1.5.2 carries a message through three to five small tasks (header, body, queue, sent), and hands each to
// whichever of its threads sleeps, two a core: measured, a packet cost 16 context switches. One thread runs the same
// tasks one after the other without a switch. It is enough, for nothing that nng calls back here waits for anything:
// the work is done on the loop's thread.
//
// nng takes the number of threads from sysconf() when it starts and has no setting for it. So each surplus thread is
// given a task that never ends. How many there are is read from their names, for a parked last one would stop nng.
#include "common/rpc/nng_threads_internal.h"

#include <dirent.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"

#define TASK_THREAD_NAME "nng:task\n"
// nng starts two a core, but no more than these.
#define MAX_THREADS 16

// Kept where a leak checker finds them.
static nng_aio *parked[MAX_THREADS];

static void sleep_for_ever(void *arg)
{
  (void)arg;
  for (;;)
    pause();
}

static bool is_task_thread(const char *tid)
{
  char path[64];
  char name[32] = "";
  snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", tid);
  FILE *file = fopen(path, "re");
  if (file == NULL)
    return false;
  bool is = fgets(name, sizeof(name), file) != NULL && strcmp(name, TASK_THREAD_NAME) == 0;
  fclose(file);
  return is;
}

static size_t count_task_threads(void)
{
  DIR *tasks = opendir("/proc/self/task");
  if (tasks == NULL)
    return 0;
  size_t count = 0;
  const struct dirent *entry;
  while ((entry = readdir(tasks)) != NULL)
    count += is_task_thread(entry->d_name) ? 1 : 0;
  closedir(tasks);
  return count;
}

// They name themselves as they begin to run, a moment after nng has started them. Some that are late only go on
// working.
static size_t wait_for_task_threads(void)
{
  long expected = 2 * sysconf(_SC_NPROCESSORS_ONLN);
  if (expected > MAX_THREADS)
    expected = MAX_THREADS;
  size_t count = count_task_threads();
  for (int tries = 0; tries < 100 && (long)count < expected; tries++) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    count = count_task_threads();
  }
  return count;
}

static void park(void)
{
  size_t threads = wait_for_task_threads();
  for (size_t i = 0; i + 1 < threads && i < MAX_THREADS; i++) {
    CHECK(nng_aio_alloc(&parked[i], sleep_for_ever, NULL) == 0);
    nng_sleep_aio(0, parked[i]);
  }
}

void nng_threads_park(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, park);
}

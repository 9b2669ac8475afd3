#include "common/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"

// How long a turn is where others wait; the kernel's own is 1.4 ms with two processors and 2.8 ms with eight.
#define SHORT_TURN_NS 300000

bool thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
  // A thread inherits the mask of its creator.
  sigset_t all, before;
  sigfillset(&all);
  CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  int result = pthread_create(thread, NULL, run, arg);
  CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
  // pthread_create returns its error number and leaves errno alone.
  errno = result;
  return result == 0;
}

// The first version of the kernel's struct sched_attr, which glibc does not declare everywhere.
struct schedule {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime_ns;  // of a thread without real-time: how long a turn is
  uint64_t deadline_ns;
  uint64_t period_ns;
};

void thread_ask_for_short_turns(void)
{
  struct schedule schedule = {0};
  if (syscall(SYS_sched_getattr, 0, &schedule, sizeof(schedule), 0) != 0)
    return;
  schedule.runtime_ns = SHORT_TURN_NS;
  (void)syscall(SYS_sched_setattr, 0, &schedule, 0);
}

void condition_init(pthread_cond_t *condition)
{
  pthread_condattr_t attributes;
  CHECK(pthread_condattr_init(&attributes) == 0);
  CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
  CHECK(pthread_cond_init(condition, &attributes) == 0);
  pthread_condattr_destroy(&attributes);
}

bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t deadline_us)
{
  const struct timespec end = {.tv_sec = (time_t)(deadline_us / 1000000),
                               .tv_nsec = (long)(deadline_us % 1000000) * 1000};
  int result = pthread_cond_timedwait(condition, mutex, &end);
  CHECK(result == 0 || result == ETIMEDOUT);
  return result == 0;
}

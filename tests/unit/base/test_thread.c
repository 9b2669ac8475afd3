#include "common/base/thread.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/clock.h"

#define FAR_AWAY_MS 60000

struct meeting {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  sigset_t blocked;
  bool arrived;
};

static void *arrive(void *arg)
{
  struct meeting *meeting = arg;
  pthread_mutex_lock(&meeting->mutex);
  pthread_sigmask(SIG_SETMASK, NULL, &meeting->blocked);
  meeting->arrived = true;
  pthread_cond_signal(&meeting->changed);
  pthread_mutex_unlock(&meeting->mutex);
  return NULL;
}

Test(thread, a_helper_thread_gets_no_signals_and_wakes_who_waits)
{
  struct meeting meeting = {.mutex = PTHREAD_MUTEX_INITIALIZER};
  condition_init(&meeting.changed);
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  pthread_mutex_lock(&meeting.mutex);
  pthread_t thread;
  cr_assert(thread_start(&thread, arrive, &meeting));
  uint64_t end_us = deadline_after_ms(clock_now_us(), FAR_AWAY_MS);
  while (!meeting.arrived)
    cr_assert(condition_wait_until(&meeting.changed, &meeting.mutex, end_us));
  pthread_mutex_unlock(&meeting.mutex);
  pthread_join(thread, NULL);
  cr_assert_eq(sigismember(&meeting.blocked, SIGTERM), 1);
  cr_assert_eq(sigismember(&meeting.blocked, SIGCHLD), 1);
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  cr_assert_eq(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM), "the creator's mask is as it was");
  pthread_cond_destroy(&meeting.changed);
}

Test(thread, a_wait_ends_at_its_deadline_and_not_before)
{
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never;
  condition_init(&never);
  pthread_mutex_lock(&mutex);
  cr_assert_not(condition_wait_until(&never, &mutex, 0), "a deadline that has passed");
  uint64_t end_us = deadline_after_ms(clock_now_us(), 20);
  while (condition_wait_until(&never, &mutex, end_us))
    continue;
  cr_assert_geq(clock_now_us(), end_us);
  pthread_mutex_unlock(&mutex);
  pthread_cond_destroy(&never);
}

// The kernel tells of a turn's length by sched_getattr in its fourth word, since Linux 6.12; before it is 0.
static uint64_t turn_ns(void)
{
  uint64_t words[6] = {0};
  cr_assert_eq(syscall(SYS_sched_getattr, 0, words, sizeof(words), 0), 0);
  return words[3];
}

Test(thread, short_turns_change_neither_policy_nor_priority)
{
  int policy = sched_getscheduler(0), priority = getpriority(PRIO_PROCESS, 0);
  uint64_t before_ns = turn_ns();
  thread_ask_for_short_turns();
  cr_assert_eq(sched_getscheduler(0), policy);
  cr_assert_eq(getpriority(PRIO_PROCESS, 0), priority);
  cr_assert(before_ns == 0 || turn_ns() < before_ns);
}

// A list under a mutex. The thread takes it whole and closes one socket after the other; signals stay with the loop.
#include "common/rpc/reaper_internal.h"

#include <signal.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"

#define STOP_TIMEOUT_MS 1000

static void close_all(struct rpc_link *links)
{
  while (links != NULL) {
    struct rpc_link *link = links;
    links = link->next;
    nng_close(link->socket);
    free(link);
  }
}

static void *run(void *arg)
{
  struct reaper *reaper = arg;
  pthread_mutex_lock(&reaper->mutex);
  while (!reaper->stop || reaper->links != NULL) {
    struct rpc_link *links = reaper->links;
    reaper->links = NULL;
    if (links == NULL) {
      pthread_cond_wait(&reaper->changed, &reaper->mutex);
      continue;
    }
    pthread_mutex_unlock(&reaper->mutex);
    close_all(links);
    pthread_mutex_lock(&reaper->mutex);
  }
  reaper->stopped = true;
  pthread_cond_signal(&reaper->changed);
  pthread_mutex_unlock(&reaper->mutex);
  return NULL;
}

struct reaper *reaper_start(void)
{
  struct reaper *reaper = calloc(1, sizeof(*reaper));
  CHECK(reaper != NULL);
  pipe_events_init(&reaper->events);
  CHECK(pthread_mutex_init(&reaper->mutex, NULL) == 0);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  CHECK(pthread_cond_init(&reaper->changed, &attributes) == 0);
  pthread_condattr_destroy(&attributes);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  CHECK(pthread_create(&reaper->thread, NULL, run, reaper) == 0);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return reaper;
}

void reaper_close(struct reaper *reaper, struct rpc_link *link)
{
  pthread_mutex_lock(&reaper->mutex);
  link->next = reaper->links;
  reaper->links = link;
  pthread_cond_signal(&reaper->changed);
  pthread_mutex_unlock(&reaper->mutex);
}

// False when the thread still runs, which it may do for ever.
static bool stop_thread(struct reaper *reaper)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), STOP_TIMEOUT_MS);
  struct timespec end = {.tv_sec = (time_t)(end_us / 1000000), .tv_nsec = (long)(end_us % 1000000) * 1000};
  pthread_mutex_lock(&reaper->mutex);
  reaper->stop = true;
  pthread_cond_signal(&reaper->changed);
  while (!reaper->stopped && pthread_cond_timedwait(&reaper->changed, &reaper->mutex, &end) == 0)
    continue;
  bool stopped = reaper->stopped;
  pthread_mutex_unlock(&reaper->mutex);
  return stopped;
}

void reaper_stop(struct reaper **reaper_pointer)
{
  struct reaper *reaper = *reaper_pointer;
  *reaper_pointer = NULL;
  if (!stop_thread(reaper)) {
    log_warn("rpc", "nng does not finish closing its sockets; they are left to the end of the process");
    pthread_detach(reaper->thread);
    return;
  }
  pthread_join(reaper->thread, NULL);
  pipe_events_free(&reaper->events);
  pthread_cond_destroy(&reaper->changed);
  pthread_mutex_destroy(&reaper->mutex);
  free(reaper);
}

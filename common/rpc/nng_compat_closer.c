// A list under a mutex. The thread takes it whole and closes one socket after the other; signals stay with the host.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/rpc/nng_compat_internal.h"

#define STOP_TIMEOUT_MS 1000

enum closer_state { CLOSER_RUNNING, CLOSER_STOPPING, CLOSER_STOPPED };

struct rpc_closer {
  struct pipe_events events;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  struct rpc_link *links;
  enum closer_state state;
};

static void close_links(struct rpc_link *links)
{
  while (links != NULL) {
    struct rpc_link *link = links;
    links = link->next;
    nng_close(link->socket);
    free(link);
  }
}

static void *run_closer(void *arg)
{
  struct rpc_closer *closer = arg;
  pthread_mutex_lock(&closer->mutex);
  while (closer->state == CLOSER_RUNNING || closer->links != NULL) {
    struct rpc_link *links = closer->links;
    closer->links = NULL;
    if (links == NULL) {
      pthread_cond_wait(&closer->changed, &closer->mutex);
      continue;
    }
    pthread_mutex_unlock(&closer->mutex);
    close_links(links);
    pthread_mutex_lock(&closer->mutex);
  }
  closer->state = CLOSER_STOPPED;
  pthread_cond_signal(&closer->changed);
  pthread_mutex_unlock(&closer->mutex);
  return NULL;
}

static void init_monotonic(pthread_cond_t *condition)
{
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  CHECK(pthread_cond_init(condition, &attributes) == 0);
  pthread_condattr_destroy(&attributes);
}

struct rpc_closer *rpc_closer_start(void)
{
  struct rpc_closer *closer = calloc(1, sizeof(*closer));
  CHECK(closer != NULL);
  pipe_events_init(&closer->events);
  CHECK(pthread_mutex_init(&closer->mutex, NULL) == 0);
  init_monotonic(&closer->changed);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  CHECK(pthread_create(&closer->thread, NULL, run_closer, closer) == 0);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return closer;
}

struct pipe_events *rpc_closer_events(struct rpc_closer *closer)
{
  return &closer->events;
}

void rpc_closer_close(struct rpc_closer *closer, struct rpc_link **link_pointer)
{
  struct rpc_link *link = *link_pointer;
  *link_pointer = NULL;
  if (link == NULL)
    return;
  pthread_mutex_lock(&closer->mutex);
  link->next = closer->links;
  closer->links = link;
  pthread_cond_signal(&closer->changed);
  pthread_mutex_unlock(&closer->mutex);
}

// False when the thread still runs, which it may do for ever.
static bool stop_thread(struct rpc_closer *closer)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), STOP_TIMEOUT_MS);
  struct timespec end = {.tv_sec = (time_t)(end_us / 1000000), .tv_nsec = (long)(end_us % 1000000) * 1000};
  pthread_mutex_lock(&closer->mutex);
  closer->state = CLOSER_STOPPING;
  pthread_cond_signal(&closer->changed);
  while (closer->state != CLOSER_STOPPED && pthread_cond_timedwait(&closer->changed, &closer->mutex, &end) == 0)
    continue;
  bool stopped = closer->state == CLOSER_STOPPED;
  pthread_mutex_unlock(&closer->mutex);
  return stopped;
}

void rpc_closer_free(struct rpc_closer **closer_pointer)
{
  struct rpc_closer *closer = *closer_pointer;
  *closer_pointer = NULL;
  if (closer == NULL)
    return;
  if (!stop_thread(closer)) {
    log_warn("rpc", "nng did not close its sockets within a second; the end of the process closes them",
             LOG_STRING("nngVersion", nng_version()));
    pthread_detach(closer->thread);
    return;
  }
  pthread_join(closer->thread, NULL);
  pipe_events_free(&closer->events);
  pthread_cond_destroy(&closer->changed);
  pthread_mutex_destroy(&closer->mutex);
  free(closer);
}

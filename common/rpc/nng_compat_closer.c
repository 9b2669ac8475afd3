// The links to close are a list under a mutex. The thread takes the whole list and closes one socket after the other.
#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
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

struct rpc_closer *rpc_closer_start(void)
{
  struct rpc_closer *closer = calloc(1, sizeof(*closer));
  CHECK(closer != NULL);
  pipe_events_init(&closer->events);
  CHECK(pthread_mutex_init(&closer->mutex, NULL) == 0);
  condition_init(&closer->changed);
  CHECK(thread_start(&closer->thread, run_closer, closer));
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

// Asks the thread to end and waits for it. False when it still runs after STOP_TIMEOUT_MS; it may run for ever.
static bool stop_thread(struct rpc_closer *closer)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), STOP_TIMEOUT_MS);
  pthread_mutex_lock(&closer->mutex);
  closer->state = CLOSER_STOPPING;
  pthread_cond_signal(&closer->changed);
  while (closer->state != CLOSER_STOPPED && condition_wait_until(&closer->changed, &closer->mutex, end_us))
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

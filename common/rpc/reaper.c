// A list under a mutex. The thread takes it whole and closes one socket after the other; signals stay with the loop.
#include "common/rpc/reaper.h"

#include <signal.h>
#include <stdlib.h>

#include "common/base/check.h"

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
      pthread_cond_wait(&reaper->wake, &reaper->mutex);
      continue;
    }
    pthread_mutex_unlock(&reaper->mutex);
    close_all(links);
    pthread_mutex_lock(&reaper->mutex);
  }
  pthread_mutex_unlock(&reaper->mutex);
  return NULL;
}

void reaper_start(struct reaper *reaper)
{
  reaper->links = NULL;
  reaper->stop = false;
  CHECK(pthread_mutex_init(&reaper->mutex, NULL) == 0);
  CHECK(pthread_cond_init(&reaper->wake, NULL) == 0);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  CHECK(pthread_create(&reaper->thread, NULL, run, reaper) == 0);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void reaper_close(struct reaper *reaper, struct rpc_link *link)
{
  pthread_mutex_lock(&reaper->mutex);
  link->next = reaper->links;
  reaper->links = link;
  pthread_cond_signal(&reaper->wake);
  pthread_mutex_unlock(&reaper->mutex);
}

void reaper_stop(struct reaper *reaper)
{
  pthread_mutex_lock(&reaper->mutex);
  reaper->stop = true;
  pthread_cond_signal(&reaper->wake);
  pthread_mutex_unlock(&reaper->mutex);
  pthread_join(reaper->thread, NULL);
  pthread_cond_destroy(&reaper->wake);
  pthread_mutex_destroy(&reaper->mutex);
}

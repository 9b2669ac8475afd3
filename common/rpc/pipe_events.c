// An array under a mutex. Events are rare, because only connections that come and go make any, so the array is handed
// over whole.
#include "common/rpc/pipe_events_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/security/tls.h"

void pipe_events_init(struct pipe_events *queue)
{
  memset(queue, 0, sizeof(*queue));
  CHECK(pthread_mutex_init(&queue->mutex, NULL) == 0);
  queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(queue->fd >= 0);
}

void rpc_opened_discard(struct rpc_opened *opened)
{
  if (opened->stream == NULL)
    return;
  if (opened->fd >= 0)
    close(opened->fd);
  nng_stream_close(opened->stream);
  nng_stream_free(opened->stream);
  tls_session_free(&opened->tls);
  opened->stream = NULL;
}

void pipe_events_free(struct pipe_events *queue)
{
  for (size_t i = 0; i < queue->count; i++)
    rpc_opened_discard(&queue->events[i].opened);
  close(queue->fd);
  free(queue->events);
  pthread_mutex_destroy(&queue->mutex);
}

void pipe_events_wake(struct pipe_events *queue)
{
  uint64_t one = 1;
  // The write fails only when the eventfd's counter is full, and then the fd is readable anyway.
  ssize_t written = write(queue->fd, &one, sizeof(one));
  (void)written;
}

void pipe_events_push(struct pipe_events *queue, struct pipe_event event)
{
  pthread_mutex_lock(&queue->mutex);
  if (queue->count == queue->capacity) {
    size_t capacity = queue->capacity == 0 ? 16 : queue->capacity * 2;
    struct pipe_event *events = realloc(queue->events, capacity * sizeof(*events));
    CHECK(events != NULL);
    queue->events = events;
    queue->capacity = capacity;
  }
  queue->events[queue->count++] = event;
  pthread_mutex_unlock(&queue->mutex);
  pipe_events_wake(queue);
}

struct pipe_event *pipe_events_take(struct pipe_events *queue, size_t *count)
{
  uint64_t ignored;
  ssize_t got = read(queue->fd, &ignored, sizeof(ignored));
  (void)got;
  pthread_mutex_lock(&queue->mutex);
  struct pipe_event *events = queue->events;
  *count = queue->count;
  if (*count != 0) {
    queue->events = NULL;
    queue->count = 0;
    queue->capacity = 0;
  } else {
    events = NULL;
  }
  pthread_mutex_unlock(&queue->mutex);
  return events;
}

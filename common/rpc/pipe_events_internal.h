// What nng's threads report about connections, handed to the thread of the loop. nng calls back on threads of its own,
// where nothing may block; they only push here, and an eventfd wakes the loop.
#ifndef BULKHEAD_RPC_PIPE_EVENTS_INTERNAL_H
#define BULKHEAD_RPC_PIPE_EVENTS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pipe_event_kind { PIPE_OPENED, PIPE_CLOSED };

struct pipe_event {
  enum pipe_event_kind kind;
  uint32_t pipe;     // nng's id
  uint64_t link_id;  // which socket it was on; 0 for the server's
};

struct pipe_events {
  pthread_mutex_t mutex;
  struct pipe_event *events;
  size_t count;
  size_t capacity;
  int fd;  // readable when there are any
};

void pipe_events_init(struct pipe_events *queue);
void pipe_events_free(struct pipe_events *queue);

// Any thread.
void pipe_events_push(struct pipe_events *queue, struct pipe_event event);
// Makes the fd readable with nothing to take.
void pipe_events_wake(struct pipe_events *queue);
// Everything that has come, oldest first; the caller frees it with free(). NULL and 0 when there is nothing.
struct pipe_event *pipe_events_take(struct pipe_events *queue, size_t *count);

#endif

// Hands what nng's threads report about connections to the host's thread. nng calls back on its own threads, where
// nothing may block: the callbacks only push events here, and an eventfd wakes the host's loop.
#ifndef BULKHEAD_RPC_PIPE_EVENTS_INTERNAL_H
#define BULKHEAD_RPC_PIPE_EVENTS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pipe_event_kind {
  PIPE_OPENED,   // packets may come over the connection from now on; servers only
  PIPE_STARTED,  // the socket sends to the connection from now on; its first packet may have come before
  PIPE_CLOSED,   // the connection has ended, or was refused before it started
};

struct pipe_event {
  enum pipe_event_kind kind;
  uint32_t pipe;     // nng's id
  uint64_t link_id;  // rpc_link.id of the socket; 0 on a server
};

struct pipe_events {
  pthread_mutex_t mutex;
  struct pipe_event *events;
  size_t count;
  size_t capacity;
  int fd;  // readable when there are events
};

void pipe_events_init(struct pipe_events *queue);
void pipe_events_free(struct pipe_events *queue);

// Adds an event. Any thread may call it.
void pipe_events_push(struct pipe_events *queue, struct pipe_event event);
// Makes the fd readable although there may be no event.
void pipe_events_wake(struct pipe_events *queue);
// Takes all events, oldest first; the caller frees them with free(). NULL and 0 when there are none.
struct pipe_event *pipe_events_take(struct pipe_events *queue, size_t *count);

#endif

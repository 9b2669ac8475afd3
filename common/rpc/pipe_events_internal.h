// Hands what nng's threads report about connections to the host's thread. nng calls back on its own threads, where
// nothing may block: the callbacks only push events here, and an eventfd wakes the host's loop.
#ifndef BULKHEAD_RPC_PIPE_EVENTS_INTERNAL_H
#define BULKHEAD_RPC_PIPE_EVENTS_INTERNAL_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_session;

// An open connection on its way to the stream that will own it.
struct rpc_opened {
  nng_stream *stream;       // NULL for none
  struct tls_session *tls;  // NULL without TLS
  int fd;                   // a duplicate of its socket; -1 when it is not known, see nng_compat_internal.h
  bool is_ipc;              // its messages are framed as SP over IPC has it
};

// Closes a connection that no stream has taken over.
void rpc_opened_discard(struct rpc_opened *opened);

enum pipe_event_kind {
  PIPE_OPENED,  // a connection is open and has exchanged SP's greeting; who takes the event owns it
  PIPE_FAILED,  // a dial has failed, because of `reason`
};

struct pipe_event {
  enum pipe_event_kind kind;
  uint64_t link_id;  // rpc_link_options.id
  struct rpc_opened opened;
  char reason[256];  // in words
};

struct pipe_events {
  pthread_mutex_t mutex;
  struct pipe_event *events;
  size_t count;
  size_t capacity;
  int fd;  // readable when there are events
};

void pipe_events_init(struct pipe_events *queue);
// Frees the queue, and closes the connections in it.
void pipe_events_free(struct pipe_events *queue);

// Adds an event. Any thread may call it.
void pipe_events_push(struct pipe_events *queue, struct pipe_event event);
// Makes the fd readable although there may be no event.
void pipe_events_wake(struct pipe_events *queue);
// Takes all events, oldest first; the caller frees them with free(). NULL and 0 when there are none.
struct pipe_event *pipe_events_take(struct pipe_events *queue, size_t *count);

#endif

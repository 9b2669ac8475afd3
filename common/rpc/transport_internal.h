// What the connections of a client or a server have in common: the fd that the host watches, the queue of connection
// events, and the senders.
#ifndef BULKHEAD_RPC_TRANSPORT_INTERNAL_H
#define BULKHEAD_RPC_TRANSPORT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rpc/pipe_events_internal.h"
#include "common/rpc/sender_internal.h"

// One fd that the transport polls.
struct transport_watch {
  int fd;  // -1 while not watched
  void (*on_ready)(void *arg);
  void *arg;
};

// The most watches that transport_poll handles at a time.
#define TRANSPORT_POLL_EVENTS 32

struct transport {
  int epoll_fd;
  struct pipe_events events;
  struct transport_watch events_watch;
  struct send_queue sends;
  // The watches that are ready and have not been handled; NULL for those that have ended meanwhile.
  struct transport_watch *ready[TRANSPORT_POLL_EVENTS];
  size_t ready_count;
};

void transport_init(struct transport *transport);
// Frees the transport. All watches must have ended, and no sender may have anything to send (CHECK).
void transport_free(struct transport *transport);

// Calls `on_events(arg)` from transport_poll when connections were opened or dials have failed.
void transport_watch_events(struct transport *transport, void (*on_events)(void *arg), void *arg);
// Takes the events since the last call, oldest first; the caller frees them with free(). NULL and 0 when there are
// none.
struct pipe_event *transport_take_events(struct transport *transport, size_t *count);
// Makes the fd readable once, so that the host processes soon.
void transport_wake(struct transport *transport);

// Watches an fd; `watch` must stay where it is until transport_unwatch.
void transport_watch(struct transport *transport, struct transport_watch *watch, int fd);
// Starts or ends watching for room to write, beside watching for something to read. The watch must be active.
void transport_watch_room(struct transport *transport, struct transport_watch *watch, bool for_room);
// Ends a watch; does nothing when it is not active. Its callback does not run any more.
void transport_unwatch(struct transport *transport, struct transport_watch *watch);
// Runs the callbacks of what is ready now, each watch once. False when nothing was ready.
bool transport_poll(struct transport *transport);

#endif

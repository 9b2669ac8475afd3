// What a client's and a server's sockets have in common: the fd that the host watches, the queue of connection events,
// the closer, and the senders.
#ifndef BULKHEAD_RPC_TRANSPORT_INTERNAL_H
#define BULKHEAD_RPC_TRANSPORT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rpc/nng_compat_internal.h"
#include "common/rpc/sender_internal.h"
#include "common/rpc/socket_internal.h"

// One fd that the transport polls.
struct transport_watch {
  int fd;                       // -1 while not watched
  void (*on_ready)(void *arg);  // NULL: being ready only wakes the host
  void *arg;
};

struct transport {
  int epoll_fd;
  struct rpc_io io;
  struct rpc_closer *closer;
  struct transport_watch events_watch;
  struct send_queue sends;
};

void transport_init(struct transport *transport);
// Frees the transport, whose watches must have ended. Waits for nng to close the sockets, a second at most. Accepts a
// zeroed transport.
void transport_free(struct transport *transport);

// Calls `on_events(arg)` from transport_poll when connections have come or gone.
void transport_watch_events(struct transport *transport, void (*on_events)(void *arg), void *arg);
// Takes the events since the last call, oldest first; the caller frees them with free(). NULL and 0 when there are
// none.
struct pipe_event *transport_take_events(struct transport *transport, size_t *count);
// Makes the fd readable once, so that the host processes soon.
void transport_wake(struct transport *transport);

// Watches an fd; `watch` must stay where it is until transport_unwatch.
void transport_watch(struct transport *transport, struct transport_watch *watch, int fd);
// Ends a watch; does nothing when it is not active.
void transport_unwatch(struct transport *transport, struct transport_watch *watch);
// Runs the callbacks of what is ready now, each watch once. False when nothing was ready.
bool transport_poll(struct transport *transport);

// ---- a socket as a port for senders ----

struct socket_port {
  struct send_port port;
  struct transport *transport;
  nng_socket socket;
  struct transport_watch room_watch;  // active while the socket has no room
};

// Makes the socket usable as a port for senders. May be called again after socket_port_close.
void socket_port_open(struct socket_port *port, struct transport *transport, nng_socket socket);
// Ends the port's watch; the socket stays open. Does nothing when the port is zeroed or closed.
void socket_port_close(struct socket_port *port);

#endif

#include "common/rpc/transport_internal.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/compiler.h"

#define EVENTS_PER_POLL 32

void transport_init(struct transport *transport)
{
  *transport = (struct transport){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .events_watch = {.fd = -1}};
  CHECK(transport->epoll_fd >= 0);
  rpc_io_init(&transport->io);
  transport->closer = rpc_closer_start();
  send_queue_init(&transport->sends);
}

void transport_free(struct transport *transport)
{
  if (transport->closer == NULL)
    return;
  CHECK(list_empty(&transport->sends.queued) && list_empty(&transport->sends.corked));
  transport_unwatch(transport, &transport->events_watch);
  rpc_closer_free(&transport->closer);
  rpc_io_free(&transport->io);
  close(transport->epoll_fd);
  *transport = (struct transport){.epoll_fd = -1};
}

void transport_watch_events(struct transport *transport, void (*on_events)(void *arg), void *arg)
{
  transport->events_watch = (struct transport_watch){.on_ready = on_events, .arg = arg};
  transport_watch(transport, &transport->events_watch, rpc_closer_events(transport->closer)->fd);
}

struct pipe_event *transport_take_events(struct transport *transport, size_t *count)
{
  return pipe_events_take(rpc_closer_events(transport->closer), count);
}

void transport_wake(struct transport *transport)
{
  pipe_events_wake(rpc_closer_events(transport->closer));
}

void transport_watch(struct transport *transport, struct transport_watch *watch, int fd)
{
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
  CHECK(epoll_ctl(transport->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
  watch->fd = fd;
}

void transport_unwatch(struct transport *transport, struct transport_watch *watch)
{
  if (watch->fd >= 0)
    epoll_ctl(transport->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
  watch->fd = -1;
}

bool transport_poll(struct transport *transport)
{
  struct epoll_event events[EVENTS_PER_POLL];
  int count = epoll_wait(transport->epoll_fd, events, ARRAY_LEN(events), 0);
  for (int i = 0; i < count; i++) {
    const struct transport_watch *watch = events[i].data.ptr;
    // A watch may have ended earlier in the same batch.
    if (watch->fd >= 0 && watch->on_ready != NULL)
      watch->on_ready(watch->arg);
  }
  return count > 0;
}

// ---- a socket as a port for senders ----

static void unblock_port(void *arg)
{
  struct socket_port *port = arg;
  transport_unwatch(port->transport, &port->room_watch);
  send_port_unblock(&port->port);
}

static bool transmit_packet(struct send_port *send_port, uint32_t pipe, struct slice frames, uint64_t received)
{
  struct socket_port *port = CONTAINER_OF(send_port, struct socket_port, port);
  nng_msg *message = rpc_message_make(pipe, frames, received);
  if (rpc_io_send(&port->transport->io, port->socket, message))
    return true;
  nng_msg_free(message);
  transport_watch(port->transport, &port->room_watch, rpc_socket_fd(port->socket, NNG_OPT_SENDFD));
  return false;
}

void socket_port_open(struct socket_port *port, struct transport *transport, nng_socket socket)
{
  *port = (struct socket_port){.transport = transport, .socket = socket};
  port->room_watch = (struct transport_watch){.fd = -1, .on_ready = unblock_port, .arg = port};
  send_port_init(&port->port, transmit_packet);
}

void socket_port_close(struct socket_port *port)
{
  if (port->transport != NULL)
    transport_unwatch(port->transport, &port->room_watch);
}

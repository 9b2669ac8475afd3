// An epoll set, whose own fd is readable while one of its members is ready.
#include "common/rpc/transport_internal.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/compiler.h"

void transport_init(struct transport *transport)
{
  *transport = (struct transport){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .events_watch = {.fd = -1}};
  CHECK(transport->epoll_fd >= 0);
  pipe_events_init(&transport->events);
  send_queue_init(&transport->sends);
}

void transport_free(struct transport *transport)
{
  CHECK(list_empty(&transport->sends.queued));
  transport_unwatch(transport, &transport->events_watch);
  pipe_events_free(&transport->events);
  close(transport->epoll_fd);
  *transport = (struct transport){.epoll_fd = -1};
}

void transport_watch_events(struct transport *transport, void (*on_events)(void *arg), void *arg)
{
  transport->events_watch = (struct transport_watch){.on_ready = on_events, .arg = arg};
  transport_watch(transport, &transport->events_watch, transport->events.fd);
}

struct pipe_event *transport_take_events(struct transport *transport, size_t *count)
{
  return pipe_events_take(&transport->events, count);
}

void transport_wake(struct transport *transport)
{
  pipe_events_wake(&transport->events);
}

void transport_watch(struct transport *transport, struct transport_watch *watch, int fd)
{
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
  CHECK(epoll_ctl(transport->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
  watch->fd = fd;
}

void transport_watch_room(struct transport *transport, struct transport_watch *watch, bool for_room)
{
  struct epoll_event event = {.events = EPOLLIN | (for_room ? EPOLLOUT : 0), .data.ptr = watch};
  CHECK(epoll_ctl(transport->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) == 0);
}

void transport_unwatch(struct transport *transport, struct transport_watch *watch)
{
  if (watch->fd >= 0)
    epoll_ctl(transport->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
  watch->fd = -1;
  for (size_t i = 0; i < transport->ready_count; i++)
    if (transport->ready[i] == watch)
      transport->ready[i] = NULL;
}

bool transport_poll(struct transport *transport)
{
  struct epoll_event events[TRANSPORT_POLL_EVENTS];
  int count = epoll_wait(transport->epoll_fd, events, ARRAY_LEN(events), 0);
  transport->ready_count = count > 0 ? (size_t)count : 0;
  for (size_t i = 0; i < transport->ready_count; i++)
    transport->ready[i] = events[i].data.ptr;
  for (size_t i = 0; i < transport->ready_count; i++)
    if (transport->ready[i] != NULL)
      transport->ready[i]->on_ready(transport->ready[i]->arg);
  transport->ready_count = 0;
  return count > 0;
}

// A host that has vanished answers nothing, and each connection to it would learn that by itself: two seconds after it
// has sent something. The first that learns it ends the others to that host, but for those that have heard of it since.
#include "common/storage/pg_vanished_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/storage/pg_internal.h"

// A host that is there confirms the keep-alives of an idle connection every second.
enum { QUIET_MS = 1500 };

bool pg_vanished_is_why(const char *reason)
{
  return strstr(reason, strerror(ETIMEDOUT)) != NULL;
}

// Asks the kernel, which knows of keep-alives, too. False for what is no TCP connection.
static bool has_heard_nothing(const struct pg_connection *c)
{
  struct tcp_info info;
  socklen_t size = sizeof(info);
  return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_last_ack_recv >= QUIET_MS;
}

// An attempt of another turn begins with another host, or with another of its addresses, which may be there. A
// connection of another turn may be one to the same host, from an earlier round through all of them.
static bool is_in_vain(const struct pg_connection *c, size_t turn)
{
  if (c->state == PG_REACHING)
    return c->turn == turn;
  return pg_places_are_same(c->pg, c->turn, turn) && pg_connection_established(c) && has_heard_nothing(c);
}

void pg_vanished_leave(struct pg *pg, size_t turn)
{
  if (pg->place_count < 2)
    return;
  for (struct list *node = pg->all.next; node != &pg->all; node = node->next) {
    struct pg_connection *c = CONTAINER_OF(node, struct pg_connection, node);
    // The loop then finds the socket closed, so nothing is finished under the feet of who has called.
    if (c->fd >= 0 && is_in_vain(c, turn))
      (void)shutdown(c->fd, SHUT_RDWR);
  }
}

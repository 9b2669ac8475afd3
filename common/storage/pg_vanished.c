// A host that has vanished answers nothing, and each connection to it would learn that by itself: two seconds after it
// has sent something. Where there are other hosts, a look ten times a second finds sooner that nothing which was sent
// there is confirmed, and all connections to the host end together. So do they where the first of them has timed out,
// but for those that have heard of the host since.
#include "common/storage/pg_vanished_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/storage/pg_internal.h"

enum {
  LOOK_EVERY_MS = 100,
  // A host from which no connection has heard for so long has vanished, if it owes an answer. One that is there
  // confirms what it gets at once; the kernel sends again what is not confirmed after 0.2 s, and after 0.4 s more.
  SILENT_MS = 1000,
  LEAST_SENT_AGAIN = 2,
  // A host that is there confirms the keep-alives of an idle connection every second.
  QUIET_MS = 1500,
};

#define NOT_CONFIRMED "the host confirms nothing that is sent to it"

bool pg_vanished_is_why(const char *reason)
{
  return strstr(reason, strerror(ETIMEDOUT)) != NULL;
}

// Asks the kernel, which knows of keep-alives and of what it has sent again. False for what is no TCP connection.
static bool ask_kernel(const struct pg_connection *c, struct tcp_info *info)
{
  socklen_t size = sizeof(*info);
  return pg_connection_established(c) && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

static bool has_heard_nothing(const struct pg_connection *c, uint32_t for_ms)
{
  struct tcp_info info;
  return ask_kernel(c, &info) && info.tcpi_last_ack_recv >= for_ms;
}

// An attempt of another turn begins with another host, or with another of its addresses, which may be there. A
// connection of another turn may be one to the same host, from an earlier round through all of them.
static bool is_in_vain(const struct pg_connection *c, size_t turn, uint32_t quiet_ms)
{
  if (c->state == PG_REACHING)
    return c->turn == turn;
  return pg_places_are_same(c->pg, c->turn, turn) && has_heard_nothing(c, quiet_ms);
}

static void leave(struct pg *pg, size_t turn, uint32_t quiet_ms)
{
  for (struct list *node = pg->all.next; node != &pg->all; node = node->next) {
    struct pg_connection *c = CONTAINER_OF(node, struct pg_connection, node);
    if (is_in_vain(c, turn, quiet_ms))
      pg_connection_leave(c, NOT_CONFIRMED);
  }
}

void pg_vanished_leave(struct pg *pg, size_t turn)
{
  if (pg->place_count > 1)
    leave(pg, turn, QUIET_MS);
}

// ---- the look ----

// Tells whether the host owes this connection an answer, and has not even confirmed what was sent.
static bool is_unconfirmed(const struct pg_connection *c)
{
  struct tcp_info info;
  return c->command_count > 0 && c->leaving == NULL && ask_kernel(c, &info) &&
         info.tcpi_retransmits >= LEAST_SENT_AGAIN && info.tcpi_last_ack_recv >= SILENT_MS;
}

static bool is_heard(const struct pg *pg, size_t turn)
{
  struct tcp_info info;
  for (const struct list *node = pg->all.next; node != &pg->all; node = node->next) {
    const struct pg_connection *c = CONTAINER_OF(node, const struct pg_connection, node);
    if (pg_places_are_same(pg, c->turn, turn) && ask_kernel(c, &info) && info.tcpi_last_ack_recv < SILENT_MS)
      return true;
  }
  return false;
}

static void look(void *arg)
{
  struct pg *pg = arg;
  for (struct list *node = pg->all.next; node != &pg->all; node = node->next) {
    const struct pg_connection *c = CONTAINER_OF(node, const struct pg_connection, node);
    if (is_unconfirmed(c) && !is_heard(pg, c->turn))
      leave(pg, c->turn, SILENT_MS);
  }
  loop_timer_start(pg->vanished_timer, LOOK_EVERY_MS);
}

void pg_vanished_watch(struct pg *pg)
{
  if (pg->place_count < 2)
    return;
  pg->vanished_timer = loop_timer_create(pg->loop, look, pg);
  loop_timer_start(pg->vanished_timer, LOOK_EVERY_MS);
}

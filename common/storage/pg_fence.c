// Leaving a server that takes no writes any more: it was fenced, or has become a stand-by, and another one has taken
// over. A statement that is refused as read-only shows it. All connections go then, because what they read there gets
// older and older, and what they hear of changes ends; new ones find the successor at another host of the connection
// string, or behind the same name or address.
//
// Where nobody has taken over, the new connections end at the same server. So all of them are left at most every two
// seconds, and reads go on in between.
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

enum { LEAVE_PAUSE_MS = 2000 };

static bool is_stale(const struct pg_connection *c)
{
  return pg_connection_established(c) && c->turn < c->pg->fence.first_turn;
}

void pg_fence_note_refusal(struct pg_connection *c)
{
  struct pg *pg = c->pg;
  uint64_t now_us = loop_now_us(pg->loop);
  // Elsewhere there may be a server that takes writes.
  if (pg->place_count > 1)
    pg_connection_fail(c);
  if (now_us < pg->fence.next_us)
    return;
  pg->fence.next_us = deadline_after_ms(now_us, LEAVE_PAUSE_MS);
  // The connections of before are told from later ones by their turn.
  pg_places_fail(pg, c->turn);
  pg->fence.first_turn = pg->turn;
  pg->fence.is_due = true;
  pg_connection_fail(c);
  log_warn("postgres",
           "the server takes no writes, so all connections are opened again to find the one that does; see whether it "
           "was fenced or has become a stand-by, and whether PG_CONNINFO leads to its successor");
}

bool pg_fence_end_stale(struct pg_connection *c)
{
  if (!is_stale(c))
    return false;
  pg_connection_break(c, "the server takes no writes");
  return true;
}

void pg_fence_leave(struct pg *pg)
{
  struct list *next;
  pg->fence.is_due = false;
  for (struct list *node = pg->all.next; node != &pg->all; node = next) {
    next = node->next;
    struct pg_connection *c = CONTAINER_OF(node, struct pg_connection, node);
    // The statement of a task ends first. What was sent for nobody ends with the connection.
    if (c->use != PG_BORROWED)
      (void)pg_fence_end_stale(c);
  }
}

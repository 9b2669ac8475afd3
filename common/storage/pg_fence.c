// Leaving a server that takes no writes any more: it was fenced, or has become a stand-by, and another one has taken
// over. A statement that is refused as read-only shows it. All connections go then, because what they read there gets
// older and older, and what they hear of changes ends; new ones find the successor at another host of the connection
// string, or behind the same name or address.
//
// Where nobody has taken over, the new connections end at the same server. Leaving it again costs the reads in flight
// and the LISTEN channel, so each pause is twice as long as the one before, up to half a minute. The first write that
// is accepted ends that, and so does half a minute without a refusal.
#include <string.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

enum { FIRST_PAUSE_MS = 2000, LONGEST_PAUSE_MS = 30000 };

#define TAKES_NO_WRITES "the server takes no writes"

static bool is_stale(const struct pg_connection *c)
{
  return pg_connection_established(c) && c->turn < c->pg->fence.first_turn;
}

static uint32_t find_pause_ms(const struct pg_fence *fence, uint64_t now_us)
{
  bool is_first = fence->pause_ms == 0 || now_us >= deadline_after_ms(fence->next_us, LONGEST_PAUSE_MS);
  if (is_first)
    return FIRST_PAUSE_MS;
  return 2 * fence->pause_ms < LONGEST_PAUSE_MS ? 2 * fence->pause_ms : LONGEST_PAUSE_MS;
}

bool pg_fence_is_time(struct pg_fence *fence, uint64_t now_us)
{
  if (now_us < fence->next_us)
    return false;
  fence->pause_ms = find_pause_ms(fence, now_us);
  fence->next_us = deadline_after_ms(now_us, fence->pause_ms);
  return true;
}

void pg_fence_reset_pause(struct pg_fence *fence, uint64_t now_us)
{
  uint64_t soon_us = deadline_after_ms(now_us, FIRST_PAUSE_MS);
  fence->pause_ms = 0;
  if (fence->next_us > soon_us)
    fence->next_us = soon_us;
}

void pg_fence_note_success(struct pg_connection *c, const char *command)
{
  // A server that is read-only refuses these also where they would change no row.
  static const char *const writes[] = {"INSERT", "UPDATE", "DELETE", "MERGE"};
  struct pg *pg = c->pg;
  if (pg->fence.pause_ms == 0 || is_stale(c))
    return;
  for (size_t i = 0; i < ARRAY_LEN(writes); i++)
    if (strncmp(command, writes[i], strlen(writes[i])) == 0)
      pg_fence_reset_pause(&pg->fence, loop_now_us(pg->loop));
}

// Leaves the connections that are to go. The statement of a task ends first. What was sent for nobody ends with the
// connection.
static void leave_stale(struct pg *pg)
{
  for (struct list *node = pg->all.next; node != &pg->all; node = node->next) {
    struct pg_connection *c = CONTAINER_OF(node, struct pg_connection, node);
    if (is_stale(c) && c->use != PG_BORROWED)
      pg_connection_leave(c, TAKES_NO_WRITES);
  }
}

void pg_fence_note_refusal(struct pg_connection *c)
{
  struct pg *pg = c->pg;
  // Elsewhere there may be a server that takes writes. Of a server that is being left this says nothing new.
  if (pg->place_count > 1 || is_stale(c))
    pg_connection_fail(c);
  if (is_stale(c) || !pg_fence_is_time(&pg->fence, loop_now_us(pg->loop)))
    return;
  // The connections of before are told from later ones by their turn.
  pg_places_fail(pg, c->turn);
  pg->fence.first_turn = pg->turn;
  pg_connection_fail(c);
  leave_stale(pg);
  log_warn("postgres",
           "the server takes no writes, so all connections are opened again to find the one that does; see whether it "
           "was fenced or has become a stand-by, and whether PG_CONNINFO leads to its successor");
}

bool pg_fence_end_stale(struct pg_connection *c)
{
  if (!is_stale(c))
    return false;
  pg_connection_break(c, TAKES_NO_WRITES);
  return true;
}

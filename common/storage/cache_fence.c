#include "common/storage/cache_fence_internal.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/storage/cache_coherence_internal.h"

enum {
  PAUSE_MS = 1000,   // without a message that has come through
  STEADY_MS = 1000,  // in which every other instance has sent messages
  AGAIN_MS = 25,
  AFTER_FAILURE_MS = 500,
  YOUNG_MS = 4000,
  AGE_MARGIN_MS = 300,
};

static const struct pg_statement END_SESSIONS = {
    .name = "end the sessions of silent instances of the cache",
    .sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
           "WHERE datname = current_database() AND usename = session_user "
           "AND starts_with(application_name, $1) AND length(application_name) = length($1) + $2::int "
           "AND right(application_name, $2::int) <> ALL ($3::text[]) "
           "AND backend_start < clock_timestamp() - $4::bigint * interval '1 millisecond'",
    .lane = PG_LANE_WRITE,
};

void cache_fence_note_sent(struct cache_fence *fence, uint64_t now_us)
{
  if (now_us > fence->reported_us + cache_ms_as_us(PAUSE_MS))
    fence->steady_us = now_us;
  fence->reported_us = now_us;
}

uint64_t cache_fence_until_us(const struct cache_fence *fence, uint64_t now_us)
{
  return fence->works ? fence->fenced_us : now_us;
}

static bool is_steady(const struct cache_fence *fence, uint64_t now_us)
{
  return now_us < fence->reported_us + cache_ms_as_us(PAUSE_MS) &&
         now_us >= fence->steady_us + cache_ms_as_us(STEADY_MS);
}

static uint64_t forgotten_us(const struct cache_coherence *c, const struct cache_member *member)
{
  return member->heard_us + cache_members_memory_us(c);
}

// Tells whether something waits for the fence: this instance to settle, or a member to be forgotten.
static bool is_wanted(const struct cache_coherence *c, uint64_t now_us)
{
  if (c->state == COHERENCE_SETTLING && c->lease_until_us != 0 && now_us >= c->settled_us &&
      c->fence.fenced_us < c->settled_us)
    return true;
  for (const struct list *node = c->members.next; node != &c->members; node = node->next) {
    const struct cache_member *member = CONTAINER_OF(node, const struct cache_member, node);
    if (!member->left && forgotten_us(c, member) <= now_us)
      return true;
  }
  return false;
}

bool cache_fence_begin(struct cache_coherence *c, uint64_t now_us)
{
  struct cache_fence *fence = &c->fence;
  if (!fence->works || fence->runs || now_us < fence->next_us || c->state == COHERENCE_DEAF ||
      !is_steady(fence, now_us) || !is_wanted(c, now_us))
    return false;
  fence->runs = true;
  return true;
}

// Adds the names of this instance and of those that were heard lately.
static void add_living(const struct cache_coherence *c, struct pg_params *params, struct arena *arena, uint64_t now_us)
{
  size_t count = 1;
  for (const struct list *node = c->members.next; node != &c->members; node = node->next)
    count++;
  const char **names = arena_array(arena, count, sizeof(*names));
  count = 0;
  names[count++] = c->name;
  for (const struct list *node = c->members.next; node != &c->members; node = node->next) {
    const struct cache_member *member = CONTAINER_OF(node, const struct cache_member, node);
    if (forgotten_us(c, member) > now_us)
      names[count++] = member->name;
  }
  pg_add_text_array(params, names, count);
}

// Returns how old a session is at least on which a silent instance may be about to write. It began that write a while
// after its last message at most.
static uint64_t find_age_ms(const struct cache_coherence *c)
{
  uint64_t later_us = c->fence.begin_us + cache_ms_as_us(AGE_MARGIN_MS);
  uint64_t memory_us = cache_members_memory_us(c);
  uint64_t age_ms = memory_us > later_us ? (memory_us - later_us) / 1000 : 0;
  return age_ms > YOUNG_MS ? age_ms : YOUNG_MS;
}

static void note_outcome(struct cache_fence *fence, enum status status, size_t found, uint64_t began_us)
{
  uint64_t now_us = clock_now_us();
  fence->next_us = now_us + cache_ms_as_us(status == STATUS_OK ? AGAIN_MS : AFTER_FAILURE_MS);
  if (status == STATUS_OK && found == 0)
    fence->fenced_us = began_us;
  else if (status == STATUS_OK)
    log_info("cache",
             "ended sessions at PostgreSQL of instances that have given no sign of life for long, before what they "
             "were changing is cached again",
             LOG_INT("sessions", found));
  if (status != STATUS_INTERNAL)
    return;
  log_warn("cache",
           "the sessions of silent instances could not be ended; should one of their processes go on after it stood "
           "still, what it still writes may be hidden by the cache; see what PostgreSQL says about "
           "pg_terminate_backend");
  fence->fenced_us = began_us;
}

void cache_fence_run(struct cache_coherence *c, struct pg *pg, struct arena *arena)
{
  uint64_t began_us = clock_now_us();
  const char *session = pg_session_name(pg);
  struct pg_params params;
  struct pg_result result;
  pg_params_init(&params, arena);
  pg_add_slice(&params, slice_make(session, strlen(session) - PG_INSTANCE_DIGITS));
  pg_add_int(&params, PG_INSTANCE_DIGITS);
  add_living(c, &params, arena, began_us);
  pg_add_int(&params, (int64_t)find_age_ms(c));
  enum status status = pg_query(pg, &END_SESSIONS, &params, arena, &result);
  c->fence.runs = false;
  note_outcome(&c->fence, status, result.rows, began_us);
}

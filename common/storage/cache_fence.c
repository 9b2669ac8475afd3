#include "common/storage/cache_fence_internal.h"

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"
#include "common/storage/cache_coherence_internal.h"

enum {
  PAUSE_MS = 1000,         // without a message that has come through
  STEADY_MS = 1000,        // in which every other instance has sent messages
  AGAIN_MS = 25,           // after sessions were found; twice as long each time, up to LONGEST_PAUSE_MS
  LONGEST_PAUSE_MS = 500,  // and after a failure
  YOUNG_MS = 4000,
  AGE_MARGIN_MS = 300,
};

// Ending sessions changes no row, takes no lock and may be repeated. As a scan it does not wait behind writes that do.
static const struct pg_statement END_SESSIONS = {
    .name = "end the sessions of silent instances of the cache",
    .sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
           "WHERE datname = current_database() AND usename = session_user "
           "AND starts_with(application_name, $1) AND length(application_name) = length($1) + $2::int "
           "AND right(application_name, $2::int) <> ALL ($3::text[]) "
           "AND backend_start < clock_timestamp() - $4::bigint * interval '1 millisecond'",
    .lane = PG_LANE_SCAN,
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

static void log_found(const char *cache, size_t found)
{
  static struct log_limit limit;
  uint64_t suppressed;
  if (log_limit_pass(&limit, clock_now_us(), &suppressed))
    log_info("cache",
             "ended sessions at PostgreSQL of instances that have given no sign of life for long, before what they "
             "were changing is cached again; this is repeated until they are gone",
             LOG_STRING("cache", cache), LOG_INT("sessions", found), LOG_INT("looksSinceLastLine", suppressed + 1));
}

static void warn_of_refusal(const char *cache)
{
  static struct log_limit limit;
  uint64_t suppressed;
  if (log_limit_pass(&limit, clock_now_us(), &suppressed))
    log_warn("cache",
             "the sessions of silent instances could not be ended; should one of their processes go on after it stood "
             "still, what it still writes may be hidden by the cache; see what PostgreSQL says about "
             "pg_terminate_backend",
             LOG_STRING("cache", cache), LOG_INT("failedSinceLastLine", suppressed + 1));
}

// Returns how long to wait before the next look.
static uint32_t find_pause_ms(struct cache_fence *fence, enum status status, size_t found)
{
  if (status != STATUS_OK)
    return LONGEST_PAUSE_MS;
  uint32_t pause_ms = fence->pause_ms == 0 ? AGAIN_MS : 2 * fence->pause_ms;
  if (pause_ms > LONGEST_PAUSE_MS)
    pause_ms = LONGEST_PAUSE_MS;
  fence->pause_ms = found == 0 ? 0 : pause_ms;
  return found == 0 ? AGAIN_MS : pause_ms;
}

void cache_fence_run(struct cache_coherence *c, struct pg *pg, const char *cache, struct arena *arena)
{
  struct cache_fence *fence = &c->fence;
  uint64_t began_us = clock_now_us();
  struct pg_params params;
  struct pg_result result;
  pg_params_init(&params, arena);
  pg_add_text(&params, arena_printf(arena, "%s ", cache));
  pg_add_int(&params, CACHE_INSTANCE_SIZE - 1);
  add_living(c, &params, arena, began_us);
  pg_add_int(&params, (int64_t)find_age_ms(c));
  enum status status = pg_query(pg, &END_SESSIONS, &params, arena, &result);
  fence->runs = false;
  fence->next_us = clock_now_us() + cache_ms_as_us(find_pause_ms(fence, status, result.rows));
  bool is_refused = status == STATUS_INTERNAL;
  if (is_refused)
    warn_of_refusal(cache);
  else if (status == STATUS_OK && result.rows > 0)
    log_found(cache, result.rows);
  if (is_refused || (status == STATUS_OK && result.rows == 0))
    fence->fenced_us = began_us;
}

#include "common/service/capacity_internal.h"

#include "common/base/arena.h"
#include "common/observe/log.h"

// The limit of the role counts where it has one, unless it is a superuser's.
static const struct pg_statement find_limit = {
    .name = "find_connection_limit",
    .sql = "SELECT CASE WHEN rolsuper OR rolconnlimit < 0 THEN open ELSE least(rolconnlimit, open) END::bigint"
           " FROM pg_roles, (SELECT current_setting('max_connections')::int"
           " - current_setting('superuser_reserved_connections')::int AS open) AS server"
           " WHERE rolname = current_user",
    .lane = PG_LANE_POINT,
};

void capacity_check(struct pg *pg)
{
  struct arena arena;
  struct pg_result result;
  arena_init(&arena);
  if (pg_query(pg, &find_limit, NULL, &arena, &result) == STATUS_OK && result.rows == 1) {
    int64_t limit = pg_int(&result, 0, 0);
    int64_t needed = (int64_t)pg_connections_at_most(pg);
    if (needed > limit)
      log_warn("service",
               "PostgreSQL does not take as many connections as this instance may open, so some calls will wait in "
               "vain; lower PG_POOL_SIZE and PG_SCAN_CONNECTIONS, or raise the limit of the role and max_connections",
               LOG_INT("connections", needed), LOG_INT("limit", limit));
    else
      log_info("service", "connections to PostgreSQL fit", LOG_INT("connections", needed), LOG_INT("limit", limit),
               LOG_INT("instances", limit / needed));
  }
  arena_free(&arena);
}

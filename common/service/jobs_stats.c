// Counts the jobs in the table now and then, for metrics, and removes old dead ones. Each process of a service does so.
#include "common/observe/log.h"
#include "common/service/service_internal.h"

enum { COUNT_EVERY_MS = 10000, COUNT_LIMIT_MS = 5000 };

struct counted_kinds {
  const char *const *kinds;
  size_t count;
  int64_t keep_dead_ms;
};

struct counts {
  const char *kind;
  int64_t waiting;
  int64_t dead;
  int64_t oldest_s;
};

static const struct query_param count_params[] = {
    {.kind = QUERY_TEXTS,
     .offset = offsetof(struct counted_kinds, kinds),
     .count = offsetof(struct counted_kinds, count)},
};

static const struct query_column count_columns[] = {
    {.kind = QUERY_TEXT, .offset = offsetof(struct counts, kind)},
    {.kind = QUERY_INT64, .offset = offsetof(struct counts, waiting)},
    {.kind = QUERY_INT64, .offset = offsetof(struct counts, dead)},
    {.kind = QUERY_INT64, .offset = offsetof(struct counts, oldest_s)},
};

// Counts up to 10,000 of a kind, so that a long queue costs no more than that.
static const struct query count_query = {
    .statement = {.name = "jobs_count",
                  .sql = "SELECT k.kind, w.count, d.count,"
                         " coalesce(greatest(extract(epoch FROM now() - o.due_time), 0)::bigint, 0)"
                         " FROM unnest($1::text[]) AS k(kind)"
                         " CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM jobs WHERE kind = k.kind"
                         "  AND dead_time IS NULL AND NOT running LIMIT 10000) AS w) AS w"
                         " CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM jobs WHERE kind = k.kind"
                         "  AND dead_time IS NOT NULL LIMIT 10000) AS d) AS d"
                         " LEFT JOIN LATERAL (SELECT due_time FROM jobs WHERE kind = k.kind AND dead_time IS NULL"
                         "  AND due_time <= now() ORDER BY due_time LIMIT 1) AS o ON true",
                  .lane = PG_LANE_SCAN},
    .params = count_params,
    .param_count = ARRAY_LEN(count_params),
    .columns = count_columns,
    .column_count = ARRAY_LEN(count_columns),
    .row_size = sizeof(struct counts),
};

static enum status count_all(struct jobs *jobs, const struct counted_kinds *counted, struct arena *arena)
{
  struct query_rows rows;
  enum status status = query_many(query_on(jobs->service->pg), &count_query, counted, arena, &rows);
  if (status != STATUS_OK)
    return status;
  const struct counts *all = rows.rows;
  for (size_t i = 0; i < rows.count; i++) {
    const struct jobs_kind *kind = jobs_kind_of(jobs, all[i].kind);
    metric_set(kind->waiting_gauge, all[i].waiting);
    metric_set(kind->dead_gauge, all[i].dead);
    metric_set(kind->oldest_gauge, all[i].oldest_s);
  }
  return STATUS_OK;
}

static const struct query_param purge_params[] = {
    {.kind = QUERY_TEXTS,
     .offset = offsetof(struct counted_kinds, kinds),
     .count = offsetof(struct counted_kinds, count)},
    {.kind = QUERY_INT64, .offset = offsetof(struct counted_kinds, keep_dead_ms)},
};

// A thousand at a time, of the process's own kinds.
static const struct query purge_query = {
    .statement = {.name = "jobs_purge",
                  .sql = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE kind = ANY ($1::text[])"
                         " AND dead_time < now() - $2::bigint * interval '1 millisecond'"
                         " ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)",
                  .lane = PG_LANE_SCAN},
    .params = purge_params,
    .param_count = ARRAY_LEN(purge_params),
};

static enum status purge(struct jobs *jobs, const struct counted_kinds *kinds, struct arena *arena)
{
  int64_t removed = 0;
  enum status status = query_exec(query_on(jobs->service->pg), &purge_query, kinds, arena, &removed);
  if (status == STATUS_OK && removed > 0)
    log_info("jobs", "dead jobs were removed, older than JOBS_KEEP_DEAD", LOG_INT("count", removed));
  return status;
}

static struct counted_kinds name_kinds(const struct jobs *jobs, struct arena *arena)
{
  const char **kinds = arena_array(arena, jobs->kind_count, sizeof(*kinds));
  for (size_t i = 0; i < jobs->kind_count; i++)
    kinds[i] = jobs->kinds[i].kind->name;
  return (struct counted_kinds){kinds, jobs->kind_count, jobs->service->common.jobs_keep_dead_ms};
}

void jobs_watch(void *arg)
{
  struct jobs *jobs = arg;
  do {
    struct arena arena = {0};
    const struct counted_kinds kinds = name_kinds(jobs, &arena);
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), COUNT_LIMIT_MS));
    enum status counted = count_all(jobs, &kinds, &arena);
    enum status purged = counted == STATUS_OK ? purge(jobs, &kinds, &arena) : STATUS_OK;
    task_restore_deadline(before);
    arena_free(&arena);
    if (counted != STATUS_OK && task_check() == STATUS_OK)
      log_debug("jobs", "could not count the jobs; their metrics stay as they were", LOG_STATUS(counted));
    if (purged != STATUS_OK && task_check() == STATUS_OK)
      log_warn("jobs", "could not remove old dead jobs; the next attempt follows", LOG_STATUS(purged));
  } while (task_sleep_ms(COUNT_EVERY_MS) == STATUS_OK);
}

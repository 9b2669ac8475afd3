// `<service> jobs ...`: what operators do about jobs. Payloads are not shown, because they may hold what is private.
#include <stdio.h>
#include <string.h>

#include "common/service/service_internal.h"

struct listed_job {
  int64_t id;
  const char *kind;
  const char *key;
  const char *state;
  const char *due_time;
  int64_t failures;
  const char *error;
};

static const struct query_column listed_columns[] = {
    {.kind = QUERY_INT64, .offset = offsetof(struct listed_job, id)},
    {.kind = QUERY_TEXT, .offset = offsetof(struct listed_job, kind)},
    {.kind = QUERY_TEXT, .offset = offsetof(struct listed_job, key)},
    {.kind = QUERY_TEXT, .offset = offsetof(struct listed_job, state)},
    {.kind = QUERY_TEXT, .offset = offsetof(struct listed_job, due_time)},
    {.kind = QUERY_INT64, .offset = offsetof(struct listed_job, failures)},
    {.kind = QUERY_TEXT, .offset = offsetof(struct listed_job, error)},
};

static const struct query_param text_param[] = {{.kind = QUERY_TEXT}};
static const struct query_param number_param[] = {{.kind = QUERY_INT64}};

#define LISTED_MOST 1000

static const struct query list_query = {
    .statement =
        {.name = "jobs_list",
         .sql = "SELECT id, kind, key, state, to_char(due_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
                " failures, error FROM (SELECT id, kind, coalesce(key, '') AS key, due_time, failures,"
                "  coalesce(error, '') AS error, CASE WHEN dead_time IS NOT NULL THEN 'dead'"
                "   WHEN running AND due_time > now() THEN 'running' ELSE 'waiting' END AS state FROM jobs)"
                " AS listed WHERE $1 IN ('', state) ORDER BY due_time, id LIMIT 1001",
         .lane = PG_LANE_SCAN},
    .params = text_param,
    .param_count = 1,
    .columns = listed_columns,
    .column_count = ARRAY_LEN(listed_columns),
    .row_size = sizeof(struct listed_job),
};

static const struct query retry_query = {
    .statement = {.name = "jobs_retry_dead",
                  .sql = "UPDATE jobs SET dead_time = NULL, failures = 0, due_time = now()"
                         " WHERE id = $1::bigint AND dead_time IS NOT NULL"},
    .params = number_param,
    .param_count = 1,
};

// A job with the same key that has not ended does the work of a dead one.
static const struct query retry_kind_query = {
    .statement =
        {.name = "jobs_retry_kind",
         .sql = "UPDATE jobs SET dead_time = NULL, failures = 0, due_time = now()"
                " WHERE id = ANY (ARRAY(SELECT DISTINCT ON (coalesce(key, id::text), key IS NULL) id FROM jobs AS dead"
                "  WHERE kind = $1 AND dead_time IS NOT NULL AND NOT EXISTS (SELECT FROM jobs AS other"
                "   WHERE other.kind = dead.kind AND other.key = dead.key AND other.dead_time IS NULL)))"},
    .params = text_param,
    .param_count = 1,
};

static const struct query drop_query = {
    .statement = {.name = "jobs_drop",
                  .sql = "DELETE FROM jobs WHERE id = $1::bigint AND NOT (running AND due_time > now())"},
    .params = number_param,
    .param_count = 1,
};

static enum status list(struct service *service, const char *state, struct arena *arena, struct error *error)
{
  if (strcmp(state, "") != 0 && strcmp(state, "waiting") != 0 && strcmp(state, "running") != 0 &&
      strcmp(state, "dead") != 0)
    return error_set(error, STATUS_INVALID_ARGUMENT, "jobs are waiting, running or dead, not \"%s\"", state);
  struct query_rows rows;
  enum status status = query_many(query_on(service->pg), &list_query, &state, arena, &rows);
  if (status != STATUS_OK)
    return error_set(error, status, "the jobs could not be read: %s", status_name(status));
  const struct listed_job *jobs = rows.rows;
  printf("%-10s %-24s %-8s %-20s %8s %s\n", "id", "kind", "state", "due", "failures", "key and error");
  for (size_t i = 0; i < rows.count && i < LISTED_MOST; i++)
    printf("%-10lld %-24s %-8s %-20s %8lld %s %s\n", (long long)jobs[i].id, jobs[i].kind, jobs[i].state,
           jobs[i].due_time, (long long)jobs[i].failures, jobs[i].key, jobs[i].error);
  if (rows.count > LISTED_MOST)
    printf("there are more than these %d; name a state\n", LISTED_MOST);
  return STATUS_OK;
}

static enum status retry(struct service *service, const char *which, struct arena *arena, struct error *error)
{
  int64_t id = 0;
  int64_t changed = 0;
  bool is_id = slice_to_int64(slice_from_string(which), 1, INT64_MAX, &id);
  if (!is_id && jobs_find_kind(which) == NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT, "\"%s\" is neither the id of a job nor a kind of them", which);
  struct query_db db = query_on(service->pg);
  enum status status = is_id ? query_exec(db, &retry_query, &id, arena, &changed)
                             : query_exec(db, &retry_kind_query, &which, arena, &changed);
  if (status == STATUS_ALREADY_EXISTS)
    return error_set(error, status, "there is a job with the same key already, which does the work; drop this one");
  if (status != STATUS_OK)
    return error_set(error, status, "the database refused: %s", status_name(status));
  if (is_id && changed == 0)
    return error_set(error, STATUS_NOT_FOUND, "there is no dead job %s", which);
  printf("%lld jobs are due now\n", (long long)changed);
  return STATUS_OK;
}

static enum status drop(struct service *service, const char *which, struct arena *arena, struct error *error)
{
  int64_t id = 0;
  int64_t changed = 0;
  if (!slice_to_int64(slice_from_string(which), 1, INT64_MAX, &id))
    return error_set(error, STATUS_INVALID_ARGUMENT, "\"%s\" is not the id of a job", which);
  enum status status = query_exec(query_on(service->pg), &drop_query, &id, arena, &changed);
  if (status != STATUS_OK)
    return error_set(error, status, "the database refused: %s", status_name(status));
  if (changed == 0)
    return error_set(error, STATUS_NOT_FOUND, "there is no job %s that does not run at the moment", which);
  printf("job %s is dropped\n", which);
  return STATUS_OK;
}

static enum status run_jobs(struct service *service, int argc, char **argv, struct error *error)
{
  struct arena arena = {0};
  enum status status;
  if (strcmp(argv[0], "list") == 0)
    status = list(service, argc > 1 ? argv[1] : "", &arena, error);
  else if (strcmp(argv[0], "retry") == 0 && argc == 2)
    status = retry(service, argv[1], &arena, error);
  else if (strcmp(argv[0], "drop") == 0 && argc == 2)
    status = drop(service, argv[1], &arena, error);
  else
    status = error_set(error, STATUS_INVALID_ARGUMENT, "usage: jobs %s", jobs_command.arguments);
  arena_free(&arena);
  return status;
}

const struct service_command jobs_command = {
    .name = "jobs",
    .arguments = "list [waiting|running|dead] | retry <id or kind> | drop <id>",
    .help = "Shows the background jobs, the oldest first; runs one that has failed for good again, or all of a kind; "
            "removes one that does not run.",
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run_jobs,
};

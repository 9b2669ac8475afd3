#include "common/service/jobs.h"

#include <string.h>

#include "common/base/check.h"
#include "common/service/jobs_internal.h"

// The kinds of this program; one service runs in a process.
static const struct service_definition *declared;

void jobs_declare(const struct service_definition *definition)
{
  declared = definition;
}

const struct job_kind *jobs_find_kind(const char *name)
{
  for (size_t i = 0; declared != NULL && i < declared->job_count; i++)
    if (strcmp(declared->jobs[i].name, name) == 0)
      return &declared->jobs[i];
  return NULL;
}

// ---- adding ----

struct job_addition {
  const char *kind;
  const char *key;
  struct slice payload;
  int64_t delay_ms;
};

static const struct query_param addition_params[] = {
    {.kind = QUERY_TEXT, .offset = offsetof(struct job_addition, kind)},
    {.kind = QUERY_TEXT, .nullable = true, .offset = offsetof(struct job_addition, key)},
    {.kind = QUERY_BYTES, .offset = offsetof(struct job_addition, payload)},
    {.kind = QUERY_INT64, .offset = offsetof(struct job_addition, delay_ms)},
};

// The time is that of the statement, not that of its transaction, which may have begun long before.
static const struct query add_query = {
    .statement = {.name = "jobs_add",
                  .sql =
                      "INSERT INTO jobs (kind, key, payload, due_time) VALUES"
                      " ($1, $2, $3, statement_timestamp() + $4::bigint * interval '1 millisecond')"
                      " ON CONFLICT (kind, key) WHERE dead_time IS NULL DO UPDATE SET again = jobs.running, due_time ="
                      " CASE WHEN jobs.running THEN jobs.due_time ELSE least(jobs.due_time, excluded.due_time) END"},
    .params = addition_params,
    .param_count = ARRAY_LEN(addition_params),
};

enum status jobs_add(struct query_db db, const struct job_request *request, struct arena *arena)
{
  // A year of pauses is more than anybody means; it keeps the sum within what PostgreSQL can say.
  static const uint64_t max_delay_ms = UINT64_C(1000) * 60 * 60 * 24 * 366;
  CHECK(jobs_find_kind(request->kind) != NULL);
  size_t key_bytes = request->key == NULL ? 1 : strlen(request->key);
  if (key_bytes == 0 || key_bytes > JOB_KEY_MAX_BYTES || request->payload.size > JOB_PAYLOAD_MAX_BYTES ||
      request->delay_ms > max_delay_ms)
    return STATUS_INVALID_ARGUMENT;
  const struct job_addition addition = {
      .kind = request->kind,
      .key = request->key,
      .payload = request->payload.data == NULL ? SLICE("") : request->payload,
      .delay_ms = (int64_t)request->delay_ms,
  };
  return query_exec(db, &add_query, &addition, arena, NULL);
}

// ---- ending a run ----

static const struct query_param end_params[] = {
    {.kind = QUERY_INT64, .offset = offsetof(struct job_end, id)},
    {.kind = QUERY_INT64, .offset = offsetof(struct job_end, claims)},
    {.kind = QUERY_INT64, .offset = offsetof(struct job_end, failures)},
    {.kind = QUERY_TEXT, .offset = offsetof(struct job_end, error)},
    {.kind = QUERY_INT64, .offset = offsetof(struct job_end, pause_ms)},
};

#define OF_THIS_RUN " WHERE id = $1::bigint AND claims = $2::int AND running"

const struct query jobs_remove_query = {
    .statement = {.name = "jobs_remove", .sql = "DELETE FROM jobs" OF_THIS_RUN " AND NOT again"},
    .params = end_params,
    .param_count = 2,
};

const struct query jobs_renew_query = {
    .statement = {.name = "jobs_renew",
                  .sql = "UPDATE jobs SET running = false, again = false, failures = 0, error = NULL,"
                         " due_time = now()" OF_THIS_RUN " AND again"},
    .params = end_params,
    .param_count = 2,
};

const struct query jobs_retry_query = {
    .statement = {.name = "jobs_retry",
                  .sql = "UPDATE jobs SET running = false, failures = $3::int, error = $4,"
                         " due_time = now() + $5::bigint * interval '1 millisecond'" OF_THIS_RUN},
    .params = end_params,
    .param_count = 5,
};

const struct query jobs_bury_query = {
    .statement = {.name = "jobs_bury",
                  .sql = "UPDATE jobs SET running = false, error = $4, due_time = now(),"
                         " failures = CASE WHEN again THEN 0 ELSE $3::int END,"
                         " dead_time = CASE WHEN again THEN NULL ELSE now() END" OF_THIS_RUN},
    .params = end_params,
    .param_count = 4,
};

const struct query jobs_give_back_query = {
    .statement = {.name = "jobs_give_back", .sql = "UPDATE jobs SET running = false, due_time = now()" OF_THIS_RUN},
    .params = end_params,
    .param_count = 2,
};

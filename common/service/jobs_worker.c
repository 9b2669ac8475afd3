// Takes jobs: a background task that sleeps until something is due, takes as much as there is room for, and starts a
// task for each.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/service/service_internal.h"

enum {
  LOOK_LIMIT_MS = 5000,
  // How long is waited after a look that has failed.
  PAUSE_FIRST_MS = 100,
  PAUSE_MAX_MS = 5000,
};

// ---- waking ----

void jobs_wake(struct jobs *jobs, uint64_t at_us)
{
  if (jobs->closed || at_us >= jobs->wake_us)
    return;
  jobs->wake_us = at_us;
  if (jobs->asleep != NULL && !jobs->asleep->done)
    completion_finish(jobs->asleep, STATUS_OK);
}

static void on_message(void *arg, struct slice payload)
{
  jobs_wake(arg, jobs_told_us(clock_now_us(), payload));
}

// What was told while the channel was away was missed.
static void on_hearing(void *arg, bool hearing)
{
  if (hearing)
    jobs_wake(arg, clock_now_us());
}

// Sleeps until the worker is woken, its time to look has come, or it is cancelled; the caller finds out which.
static void sleep_until_woken(struct jobs *jobs)
{
  struct completion woken = {.what = "jobs that are due"};
  jobs->asleep = &woken;
  uint64_t before = task_tighten_deadline(jobs->wake_us);
  enum status ignored = completion_wait(&woken);
  (void)ignored;
  task_restore_deadline(before);
  jobs->asleep = NULL;
}

// ---- taking ----

struct claim {
  const char *const *kinds;
  size_t kind_count;
  const int64_t *slots;
  size_t slot_count;
  const int64_t *leases_ms;
  size_t lease_count;
};

static const struct query_param claim_params[] = {
    {.kind = QUERY_TEXTS, .offset = offsetof(struct claim, kinds), .count = offsetof(struct claim, kind_count)},
    {.kind = QUERY_INT64S, .offset = offsetof(struct claim, slots), .count = offsetof(struct claim, slot_count)},
    {.kind = QUERY_INT64S, .offset = offsetof(struct claim, leases_ms), .count = offsetof(struct claim, lease_count)},
};

struct claimed_row {
  const char *kind;  // NULL in the last row, which says when the next job is due
  int64_t id;
  const char *key;
  struct slice payload;
  int64_t claims;
  int64_t failures;
  int64_t next_ms;
};

static const struct query_column claimed_columns[] = {
    {.kind = QUERY_TEXT, .nullable = true, .offset = offsetof(struct claimed_row, kind)},
    {.kind = QUERY_INT64, .nullable = true, .offset = offsetof(struct claimed_row, id)},
    {.kind = QUERY_TEXT, .nullable = true, .offset = offsetof(struct claimed_row, key)},
    {.kind = QUERY_BYTES, .nullable = true, .offset = offsetof(struct claimed_row, payload)},
    {.kind = QUERY_INT64, .nullable = true, .offset = offsetof(struct claimed_row, claims)},
    {.kind = QUERY_INT64, .nullable = true, .offset = offsetof(struct claimed_row, failures)},
    {.kind = QUERY_INT64, .nullable = true, .offset = offsetof(struct claimed_row, next_ms)},
};

// Takes what is due, of each kind as much as it has slots for: rows that another process takes at the same time are
// passed over. A row whose lease is over is due, too: its run has ended with its process, which counts as a failure.
// The last row says when the next job of these kinds is due.
static const struct query claim_query = {
    .statement =
        {.name = "jobs_claim",
         .sql = "WITH wanted AS MATERIALIZED ("
                " SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w(kind, slots, lease_ms)"
                "), taken AS MATERIALIZED ("
                " SELECT j.id, w.lease_ms FROM wanted AS w CROSS JOIN LATERAL ("
                "  SELECT id FROM jobs WHERE kind = w.kind AND dead_time IS NULL AND due_time <= now()"
                "  ORDER BY due_time LIMIT w.slots FOR UPDATE SKIP LOCKED) AS j"
                "), claimed AS ("
                " UPDATE jobs SET running = true, claims = claims + 1, failures = failures + running::int,"
                "  again = false, due_time = now() + taken.lease_ms * interval '1 millisecond',"
                "  error = CASE WHEN running THEN 'the process that ran it ended before the job did' ELSE error END"
                " FROM taken WHERE jobs.id = taken.id"
                " RETURNING kind, jobs.id, key, payload, claims, failures"
                ") SELECT kind, id, key, payload, claims, failures, NULL::bigint FROM claimed"
                " UNION ALL (SELECT NULL, NULL, NULL, NULL, NULL, NULL,"
                "  ceil(extract(epoch FROM min(n.due_time) - now()) * 1000)::bigint"
                " FROM wanted AS w CROSS JOIN LATERAL (SELECT due_time FROM jobs WHERE kind = w.kind"
                "  AND dead_time IS NULL AND due_time > now() ORDER BY due_time LIMIT 1) AS n"
                " HAVING count(*) > 0)"},
    .params = claim_params,
    .param_count = ARRAY_LEN(claim_params),
    .columns = claimed_columns,
    .column_count = ARRAY_LEN(claimed_columns),
    .row_size = sizeof(struct claimed_row),
};

// Says what is wanted. False where no kind has room.
static bool make_claim(struct jobs *jobs, struct arena *arena, struct claim *claim)
{
  const char **kinds = arena_array(arena, jobs->kind_count, sizeof(*kinds));
  int64_t *slots = arena_array(arena, jobs->kind_count, sizeof(*slots));
  int64_t *leases_ms = arena_array(arena, jobs->kind_count, sizeof(*leases_ms));
  uint32_t effect_ms = pg_effect_ms(jobs->service->pg);
  size_t count = 0;
  for (size_t i = 0; i < jobs->kind_count; i++) {
    struct jobs_kind *kind = &jobs->kinds[i];
    if (kind->running >= kind->kind->at_once)
      continue;
    kinds[count] = kind->kind->name;
    kind->taken = 0;
    slots[count] = kind->kind->at_once - kind->running;
    leases_ms[count] = (int64_t)jobs_lease_ms(kind->kind, effect_ms);
    count++;
  }
  *claim = (struct claim){kinds, count, slots, count, leases_ms, count};
  return count > 0;
}

struct jobs_kind *jobs_kind_of(struct jobs *jobs, const char *name)
{
  size_t i = 0;
  while (i < jobs->kind_count && strcmp(jobs->kinds[i].kind->name, name) != 0)
    i++;
  CHECK(i < jobs->kind_count);
  return &jobs->kinds[i];
}

// `sent_us` is a moment before the lease began.
static struct job *make_job(struct jobs *jobs, const struct claimed_row *row, uint64_t sent_us)
{
  struct job *job = calloc(1, sizeof(*job));
  CHECK(job != NULL);
  arena_init(&job->arena);
  job->jobs = jobs;
  job->kind = jobs_kind_of(jobs, row->kind);
  job->id = row->id;
  job->claims = row->claims;
  job->failures = (uint32_t)row->failures;
  job->key = row->key == NULL ? "" : arena_string(&job->arena, slice_from_string(row->key));
  job->payload = arena_copy(&job->arena, row->payload);
  job->deadline_us = deadline_after_ms(sent_us, job->kind->kind->timeout_ms);
  job->lease_end_us = deadline_after_ms(sent_us, jobs_lease_ms(job->kind->kind, pg_effect_ms(jobs->service->pg)));
  return job;
}

// Notes which kinds may have more that is due than was taken, and looks again at once where there is room by now.
static void note_rest(struct jobs *jobs, const struct claim *claim)
{
  for (size_t i = 0; i < claim->kind_count; i++) {
    struct jobs_kind *kind = jobs_kind_of(jobs, claim->kinds[i]);
    kind->has_more = kind->taken >= (uint64_t)claim->slots[i];
    if (kind->has_more && kind->running < kind->kind->at_once)
      jobs_wake(jobs, clock_now_us());
  }
}

static void start_jobs(struct jobs *jobs, const struct query_rows *rows, uint64_t sent_us)
{
  const struct claimed_row *all = rows->rows;
  bool has_next = false;
  int64_t next_ms = 0;
  for (size_t i = 0; i < rows->count; i++) {
    if (all[i].kind == NULL) {
      has_next = true;
      next_ms = all[i].next_ms;
      continue;
    }
    struct job *job = make_job(jobs, &all[i], sent_us);
    job->kind->taken++;
    // Nobody would end a run that begins after all others were cancelled.
    if (task_check() == STATUS_OK)
      jobs_run(job);
    else
      jobs_give_back(job);
  }
  jobs_wake(jobs, jobs_next_look_us(clock_now_us(), has_next, next_ms));
}

static void look_again_later(struct jobs *jobs, enum status status)
{
  if (task_check() != STATUS_OK)
    return;
  bool is_first = jobs->pause_ms == 0;
  uint32_t pause_ms = backoff_next_ms(&jobs->pause_ms, PAUSE_FIRST_MS, PAUSE_MAX_MS);
  jobs_wake(jobs, deadline_after_ms(clock_now_us(), pause_ms));
  LOG_AT(is_first ? LOG_WARN : LOG_DEBUG, "jobs",
         "could not look for jobs that are due; they wait until PostgreSQL answers", LOG_STATUS(status));
}

static void look(struct jobs *jobs)
{
  struct arena arena = {0};
  struct claim claim;
  // Whoever wakes the worker from here on lets it look once more.
  jobs->wake_us = DEADLINE_NONE;
  if (make_claim(jobs, &arena, &claim)) {
    struct query_rows rows;
    uint64_t sent_us = clock_now_us();
    uint64_t before = task_tighten_deadline(deadline_after_ms(sent_us, LOOK_LIMIT_MS));
    enum status status = query_many(query_on(jobs->service->pg), &claim_query, &claim, &arena, &rows);
    task_restore_deadline(before);
    if (status == STATUS_OK) {
      jobs->pause_ms = 0;
      start_jobs(jobs, &rows, sent_us);
      note_rest(jobs, &claim);
    } else {
      look_again_later(jobs, status);
    }
  }
  arena_free(&arena);
}

static void work(void *arg)
{
  struct jobs *jobs = arg;
  while (task_check() == STATUS_OK) {
    if (jobs->closed || clock_now_us() < jobs->wake_us) {
      sleep_until_woken(jobs);
      continue;
    }
    jobs->looking = true;
    look(jobs);
    jobs->looking = false;
  }
}

// ---- the life of the workers ----

static struct metric_series *series(enum metric metric, const char *kind, const char *result)
{
  const struct slice labels[] = {slice_from_string(kind), slice_from_string(result == NULL ? "" : result)};
  return metrics_series(metric, labels, result == NULL ? 1 : 2);
}

static void make_kind(struct jobs_kind *kind, const struct job_kind *declared)
{
  static const char *const results[] = {
      [JOB_DONE] = "ok", [JOB_RETRIED] = "retried", [JOB_DEAD] = "dead", [JOB_GIVEN_BACK] = "given_back"};
  kind->kind = declared;
  for (size_t i = 0; i < ARRAY_LEN(results); i++)
    kind->runs[i] = series(METRIC_JOB_RUNS, declared->name, results[i]);
  kind->lost = series(METRIC_JOB_RUNS, declared->name, "lost");
  kind->duration = series(METRIC_JOB_DURATION, declared->name, NULL);
  kind->running_gauge = series(METRIC_JOBS_RUNNING, declared->name, NULL);
  kind->waiting_gauge = series(METRIC_JOBS_WAITING, declared->name, NULL);
  kind->dead_gauge = series(METRIC_JOBS_DEAD, declared->name, NULL);
  kind->oldest_gauge = series(METRIC_JOBS_OLDEST, declared->name, NULL);
}

void jobs_start(struct service *service)
{
  const struct service_definition *definition = service->definition;
  if (definition->job_count == 0)
    return;
  struct jobs *jobs = calloc(1, sizeof(*jobs));
  CHECK(jobs != NULL);
  *jobs = (struct jobs){.service = service, .kind_count = definition->job_count};
  jobs->kinds = arena_zalloc(&service->arena, jobs->kind_count * sizeof(*jobs->kinds));
  for (size_t i = 0; i < jobs->kind_count; i++)
    make_kind(&jobs->kinds[i], &definition->jobs[i]);
  // The triggers of the table name the channel like this.
  const char *channel = arena_printf(&service->arena, "%s.jobs", definition->migrations->schema);
  const struct pg_channel_events events = {.message = on_message, .hearing = on_hearing, .arg = jobs};
  jobs->channel = pg_channel_create(service->pg, channel, &events);
  service->jobs = jobs;
  background_start(service, SLICE("jobs worker"), work, jobs);
  background_start(service, SLICE("jobs count"), jobs_watch, jobs);
}

void jobs_close(struct service *service)
{
  if (service->jobs == NULL)
    return;
  service->jobs->closed = true;
  service->jobs->wake_us = DEADLINE_NONE;
}

bool jobs_are_idle(const struct service *service)
{
  return service->jobs == NULL || (service->jobs->running == 0 && !service->jobs->looking);
}

void jobs_free(struct service *service)
{
  struct jobs *jobs = service->jobs;
  if (jobs == NULL)
    return;
  service->jobs = NULL;
  pg_channel_free(&jobs->channel);
  free(jobs);
}

// One run of a job: the task around its handler, and how its end is stored.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/utf8.h"
#include "common/observe/log.h"
#include "common/service/service_internal.h"

enum {
  // How long one attempt to store the end of a run may take, and the pause before the next.
  STORE_LIMIT_MS = 2000,
  STORE_PAUSE_MS = 200,
};

// ---- for handlers ----

const char *job_key(const struct job *job)
{
  return job->key;
}

struct slice job_payload(const struct job *job)
{
  return job->payload;
}

int64_t job_id(const struct job *job)
{
  return job->id;
}

uint32_t job_failures(const struct job *job)
{
  return job->failures;
}

struct arena *job_arena(struct job *job)
{
  return &job->arena;
}

struct service *job_service(const struct job *job)
{
  return job->jobs->service;
}

struct query_db job_tx(struct job *job)
{
  if (job->tx == NULL && job->tx_status == STATUS_OK)
    job->tx_status = pg_begin(job->jobs->service->pg, &job->tx);
  return job->tx_status == STATUS_OK ? query_in(job->tx) : query_failing(job->tx_status);
}

enum status job_fail(struct job *job, enum status status, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  job->error = arena_vprintf(&job->arena, format, args);
  va_end(args);
  return status;
}

// ---- the end of a run ----

// Returns the text to keep, as much of it as is kept, in whole characters.
static const char *error_text(struct job *job, enum status status)
{
  struct slice text = slice_from_string(job->error == NULL ? status_name(status) : job->error);
  if (!utf8_valid(text))
    text = slice_from_string(status_name(status));
  if (text.size > JOBS_ERROR_BYTES) {
    text.size = JOBS_ERROR_BYTES;
    while (text.size > 0 && ((unsigned char)text.data[text.size] & 0xC0) == 0x80)
      text.size--;
  }
  return arena_string(&job->arena, text);
}

static struct job_end end_of(const struct job *job)
{
  return (struct job_end){.id = job->id, .claims = job->claims};
}

// Removes the job, or lets it wait again where it was added once more. *lost: the lease is another's.
static enum status remove_job(struct job *job, struct query_db db, bool *lost)
{
  const struct job_end end = end_of(job);
  int64_t changed = 0;
  enum status status = query_exec(db, &jobs_remove_query, &end, &job->arena, &changed);
  if (status == STATUS_OK && changed == 0)
    status = query_exec(db, &jobs_renew_query, &end, &job->arena, &changed);
  *lost = status == STATUS_OK && changed == 0;
  return status;
}

static enum status commit_effects(struct job *job, bool *lost)
{
  enum status status = remove_job(job, query_in(job->tx), lost);
  if (status == STATUS_OK && !*lost)
    status = pg_commit(&job->tx);
  return status;
}

// Commits the effects of a run together with the removal of its job. Cancellation does not stop it any more.
static enum status end_transaction(struct job *job, bool *lost)
{
  task_shield(true);
  uint64_t end_us = deadline_min(deadline_after_ms(clock_now_us(), STORE_LIMIT_MS), job->lease_end_us);
  uint64_t before = task_tighten_deadline(end_us);
  enum status status = commit_effects(job, lost);
  task_restore_deadline(before);
  task_shield(false);
  return status;
}

// Makes one attempt to store what becomes of the job.
static enum status store_once(struct job *job, enum job_verdict verdict, const struct job_end *end, bool *lost)
{
  static const struct query *const queries[] = {
      [JOB_RETRIED] = &jobs_retry_query, [JOB_DEAD] = &jobs_bury_query, [JOB_GIVEN_BACK] = &jobs_give_back_query};
  task_shield(true);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), STORE_LIMIT_MS));
  struct query_db db = query_on(job->jobs->service->pg);
  enum status status;
  if (verdict == JOB_DONE) {
    status = remove_job(job, db, lost);
  } else {
    int64_t changed = 0;
    status = query_exec(db, queries[verdict], end, &job->arena, &changed);
    *lost = status == STATUS_OK && changed == 0;
  }
  task_restore_deadline(before);
  task_shield(false);
  return status;
}

// Stores what becomes of the job. While PostgreSQL is away it is tried again until the lease ends, because a job that
// has been done and is not removed would be done again. A process that stops does not wait for that.
static void store(struct job *job, enum job_verdict verdict, const struct job_end *end, bool *lost)
{
  bool is_first = true;
  for (;;) {
    enum status status = store_once(job, verdict, end, lost);
    // An attempt that seemed to fail may have had its effect, so a later one that finds nothing tells nothing.
    *lost = *lost && is_first;
    if (status == STATUS_OK)
      return;
    is_first = false;
    if (clock_now_us() >= job->lease_end_us || task_sleep_ms(STORE_PAUSE_MS) != STATUS_OK) {
      log_warn("jobs", "could not store how a job has ended; it runs again once its lease is over",
               LOG_STRING("kind", job->kind->kind->name), LOG_INT("job", job->id), LOG_STATUS(status));
      return;
    }
  }
}

static void report(const struct job *job, enum job_verdict verdict, const struct job_end *end, bool lost)
{
  const char *kind = job->kind->kind->name;
  if (lost)
    log_warn("jobs", "a run took longer than its lease, and another has taken the job over", LOG_STRING("kind", kind),
             LOG_INT("job", job->id));
  else if (verdict == JOB_RETRIED)
    log_info("jobs", "a job failed; it is tried again", LOG_STRING("kind", kind), LOG_INT("job", job->id),
             LOG_STRING("reason", end->error), LOG_INT("failures", end->failures), LOG_INT("retryMs", end->pause_ms));
  else if (verdict == JOB_DEAD)
    log_error("jobs", "a job failed for good; when the reason is mended, `jobs retry` runs it again",
              LOG_STRING("kind", kind), LOG_INT("job", job->id), LOG_STRING("reason", end->error),
              LOG_INT("failures", end->failures));
  metric_add(lost ? job->kind->lost : job->kind->runs[verdict], 1);
}

// Ends a run that `run` has ended with `status`.
static void settle(struct job *job, enum status status)
{
  bool lost = false;
  if (status == STATUS_OK)
    status = job->tx_status;
  bool is_over = false;
  if (status == STATUS_OK && job->tx != NULL) {
    status = end_transaction(job, &lost);
    is_over = status == STATUS_OK;
  }
  pg_rollback(&job->tx);
  bool stopping = task_check() == STATUS_CANCELLED;
  enum job_verdict verdict = jobs_judge(job->kind->kind, status, job->failures, stopping);
  struct job_end end = end_of(job);
  if (verdict != JOB_DONE) {
    end.failures = (int64_t)job->failures + 1;
    end.error = error_text(job, status);
    end.pause_ms = (int64_t)random_below((uint64_t)jobs_pause_limit_ms(job->kind->kind, job->failures + 1) + 1);
  }
  if (!is_over)
    store(job, verdict, &end, &lost);
  report(job, verdict, &end, lost);
}

// Ends a job whose processes have died as often as it may fail.
static void bury_exhausted(struct job *job)
{
  bool lost = false;
  struct job_end end = end_of(job);
  end.failures = job->failures;
  end.error = "the process that ran it ended before the job did, as often as it may fail";
  store(job, JOB_DEAD, &end, &lost);
  report(job, JOB_DEAD, &end, lost);
}

// ---- the task ----

static void count(struct job *job, int change)
{
  struct jobs_kind *kind = job->kind;
  kind->running = (uint32_t)((int64_t)kind->running + change);
  job->jobs->running = (size_t)((int64_t)job->jobs->running + change);
  metric_set(kind->running_gauge, kind->running);
  if (change < 0 && kind->has_more)
    jobs_wake(job->jobs, clock_now_us());
}

static void free_job(struct job *job)
{
  arena_free(&job->arena);
  free(job);
}

static void run(void *arg)
{
  struct job *job = arg;
  const struct job_kind *kind = job->kind->kind;
  if (jobs_exhausted(kind, job->failures)) {
    bury_exhausted(job);
  } else {
    uint64_t began_us = clock_now_us();
    uint64_t before = task_tighten_deadline(job->deadline_us);
    enum status status = task_check();
    if (status == STATUS_OK)
      status = kind->run(job);
    task_restore_deadline(before);
    metric_observe_us(job->kind->duration, clock_now_us() - began_us);
    settle(job, status);
  }
  count(job, -1);
  free_job(job);
}

void jobs_run(struct job *job)
{
  count(job, 1);
  background_start(job->jobs->service, slice_from_string(job->kind->kind->name), run, job);
}

void jobs_give_back(struct job *job)
{
  bool lost = false;
  const struct job_end end = end_of(job);
  store(job, JOB_GIVEN_BACK, &end, &lost);
  report(job, JOB_GIVEN_BACK, &end, lost);
  free_job(job);
}

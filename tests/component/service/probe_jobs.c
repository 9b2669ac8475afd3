#include "tests/component/service/probe_jobs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/runtime/task.h"
#include "common/service/service.h"
#include "tests/component/service/probe.h"

static const struct query_param text_param[] = {{.kind = QUERY_TEXT}};

static const struct query add_word = {
    .statement = {.name = "probe_job_word", .sql = "INSERT INTO words VALUES ($1)"},
    .params = text_param,
    .param_count = 1,
};

static const struct query refused = {.statement = {.name = "probe_job_refused", .sql = "SELECT 1 / 0"}};

// What another worker does where the lease of this run is over.
static const struct query take_over = {
    .statement = {.name = "probe_job_take_over",
                  .sql = "UPDATE jobs SET claims = claims + 1, due_time = now() + interval '1 hour' WHERE key = $1"},
    .params = text_param,
    .param_count = 1,
};

static enum status write_word(struct job *job, struct query_db db, const char *word)
{
  return query_exec(db, &add_word, &word, job_arena(job), NULL);
}

static bool is_released(void)
{
  char path[256];
  snprintf(path, sizeof(path), "%s/%s", getenv(PROBE_FOLDER), PROBE_RELEASE_FILE);
  return access(path, F_OK) == 0;
}

static enum status hold(bool deaf)
{
  while (!is_released()) {
    enum status status = task_sleep_ms(5);
    if (status != STATUS_OK && !deaf)
      return status;
    if (status != STATUS_OK)
      usleep(5000);
  }
  return STATUS_OK;
}

static enum status finish(struct job *job, const char *what)
{
  const char *key = job_key(job);
  if (strcmp(what, PROBE_JOB_FAIL) == 0)
    return job_fail(job, STATUS_UNAVAILABLE, "nobody answers %s", key);
  if (strcmp(what, PROBE_JOB_REFUSE) == 0)
    return job_fail(job, STATUS_INVALID_ARGUMENT, "nobody wants %s", key);
  if (strcmp(what, PROBE_JOB_LOSE) == 0)
    return query_exec(query_on(service_pg(job_service(job))), &take_over, &key, job_arena(job), NULL);
  if (strcmp(what, PROBE_JOB_SPOIL) == 0) {
    enum status ignored = query_exec(job_tx(job), &refused, NULL, job_arena(job), NULL);
    CHECK(ignored == STATUS_INVALID_ARGUMENT);
  }
  return STATUS_OK;
}

static enum status run(struct job *job)
{
  const char *what = arena_string(job_arena(job), job_payload(job));
  const char *name =
      job_key(job)[0] != '\0' ? job_key(job) : arena_printf(job_arena(job), "%lld", (long long)job_id(job));
  enum status status = write_word(job, query_on(service_pg(job_service(job))),
                                  arena_printf(job_arena(job), "began %s %d", name, (int)getpid()));
  if (status == STATUS_OK && strcmp(what, PROBE_JOB_CRASH) == 0)
    raise(SIGKILL);
  if (status == STATUS_OK && (strcmp(what, PROBE_JOB_HOLD) == 0 || strcmp(what, PROBE_JOB_DEAF) == 0))
    status = hold(strcmp(what, PROBE_JOB_DEAF) == 0);
  if (status == STATUS_OK)
    status = write_word(job, job_tx(job), arena_printf(job_arena(job), "did %s", name));
  return status == STATUS_OK ? finish(job, what) : status;
}

// Waits until its time is over, and tells what ended the wait.
static enum status run_briefly(struct job *job)
{
  enum status status = task_sleep_ms(600000);
  return job_fail(job, STATUS_FAILED_PRECONDITION, "the wait ended with %s", status_name(status));
}

const struct job_kind probe_jobs[PROBE_JOB_KINDS] = {
    {.name = PROBE_JOB_KIND,
     .run = run,
     .attempts = PROBE_JOB_ATTEMPTS,
     .first_pause_ms = 1,
     .longest_pause_ms = 10,
     .timeout_ms = 600000,
     .at_once = PROBE_JOBS_AT_ONCE},
    {.name = PROBE_JOB_SINGLE,
     .run = run,
     .first_pause_ms = 1,
     .longest_pause_ms = 1,
     .timeout_ms = 600000,
     .at_once = 1},
    {.name = PROBE_JOB_BRIEF,
     .run = run_briefly,
     .attempts = 1,
     .first_pause_ms = 1,
     .longest_pause_ms = 1,
     .timeout_ms = 1000,
     .at_once = 1},
};

enum status probe_add_job(struct service *service, int argc, char **argv, struct error *error)
{
  int64_t delay_ms = 0;
  CHECK(slice_to_int64(slice_from_string(argv[2]), 0, INT32_MAX, &delay_ms));
  const struct job_request request = {
      .kind = PROBE_JOB_KIND,
      .key = argv[0][0] == '-' ? NULL : argv[0],
      .payload = slice_from_string(argv[1]),
      .delay_ms = (uint64_t)delay_ms,
  };
  struct arena arena = {0};
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(service_pg(service), &tx);
  if (status == STATUS_OK)
    status = jobs_add(query_in(tx), &request, &arena);
  if (status == STATUS_OK && argc == 3)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  arena_free(&arena);
  return status == STATUS_OK ? status : error_set(error, status, "not added: %s", status_name(status));
}

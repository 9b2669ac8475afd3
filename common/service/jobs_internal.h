// Private to common/service: the workers of a process.
//
//   jobs.c          adding a job; the table's statements
//   jobs_rules.c    what becomes of a run, pauses, when to look next: pure
//   jobs_worker.c   taking jobs: a background task that looks when something is due, and is woken by NOTIFY
//   jobs_run.c      one run: the task around the handler, and its end
//   jobs_stats.c    counts of the table, for metrics; the removal of old dead jobs
//   jobs_commands.c `<service> jobs ...`
//
// A row is changed by whoever holds its lease: the run (id, claims). Taking a job counts `claims` up, so a run that has
// lost its lease changes nothing any more.
#ifndef BULKHEAD_SERVICE_JOBS_INTERNAL_H
#define BULKHEAD_SERVICE_JOBS_INTERNAL_H

#include <stdbool.h>

#include "common/observe/metrics.h"
#include "common/runtime/task.h"
#include "common/service/jobs.h"
#include "common/service/service.h"
#include "common/storage/pg_channel.h"

enum {
  // How often a worker looks for jobs without having been told of one. The triggers of the table tell of what is due
  // sooner than that (migrations/0003_jobs.up.sql).
  JOBS_LOOK_MS = 10000,
  // How long the end of a run may take to be stored, beyond its time limit.
  JOBS_SETTLE_MS = 5000,
  JOBS_ERROR_BYTES = 500,
};

// ---- rules ----

enum job_verdict {
  JOB_DONE,        // the job is removed
  JOB_RETRIED,     // it waits for another run
  JOB_DEAD,        // it has failed for good
  JOB_GIVEN_BACK,  // another process may run it now; no failure
};

// What becomes of a job whose run has ended with `status`, after `failures` earlier failures. `stopping`: the process
// has cancelled the run, because it ends.
enum job_verdict jobs_judge(const struct job_kind *kind, enum status status, uint32_t failures, bool stopping);
// True where runs that died with their processes have used all attempts up.
bool jobs_exhausted(const struct job_kind *kind, uint32_t failures);
// Returns the longest pause after so many failures, at least 1.
uint32_t jobs_pause_limit_ms(const struct job_kind *kind, uint32_t failures);
// Returns how long a job is leased. `effect_ms` is that of pg_effect_ms.
uint64_t jobs_lease_ms(const struct job_kind *kind, uint32_t effect_ms);
// Returns when a worker that finds nothing more to do now looks next: when the next job is due (`next_ms` from now,
// where `has_next`), and after JOBS_LOOK_MS at the latest.
uint64_t jobs_next_look_us(uint64_t now_us, bool has_next, int64_t next_ms);
// Returns when the job is due that a message of the channel tells of: at once where it cannot be read.
uint64_t jobs_told_us(uint64_t now_us, struct slice message);
// Checks the kinds of a service. FAILED_PRECONDITION with a sentence for the first that is wrong.
enum status jobs_check_kinds(const struct service_definition *definition, struct error *error) MUST_CHECK;

// ---- the workers of a process ----

// A kind as this process works on it.
struct jobs_kind {
  const struct job_kind *kind;
  uint32_t running;               // runs under way in this process
  uint32_t taken;                 // jobs that the present look has taken
  bool has_more;                  // the last look that had room took as many as there was room for, so more may be due
  struct metric_series *runs[4];  // by job_verdict
  struct metric_series *lost;
  struct metric_series *duration;
  struct metric_series *running_gauge;
  struct metric_series *waiting_gauge;
  struct metric_series *dead_gauge;
  struct metric_series *oldest_gauge;
};

struct jobs {
  struct service *service;
  struct pg_channel *channel;
  struct jobs_kind *kinds;
  size_t kind_count;
  size_t running;  // of all kinds
  bool looking;
  bool closed;                // takes no more jobs
  uint64_t wake_us;           // when the worker looks next
  struct completion *asleep;  // NULL unless the worker waits
  uint32_t pause_ms;          // after looks that failed; 0 after one that succeeded
};

// One run of a job.
struct job {
  struct jobs *jobs;
  struct jobs_kind *kind;
  struct arena arena;
  int64_t id;
  int64_t claims;
  uint32_t failures;
  const char *key;
  struct slice payload;
  const char *error;      // NULL until the handler has set one
  uint64_t deadline_us;   // of the handler
  uint64_t lease_end_us;  // not later than the lease ends in PostgreSQL
  struct pg_tx *tx;
  enum status tx_status;  // why there is no transaction
};

// Makes the kinds of this program known to jobs_add.
void jobs_declare(const struct service_definition *definition);
// Returns the declared kind; NULL where there is none.
const struct job_kind *jobs_find_kind(const char *name);

// Starts the workers, where the service has kinds. Runs in a task. The service's state must be there.
void jobs_start(struct service *service);
// Takes no more jobs from now on.
void jobs_close(struct service *service);
// Tells whether no run is under way; for service_wait_until.
bool jobs_are_idle(const struct service *service);
// Frees what jobs_start has made; accepts a service without.
void jobs_free(struct service *service);

// Returns the kind with this name, which must be one of the service's (CHECK).
struct jobs_kind *jobs_kind_of(struct jobs *jobs, const char *name);
// Lets the worker look at `at_us`, unless it does so earlier.
void jobs_wake(struct jobs *jobs, uint64_t at_us);
// Runs the job in a background task, which frees it.
void jobs_run(struct job *job);
// Gives a job back that was taken and not begun, and frees it.
void jobs_give_back(struct job *job);
// Keeps the gauges of the table right: a background task's body. `arg` is the struct jobs.
void jobs_watch(void *arg);

extern const struct service_command jobs_command;

// ---- statements that end a run ----

struct job_end {
  int64_t id;
  int64_t claims;
  int64_t failures;
  const char *error;
  int64_t pause_ms;
};

// Each gives the number of rows that it has changed: 0 where the run has lost its lease.

// Removes the job, unless it was added once more meanwhile.
extern const struct query jobs_remove_query;
// Lets a job that was added once more wait again, as new.
extern const struct query jobs_renew_query;
extern const struct query jobs_retry_query;
extern const struct query jobs_bury_query;
extern const struct query jobs_give_back_query;

#endif

// Background work that survives its process: a durable queue in the table `jobs` of the service's own schema.
//
// A job is added in the transaction of what causes it, so both happen or neither. Any process of the service runs it: a
// worker takes it under a lease, calls the kind's `run` as a task, and removes it when that returns OK. A job that was
// added wakes the workers at once (NOTIFY), a delayed one when it is due; a worker also looks every 10 s.
//
//   enum status send_welcome(struct job *job)                       static const struct job_kind kinds[] = {
//   {                                                                 {.name = "welcome", .run = send_welcome,
//     enum status status = post(job_key(job), job_payload(job));       .attempts = 10, .first_pause_ms = 1000,
//     return status == STATUS_OK ? status                              .longest_pause_ms = 600000,
//                  : job_fail(job, status, "SMTP said no");            .timeout_ms = 20000, .at_once = 4},
//   }                                                               };   // service_definition: .jobs, .job_count
//
//   status = jobs_add(resource_db(call), &(struct job_request){.kind = "welcome", .key = user_id}, call_arena(call));
//
// At least once. A job is lost by nothing, but it may run again after its effect: the process died, or PostgreSQL was
// away, between the effect and the removal. Three ways to make it effectively once:
// - The effect is in PostgreSQL: make it in job_tx(job). It is committed together with the removal of the job, or not
//   at all, also where another worker has taken the job over.
// - The effect is a call of another service: make it idempotent there, by a key such as job_key.
// - It is neither (a mail): do it last, and live with a second time. Once `run` has returned OK its worker tries to
//   remove the job until the lease ends, so a second run takes a crash or a long outage in that moment.
//
// Never twice at once. A run has `timeout_ms` from before the job was taken; then its waits end (DEADLINE_EXCEEDED).
// The lease is longer, by 5 s and by what a statement that was sent may still take (pg_effect_ms). A worker that dies
// leaves its jobs to others when their leases end. A process that is told to stop takes no more jobs, lets its runs end
// within DRAIN_TIMEOUT, then cancels them; what was cancelled is given back at once. Only a handler that computes past
// its time without a wait, or a server whose clock leaps, can break this; the removal is bound to the lease even then.
//
// How a run ends, by the status that `run` returns:
//   OK                                               the job is removed
//   INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS        it is dead: kept with its error, and never run again unless an
//   FAILED_PRECONDITION OUT_OF_RANGE DATA_LOSS       operator says so (`<service> jobs retry <id>`)
//   CANCELLED while the process stops                it is given back, which is no failure
//   any other                                        it is tried again after a pause; dead after `attempts` failures
// The pause is drawn between 0 and a limit, which is first_pause_ms after the first failure and doubles with each up to
// longest_pause_ms (full jitter). A run whose process died counts as a failure.
#ifndef BULKHEAD_SERVICE_JOBS_H
#define BULKHEAD_SERVICE_JOBS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/service/query.h"

struct job;
struct service;

#define JOB_KEY_MAX_BYTES 200
#define JOB_PAYLOAD_MAX_BYTES 262144

// A kind of jobs. The service lists its kinds in service_definition.jobs; a wrong one fails the start. A process leaves
// kinds alone that it does not know: an older release beside a newer one is no problem. Before a kind is renamed or
// removed its jobs must have ended.
struct job_kind {
  const char *name;  // of a-z, 0-9 and _, beginning with a letter; 63 bytes at most. A label of metrics.
  // Does the work, as a task of its own; may wait. Returns how it ended; see above.
  enum status (*run)(struct job *job);
  uint32_t attempts;          // failures after which the job is dead; 0: it is tried for ever
  uint32_t first_pause_ms;    // at least 1
  uint32_t longest_pause_ms;  // at least first_pause_ms
  uint32_t timeout_ms;        // of one run; 1 to 3,600,000
  uint32_t at_once;           // runs at a time in one process, at least 1. Each that uses PostgreSQL takes a connection
};

// ---- adding ----

struct job_request {
  const char *kind;  // one of the service's own (CHECK)
  // Names the work; UTF-8 without NUL, JOB_KEY_MAX_BYTES at most. NULL for a job that is like no other. Where a job of
  // the kind with this key has not ended, no second one is made: the one that is there keeps its payload and is due at
  // the earlier of the two times, and one that runs at the moment runs again after that. So a run always begins after
  // the add. A dead job does not count: a new one is made beside it.
  const char *key;
  // What `run` gets; JOB_PAYLOAD_MAX_BYTES at most. Whoever can read the table or a backup can read it: secrets must be
  // sealed (common/security/key.h) by whoever adds the job.
  struct slice payload;
  uint64_t delay_ms;  // the job is due so long after now; 0: at once
};

// Adds a job on `db`: in a transaction (query_in, resource_db) it appears with the commit, by itself (query_on) at
// once. Nothing of the request must outlive the call. INVALID_ARGUMENT for a key or payload that is too long, an empty
// key, and a delay of more than a year; else the status of the statement (pg.h).
enum status jobs_add(struct query_db db, const struct job_request *request, struct arena *arena) MUST_CHECK;
// A statement of the service's own queries may do the same, in one with its effect:
//   WITH gone AS (DELETE FROM users WHERE id = :id::uuid RETURNING id)
//   INSERT INTO jobs (kind, key) SELECT 'remove_credential', id::text FROM gone
//   ON CONFLICT (kind, key) WHERE dead_time IS NULL DO UPDATE SET again = jobs.running,
//     due_time = CASE WHEN jobs.running THEN jobs.due_time ELSE least(jobs.due_time, excluded.due_time) END;
// and may take a delayed job away that has never been begun (`claims = 0`), which then has no effect:
//   DELETE FROM jobs WHERE kind = 'remove_credential' AND key = :id AND dead_time IS NULL AND claims = 0

// ---- running ----

// The functions below are for `run`. What they return lives as long as the run.

// The key; "" for a job without.
const char *job_key(const struct job *job);
struct slice job_payload(const struct job *job);
int64_t job_id(const struct job *job);
// How many runs have failed before this one.
uint32_t job_failures(const struct job *job);
// Memory of this run.
struct arena *job_arena(struct job *job);
// For call_peer with NULL as the call, service_pg, service_state and so on.
struct service *job_service(const struct job *job);
// Returns the transaction of the run's effects, which begins at the first call. It is committed after `run` has
// returned OK, together with the removal of the job, and rolled back after anything else. Its row locks and its
// connection are held until then: call other services before. PostgreSQL ends a transaction in which nothing happens
// for 1 to 5 s.
struct query_db job_tx(struct job *job);
// Sets the text that is kept with the job and shown to operators, and returns `status`. It must hold no secret. Without
// it the text is the status. 500 bytes are kept.
enum status job_fail(struct job *job, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);

#endif

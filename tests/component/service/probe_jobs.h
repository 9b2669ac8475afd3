// The probe's kinds of jobs. A job's payload says what its run does; its key, or its id where it has none, names it
// among the words of the database.
#ifndef BULKHEAD_TESTS_SERVICE_PROBE_JOBS_H
#define BULKHEAD_TESTS_SERVICE_PROBE_JOBS_H

#include "common/service/jobs.h"

// Payloads. Every run first writes the word "began NAME PID" by itself.
#define PROBE_JOB_WRITE "write"    // writes the word "did NAME" in the job's transaction
#define PROBE_JOB_HOLD "hold"      // waits for PROBE_RELEASE_FILE first, then does the same
#define PROBE_JOB_DEAF "deaf"      // does the same, also when it is cancelled
#define PROBE_JOB_FAIL "fail"      // writes the word, then fails with UNAVAILABLE
#define PROBE_JOB_REFUSE "refuse"  // writes the word, then fails for good
#define PROBE_JOB_LOSE "lose"      // writes the word, then lets somebody else take the job over, and succeeds
#define PROBE_JOB_SPOIL "spoil"    // ignores that a statement of its transaction fails
#define PROBE_JOB_CRASH "crash"    // kills its process

#define PROBE_JOB_KIND "probe"           // three attempts, four runs at once
#define PROBE_JOB_SINGLE "probe_single"  // one run at once, which is tried for ever
#define PROBE_JOB_BRIEF "probe_brief"    // its time limit is over at once

enum { PROBE_JOB_KINDS = 3, PROBE_JOB_ATTEMPTS = 3, PROBE_JOBS_AT_ONCE = 4 };
extern const struct job_kind probe_jobs[PROBE_JOB_KINDS];

// Adds a job with this key, payload and delay from a command: "probe add-job KEY PAYLOAD MS [regret]". With "regret" it
// is added in a transaction that is rolled back.
enum status probe_add_job(struct service *service, int argc, char **argv, struct error *error);

#endif

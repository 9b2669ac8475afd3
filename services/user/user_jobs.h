// Background jobs of the user service.
#ifndef BULKHEAD_SERVICES_USER_USER_JOBS_H
#define BULKHEAD_SERVICES_USER_USER_JOBS_H

#include "common/service/jobs.h"

// Removes a credential that has no account: what a sign-up that failed half-way, or an account that was deleted, left
// in the auth service. The key is the user's id. The statements in queries/ name the kind, too.
#define USER_REMOVE_CREDENTIAL "remove_credential"

enum { USER_JOB_COUNT = 1 };
extern const struct job_kind user_jobs[USER_JOB_COUNT];

#endif

#include "services/user/user_jobs.h"

#include "common/observe/log.h"
#include "common/service/service.h"
#include "services/user/user_peers.h"
#include "user/queries.bh.h"

// A job that was begun lets no sign-up with its id finish any more, so what is looked up here stays true: an account
// that exists has finished its sign-up before, and keeps its credential.
static enum status remove_credential(struct job *job)
{
  User__V1__User account;
  const char *id = job_key(job);
  enum status status = user_db_get(query_on(service_pg(job_service(job))), id, job_arena(job), &account);
  if (status == STATUS_OK)
    return STATUS_OK;
  if (status != STATUS_NOT_FOUND)
    return job_fail(job, status, "the account could not be looked up: %s", status_name(status));
  status = user_peers_delete_credential(job_service(job), NULL, id, job_arena(job));
  if (status != STATUS_OK)
    return job_fail(job, status, "the auth service did not delete the credential: %s", status_name(status));
  log_info("user", "removed a credential that had no account", LOG_STRING("userId", id));
  return STATUS_OK;
}

const struct job_kind user_jobs[USER_JOB_COUNT] = {
    // Nobody but this job knows of the credential, so it is never given up.
    {.name = USER_REMOVE_CREDENTIAL,
     .run = remove_credential,
     .attempts = 0,
     .first_pause_ms = 500,
     .longest_pause_ms = 300000,
     .timeout_ms = 5000,
     .at_once = 4},
};

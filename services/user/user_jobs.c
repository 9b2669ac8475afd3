#include "services/user/user_jobs.h"

#include <string.h>

#include "common/base/uuid.h"
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
  status = user_peers_delete_credential(job_service(job), id, job_payload(job), job_arena(job));
  if (status != STATUS_OK)
    return job_fail(job, status, "the auth service did not delete the credential: %s", status_name(status));
  log_info("user", "removed a credential that had no account", LOG_STRING("userId", id));
  return STATUS_OK;
}

static enum status judge(struct job *job, enum status status, const char *what)
{
  return status == STATUS_OK ? status : job_fail(job, STATUS_UNAVAILABLE, "%s: %s", what, status_name(status));
}

// ---- mails, which the auth service sends ----

static enum status welcome(struct job *job)
{
  User__V1__User account;
  enum status status = user_db_get(query_on(service_pg(job_service(job))), job_key(job), job_arena(job), &account);
  // The account was deleted, or proved its address by another mail.
  if (status == STATUS_NOT_FOUND || (status == STATUS_OK && account.email_verified))
    return STATUS_OK;
  if (status == STATUS_OK)
    status = user_peers_send_verification(job_service(job), account.id, account.email, job_arena(job));
  return judge(job, status, "the mail to a new account could not be ordered");
}

static enum status tell_sign_up(struct job *job)
{
  User__V1__User account;
  const char *email = arena_string(job_arena(job), job_payload(job));
  enum status status = user_db_find_by_email(query_on(service_pg(job_service(job))), email, job_arena(job), &account);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status == STATUS_OK)
    status = user_peers_tell_sign_up(job_service(job), account.id, account.email, job_arena(job));
  return judge(job, status, "the mail to the owner of an address could not be ordered");
}

static enum status settle_address(struct job *job)
{
  enum status status = user_peers_settle_address(job_service(job), job_key(job), job_arena(job));
  return judge(job, status, "the auth service did not take the change of an address");
}

// ---- the data of a deleted account ----

// How long after the deletion the second run begins: a day, the longest that AUTH_ACCESS_TTL may be, and an hour. A
// gateway that cannot reach the auth service takes tokens of the account until they expire, so something may have been
// stored meanwhile.
#define LATE_MS (UINT64_C(25) * 3600 * 1000)

static enum status remove_items(struct job *job, const char *id)
{
  for (bool more = true; more;) {
    struct arena arena;
    arena_init(&arena);
    enum status status = user_peers_delete_items(job_service(job), id, &arena, &more);
    arena_free(&arena);
    if (status != STATUS_OK)
      return job_fail(job, status, "the item service did not delete the items: %s", status_name(status));
  }
  return STATUS_OK;
}

static enum status add_late_run(struct job *job, const char *id)
{
  const struct job_request late = {
      .kind = USER_REMOVE_DATA, .key = arena_printf(job_arena(job), "%s" USER_LATE, id), .delay_ms = LATE_MS};
  return jobs_add(job_tx(job), &late, job_arena(job));
}

// Each step may be repeated, and none is undone: what dies in between leaves the rest to the next run. The credential
// goes first, so that nothing new is stored meanwhile.
static enum status remove_data(struct job *job)
{
  const char *key = job_key(job);
  struct slice late = slice_skip(slice_from_string(key), UUID_TEXT_SIZE - 1);
  const char *id = arena_string(job_arena(job), slice_make(key, strlen(key) - late.size));
  enum status status = user_peers_delete_credential(job_service(job), id, job_payload(job), job_arena(job));
  if (status != STATUS_OK)
    return job_fail(job, status, "the auth service did not delete the credential: %s", status_name(status));
  status = remove_items(job, id);
  if (status == STATUS_OK && late.size == 0)
    status = add_late_run(job, id);
  if (status == STATUS_OK)
    log_info("user", "removed the data of a deleted account", LOG_STRING("userId", id));
  return status;
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
    {.name = USER_WELCOME,
     .run = welcome,
     .attempts = 100,
     .first_pause_ms = 500,
     .longest_pause_ms = 300000,
     .timeout_ms = 5000,
     .at_once = 4},
    {.name = USER_SIGN_UP_AGAIN,
     .run = tell_sign_up,
     .attempts = 100,
     .first_pause_ms = 500,
     .longest_pause_ms = 300000,
     .timeout_ms = 5000,
     .at_once = 4},
    // The address is changed already, and its former one must be told of it.
    {.name = USER_SETTLE_ADDRESS,
     .run = settle_address,
     .attempts = 0,
     .first_pause_ms = 500,
     .longest_pause_ms = 60000,
     .timeout_ms = 5000,
     .at_once = 4},
    // What it has to remove may be much, and goes on where the last run ended.
    {.name = USER_REMOVE_DATA,
     .run = remove_data,
     .attempts = 0,
     .first_pause_ms = 500,
     .longest_pause_ms = 300000,
     .timeout_ms = 60000,
     .at_once = 2},
};

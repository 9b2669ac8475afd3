// Requests for another address: a job sends the mail to the new address, or, where another account has that one, tells
// its owner.
#include <inttypes.h>
#include <stdlib.h>

#include "auth/queries.bh.h"
#include "common/security/key.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "services/auth/account_tokens.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_links.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/settings.h"

#define SEAL_CONTEXT "bulkhead auth email change 1"
// How many mails to new addresses an account causes within an hour.
#define CHANGES_AN_HOUR 5

// ---- the request ----

static enum status fail_unchanged(struct call *call)
{
  call_violation(call, "newEmail", "is the address that the account has");
  return call_fail(call, STATUS_INVALID_ARGUMENT, "EMAIL_UNCHANGED", "newEmail is the address that the account has");
}

struct change_request {
  const char *new_email;
  int64_t version;  // of the address that the account has
};

// The change is bound to the address that the account has now and to its password, and ends with the sessions that a
// user ends: where that happens before the mail is written, or the password changes, none is sent; where the address
// does, the link in the mail changes nothing. The payload of the job is sealed and has the parts in lines.
static enum status add_change_job(struct call *call, struct query_db db, const struct change_request *request,
                                  const struct auth_db_lock_credential_row *locked)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  // Earlier releases stop parsing at the colon.
  const char *plain =
      arena_printf(arena, "%s\n%" PRId64 "\n%" PRId64 ":%" PRId64 "\n%s", resource_caller(call), request->version,
                   locked->password_set_us, locked->email_change_generation, request->new_email);
  struct slice sealed;
  enum status status =
      key_seal(slice_from_string(state->stored_secret), SEAL_CONTEXT, slice_from_string(plain), arena, &sealed);
  if (status != STATUS_OK)
    return status;
  const struct job_request job = {.kind = AUTH_EMAIL_CHANGE_JOB,
                                  .key = auth_devices_account(state->stored_secret, plain, arena),
                                  .payload = sealed};
  return jobs_add(db, &job, arena);
}

static enum status request_change_in(struct call *call, struct query_db db, const void *request)
{
  struct auth_db_lock_credential_row locked;
  enum status status = auth_db_lock_credential(db, resource_caller(call), call_arena(call), &locked);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, resource_caller(call));
  if (status == STATUS_OK)
    status = auth_sessions_require_live(call, db);
  return status == STATUS_OK ? add_change_job(call, db, request, &locked) : status;
}

enum status auth_email_request_change(struct call *call, const char *new_email)
{
  const struct auth_state *state = call_state(call);
  if (state->mail == NULL)
    return auth_email_fail_without_mail(call);
  struct account_address address = {0};
  enum status status = auth_peers_get_address(call, resource_caller(call), &address);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, resource_caller(call));
  if (status != STATUS_OK)
    return status;
  if (slice_equal_ignore_case(slice_from_string(address.email), slice_from_string(new_email)))
    return fail_unchanged(call);
  const struct change_request request = {.new_email = new_email, .version = address.version};
  return auth_transact(call, request_change_in, &request);
}

// ---- its job ----

// A request as its job finds it.
struct pending_change {
  const char *user_id;
  const char *email;
  int64_t version;
  int64_t password_set_us;
  int64_t email_change_generation;  // 0: an earlier release has stored the request
};

static enum status open_change(struct job *job, struct pending_change *pending)
{
  const struct auth_state *state = service_state(job_service(job));
  struct arena *arena = job_arena(job);
  struct slice plain;
  enum status status = key_open(slice_from_string(state->stored_secret), SEAL_CONTEXT, job_payload(job), arena, &plain);
  if (status != STATUS_OK)
    return job_fail(job, status, "the stored secret does not open this request");
  struct slice parts[4];
  for (size_t i = 0; i < 4; i++) {
    size_t end = slice_find(plain, '\n', 0);
    parts[i] = slice_make(plain.data, end);
    plain = slice_skip(plain, end < plain.size ? end + 1 : end);
  }
  char *end;
  *pending = (struct pending_change){.user_id = arena_string(arena, parts[0]),
                                     .version = strtoll(arena_string(arena, parts[1]), NULL, 10),
                                     .password_set_us = strtoll(arena_string(arena, parts[2]), &end, 10),
                                     .email_change_generation = *end == ':' ? strtoll(end + 1, NULL, 10) : 0,
                                     .email = arena_string(arena, parts[3])};
  return STATUS_OK;
}

enum status auth_email_change_run(struct job *job)
{
  const struct auth_state *state = service_state(job_service(job));
  struct arena *arena = job_arena(job);
  struct pending_change pending = {0};
  if (open_change(job, &pending) != STATUS_OK)
    return STATUS_FAILED_PRECONDITION;
  const char *owner_id = NULL;
  struct account_facts account = {0};
  enum status found = auth_peers_find_user(job_service(job), NULL, pending.email, arena, &owner_id);
  enum status status = found == STATUS_NOT_FOUND ? STATUS_OK : found;
  if (status == STATUS_OK)
    status = auth_peers_read_account(job_service(job), NULL, pending.user_id, arena, &account);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK)
    return job_fail(job, STATUS_UNAVAILABLE, "the user service could not be asked (%s)", status_name(status));
  struct auth_link link = {.purpose = AUTH_CHANGE_PURPOSE,
                           .fragment = "verify",
                           .template = "change_email",
                           .user_id = pending.user_id,
                           .email = pending.email,
                           .other_email = account.email,
                           .email_version = pending.version,
                           .ttl_ms = state->settings->verify_ttl_ms,
                           .most_an_hour = CHANGES_AN_HOUR,
                           .password_set_us = &pending.password_set_us,
                           .email_change_generation =
                               pending.email_change_generation == 0 ? NULL : &pending.email_change_generation};
  if (found == STATUS_OK)
    link = auth_email_in_use(state, owner_id, pending.email);
  bool sent;
  return auth_link_send(state, job_tx(job), &link, arena, &sent);
}

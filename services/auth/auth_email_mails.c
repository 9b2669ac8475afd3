// The mails about addresses: to one that somebody wants, and to the owners of accounts.
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
#include "services/auth/auth_mail.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_recovery.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/settings.h"

#define SEAL_CONTEXT "bulkhead auth email change 1"
// Mails of a kind that an account gets within an hour.
#define MOST_AN_HOUR 5

// ---- a change is asked for: the job's payload has the parts in lines ----

enum status auth_email_fail_without_mail(struct call *call)
{
  return call_fail(call, STATUS_UNIMPLEMENTED, "NO_MAIL",
                   "this server sends no mail, so no address can be confirmed; ask its operator");
}

static enum status fail_no_account(struct call *call)
{
  return call_fail(call, STATUS_NOT_FOUND, "USER_NOT_FOUND", "there is no user %s", resource_caller(call));
}

static enum status fail_unchanged(struct call *call)
{
  call_violation(call, "newEmail", "is the address that the account has");
  return call_fail(call, STATUS_INVALID_ARGUMENT, "EMAIL_UNCHANGED", "newEmail is the address that the account has");
}

struct wish {
  const char *new_email;
  int64_t version;  // of the address that the account has
};

// The change is bound to the address that the account has now and to its password, and ends with the sessions that a
// user ends: where that happens before the mail is written, or the password changes, none is sent; where the address
// does, the link in the mail changes nothing.
static enum status add_change_job(struct call *call, struct query_db db, const struct wish *wish,
                                  const struct auth_db_lock_credential_row *locked)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  // What follows the colon is for the releases that know of it.
  const char *plain =
      arena_printf(arena, "%s\n%" PRId64 "\n%" PRId64 ":%" PRId64 "\n%s", resource_caller(call), wish->version,
                   locked->password_set_us, locked->email_change_generation, wish->new_email);
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

static enum status ask_in(struct call *call, struct query_db db, const void *wish)
{
  struct auth_db_lock_credential_row locked;
  enum status status = auth_db_lock_credential(db, resource_caller(call), call_arena(call), &locked);
  if (status == STATUS_NOT_FOUND)
    return fail_no_account(call);
  if (status == STATUS_OK)
    status = auth_sessions_hold(call, db);
  return status == STATUS_OK ? add_change_job(call, db, wish, &locked) : status;
}

enum status auth_email_ask_change(struct call *call, const char *new_email)
{
  const struct auth_state *state = call_state(call);
  if (state->mail == NULL)
    return auth_email_fail_without_mail(call);
  struct account_address address = {0};
  enum status status = auth_peers_get_address(call, resource_caller(call), &address);
  if (status == STATUS_NOT_FOUND)
    return fail_no_account(call);
  if (status != STATUS_OK)
    return status;
  if (slice_equal_ignore_case(slice_from_string(address.email), slice_from_string(new_email)))
    return fail_unchanged(call);
  return auth_transact(call, ask_in, &(struct wish){.new_email = new_email, .version = address.version});
}

struct wanted_change {
  const char *user_id;
  const char *email;
  int64_t version;
  int64_t password_set_us;
  int64_t email_change_generation;  // 0: a release before has stored the wish
};

static enum status open_change(struct job *job, struct wanted_change *wanted)
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
  *wanted = (struct wanted_change){.user_id = arena_string(arena, parts[0]),
                                   .version = strtoll(arena_string(arena, parts[1]), NULL, 10),
                                   .password_set_us = strtoll(arena_string(arena, parts[2]), &end, 10),
                                   .email_change_generation = *end == ':' ? strtoll(end + 1, NULL, 10) : 0,
                                   .email = arena_string(arena, parts[3])};
  return STATUS_OK;
}

// Returns the mail that tells the owner of an account about a wish for its address, with a link that sets a password.
static struct auth_link taken_link(const struct auth_state *state, const char *user_id, const char *email)
{
  return (struct auth_link){.purpose = AUTH_RESET_PURPOSE,
                            .fragment = "reset",
                            .template = "address_in_use",
                            .user_id = user_id,
                            .email = email,
                            .ttl_ms = state->settings->reset_ttl_ms,
                            .most_an_hour = AUTH_RECOVERY_AN_HOUR};
}

enum status auth_email_change_run(struct job *job)
{
  const struct auth_state *state = service_state(job_service(job));
  struct arena *arena = job_arena(job);
  struct wanted_change wanted = {0};
  if (open_change(job, &wanted) != STATUS_OK)
    return STATUS_FAILED_PRECONDITION;
  const char *owner_id = NULL;
  struct account_facts account = {0};
  enum status found = auth_peers_find_user(job_service(job), NULL, wanted.email, arena, &owner_id);
  enum status status = found == STATUS_NOT_FOUND ? STATUS_OK : found;
  if (status == STATUS_OK)
    status = auth_peers_read_account(job_service(job), NULL, wanted.user_id, arena, &account);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK)
    return job_fail(job, STATUS_UNAVAILABLE, "the user service could not be asked (%s)", status_name(status));
  struct auth_link link = {.purpose = AUTH_CHANGE_PURPOSE,
                           .fragment = "verify",
                           .template = "change_email",
                           .user_id = wanted.user_id,
                           .email = wanted.email,
                           .other_email = account.email,
                           .email_version = wanted.version,
                           .ttl_ms = state->settings->verify_ttl_ms,
                           .most_an_hour = MOST_AN_HOUR,
                           .password_set_us = &wanted.password_set_us,
                           .email_change_generation =
                               wanted.email_change_generation == 0 ? NULL : &wanted.email_change_generation};
  if (found == STATUS_OK)
    link = taken_link(state, owner_id, wanted.email);
  bool sent;
  return auth_link_send(state, job_tx(job), &link, arena, &sent);
}

// ---- mails to owners ----

static enum status send_in(struct call *call, struct query_db db, const void *link)
{
  bool sent;
  return auth_link_send(call_state(call), db, link, call_arena(call), &sent);
}

// Sends a link in a transaction of its own, so that its token and its mail are there together.
static enum status send_link(struct call *call, const struct auth_link *link)
{
  const struct auth_state *state = call_state(call);
  return state->mail == NULL ? STATUS_OK : auth_transact_apart(call, send_in, link);
}

struct auth_link auth_email_verification(const struct auth_state *state, const char *user_id, const char *email,
                                         int64_t most)
{
  return (struct auth_link){.purpose = AUTH_VERIFY_PURPOSE,
                            .fragment = "verify",
                            .template = "verify_email",
                            .user_id = user_id,
                            .email = email,
                            .ttl_ms = state->settings->verify_ttl_ms,
                            .most_an_hour = most};
}

enum status auth_email_send_verification(struct call *call, const char *user_id, const char *email, int64_t most)
{
  const struct auth_link link = auth_email_verification(call_state(call), user_id, email, most);
  return send_link(call, &link);
}

enum status auth_email_tell_sign_up(struct call *call, const char *user_id, const char *email)
{
  const struct auth_link link = taken_link(call_state(call), user_id, email);
  return send_link(call, &link);
}

enum status auth_email_remind(struct call *call, const char *user_id, bool *may_enter)
{
  const struct auth_state *state = call_state(call);
  struct account_address address;
  *may_enter = true;
  if (!state->settings->verify_email_first)
    return STATUS_OK;
  enum status status = auth_peers_get_address(call, user_id, &address);
  if (status != STATUS_OK || address.verified)
    return status;
  *may_enter = false;
  return auth_email_send_verification(call, user_id, address.email, AUTH_VERIFICATIONS_AN_HOUR);
}

enum status auth_email_demand(struct call *call, const char *user_id)
{
  bool may_enter;
  enum status status = auth_email_remind(call, user_id, &may_enter);
  if (status != STATUS_OK || may_enter)
    return status;
  return call_fail(call, STATUS_PERMISSION_DENIED, "EMAIL_NOT_VERIFIED",
                   "the address of this account is not confirmed yet; open the link in the mail that was sent to it");
}

enum status auth_email_tell_device(struct call *call, struct query_db db, const char *user_id, const char *device_name)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct auth_db_count_new_device_row row;
  if (state->mail == NULL)
    return STATUS_OK;
  enum status status = auth_db_count_new_device(db, user_id, arena, &row);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK || row.device_mails == 0 || row.device_mails > MOST_AN_HOUR)
    return status;
  const struct auth_mail_notice notice = {
      .user_id = user_id, .address = call_client_address(call), .detail = device_name};
  return auth_mail_tell(state, db, AUTH_MAIL_NEW_DEVICE, &notice, arena);
}

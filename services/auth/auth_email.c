#include "services/auth/auth_email.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/security/key.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "services/auth/account_tokens.h"
#include "services/auth/audit.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_factors.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_links.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_passwords.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_recovery.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/settings.h"

#define SEAL_CONTEXT "bulkhead auth email change 1"
// Mails of a kind that an account gets within an hour.
#define MOST_AN_HOUR 5
// Changes that somebody makes with a mail each are few enough by themselves.
#define ANY_NUMBER 1000
// The time to undo a change begins when its mail is added, which may be later than the change.
#define HOLD_LONGER_MS 3600000
#define DAY_US (INT64_C(86400) * 1000000)

// ---- a change is asked for: the job's payload has the parts in lines ----

static enum status fail_no_account(struct call *call)
{
  return call_fail(call, STATUS_NOT_FOUND, "USER_NOT_FOUND", "there is no user %s", resource_caller(call));
}

static enum status fail_unchanged(struct call *call)
{
  call_violation(call, "newEmail", "is the address that the account has");
  return call_fail(call, STATUS_INVALID_ARGUMENT, "EMAIL_UNCHANGED", "newEmail is the address that the account has");
}

// The change is bound to the address and the password that the account has now: where the password changes before the
// mail is written, none is sent; where the address does, the link in the mail changes nothing.
static enum status add_change_job(struct call *call, const char *new_email, int64_t version, int64_t password_set_us)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const char *user_id = resource_caller(call);
  const char *plain =
      arena_printf(arena, "%s\n%" PRId64 "\n%" PRId64 "\n%s", user_id, version, password_set_us, new_email);
  struct slice sealed;
  enum status status =
      key_seal(slice_from_string(state->stored_secret), SEAL_CONTEXT, slice_from_string(plain), arena, &sealed);
  if (status != STATUS_OK)
    return status;
  const struct job_request job = {.kind = AUTH_EMAIL_CHANGE_JOB,
                                  .key = auth_devices_account(state->stored_secret, plain, arena),
                                  .payload = sealed};
  return jobs_add(query_on(state->pg), &job, arena);
}

enum status auth_email_ask_change(struct call *call, const char *new_email)
{
  const struct auth_state *state = call_state(call);
  if (state->mail == NULL)
    return call_fail(call, STATUS_UNIMPLEMENTED, "NO_MAIL",
                     "this server sends no mail, so no address can be confirmed; ask its operator");
  struct account_address address = {0};
  struct auth_db_get_password_hash_row password;
  enum status status = auth_peers_get_address(call, resource_caller(call), &address);
  if (status == STATUS_OK)
    status = auth_db_get_password_hash(query_on(state->pg), resource_caller(call), call_arena(call), &password);
  if (status == STATUS_NOT_FOUND)
    return fail_no_account(call);
  if (status != STATUS_OK)
    return status;
  if (slice_equal_ignore_case(slice_from_string(address.email), slice_from_string(new_email)))
    return fail_unchanged(call);
  return add_change_job(call, new_email, address.version, password.set_us);
}

struct wanted_change {
  const char *user_id;
  const char *email;
  int64_t version;
  int64_t password_set_us;
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
  *wanted = (struct wanted_change){.user_id = arena_string(arena, parts[0]),
                                   .version = strtoll(arena_string(arena, parts[1]), NULL, 10),
                                   .password_set_us = strtoll(arena_string(arena, parts[2]), NULL, 10),
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
                           .password_set_us = &wanted.password_set_us};
  if (found == STATUS_OK)
    link = taken_link(state, owner_id, wanted.email);
  bool sent;
  return auth_link_send(state, job_tx(job), &link, arena, &sent);
}

// ---- what follows a change ----

static enum status record(struct call *call, struct query_db db, const char *action, const char *user_id)
{
  const struct audit_entry entry = {.action = action, .actor_id = user_id, .user_id = user_id};
  return audit_add(call, db, &entry);
}

// Everything that an account's mails could do ends with its address; the former address can take the change back.
static enum status follow_change(struct call *call, struct query_db db, const struct auth_db_settle_token_row *token)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_link undo = {.purpose = AUTH_UNDO_PURPOSE,
                                 .fragment = "undo",
                                 .template = "email_changed",
                                 .user_id = token->user_id,
                                 .email = token->other_email,
                                 .other_email = token->email,
                                 .email_version = token->email_version,
                                 .ttl_ms = state->settings->undo_ttl_ms,
                                 .most_an_hour = ANY_NUMBER};
  bool sent = false;
  enum status status = auth_db_spend_links(db, token->user_id, arena);
  if (status == STATUS_OK)
    status = auth_link_send(state, db, &undo, arena, &sent);
  if (status == STATUS_OK)
    status = record(call, db, "email.change", token->user_id);
  return status;
}

// Voids what somebody may hold who has changed the address: sessions with their access tokens, links in mails, also
// those that would take this undo back, and a password, factors, passkeys and API keys that may be his.
static enum status follow_undo(struct call *call, struct query_db db,
                               const struct auth_db_void_password_params *void_it,
                               const struct auth_db_settle_token_row *token)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_db_spend_later_undos_params undos = {.user_id = token->user_id,
                                                         .email_version = token->email_version};
  const struct auth_link reset = {.purpose = AUTH_RESET_PURPOSE,
                                  .fragment = "reset",
                                  .template = "email_undone",
                                  .user_id = token->user_id,
                                  .email = token->email,
                                  .other_email = token->other_email,
                                  .ttl_ms = state->settings->undo_ttl_ms,
                                  .most_an_hour = ANY_NUMBER};
  bool sent = false;
  const struct late_proofs late = {.user_id = token->user_id,
                                   .since_us = token->create_us - DAY_US,
                                   .detail = "the change of the address was taken back, so what was added in the day "
                                             "before it or since was removed: second factors, passkeys and API keys"};
  // Devices that are remembered have to pass the second step again.
  enum status status = auth_factors_remove_late(call, db, &late);
  if (status == STATUS_OK)
    status = auth_db_void_password(db, void_it, arena);
  if (status == STATUS_OK)
    status = auth_db_spend_links(db, token->user_id, arena);
  if (status == STATUS_OK)
    status = auth_db_spend_later_undos(db, &undos, arena);
  if (status == STATUS_OK)
    status = auth_sessions_end_all(db, token->user_id, arena);
  if (status == STATUS_OK)
    status = auth_link_send(state, db, &reset, arena, &sent);
  if (status == STATUS_OK)
    status = record(call, db, "email.undo", token->user_id);
  return status;
}

static enum status settle_in(struct call *call, struct query_db db, struct slice token_hash, const char *unknown_hash)
{
  struct auth_db_settle_token_row token;
  const struct auth_db_void_password_params void_it = {.password_hash = unknown_hash, .token_hash = token_hash};
  struct auth_db_lock_token_owner_row owner;
  enum status status = auth_db_lock_token_owner(db, token_hash, call_arena(call), &owner);
  if (status == STATUS_OK)
    status = auth_db_settle_token(db, token_hash, call_arena(call), &token);
  // Another call has done it meanwhile, or the account was deleted.
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK)
    return status;
  return unknown_hash == NULL ? follow_change(call, db, &token) : follow_undo(call, db, &void_it, &token);
}

enum status auth_email_settle(struct call *call, struct slice token_hash)
{
  const struct auth_state *state = call_state(call);
  struct auth_db_get_settled_token_row row;
  enum status status = auth_db_get_settled_token(query_on(state->pg), token_hash, call_arena(call), &row);
  if (status == STATUS_NOT_FOUND || (status == STATUS_OK && row.settled))
    return STATUS_OK;
  char unknown[PASSWORD_HASH_SIZE];
  bool is_undo = status == STATUS_OK && strcmp(row.purpose, AUTH_UNDO_PURPOSE) == 0;
  if (is_undo)
    status = auth_passwords_hash_unknown(call, unknown);
  struct pg_tx *tx = NULL;
  if (status == STATUS_OK)
    status = pg_begin(state->pg, &tx);
  if (status == STATUS_OK)
    status = settle_in(call, query_in(tx), token_hash, is_undo ? unknown : NULL);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

// ---- tokens that come back ----

static enum status fail_taken(struct call *call)
{
  return call_fail(call, STATUS_ALREADY_EXISTS, "EMAIL_TAKEN", "an account with this address exists");
}

// Says what came of a call of the user service.
static enum status judge(struct call *call, enum status status)
{
  switch (status) {
  case STATUS_ALREADY_EXISTS:
    return fail_taken(call);
  case STATUS_FAILED_PRECONDITION:
  case STATUS_NOT_FOUND:
    return account_token_fail(call);
  default:
    return status;
  }
}

static enum status spend_confirmed(struct call *call, struct query_db db, struct slice token_hash, const char *user_id)
{
  const struct auth_db_use_account_token_params use = {.token_hash = token_hash, .purpose = AUTH_VERIFY_PURPOSE};
  int64_t used = 0;
  enum status status = auth_db_use_account_token(db, &use, call_arena(call), &used);
  if (status == STATUS_OK && used == 0)
    return account_token_fail(call);
  return status == STATUS_OK ? record(call, db, "email.verify", user_id) : status;
}

// The address is confirmed before the token is spent, so that a token whose call was lost works again.
static enum status confirm(struct call *call, struct slice token_hash, const struct auth_db_get_email_token_row *token)
{
  const struct auth_state *state = call_state(call);
  struct pg_tx *tx = NULL;
  enum status status = judge(call, auth_peers_confirm_address(call, token->user_id, token->email));
  if (status == STATUS_OK)
    status = pg_begin(state->pg, &tx);
  if (status == STATUS_OK)
    status = spend_confirmed(call, query_in(tx), token_hash, token->user_id);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

static enum status change(struct call *call, struct slice token_hash, const struct auth_db_get_email_token_row *token)
{
  const struct auth_state *state = call_state(call);
  char *cause = arena_alloc(call_arena(call), 2 * token_hash.size + 1);
  *hex_encode(token_hash.data, token_hash.size, cause) = '\0';
  const struct address_change wanted = {.user_id = token->user_id,
                                        .email = token->email,
                                        .version = token->email_version,
                                        .undo = strcmp(token->purpose, AUTH_UNDO_PURPOSE) == 0,
                                        .hold_ms = state->settings->undo_ttl_ms + HOLD_LONGER_MS,
                                        .cause = cause};
  enum status status = judge(call, auth_peers_change_address(call, &wanted));
  return status == STATUS_OK ? auth_email_settle(call, token_hash) : status;
}

static enum status use(struct call *call, const char *text, bool undoes)
{
  const struct auth_state *state = call_state(call);
  struct slice token_hash = account_token_hash(slice_from_string(text), call_arena(call));
  struct auth_db_get_email_token_row token;
  enum status status = auth_db_get_email_token(query_on(state->pg), token_hash, call_arena(call), &token);
  if (status == STATUS_NOT_FOUND)
    return account_token_fail(call);
  if (status != STATUS_OK)
    return status;
  if (undoes != (strcmp(token.purpose, AUTH_UNDO_PURPOSE) == 0))
    return account_token_fail(call);
  bool confirms = strcmp(token.purpose, AUTH_VERIFY_PURPOSE) == 0;
  return confirms ? confirm(call, token_hash, &token) : change(call, token_hash, &token);
}

enum status auth_email_verify(struct call *call, const char *token)
{
  return use(call, token, false);
}

enum status auth_email_undo(struct call *call, const char *token)
{
  return use(call, token, true);
}

// ---- mails to owners ----

// Sends a link in a transaction of its own, so that its token and its mail are there together.
static enum status send_link(struct call *call, const struct auth_link *link)
{
  const struct auth_state *state = call_state(call);
  struct pg_tx *tx = NULL;
  bool sent = false;
  if (state->mail == NULL)
    return STATUS_OK;
  enum status status = pg_begin(state->pg, &tx);
  if (status == STATUS_OK)
    status = auth_link_send(state, query_in(tx), link, call_arena(call), &sent);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

enum status auth_email_send_verification(struct call *call, const char *user_id, const char *email, int64_t most)
{
  const struct auth_state *state = call_state(call);
  const struct auth_link link = {.purpose = AUTH_VERIFY_PURPOSE,
                                 .fragment = "verify",
                                 .template = "verify_email",
                                 .user_id = user_id,
                                 .email = email,
                                 .ttl_ms = state->settings->verify_ttl_ms,
                                 .most_an_hour = most};
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
  return auth_email_send_verification(call, user_id, address.email, MOST_AN_HOUR);
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

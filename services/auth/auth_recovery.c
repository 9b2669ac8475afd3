#include "services/auth/auth_recovery.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/strbuf.h"
#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "services/auth/account_tokens.h"
#include "services/auth/address_jobs.h"
#include "services/auth/audit.h"
#include "services/auth/auth_factors.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_links.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_passwords.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/settings.h"

static const struct address_job_kind recovery = {.name = AUTH_RECOVERY_JOB, .seal_context = "bulkhead auth recovery 1"};

// ---- the request ----

enum status auth_recovery_begin(struct call *call, const char *email)
{
  const struct auth_state *state = call_state(call);
  if (state->mail == NULL)
    return call_fail(call, STATUS_UNIMPLEMENTED, "NO_MAIL",
                     "this server sends no mail; ask its operator for a new password");
  return address_job_add(call, &recovery, email);
}

// ---- its job ----

enum status auth_recovery_run(struct job *job)
{
  const struct auth_state *state = service_state(job_service(job));
  struct arena *arena = job_arena(job);
  struct addressee addressee;
  enum status status = address_job_find(job, &recovery, &addressee);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK)
    return status;
  const struct auth_link link = {.purpose = AUTH_RESET_PURPOSE,
                                 .fragment = "reset",
                                 .template = "reset_password",
                                 .user_id = addressee.user_id,
                                 .email = addressee.email,
                                 .ttl_ms = state->settings->reset_ttl_ms,
                                 .most_an_hour = AUTH_RECOVERY_AN_HOUR};
  const struct audit_entry entry = {.action = "password.forget", .user_id = addressee.user_id};
  bool sent;
  status = auth_link_send(state, job_tx(job), &link, arena, &sent);
  return status == STATUS_OK && sent ? audit_add(NULL, job_tx(job), &entry) : status;
}

// ---- the new password ----

struct reset {
  struct slice token_hash;
  const char *user_id;
  const char *email;
  char hash[PASSWORD_HASH_SIZE];
  bool needs_factor;  // it is too short to be the only factor
  bool was_verified;  // somebody had shown before that he reads mail at the address
};

// Until somebody has shown that he reads mail at the address, what the account has may be of somebody else, who has
// signed up with it.
static enum status remove_unproven(struct call *call, struct query_db db, const struct reset *reset)
{
  const struct late_proofs all = {.user_id = reset->user_id,
                                  .detail = "the address was not confirmed until a mail to it set a new password, so "
                                            "what was added before was removed: second factors, passkeys and API keys"};
  return reset->was_verified ? STATUS_OK : auth_factors_remove_late(call, db, &all);
}

// Makes the change in the transaction: of two resets with one token, one spends it.
static enum status apply(struct call *call, struct query_db db, const void *arg)
{
  const struct reset *reset = arg;
  struct arena *arena = call_arena(call);
  int64_t used = 0;
  const struct auth_db_use_account_token_params use = {.token_hash = reset->token_hash, .purpose = AUTH_RESET_PURPOSE};
  struct auth_db_lock_token_owner_row owner;
  enum status status = auth_db_lock_token_owner(db, reset->token_hash, arena, &owner);
  if (status == STATUS_NOT_FOUND)
    return account_token_fail(call);
  if (status == STATUS_OK)
    status = auth_db_use_account_token(db, &use, arena, &used);
  if (status == STATUS_OK && used == 0)
    return account_token_fail(call);
  if (status == STATUS_OK)
    status = remove_unproven(call, db, reset);
  const struct auth_db_set_password_hash_params set = {
      .password_hash = reset->hash, .needs_factor = reset->needs_factor, .user_id = reset->user_id};
  if (status == STATUS_OK)
    status = auth_db_set_password_hash(db, &set, arena, &used);
  if (status == STATUS_OK && used == 0)
    return call_fail(call, STATUS_ABORTED, "PASSWORD_CHANGED",
                     "password or factors have been changed meanwhile; try again");
  const struct changed_password changed = {
      .action = "password.reset", .user_id = reset->user_id, .email = reset->email, .kept_session = ""};
  return status == STATUS_OK ? auth_passwords_follow_change(call, db, &changed) : status;
}

// Commits with the stored answer of an Idempotency-Key if the address was confirmed before. Otherwise commits alone,
// because confirming it follows the commit.
static enum status commit(struct call *call, const struct reset *reset)
{
  return reset->was_verified ? auth_transact(call, apply, reset) : auth_transact_apart(call, apply, reset);
}

// The token came by a mail to this address. That is noted last, so that a reset that fails halfway still finds an
// address that was not confirmed. Where it cannot be noted, the next mail shows it again.
static void confirm(struct call *call, const struct reset *reset)
{
  enum status status = auth_peers_confirm_address(call, reset->user_id, reset->email);
  if (status != STATUS_OK)
    log_info("recovery", "the address of an account whose password was set by mail was not confirmed",
             LOG_STRING("userId", reset->user_id), LOG_STATUS(status));
}

enum status auth_recovery_finish(struct call *call, const char *token, const char *new_password)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct reset reset = {.token_hash = account_token_hash(slice_from_string(token), arena)};
  const struct auth_db_get_account_token_params get = {.token_hash = reset.token_hash, .purpose = AUTH_RESET_PURPOSE};
  struct auth_db_get_account_token_row row;
  enum status status = auth_db_get_account_token(query_on(state->pg), &get, arena, &row);
  if (status == STATUS_NOT_FOUND)
    return account_token_fail(call);
  if (status != STATUS_OK)
    return status;
  reset.user_id = row.user_id;
  reset.email = row.email;
  struct account_facts account;
  status = auth_peers_find_account(call, row.user_id, &account);
  if (status == STATUS_NOT_FOUND)
    return account_token_fail(call);
  // Whoever reads mail at another address than the account has now sets no password for it.
  if (status == STATUS_OK && !slice_equal_ignore_case(slice_from_string(account.email), slice_from_string(row.email)))
    return account_token_fail(call);
  reset.was_verified = status == STATUS_OK && account.email_verified;
  const struct chosen_password chosen = {.text = new_password,
                                         .field = "newPassword",
                                         .owner = {.email = row.email,
                                                   .display_name = account.display_name,
                                                   .has_second_factor = row.has_factor && reset.was_verified},
                                         .needs_factor = &reset.needs_factor};
  if (status == STATUS_OK)
    status = auth_passwords_hash(call, &chosen, reset.hash);
  if (status == STATUS_OK)
    status = commit(call, &reset);
  if (status != STATUS_OK)
    return status;
  log_info("recovery", "a password was set by mail", LOG_STRING("userId", reset.user_id));
  if (!reset.was_verified)
    confirm(call, &reset);
  return STATUS_OK;
}

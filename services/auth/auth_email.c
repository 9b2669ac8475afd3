#include "services/auth/auth_email.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "services/auth/account_tokens.h"
#include "services/auth/audit.h"
#include "services/auth/auth_factors.h"
#include "services/auth/auth_links.h"
#include "services/auth/auth_passwords.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/settings.h"

// Changes that somebody makes with a mail each are few enough by themselves.
#define ANY_NUMBER 1000
// The time to undo a change begins when its mail is added, which may be later than the change.
#define HOLD_LONGER_MS 3600000
#define DAY_US (INT64_C(86400) * 1000000)

// ---- what follows a change ----

static enum status record(struct call *call, struct query_db db, const char *action, const char *user_id)
{
  const struct audit_entry entry = {.action = action, .actor_id = user_id, .user_id = user_id};
  return audit_add(call, db, &entry);
}

// Everything that an account's mails could do ends with its address; the former address can undo the change.
static enum status follow_change(struct call *call, struct query_db db,
                                 const struct auth_db_mark_token_settled_row *token)
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
  const struct auth_db_spend_links_params spend = {.user_id = token->user_id, .token_hash = token->token_hash};
  enum status status = auth_db_spend_links(db, &spend, arena);
  if (status == STATUS_OK)
    status = auth_link_send(state, db, &undo, arena, &sent);
  if (status == STATUS_OK)
    status = record(call, db, "email.change", token->user_id);
  return status;
}

// An update of the address that the user service has made, or is about to make.
struct address_update {
  struct slice token_hash;
  const char *unknown_hash;             // for an undo: of a password that nobody knows; NULL for a change
  const struct address_change *change;  // to be made yet; NULL: it has been made
};

// Revokes what an attacker may hold who has changed the address: sessions with their access tokens, links in mails,
// also those that would undo this undo, and a password, factors, passkeys and API keys that may be the attacker's.
static enum status revoke_attacker_access(struct call *call, struct query_db db, const struct address_update *undo,
                                          const struct auth_db_lock_token_owner_row *token)
{
  struct arena *arena = call_arena(call);
  const struct auth_db_void_password_params password = {.password_hash = undo->unknown_hash,
                                                        .token_hash = undo->token_hash};
  const struct auth_db_spend_links_params spend = {.user_id = token->user_id, .token_hash = undo->token_hash};
  const struct auth_db_spend_later_undos_params undos = {.user_id = token->user_id,
                                                         .email_version = token->email_version};
  const struct late_proofs late = {.user_id = token->user_id,
                                   .since_us = token->create_us - DAY_US,
                                   .detail = "the change of the address was taken back, so what was added in the day "
                                             "before it or since was removed: second factors, passkeys and API keys"};
  // Devices that are remembered have to pass the second step again.
  enum status status = auth_factors_remove_late(call, db, &late);
  if (status == STATUS_OK)
    status = auth_db_void_password(db, &password, arena);
  if (status == STATUS_OK)
    status = auth_db_spend_links(db, &spend, arena);
  if (status == STATUS_OK)
    status = auth_db_spend_later_undos(db, &undos, arena);
  return status == STATUS_OK ? auth_sessions_end_all(db, token->user_id, arena) : status;
}

static enum status follow_undo(struct call *call, struct query_db db,
                               const struct auth_db_mark_token_settled_row *token)
{
  const struct auth_state *state = call_state(call);
  const struct auth_link reset = {.purpose = AUTH_RESET_PURPOSE,
                                  .fragment = "reset",
                                  .template = "email_undone",
                                  .user_id = token->user_id,
                                  .email = token->email,
                                  .other_email = token->other_email,
                                  .ttl_ms = state->settings->undo_ttl_ms,
                                  .most_an_hour = ANY_NUMBER};
  bool sent = false;
  enum status status = auth_link_send(state, db, &reset, call_arena(call), &sent);
  return status == STATUS_OK ? record(call, db, "email.undo", token->user_id) : status;
}

static enum status settle_in(struct call *call, struct query_db db, const void *arg)
{
  const struct address_update *update = arg;
  struct arena *arena = call_arena(call);
  struct auth_db_mark_token_settled_row token;
  struct auth_db_lock_token_owner_row owner;
  enum status status = auth_db_lock_token_owner(db, update->token_hash, arena, &owner);
  if (status == STATUS_OK)
    status = auth_db_mark_token_settled(db, update->token_hash, arena, &token);
  // Another call has done it meanwhile, or the account was deleted.
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK)
    return status;
  if (update->unknown_hash == NULL)
    return follow_change(call, db, &token);
  status = revoke_attacker_access(call, db, update, &owner);
  return status == STATUS_OK ? follow_undo(call, db, &token) : status;
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
  const struct address_update update = {.token_hash = token_hash, .unknown_hash = is_undo ? unknown : NULL};
  return status == STATUS_OK ? auth_transact_apart(call, settle_in, &update) : status;
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

struct confirmation {
  struct slice token_hash;
  const char *user_id;
};

static enum status spend_confirmed(struct call *call, struct query_db db, const void *arg)
{
  const struct confirmation *confirmed = arg;
  const struct auth_db_use_account_token_params use = {.token_hash = confirmed->token_hash,
                                                       .purpose = AUTH_VERIFY_PURPOSE};
  int64_t used = 0;
  enum status status = auth_db_use_account_token(db, &use, call_arena(call), &used);
  if (status == STATUS_OK && used == 0)
    return account_token_fail(call);
  return status == STATUS_OK ? record(call, db, "email.verify", confirmed->user_id) : status;
}

// The address is confirmed before the token is spent, so that a token whose call was lost works again.
static enum status confirm(struct call *call, struct slice token_hash, const struct auth_db_get_email_token_row *token)
{
  const struct confirmation confirmed = {.token_hash = token_hash, .user_id = token->user_id};
  enum status status = judge(call, auth_peers_confirm_address(call, token->user_id, token->email));
  return status == STATUS_OK ? auth_transact(call, spend_confirmed, &confirmed) : status;
}

// Locks the account of an undo, whose token may have been spent since it was read, or the undo made (*done): then
// nothing is left to do, and the link to a new password that the owner has got stays good.
static enum status lock_for_undo(struct call *call, struct query_db db, const struct address_update *undo,
                                 struct auth_db_lock_token_owner_row *owner, bool *done)
{
  struct auth_db_get_email_token_row token = {0};
  enum status status = auth_db_lock_token_owner(db, undo->token_hash, call_arena(call), owner);
  if (status == STATUS_OK)
    status = auth_db_get_email_token(db, undo->token_hash, call_arena(call), &token);
  *done = token.settled;
  return status == STATUS_NOT_FOUND ? account_token_fail(call) : status;
}

static enum status revoke_in(struct call *call, struct query_db db, const void *arg)
{
  const struct address_update *undo = arg;
  struct auth_db_lock_token_owner_row owner;
  bool done;
  enum status status = lock_for_undo(call, db, undo, &owner, &done);
  return status == STATUS_OK && !done ? revoke_attacker_access(call, db, undo, &owner) : status;
}

// Holds the account's lock while the user service restores the address, so that concurrent undos take turns.
static enum status undo_in(struct call *call, struct query_db db, const void *arg)
{
  const struct address_update *undo = arg;
  struct auth_db_lock_token_owner_row owner;
  bool done;
  enum status status = lock_for_undo(call, db, undo, &owner, &done);
  if (status != STATUS_OK || done)
    return status;
  status = judge(call, auth_peers_change_address(call, undo->change));
  return status == STATUS_OK ? settle_in(call, db, undo) : status;
}

// Revokes the attacker's access before the address changes back, so that a crash leaves no way to change it again.
// Revokes once more afterwards, because the address was the attacker's until then.
static enum status undo_change(struct call *call, struct address_update *undo)
{
  char unknown[PASSWORD_HASH_SIZE];
  enum status status = auth_passwords_hash_unknown(call, unknown);
  undo->unknown_hash = unknown;
  if (status == STATUS_OK)
    status = auth_transact_apart(call, revoke_in, undo);
  return status == STATUS_OK ? auth_transact_apart(call, undo_in, undo) : status;
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
  if (wanted.undo)
    return undo_change(call, &(struct address_update){.token_hash = token_hash, .change = &wanted});
  enum status status = judge(call, auth_peers_change_address(call, &wanted));
  return status == STATUS_OK ? auth_email_settle(call, token_hash) : status;
}

// Spends the token last, so a lost call can be repeated. A settled token changes nothing again.
static enum status change_and_spend(struct call *call, struct slice token_hash,
                                    const struct auth_db_get_email_token_row *token)
{
  enum status status = token->settled ? STATUS_OK : change(call, token_hash, token);
  return status == STATUS_OK ? auth_db_spend_token(resource_db(call), token_hash, call_arena(call)) : status;
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
  return confirms ? confirm(call, token_hash, &token) : change_and_spend(call, token_hash, &token);
}

enum status auth_email_verify(struct call *call, const char *token)
{
  return use(call, token, false);
}

enum status auth_email_undo(struct call *call, const char *token)
{
  return use(call, token, true);
}

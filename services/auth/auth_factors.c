#include "services/auth/auth_factors.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/random.h"
#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/security/key.h"
#include "common/security/qr_code.h"
#include "common/security/totp.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_sign_in.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/factor_codes.h"
#include "services/auth/settings.h"

#define MOST_APPS 5
// Somebody who has stolen a token, but not seen the secret, must not find its code by trying.
#define TRIES_TO_CONFIRM 10

// ---- changes ----

enum status auth_factors_lock(struct call *call, struct query_db db, const char *user_id)
{
  int64_t locked = 0;
  enum status status = auth_db_lock_factors(db, user_id, call_arena(call), &locked);
  return status == STATUS_OK && locked == 0 ? auth_peers_fail_unknown(call, user_id) : status;
}

static enum status fail_short_password(struct call *call)
{
  const struct auth_state *state = call_state(call);
  return call_fail(call, STATUS_FAILED_PRECONDITION, "PASSWORD_NEEDS_FACTOR",
                   "the password is too short to be the only factor; change it to one of at least %zu characters first",
                   state->password_rules.min_code_points);
}

enum status auth_factors_settle(struct call *call, struct query_db db, const struct factor_change *change)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_db_settle_factors_params params = {.user_id = change->user_id, .forced = change->forced};
  int64_t settled = 0;
  enum status status = auth_db_settle_factors(db, &params, arena, &settled);
  if (status == STATUS_OK && settled == 0)
    return fail_short_password(call);
  if (status == STATUS_OK)
    status = auth_db_remove_void_codes(db, change->user_id, arena);
  const struct auth_mail_notice notice = {
      .user_id = change->user_id, .address = call_client_address(call), .detail = change->detail};
  const struct audit_entry entry = {
      .action = change->action, .user_id = change->user_id, .target_id = change->factor_id};
  if (status == STATUS_OK)
    status = audit_add(call, db, &entry);
  if (status == STATUS_OK)
    status = auth_mail_tell(state, db, AUTH_MAIL_FACTOR_CHANGED, &notice, arena);
  return status;
}

enum status auth_factors_remove_late(struct call *call, struct query_db db, const struct late_proofs *late)
{
  const struct auth_db_remove_proofs_params params = {.user_id = late->user_id, .since_us = late->since_us};
  struct auth_db_remove_proofs_row row;
  enum status status = auth_factors_lock(call, db, late->user_id);
  if (status == STATUS_OK)
    status = auth_db_remove_proofs(db, &params, call_arena(call), &row);
  const struct factor_change change = {
      .user_id = late->user_id, .action = "factor.reset", .detail = late->detail, .forced = true};
  return status == STATUS_OK && row.removed > 0 ? auth_factors_settle(call, db, &change) : status;
}

// ---- authenticator apps ----

// Shows a secret in the three forms that apps take: typed in, as a link, scanned.
static void show_secret(const struct auth_state *state, const char *base32, const char *email, struct arena *arena,
                        Auth__V1__AddTotpResponse *response)
{
  const char *uri = totp_uri(base32, state->settings->product_name, email, arena);
  const char *svg = qr_code_svg(uri, arena);
  response->secret = (char *)(uintptr_t)base32;
  response->otpauth_uri = (char *)(uintptr_t)uri;
  if (svg != NULL)
    response->qr_svg = (char *)(uintptr_t)svg;
}

enum status auth_factors_add_totp(struct call *call, Auth__V1__AddTotpResponse *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const char *user_id = resource_caller(call);
  struct account_facts account;
  enum status status = auth_peers_find_account(call, user_id, &account);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, user_id);
  if (status != STATUS_OK)
    return status;
  unsigned char bytes[TOTP_SECRET_BYTES];
  random_bytes(bytes, sizeof(bytes));
  struct slice secret = slice_make(bytes, sizeof(bytes));
  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  struct auth_db_add_factor_params params = {.id = id, .user_id = user_id, .type = "totp", .most = MOST_APPS};
  int64_t added = 0;
  status = factor_secret_seal(state->stored_secret, user_id, id, secret, arena, &params.secret);
  if (status == STATUS_OK)
    status = auth_db_add_factor(resource_db(call), &params, arena, &added);
  const char *base32 = totp_base32(secret, arena);
  key_erase(bytes, sizeof(bytes));
  // A violated foreign key means that the credential was deleted meanwhile.
  if (status == STATUS_FAILED_PRECONDITION)
    return auth_peers_fail_unknown(call, user_id);
  if (status == STATUS_OK && added == 0)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "TOO_MANY_FACTORS",
                     "the account has %d authenticator apps, which is all that it may have; remove one first",
                     MOST_APPS);
  if (status == STATUS_OK)
    show_secret(state, base32, account.email, arena, response);
  return status;
}

struct confirmation {
  const char *user_id;
  const char *factor_id;
  int64_t step;
  const char *const *hashes;
};

static enum status fail_no_new_factor(struct call *call)
{
  return call_fail(call, STATUS_FAILED_PRECONDITION, "NO_NEW_FACTOR",
                   "no authenticator app waits to be confirmed, or too many codes were wrong; begin again");
}

static enum status confirm_in(struct call *call, struct query_db db, const void *arg)
{
  const struct confirmation *confirmation = arg;
  struct arena *arena = call_arena(call);
  enum status status = auth_factors_lock(call, db, confirmation->user_id);
  if (status == STATUS_OK)
    status = auth_sessions_require_live(call, db);
  const struct auth_db_confirm_factor_params confirm = {
      .step = confirmation->step, .id = confirmation->factor_id, .user_id = confirmation->user_id};
  int64_t changed = 0;
  if (status == STATUS_OK)
    status = auth_db_confirm_factor(db, &confirm, arena, &changed);
  if (status == STATUS_OK && changed == 0)
    return fail_no_new_factor(call);
  const struct auth_db_replace_recovery_codes_params codes = {
      .user_id = confirmation->user_id, .hashes = confirmation->hashes, .hashes_count = RECOVERY_CODES};
  if (status == STATUS_OK)
    status = auth_db_replace_recovery_codes(db, &codes, arena, &changed);
  const struct factor_change change = {.user_id = confirmation->user_id,
                                       .factor_id = confirmation->factor_id,
                                       .action = "factor.add",
                                       .detail = "an authenticator app was added"};
  return status == STATUS_OK ? auth_factors_settle(call, db, &change) : status;
}

static const char *const *make_codes(struct call *call, const char *user_id, Auth__V1__RecoveryCodes *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const char **hashes = arena_array(arena, RECOVERY_CODES, sizeof(*hashes));
  response->recovery_codes = arena_array(arena, RECOVERY_CODES, sizeof(*response->recovery_codes));
  response->n_recovery_codes = RECOVERY_CODES;
  for (size_t i = 0; i < RECOVERY_CODES; i++) {
    response->recovery_codes[i] = recovery_code_new(arena);
    hashes[i] =
        recovery_code_hash(state->stored_secret, user_id, factor_code_fold(response->recovery_codes[i], arena), arena);
  }
  return hashes;
}

// Finds the step of the code. INVALID_ARGUMENT for a wrong one.
static enum status read_code(struct call *call, const struct auth_db_try_unconfirmed_row *factor, const char *given,
                             int64_t *step)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct slice secret;
  enum status status =
      factor_secret_open(state->stored_secret, resource_caller(call), factor->id, factor->secret, arena, &secret);
  if (status != STATUS_OK)
    return status;
  const char *code = factor_code_fold(given, arena);
  if (factor_code_is_totp(code) && totp_matches(secret, code, auth_keys_now_ms(&state->keys) / 1000, 0, step))
    return STATUS_OK;
  call_violation(call, "code", "is not what the app shows now");
  return call_fail(call, STATUS_INVALID_ARGUMENT, "WRONG_CODE",
                   "the code is wrong; give the secret to the app again, and look whether the device's clock is "
                   "right");
}

enum status auth_factors_confirm_totp(struct call *call, const char *code, Auth__V1__RecoveryCodes *response)
{
  const struct auth_state *state = call_state(call);
  const struct auth_db_try_unconfirmed_params try = {
      .user_id = resource_caller(call), .most = TRIES_TO_CONFIRM, .ttl_ms = FACTOR_CONFIRM_MS};
  struct auth_db_try_unconfirmed_row factor;
  // The clock that codes are judged by is that of the signing keys.
  enum status status = auth_sign_in_wait(call);
  if (status == STATUS_OK)
    status = auth_db_try_unconfirmed(query_on(state->pg), &try, call_arena(call), &factor);
  if (status == STATUS_NOT_FOUND)
    return fail_no_new_factor(call);
  struct confirmation confirmation = {.user_id = try.user_id};
  if (status == STATUS_OK)
    status = read_code(call, &factor, code, &confirmation.step);
  if (status != STATUS_OK)
    return status;
  confirmation.factor_id = factor.id;
  confirmation.hashes = make_codes(call, try.user_id, response);
  return auth_transact(call, confirm_in, &confirmation);
}

// ---- removing ----

struct removal {
  const char *user_id;
  const char *factor_id;  // NULL: all of them
};

static enum status remove_in(struct call *call, struct query_db db, const void *arg)
{
  const struct removal *removal = arg;
  struct arena *arena = call_arena(call);
  const struct auth_db_delete_factor_params params = {.id = removal->factor_id, .user_id = removal->user_id};
  int64_t removed = 0;
  enum status status = removal->factor_id == NULL ? auth_roles_lock(call, db, removal->user_id) : STATUS_OK;
  if (status == STATUS_OK || status == STATUS_NOT_FOUND)
    status = auth_factors_lock(call, db, removal->user_id);
  if (status == STATUS_OK)
    status = auth_sessions_require_live(call, db);
  if (status == STATUS_OK && removal->factor_id == NULL)
    status = auth_roles_check_target(call, db, removal->user_id);
  if (status == STATUS_OK)
    status = removal->factor_id == NULL ? auth_db_delete_factors(db, removal->user_id, arena, &removed)
                                        : auth_db_delete_factor(db, &params, arena, &removed);
  const char *detail = "an authenticator app was removed";
  if (status == STATUS_OK && removed == 0 && removal->factor_id != NULL) {
    const struct auth_db_delete_passkey_params passkey = {.id = removal->factor_id, .user_id = removal->user_id};
    status = auth_db_delete_passkey(db, &passkey, arena, &removed);
    detail = "a passkey was removed";
  }
  if (status == STATUS_OK && removed == 0 && removal->factor_id != NULL)
    return call_fail(call, STATUS_NOT_FOUND, "FACTOR_NOT_FOUND", "you have no factor %s", removal->factor_id);
  bool all = removal->factor_id == NULL;
  const struct factor_change change = {.user_id = removal->user_id,
                                       .factor_id = removal->factor_id,
                                       .action = all ? "factor.reset" : "factor.remove",
                                       .detail = all ? "an administrator has removed all second factors and passkeys"
                                                     : detail,
                                       .forced = all};
  return status == STATUS_OK ? auth_factors_settle(call, db, &change) : status;
}

enum status auth_factors_remove(struct call *call, const char *id)
{
  return auth_transact(call, remove_in, &(struct removal){.user_id = resource_caller(call), .factor_id = id});
}

enum status auth_factors_reset(struct call *call, const char *user_id)
{
  enum status status = auth_transact(call, remove_in, &(struct removal){.user_id = user_id});
  if (status == STATUS_OK)
    log_info("factors", "an administrator has removed the second factors of an account", LOG_STRING("userId", user_id),
             LOG_STRING("by", resource_caller(call)));
  return status;
}

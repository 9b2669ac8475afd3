#include "services/auth/auth_handlers.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/clock.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_passwords.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_sign_in.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_tokens.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/auth_tries.h"
#include "services/auth/session_names.h"
#include "services/auth/settings.h"

// Belongs to no account: a login to an unknown address reads as many rows as one to a known address.
#define NO_USER_ID "00000000-0000-0000-0000-000000000000"

// ---- credentials ----

// Stores the credential of a new account, and notes it.
static enum status add_credential(struct call *call, struct query_db db, const void *arg)
{
  const struct auth_db_put_credential_params *params = arg;
  const struct audit_entry entry = {
      .action = "account.create", .actor_id = params->user_id, .user_id = params->user_id};
  enum status status = auth_db_put_credential(db, params, call_arena(call));
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

static enum status create_credential(struct call *call, const Auth__V1__CreateCredentialRequest *request,
                                     Auth__V1__CreateCredentialResponse *response)
{
  const struct auth_state *state = call_state(call);
  response->sends_mail = state->mail != NULL;
  const struct chosen_password chosen = {
      .text = request->password,
      .field = "password",
      .owner = {.email = request->email, .display_name = request->display_name},
  };
  char hash[PASSWORD_HASH_SIZE];
  enum status status = auth_passwords_hash(call, &chosen, hash);
  const struct auth_db_put_credential_params params = {.user_id = request->user_id, .password_hash = hash};
  return status == STATUS_OK ? auth_transact(call, add_credential, &params) : status;
}

// Removes what is stored of an account, and notes it where there was anything, so that a repeat changes nothing.
static enum status remove_credential(struct call *call, struct query_db db, const void *arg)
{
  const Auth__V1__DeleteCredentialRequest *request = arg;
  const Auth__V1__Actor *actor = request->actor;
  int64_t deleted = 0;
  enum status status = auth_db_delete_credential(db, request->user_id, call_arena(call), &deleted);
  if (status != STATUS_OK || deleted == 0)
    return status;
  struct audit_entry entry = {.action = "account.delete", .user_id = request->user_id};
  if (actor == NULL)
    return audit_add(call, db, &entry);
  const struct audit_origin origin = {
      .address = actor->address, .user_agent = actor->user_agent, .trace_id = actor->trace_id};
  entry.actor_id = actor->user_id;
  entry.session_id = actor->session_id;
  entry.origin = &origin;
  return audit_add(call, db, &entry);
}

static enum status delete_credential(struct call *call, const Auth__V1__DeleteCredentialRequest *request,
                                     Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_transact(call, remove_credential, request);
}

// ---- login ----

// Fails alike for an unknown address, a wrong password and, with VERIFY_EMAIL_FIRST, an address that is not confirmed,
// so that the answer does not tell which addresses have accounts: otherwise a sign-up and a login after it would.
static enum status fail_login(struct call *call)
{
  const struct auth_state *state = call_state(call);
  if (state->settings->verify_email_first)
    return call_fail(call, STATUS_UNAUTHENTICATED, "WRONG_CREDENTIALS",
                     "the e-mail address or the password is wrong, or the address is not confirmed yet; look for a "
                     "mail with a link that confirms it");
  return call_fail(call, STATUS_UNAUTHENTICATED, "WRONG_CREDENTIALS", "the e-mail address or the password is wrong");
}

// Whom a login is for. Both texts are NULL where no account has the address.
struct login_account {
  const char *user_id;
  const char *hash;
  int64_t password_set_us;
  int64_t factor_generation;
  bool has_factor;
};

static enum status find_credential(struct call *call, const char *email, struct login_account *account)
{
  struct auth_state *state = call_state(call);
  *account = (struct login_account){0};
  enum status found = auth_peers_find_user(call_service(call), call, email, call_arena(call), &account->user_id);
  if (found != STATUS_OK && found != STATUS_NOT_FOUND)
    return found;
  struct auth_db_get_password_hash_row row = {0};
  const char *user_id = found == STATUS_OK ? account->user_id : NO_USER_ID;
  enum status status = auth_db_get_password_hash(query_on(state->pg), user_id, call_arena(call), &row);
  account->hash = row.password_hash;
  account->password_set_us = row.set_us;
  account->factor_generation = row.factor_generation;
  account->has_factor = row.has_factor;
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status verify_login(struct call *call, const Auth__V1__LoginRequest *request, struct login_account *account)
{
  enum password_match match = PASSWORD_WRONG;
  enum status status = find_credential(call, request->email, account);
  if (status == STATUS_OK)
    status = auth_passwords_compare(call, request->password, account->hash, &match);
  if (status != STATUS_OK)
    return status;
  bool may_enter = false;
  if (match != PASSWORD_WRONG)
    status = auth_email_remind(call, account->user_id, &may_enter);
  if (status != STATUS_OK)
    return status;
  if (!may_enter)
    return fail_login(call);
  auth_passwords_renew(call, account->user_id, request->password, account->hash, match);
  return STATUS_OK;
}

// Adds a failed login to the audit log. The given address is not written where no account has it.
static void note_failure(struct call *call, const struct login_account *account, const struct login_try *try)
{
  const bool is_known = account->user_id != NULL;
  const struct audit_entry entry = {.action = "session.begin",
                                    .reason = "WRONG_CREDENTIALS",
                                    .user_id = account->user_id,
                                    .account_hash = is_known ? NULL : try->account};
  audit_add_failure(call, &entry);
}

static enum status login(struct call *call, const Auth__V1__LoginRequest *request, Auth__V1__LoginResponse *response)
{
  if (session_check_name(call, "deviceName", request->device_name) != STATUS_OK)
    return STATUS_INVALID_ARGUMENT;
  struct device device;
  struct login_try try;
  enum status status = auth_tries_begin(call, request->email, request->device_token, &device, &try);
  if (status != STATUS_OK)
    return status;
  struct login_account account;
  status = verify_login(call, request, &account);
  auth_tries_settle(call, &try, status);
  if (status == STATUS_UNAUTHENTICATED)
    note_failure(call, &account, &try);
  if (status != STATUS_OK)
    return status;
  const struct sign_in sign_in = {.user_id = account.user_id,
                                  .password_set_us = account.password_set_us,
                                  .factor_generation = account.factor_generation,
                                  .needs_second = account.has_factor,
                                  .account = try.account,
                                  .device = try.device,
                                  .device_name = request->device_name,
                                  .user_agent = request->user_agent};
  status = auth_sign_in_proven(call, &sign_in, response);
  // The credential was deleted meanwhile, or has another password or other factors.
  return status == STATUS_NOT_FOUND ? fail_login(call) : status;
}

// ---- sessions ----

static enum status refresh_session(struct call *call, const Auth__V1__RefreshRequest *request,
                                   Auth__V1__TokenResponse *response)
{
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct session_use use = {
      .call = call, .token = request->refresh_token, .address = auth_sign_in_address(call), .came_us = clock_now_us()};
  struct session_grant grant;
  enum status status = auth_sign_in_wait(call);
  if (status == STATUS_OK)
    status = auth_sessions_refresh(state, &use, arena, &grant);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, STATUS_UNAUTHENTICATED, "INVALID_REFRESH_TOKEN",
                     "the refresh token is unknown, spent or expired; log in again");
  return status != STATUS_OK ? status : auth_tokens_answer(state, &grant.session, &grant.refresh, arena, response);
}

static enum status logout(struct call *call, const Auth__V1__LogoutRequest *request, Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_sessions_log_out(call, request->refresh_token);
}

// ---- published keys ----

static enum status get_jwks(struct call *call, const Auth__V1__GetJwksRequest *request,
                            Auth__V1__JsonWebKeySet *response)
{
  (void)request;
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  // A key that another instance has published since could be missing.
  if (!auth_keys_are_fresh(&state->keys))
    return auth_sign_in_fail_without_keys(call);
  response->n_keys = state->keys.count;
  response->keys = arena_array(arena, state->keys.count, sizeof(*response->keys));
  for (size_t i = 0; i < state->keys.count; i++) {
    const struct auth_key *key = state->keys.keys[i];
    Auth__V1__JsonWebKey *web_key = arena_alloc(arena, sizeof(*web_key));
    auth__v1__json_web_key__init(web_key);
    web_key->kty = arena_string(arena, SLICE("EC"));
    web_key->crv = arena_string(arena, SLICE("P-256"));
    web_key->use = arena_string(arena, SLICE("sig"));
    web_key->alg = arena_string(arena, SLICE("ES256"));
    web_key->kid = arena_string(arena, slice_from_string(key->signing.kid));
    web_key->x = arena_string(arena, key->x);
    web_key->y = arena_string(arena, key->y);
    response->keys[i] = web_key;
  }
  return STATUS_OK;
}

const struct auth_v1_auth_service_handlers auth_handlers = {
    .login = login,
    .refresh = refresh_session,
    .logout = logout,
    .get_jwks = get_jwks,
    .create_credential = create_credential,
    .delete_credential = delete_credential,
};

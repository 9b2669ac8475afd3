#include "services/auth/passkeys.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/base/strbuf.h"
#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/passkey_challenges.h"
#include "services/auth/session_names.h"
#include "services/auth/settings.h"

enum status passkeys_start(struct auth_state *state, struct error *error)
{
  const struct auth_settings *settings = state->settings;
  if (settings->passkey_rp_id == NULL && settings->passkey_origins == NULL)
    return STATUS_OK;
  if (settings->passkey_rp_id == NULL || settings->passkey_origins == NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "AUTH_PASSKEY_RP_ID and AUTH_PASSKEY_ORIGINS belong together; set both or none");
  const char *sentence = NULL;
  enum status status = webauthn_party_read(settings->passkey_rp_id, settings->passkey_origins, &state->memory,
                                           &state->passkey_party, &sentence);
  return status == STATUS_OK ? status : error_set(error, status, "%s", sentence);
}

enum status passkeys_check_enabled(struct call *call)
{
  const struct auth_state *state = call_state(call);
  if (state->passkey_party.id != NULL)
    return STATUS_OK;
  return call_fail(call, STATUS_UNIMPLEMENTED, "NO_PASSKEYS",
                   "this server takes no passkeys; its operator sets AUTH_PASSKEY_RP_ID");
}

// ---- challenges ----

static struct challenge_scope make_scope(struct call *call, const char *purpose, const char *user_id)
{
  const struct auth_state *state = call_state(call);
  return (struct challenge_scope){
      .secret = state->stored_secret, .purpose = purpose, .user_id = user_id, .now_ms = auth_keys_now_ms(&state->keys)};
}

enum status passkeys_make_challenge(struct call *call, const char *purpose, const char *user_id, char **challenge)
{
  const struct challenge_scope scope = make_scope(call, purpose, user_id);
  return passkey_challenge_issue(&scope, call_arena(call), challenge);
}

static enum status fail_challenge(struct call *call)
{
  return call_fail(call, STATUS_FAILED_PRECONDITION, "INVALID_CHALLENGE",
                   "the challenge is unknown, used or older than five minutes; begin again");
}

// Reads the challenge that was signed, and gives what is to be stored of it.
static enum status open_challenge(struct call *call, const struct challenge_scope *scope, struct slice client_data_json,
                                  struct slice *hash)
{
  struct slice challenge;
  if (webauthn_read_challenge(client_data_json, call_arena(call), &challenge) != WEBAUTHN_OK ||
      !passkey_challenge_is_good(scope, challenge, call_arena(call)))
    return fail_challenge(call);
  *hash = passkey_challenge_hash(challenge, call_arena(call));
  return STATUS_OK;
}

// ---- texts ----

// Decodes base64url. Texts that are none, such as one of a single character, give no bytes, which nothing accepts.
static struct slice decode(struct call *call, const char *text)
{
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  (void)base64_decode(slice_from_string(text), &bytes);
  struct slice decoded = arena_copy(call_arena(call), strbuf_slice(&bytes));
  strbuf_free(&bytes);
  return decoded;
}

char *passkeys_user_handle(const char *user_id, struct arena *arena)
{
  char digits[32];
  char bytes[16] = {0};
  size_t count = 0;
  for (const char *at = user_id; *at != '\0' && count < sizeof(digits); at++)
    if (*at != '-')
      digits[count++] = *at;
  (void)hex_decode(slice_make(digits, count), bytes, count / 2);
  return base64url_string(slice_make(bytes, sizeof(bytes)), arena);
}

static const char *join_transports(const Auth__V1__PasskeyAttestationResponse *response, struct arena *arena)
{
  const char *joined = "";
  for (size_t i = 0; i < response->n_transports; i++)
    joined = arena_printf(arena, "%s%s%s", joined, i == 0 ? "" : " ", response->transports[i]);
  return joined;
}

// ---- registration ----

// A passkey that has been checked, on its way into the database.
struct new_passkey {
  const char *user_id;
  const char *name;
  const char *transports;
  struct webauthn_credential credential;
  struct slice challenge_hash;
  Auth__V1__Passkey *response;
};

static enum status fail_registration(struct call *call, enum webauthn_verdict verdict)
{
  return call_fail(call, STATUS_INVALID_ARGUMENT, "PASSKEY_REFUSED", "%s", webauthn_verdict_sentence(verdict));
}

static enum status check_registration(struct call *call, const Auth__V1__FinishPasskeyRegistrationRequest *request,
                                      struct new_passkey *passkey)
{
  const struct auth_state *state = call_state(call);
  const struct webauthn_registration registration = {
      .client_data_json = decode(call, request->response->client_data_json),
      .attestation_object = decode(call, request->response->attestation_object)};
  const struct challenge_scope scope = make_scope(call, PASSKEY_FOR_REGISTRATION, passkey->user_id);
  enum status status = open_challenge(call, &scope, registration.client_data_json, &passkey->challenge_hash);
  if (status != STATUS_OK)
    return status;
  enum webauthn_verdict verdict =
      webauthn_check_registration(&state->passkey_party, &registration, call_arena(call), &passkey->credential);
  if (verdict != WEBAUTHN_OK)
    return fail_registration(call, verdict);
  // Both texts name the key that was made.
  if (!slice_equal(decode(call, request->raw_id), passkey->credential.id) || strcmp(request->id, request->raw_id) != 0)
    return call_fail(call, STATUS_INVALID_ARGUMENT, "PASSKEY_REFUSED",
                     "id and rawId must be that of the passkey in response.attestationObject");
  return STATUS_OK;
}

static enum status fail_to_add(struct call *call, enum status status)
{
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "TOO_MANY_PASSKEYS",
                     "the account has %d passkeys; remove one first", PASSKEYS_PER_ACCOUNT);
  if (status == STATUS_ALREADY_EXISTS)
    return call_fail(call, status, "PASSKEY_EXISTS", "the passkey is registered already");
  return status;
}

// Locks the account first, which keeps other passkeys of it out while they are counted.
static enum status add_in(struct call *call, struct query_db db, const void *arg)
{
  const struct new_passkey *passkey = arg;
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_db_spend_challenge_params spend = {.challenge_hash = passkey->challenge_hash,
                                                       .keep_ms = PASSKEY_CHALLENGE_KEEP_MS};
  struct auth_db_lock_for_passkeys_row locked;
  enum status status = auth_db_lock_for_passkeys(db, passkey->user_id, arena, &locked);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, resource_caller(call));
  if (status == STATUS_OK)
    status = auth_sessions_require_live(call, db);
  if (status != STATUS_OK)
    return status;
  int64_t spent = 0;
  status = auth_db_spend_challenge(db, &spend, arena, &spent);
  if (status != STATUS_OK)
    return status;
  if (spent == 0)
    return fail_challenge(call);
  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  const struct auth_db_add_passkey_params params = {.id = id,
                                                    .user_id = passkey->user_id,
                                                    .credential_id = passkey->credential.id,
                                                    .public_key = passkey->credential.public_key,
                                                    .algorithm = passkey->credential.algorithm,
                                                    .sign_count = passkey->credential.sign_count,
                                                    .transports = passkey->transports,
                                                    .name = passkey->name,
                                                    .most = PASSKEYS_PER_ACCOUNT};
  status = auth_db_add_passkey(db, &params, arena, passkey->response);
  if (status != STATUS_OK)
    return fail_to_add(call, status);
  const struct auth_mail_notice notice = {
      .user_id = passkey->user_id,
      .address = call_client_address(call),
      .detail = arena_printf(arena, "the passkey \"%s\" was added", passkey->name),
  };
  status = auth_mail_tell(state, db, AUTH_MAIL_FACTOR_CHANGED, &notice, arena);
  const struct audit_entry entry = {
      .action = "passkey.add", .user_id = passkey->user_id, .target_id = arena_string(arena, slice_from_string(id))};
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

enum status passkeys_register(struct call *call, const Auth__V1__FinishPasskeyRegistrationRequest *request,
                              Auth__V1__Passkey *response)
{
  struct arena *arena = call_arena(call);
  bool is_named = request->name[0] != '\0';
  struct new_passkey passkey = {.user_id = resource_caller(call),
                                .response = response,
                                .name = is_named ? request->name : session_name_of_agent(request->user_agent, arena),
                                .transports = join_transports(request->response, arena)};
  enum status status = session_check_name(call, "name", passkey.name);
  if (status == STATUS_OK)
    status = check_registration(call, request, &passkey);
  return status == STATUS_OK ? auth_transact(call, add_in, &passkey) : status;
}

// ---- sign-in ----

// A passkey as it is stored.
struct found_passkey {
  struct auth_db_get_passkey_row row;
  struct webauthn_credential credential;
};

static enum status refuse(struct call *call, const char *sentence)
{
  struct auth_state *state = call_state(call);
  metric_add(state->logins[LOGIN_WRONG], 1);
  log_info("login", "a passkey was refused", LOG_STRING("reason", sentence),
           LOG_SLICE("address", call_client_address(call)));
  return call_fail(call, STATUS_UNAUTHENTICATED, "WRONG_PASSKEY", "%s", sentence);
}

// Refuses a passkey that an account has, whose owner sees it among his events.
static enum status refuse_known(struct call *call, const struct found_passkey *found, enum webauthn_verdict verdict)
{
  const struct audit_entry entry = {
      .action = "session.begin", .reason = "WRONG_PASSKEY", .user_id = found->row.user_id, .target_id = found->row.id};
  audit_add_failure(call, &entry);
  return refuse(call, webauthn_verdict_sentence(verdict));
}

#define UNKNOWN_PASSKEY "no account has this passkey; it may have been removed"

static enum status find_passkey(struct call *call, const struct passkey_answer *answer, struct found_passkey *found)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct slice id = decode(call, answer->raw_id);
  enum status status = auth_db_get_passkey(query_on(state->pg), id, arena, &found->row);
  if (status == STATUS_NOT_FOUND)
    return refuse(call, UNKNOWN_PASSKEY);
  if (status != STATUS_OK)
    return status;
  const char *handle = answer->response->user_handle;
  if (answer->user_id != NULL && strcmp(answer->user_id, found->row.user_id) != 0)
    return refuse(call, "the passkey belongs to another account");
  if (strcmp(answer->id, answer->raw_id) != 0 || strcmp(handle, passkeys_user_handle(found->row.user_id, arena)) != 0)
    return refuse(call, UNKNOWN_PASSKEY);
  found->credential = (struct webauthn_credential){.id = id,
                                                   .public_key = found->row.public_key,
                                                   .algorithm = (int)found->row.algorithm,
                                                   .sign_count = (uint32_t)found->row.sign_count};
  return STATUS_OK;
}

static enum status use_passkey(struct call *call, const struct found_passkey *found, const struct webauthn_proof *proof,
                               struct slice challenge_hash)
{
  const struct auth_db_use_passkey_params params = {.challenge_hash = challenge_hash,
                                                    .keep_ms = PASSKEY_CHALLENGE_KEEP_MS,
                                                    .sign_count = proof->sign_count,
                                                    .id = found->row.id};
  int64_t used = 0;
  enum status status = auth_db_use_passkey(resource_db(call), &params, call_arena(call), &used);
  // The challenge was used, or the passkey was used or removed, since they were looked at.
  return status == STATUS_OK && used == 0 ? fail_challenge(call) : status;
}

enum status passkeys_prove(struct call *call, const struct passkey_answer *answer, struct passkey_account *account)
{
  const struct auth_state *state = call_state(call);
  const struct webauthn_assertion assertion = {.client_data_json = decode(call, answer->response->client_data_json),
                                               .authenticator_data = decode(call, answer->response->authenticator_data),
                                               .signature = decode(call, answer->response->signature),
                                               .verification_needed = true};
  const struct challenge_scope scope = make_scope(call, PASSKEY_FOR_SIGN_IN, "");
  struct slice challenge_hash;
  struct found_passkey found;
  enum status status = open_challenge(call, &scope, assertion.client_data_json, &challenge_hash);
  if (status == STATUS_OK)
    status = find_passkey(call, answer, &found);
  if (status != STATUS_OK)
    return status;
  struct webauthn_proof proof;
  enum webauthn_verdict verdict =
      webauthn_check_assertion(&state->passkey_party, &assertion, &found.credential, call_arena(call), &proof);
  if (verdict != WEBAUTHN_OK)
    return refuse_known(call, &found, verdict);
  *account = (struct passkey_account){.user_id = found.row.user_id,
                                      .password_set_us = found.row.password_set_us,
                                      .factor_generation = found.row.factor_generation};
  return use_passkey(call, &found, &proof, challenge_hash);
}

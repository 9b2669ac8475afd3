#include "services/auth/auth_challenges.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/security/totp.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/account_tokens.h"
#include "services/auth/audit.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_sign_in.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/factor_codes.h"
#include "services/auth/passkeys.h"
#include "services/auth/settings.h"

#define TRIES_OF_CHALLENGE 5
#define TRIES_OF_SOURCE 10
#define SLOW_INTERVAL_MS 300000
#define DEVICE_INTERVAL_MS 60000
#define REMEMBERED_PER_ACCOUNT 20

// ---- asking ----

// Whose tries a challenge takes, and how often one comes back.
struct source {
  const char *name;
  int64_t interval_ms;
};

// Devices from before the account had a factor have proven a password only, so they share one bucket: anybody who knew
// the password has as many of them as he likes.
static struct source find_source(const struct device *device, int64_t since_s, struct arena *arena)
{
  if (device == NULL)
    return (struct source){"unknown devices", SLOW_INTERVAL_MS};
  if (device->issued_s < since_s)
    return (struct source){"earlier devices", SLOW_INTERVAL_MS};
  char id[2 * DEVICE_ID_BYTES + 1];
  *hex_encode(device->id, DEVICE_ID_BYTES, id) = '\0';
  return (struct source){arena_printf(arena, "device:%s", id), DEVICE_INTERVAL_MS};
}

static struct slice id_of(const struct device *device)
{
  return device == NULL ? (struct slice){0} : slice_make(device->id, sizeof(device->id));
}

static void answer_challenge(const char *token, const struct auth_db_get_second_step_row *step, struct arena *arena,
                             Auth__V1__LoginResponse *response)
{
  response->_challenge_case = AUTH__V1__LOGIN_RESPONSE___CHALLENGE_CHALLENGE;
  response->challenge = (char *)(uintptr_t)token;
  response->factors = arena_array(arena, step->types_count + 1, sizeof(*response->factors));
  for (size_t i = 0; i < step->types_count; i++)
    response->factors[response->n_factors++] = step->types[i];
  if (step->has_codes)
    response->factors[response->n_factors++] = arena_string(arena, SLICE("recoveryCode"));
}

enum status auth_challenges_ask(struct call *call, const struct sign_in *sign_in, Auth__V1__LoginResponse *response,
                                bool *is_asked)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_db_get_second_step_params get = {.device_id = id_of(sign_in->device),
                                                     .password_set_us = sign_in->password_set_us,
                                                     .factor_generation = sign_in->factor_generation,
                                                     .user_id = sign_in->user_id};
  struct auth_db_get_second_step_row step;
  enum status status = auth_db_get_second_step(query_on(state->pg), &get, arena, &step);
  *is_asked = status == STATUS_OK && !step.is_remembered;
  if (!*is_asked)
    return status;
  struct account_token token = account_token_new(arena);
  struct source source = find_source(sign_in->device, step.since_s, arena);
  const struct auth_db_add_challenge_params add = {.token_hash = token.hash,
                                                   .user_id = sign_in->user_id,
                                                   .password_set_us = sign_in->password_set_us,
                                                   .factor_generation = sign_in->factor_generation,
                                                   .account = sign_in->account,
                                                   .source = source.name,
                                                   .try_interval_ms = source.interval_ms,
                                                   .device_id = id_of(sign_in->device),
                                                   .device_name = auth_sign_in_device_name(call, sign_in),
                                                   .ttl_ms = state->settings->challenge_ttl_ms};
  status = auth_db_add_challenge(resource_db(call), &add, arena);
  answer_challenge(token.text, &step, arena, response);
  // A violated foreign key means that the credential was deleted meanwhile.
  return status == STATUS_FAILED_PRECONDITION ? STATUS_NOT_FOUND : status;
}

// ---- tries ----

static enum status fail_challenge(struct call *call)
{
  return call_fail(call, STATUS_UNAUTHENTICATED, "INVALID_CHALLENGE",
                   "the challenge is unknown, used or too old, or password or factors have changed; log in again");
}

static void log_refusal(const char *message, const struct auth_db_try_challenge_row *challenge)
{
  log_warn("login", message, LOG_STRING("account", challenge->account), LOG_STRING("source", challenge->source));
}

static enum status refuse_try(struct call *call, const struct auth_db_try_challenge_row *challenge)
{
  const struct auth_state *state = call_state(call);
  metric_add(state->logins[LOGIN_LIMITED], 1);
  log_refusal("a second step was refused: too many codes were wrong", challenge);
  // A challenge without tries never gets another one.
  if (challenge->has_tries)
    call_retry_after(call, challenge->wait_ms > 0 ? (uint32_t)challenge->wait_ms : 1000);
  return call_fail(call, STATUS_RESOURCE_EXHAUSTED, GCRA_FAILURES_REASON, "too many codes were wrong; %s",
                   challenge->has_tries ? "try again later, or from a device that the account knows" : "log in again");
}

// Takes a try, whatever becomes of it: the code is judged only then, so that guesses cannot run ahead of their count.
static enum status take_try(struct call *call, struct slice token_hash, struct auth_db_try_challenge_row *challenge)
{
  const struct auth_state *state = call_state(call);
  const struct auth_db_try_challenge_params params = {
      .token_hash = token_hash, .most = TRIES_OF_CHALLENGE, .burst = TRIES_OF_SOURCE};
  enum status status = auth_db_try_challenge(query_on(state->pg), &params, call_arena(call), challenge);
  if (status == STATUS_NOT_FOUND)
    return fail_challenge(call);
  return status == STATUS_OK && !challenge->taken ? refuse_try(call, challenge) : status;
}

// ---- proofs ----

// What a code has turned out to be.
struct proof {
  const char *factor_id;      // an authenticator app's
  int64_t step;               // of that code
  const char *recovery_hash;  // else this one
  bool by_passkey;            // which has been spent
};

static enum status answer_wrong_code(struct call *call, const struct auth_db_try_challenge_row *challenge)
{
  const struct auth_state *state = call_state(call);
  metric_add(state->logins[LOGIN_WRONG_CODE], 1);
  log_refusal("a second step failed: the code is wrong", challenge);
  return call_fail(call, STATUS_UNAUTHENTICATED, "WRONG_CODE",
                   "the code is wrong, was used or is too old; use the one that the app shows now, or a recovery code");
}

// Comes outside of transactions, because the event takes a connection of its own.
static enum status fail_code(struct call *call, const struct auth_db_try_challenge_row *challenge)
{
  const struct audit_entry entry = {.action = "session.begin", .reason = "WRONG_CODE", .user_id = challenge->user_id};
  audit_add_failure(call, &entry);
  return answer_wrong_code(call, challenge);
}

static enum status find_app(struct call *call, const char *user_id, const char *code, struct proof *proof)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct auth_db_get_factor_secrets_row *rows;
  size_t count;
  enum status status = auth_db_get_factor_secrets(query_on(state->pg), user_id, arena, &rows, &count);
  // The database's clock, as in access tokens: that of this machine may be an hour off.
  int64_t now_s = auth_keys_now_ms(&state->keys) / 1000;
  for (size_t i = 0; i < count && status == STATUS_OK; i++) {
    struct slice secret;
    if (factor_secret_open(state->stored_secret, user_id, rows[i].id, rows[i].secret, arena, &secret) != STATUS_OK)
      log_error("factors",
                "the secret of an authenticator app does not open, so its codes are refused: its row was changed, or "
                "comes from another database; an admin can reset the factors of the account",
                LOG_STRING("factor", rows[i].id), LOG_STRING("userId", user_id));
    else if (totp_matches(secret, code, now_s, rows[i].last_step, &proof->step))
      proof->factor_id = rows[i].id;
  }
  return status;
}

static enum status find_proof(struct call *call, const char *user_id, const char *given, struct proof *proof)
{
  const struct auth_state *state = call_state(call);
  const char *code = factor_code_fold(given, call_arena(call));
  *proof = (struct proof){0};
  if (factor_code_is_totp(code))
    return find_app(call, user_id, code, proof);
  const struct auth_db_find_recovery_code_params params = {
      .user_id = user_id, .code_hash = recovery_code_hash(state->stored_secret, user_id, code, call_arena(call))};
  struct auth_db_find_recovery_code_row row;
  enum status status = auth_db_find_recovery_code(query_on(state->pg), &params, call_arena(call), &row);
  if (status == STATUS_OK)
    proof->recovery_hash = params.code_hash;
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status prove_by_passkey(struct call *call, const char *user_id, const Auth__V1__PasskeyAssertion *given,
                                    struct proof *proof)
{
  const struct passkey_answer answer = {
      .id = given->id, .raw_id = given->raw_id, .response = given->response, .user_id = user_id};
  struct passkey_account account;
  enum status status = passkeys_check_enabled(call);
  if (status == STATUS_OK)
    status = passkeys_prove(call, &answer, &account);
  *proof = (struct proof){.by_passkey = status == STATUS_OK};
  return status;
}

static enum status prove(struct call *call, const struct auth_db_try_challenge_row *challenge,
                         const Auth__V1__VerifyLoginRequest *request, struct proof *proof)
{
  if (request->proof_case == AUTH__V1__VERIFY_LOGIN_REQUEST__PROOF_PASSKEY)
    return prove_by_passkey(call, challenge->user_id, request->passkey, proof);
  enum status status = find_proof(call, challenge->user_id, request->code, proof);
  bool is_code = proof->factor_id != NULL || proof->recovery_hash != NULL;
  return status == STATUS_OK && !is_code ? fail_code(call, challenge) : status;
}

// ---- the end of a login ----

// A second step with all that its transaction needs.
struct second_step {
  struct slice token_hash;
  struct auth_db_try_challenge_row challenge;
  struct proof proof;
  bool remembers;
  Auth__V1__TokenResponse *response;
};

// Spends the code. *used is 0 where another call has done so since it was found.
static enum status use_proof(struct query_db db, const struct second_step *step, struct arena *arena, int64_t *used)
{
  *used = step->proof.by_passkey ? 1 : 0;
  if (step->proof.factor_id != NULL)
    return auth_db_use_step(
        db, &(struct auth_db_use_step_params){.step = step->proof.step, .id = step->proof.factor_id}, arena, used);
  if (step->proof.recovery_hash == NULL || step->proof.by_passkey)
    return STATUS_OK;
  const struct auth_db_use_recovery_code_params params = {.user_id = step->challenge.user_id,
                                                          .code_hash = step->proof.recovery_hash};
  return auth_db_use_recovery_code(db, &params, arena, used);
}

// Remembers the device that the answer has named.
static enum status remember(struct call *call, struct query_db db, const struct second_step *step,
                            const Auth__V1__TokenResponse *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct device device;
  const struct device_scope devices = auth_state_devices(state, step->challenge.account);
  if (!auth_devices_read(&devices, response->device_token, arena, &device))
    return STATUS_INTERNAL;
  const struct auth_db_remember_device_params params = {.user_id = step->challenge.user_id,
                                                        .device_id = id_of(&device),
                                                        .kept = REMEMBERED_PER_ACCOUNT - 1,
                                                        .password_set_us = step->challenge.password_set_us,
                                                        .factor_generation = step->challenge.factor_generation,
                                                        .ttl_ms = state->settings->remember_device_ms};
  return auth_db_remember_device(db, &params, arena);
}

static enum status begin_session(struct call *call, struct query_db db, const struct auth_db_try_challenge_row *row,
                                 Auth__V1__TokenResponse *response)
{
  struct device device;
  bool is_known = row->device_id.size == sizeof(device.id);
  if (is_known)
    memcpy(device.id, row->device_id.data, sizeof(device.id));
  const struct sign_in sign_in = {.user_id = row->user_id,
                                  .password_set_us = row->password_set_us,
                                  .factor_generation = row->factor_generation,
                                  .account = row->account,
                                  .device = is_known ? &device : NULL,
                                  .device_name = row->device_name,
                                  .user_agent = ""};
  enum status status = auth_sign_in_complete(call, db, &sign_in, response);
  return status == STATUS_NOT_FOUND ? fail_challenge(call) : status;
}

// Begins the session first, which locks the credential, as whatever changes factors does before it changes them.
static enum status finish_in(struct call *call, struct query_db db, const void *arg)
{
  const struct second_step *step = arg;
  struct arena *arena = call_arena(call);
  int64_t used = 0;
  enum status status = begin_session(call, db, &step->challenge, step->response);
  if (status == STATUS_OK)
    status = use_proof(db, step, arena, &used);
  if (status == STATUS_OK && used == 0)
    return answer_wrong_code(call, &step->challenge);
  if (status == STATUS_OK)
    status = auth_db_use_challenge(db, step->token_hash, arena, &used);
  if (status == STATUS_OK && used == 0)
    return fail_challenge(call);
  const struct auth_db_return_factor_try_params give_back = {.interval_ms = step->challenge.try_interval_ms,
                                                             .user_id = step->challenge.user_id,
                                                             .source = step->challenge.source};
  if (status == STATUS_OK)
    status = auth_db_return_factor_try(db, &give_back, arena);
  if (status == STATUS_OK && step->remembers)
    status = remember(call, db, step, step->response);
  return status;
}

static enum status check_remembering(struct call *call, bool remembers)
{
  const struct auth_state *state = call_state(call);
  if (!remembers || state->settings->remember_device_ms > 0)
    return STATUS_OK;
  call_violation(call, "rememberDevice", "is not offered by this server");
  return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST",
                   "this server remembers no devices; leave rememberDevice out");
}

enum status auth_challenges_verify(struct call *call, const Auth__V1__VerifyLoginRequest *request,
                                   Auth__V1__TokenResponse *response)
{
  struct second_step step = {
      .token_hash = account_token_hash(slice_from_string(request->challenge), call_arena(call)),
      .remembers = request->remember_device,
      .response = response,
  };
  enum status status = check_remembering(call, request->remember_device);
  if (status == STATUS_OK)
    status = auth_sign_in_wait(call);
  if (status == STATUS_OK)
    status = take_try(call, step.token_hash, &step.challenge);
  if (status == STATUS_OK)
    status = prove(call, &step.challenge, request, &step.proof);
  if (status == STATUS_OK)
    status = auth_sign_in_refuse_suspended(call, step.challenge.user_id);
  return status == STATUS_OK ? auth_transact(call, finish_in, &step) : status;
}

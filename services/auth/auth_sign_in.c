#include "services/auth/auth_sign_in.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "services/auth/audit.h"
#include "services/auth/auth_challenges.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_tokens.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/session_names.h"

enum status auth_sign_in_fail_without_keys(struct call *call)
{
  return call_fail(call, STATUS_UNAVAILABLE, "UNAVAILABLE",
                   "the signing keys cannot be read right now; try again later");
}

enum status auth_sign_in_wait(struct call *call)
{
  const struct auth_state *state = call_state(call);
  enum status status = auth_keys_wait(&state->keys);
  return status == STATUS_UNAVAILABLE ? auth_sign_in_fail_without_keys(call) : status;
}

const char *auth_sign_in_address(struct call *call)
{
  return arena_string(call_arena(call), call_client_address(call));
}

const char *auth_sign_in_device_name(struct call *call, const struct sign_in *sign_in)
{
  bool is_named = sign_in->device_name[0] != '\0';
  return is_named ? sign_in->device_name : session_name_of_agent(sign_in->user_agent, call_arena(call));
}

enum status auth_sign_in_refuse_suspended(struct call *call, const char *user_id)
{
  const struct auth_state *state = call_state(call);
  struct auth_db_is_account_suspended_row row = {0};
  enum status status = auth_db_is_account_suspended(query_on(state->pg), user_id, call_arena(call), &row);
  if (status != STATUS_OK || !row.suspended)
    return status;
  const struct audit_entry entry = {
      .action = "session.begin", .reason = "ACCOUNT_SUSPENDED", .actor_id = user_id, .user_id = user_id};
  audit_add_failure(call, &entry);
  return call_fail(call, STATUS_PERMISSION_DENIED, "ACCOUNT_SUSPENDED",
                   "the account is suspended; ask the operator of this server");
}

enum status auth_sign_in_complete(struct call *call, struct query_db db, const struct sign_in *sign_in,
                                  Auth__V1__TokenResponse *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct session_login login = {.user_id = sign_in->user_id,
                                      .password_set_us = sign_in->password_set_us,
                                      .factor_generation = sign_in->factor_generation,
                                      .device_name = auth_sign_in_device_name(call, sign_in),
                                      .address = auth_sign_in_address(call)};
  struct session_grant grant = {0};
  enum status status = auth_sessions_begin(state, db, &login, arena, &grant);
  const struct audit_entry entry = {.action = "session.begin",
                                    .actor_id = sign_in->user_id,
                                    .user_id = sign_in->user_id,
                                    .session_id = grant.session.id};
  if (status == STATUS_OK)
    status = audit_add(call, db, &entry);
  if (status == STATUS_OK && sign_in->device == NULL)
    status = auth_email_tell_device(call, db, sign_in->user_id, login.device_name);
  if (status == STATUS_OK)
    status = auth_tokens_answer(state, &grant.session, &grant.refresh, arena, response);
  if (status != STATUS_OK)
    return status;
  response->_device_token_case = AUTH__V1__TOKEN_RESPONSE___DEVICE_TOKEN_DEVICE_TOKEN;
  const struct device_scope devices = auth_state_devices(state, sign_in->account);
  return auth_devices_issue(&devices, sign_in->device, arena, &response->device_token);
}

// What a transaction that begins a session takes and gives.
struct completion {
  const struct sign_in *sign_in;
  Auth__V1__TokenResponse *response;
};

static enum status complete_in(struct call *call, struct query_db db, const void *arg)
{
  const struct completion *completion = arg;
  return auth_sign_in_complete(call, db, completion->sign_in, completion->response);
}

enum status auth_sign_in_complete_at_once(struct call *call, const struct sign_in *sign_in,
                                          Auth__V1__TokenResponse *response)
{
  return auth_transact(call, complete_in, &(struct completion){.sign_in = sign_in, .response = response});
}

static void copy_tokens(const Auth__V1__TokenResponse *tokens, Auth__V1__LoginResponse *response)
{
  response->_access_token_case = AUTH__V1__LOGIN_RESPONSE___ACCESS_TOKEN_ACCESS_TOKEN;
  response->access_token = tokens->access_token;
  response->_token_type_case = AUTH__V1__LOGIN_RESPONSE___TOKEN_TYPE_TOKEN_TYPE;
  response->token_type = tokens->token_type;
  response->_expires_in_case = AUTH__V1__LOGIN_RESPONSE___EXPIRES_IN_EXPIRES_IN;
  response->expires_in = tokens->expires_in;
  response->_refresh_token_case = AUTH__V1__LOGIN_RESPONSE___REFRESH_TOKEN_REFRESH_TOKEN;
  response->refresh_token = tokens->refresh_token;
  response->_device_token_case = AUTH__V1__LOGIN_RESPONSE___DEVICE_TOKEN_DEVICE_TOKEN;
  response->device_token = tokens->device_token;
}

enum status auth_sign_in_proven(struct call *call, const struct sign_in *sign_in, Auth__V1__LoginResponse *response)
{
  bool is_answered = false;
  enum status status = auth_sign_in_refuse_suspended(call, sign_in->user_id);
  if (status == STATUS_OK && sign_in->needs_second)
    status = auth_challenges_ask(call, sign_in, response, &is_answered);
  if (status == STATUS_OK && !is_answered)
    status = auth_sign_in_wait(call);
  if (status != STATUS_OK || is_answered)
    return status;
  Auth__V1__TokenResponse tokens = AUTH__V1__TOKEN_RESPONSE__INIT;
  status = auth_sign_in_complete_at_once(call, sign_in, &tokens);
  if (status == STATUS_OK)
    copy_tokens(&tokens, response);
  return status;
}

#include "services/auth/auth_sign_in.h"

#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_tokens.h"
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

static enum status begin_session(struct call *call, const struct sign_in *sign_in, struct session_grant *grant)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  bool is_named = sign_in->device_name[0] != '\0';
  const struct session_login login = {.user_id = sign_in->user_id,
                                      .password_set_us = sign_in->password_set_us,
                                      .device_name = is_named ? sign_in->device_name
                                                              : session_name_of_agent(sign_in->user_agent, arena),
                                      .address = auth_sign_in_address(call)};
  enum status status = auth_sessions_begin(state, resource_db(call), &login, arena, grant);
  if (status != STATUS_OK)
    return status;
  const struct audit_entry entry = {.action = "session.begin",
                                    .actor_id = sign_in->user_id,
                                    .user_id = sign_in->user_id,
                                    .session_id = grant->session.id};
  return audit_add(call, resource_db(call), &entry);
}

enum status auth_sign_in_complete(struct call *call, const struct sign_in *sign_in, Auth__V1__TokenResponse *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct session_grant grant;
  enum status status = auth_sign_in_wait(call);
  if (status == STATUS_OK)
    status = begin_session(call, sign_in, &grant);
  if (status == STATUS_OK)
    status = auth_tokens_answer(state, &grant.session, &grant.refresh, arena, response);
  if (status != STATUS_OK)
    return status;
  response->_device_token_case = AUTH__V1__TOKEN_RESPONSE___DEVICE_TOKEN_DEVICE_TOKEN;
  return auth_devices_issue(state->stored_secret, sign_in->account, sign_in->device, arena, &response->device_token);
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
  Auth__V1__TokenResponse tokens = AUTH__V1__TOKEN_RESPONSE__INIT;
  enum status status = auth_sign_in_complete(call, sign_in, &tokens);
  if (status == STATUS_OK)
    copy_tokens(&tokens, response);
  return status;
}

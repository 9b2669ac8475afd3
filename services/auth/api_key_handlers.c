#include "services/auth/api_key_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/api_key_owners.h"
#include "services/auth/api_keys.h"
#include "services/auth/auth_roles.h"
#include "services/auth/session_names.h"

#define INVALID "INVALID_API_KEY_REQUEST"

static enum status check(struct call *call, const Auth__V1__CreateApiKeyRequest *request)
{
  const struct auth_state *state = call_state(call);
  if (session_check_name(call, "name", request->name) != STATUS_OK)
    return STATUS_INVALID_ARGUMENT;
  // The database's clock, by which keys expire.
  if (request->expire_time != NULL && request->expire_time->seconds <= auth_keys_now_ms(&state->keys) / 1000) {
    call_violation(call, "expireTime", "must be in the future");
    return call_fail(call, STATUS_INVALID_ARGUMENT, INVALID, "expireTime must be in the future");
  }
  const struct permission_set scopes = {.names = (const char **)(uintptr_t)request->scopes, .count = request->n_scopes};
  enum status status = auth_roles_check_known(call, "scopes", request->scopes, request->n_scopes);
  return status == STATUS_OK ? auth_roles_check_held(call, &scopes) : status;
}

static enum status create_api_key(struct call *call, const Auth__V1__CreateApiKeyRequest *request,
                                  Auth__V1__CreateApiKeyResponse *response)
{
  const char *owner_id = api_key_owner(call, request->owner_id);
  enum status status = check(call, request);
  if (status == STATUS_OK)
    status = api_key_owner_check_create(call, owner_id, request);
  return status == STATUS_OK ? api_keys_create(call, owner_id, request, response) : status;
}

static enum status list_api_keys(struct call *call, const Auth__V1__ListApiKeysRequest *request,
                                 Auth__V1__ListApiKeysResponse *response)
{
  const struct auth_state *state = call_state(call);
  const char *owner_id = api_key_owner(call, request->owner_id);
  enum status status = api_key_owner_check_list(call, owner_id);
  if (status != STATUS_OK)
    return status;
  return auth_db_list_api_keys(query_on(state->pg), owner_id, call_arena(call), &response->api_keys,
                               &response->n_api_keys);
}

static enum status delete_api_key(struct call *call, const Auth__V1__DeleteApiKeyRequest *request,
                                  Google__Protobuf__Empty *response)
{
  (void)response;
  return api_keys_revoke(call, request->id);
}

static enum status exchange_api_key(struct call *call, const Auth__V1__ExchangeApiKeyRequest *request,
                                    Auth__V1__ExchangeApiKeyResponse *response)
{
  struct slice token;
  enum status status = api_keys_exchange(call, request->key, &token);
  if (status == STATUS_OK)
    response->access_token = arena_string(call_arena(call), token);
  return status;
}

const struct auth_v1_api_key_service_handlers auth_api_key_handlers = {
    .create_api_key = create_api_key,
    .list_api_keys = list_api_keys,
    .delete_api_key = delete_api_key,
    .exchange_api_key = exchange_api_key,
};

#include "services/auth/api_key_owners.h"

#include "auth/queries.bh.h"
#include "common/contract/policy.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_state.h"
#include "services/auth/service_accounts.h"

#define READ_ALL_USERS "users:read" POLICY_ANY_SUFFIX

static bool is_own(struct call *call, const char *owner_id)
{
  return slice_equal_ignore_case(call_caller_id(call), slice_from_string(owner_id));
}

const char *api_key_owner(struct call *call, const char *named_id)
{
  return named_id[0] == '\0' || is_own(call, named_id) ? resource_caller(call) : named_id;
}

static enum status fail_without(struct call *call, const char *permission)
{
  return call_fail(call, STATUS_PERMISSION_DENIED, POLICY_PERMISSION_REQUIRED,
                   "this needs the permission %s, which the caller does not have", permission);
}

enum status api_key_owner_fail_unknown(struct call *call, const char *owner_id)
{
  return call_fail(call, STATUS_NOT_FOUND, "USER_NOT_FOUND", "there is no account %s that can have API keys", owner_id);
}

// Whoever may read neither kind of account does not learn whether there is this one.
enum status api_key_owner_check_list(struct call *call, const char *owner_id)
{
  const struct auth_state *state = call_state(call);
  if (is_own(call, owner_id) || call_caller_holds(call, READ_ALL_USERS, false))
    return STATUS_OK;
  if (!call_caller_holds(call, SERVICE_ACCOUNTS_READ, false))
    return fail_without(call, SERVICE_ACCOUNTS_READ);
  struct auth_db_is_service_account_row account;
  enum status status = auth_db_is_service_account(query_on(state->pg), owner_id, call_arena(call), &account);
  if (status == STATUS_NOT_FOUND)
    return api_key_owner_fail_unknown(call, owner_id);
  return status == STATUS_OK && !account.is_service ? fail_without(call, READ_ALL_USERS) : status;
}

// Refuses a scope that the account does not hold, with which the key could do less than its maker thinks.
static enum status check_scopes(struct call *call, struct query_db db, const char *owner_id,
                                const Auth__V1__CreateApiKeyRequest *request)
{
  const struct auth_state *state = call_state(call);
  struct auth_db_get_user_roles_row row;
  enum status status = auth_db_get_user_roles(db, owner_id, call_arena(call), &row);
  if (status != STATUS_OK)
    return status;
  bool is_admin = auth_roles_include((const char *const *)row.roles, row.roles_count, AUTH_ROLE_ADMIN);
  const struct permission_set held =
      auth_roles_expand(&state->permissions, is_admin, true, (const char *const *)row.permissions,
                        row.permissions_count, call_arena(call));
  for (size_t i = 0; i < request->n_scopes; i++) {
    if (auth_roles_include(held.names, held.count, request->scopes[i]))
      continue;
    call_violation(call, arena_printf(call_arena(call), "scopes[%zu]", i), "is nothing that the account may do");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "SCOPE_NOT_HELD",
                     "the service account does not hold the permission %s; give it a role that does first",
                     request->scopes[i]);
  }
  return STATUS_OK;
}

enum status api_key_owner_check_create(struct call *call, const char *owner_id,
                                       const Auth__V1__CreateApiKeyRequest *request)
{
  const struct auth_state *state = call_state(call);
  const struct query_db db = query_on(state->pg);
  if (is_own(call, owner_id))
    return STATUS_OK;
  if (!call_caller_holds(call, SERVICE_ACCOUNTS_WRITE, false))
    return fail_without(call, SERVICE_ACCOUNTS_WRITE);
  struct auth_db_is_service_account_row account;
  enum status status = auth_db_is_service_account(db, owner_id, call_arena(call), &account);
  if (status == STATUS_OK && !account.is_service)
    return call_fail(call, STATUS_PERMISSION_DENIED, "NOT_A_SERVICE_ACCOUNT",
                     "the account is a person's, and people make their own API keys");
  if (status == STATUS_OK)
    status = auth_roles_check_target(call, db, owner_id);
  if (status == STATUS_OK)
    status = check_scopes(call, db, owner_id, request);
  return status == STATUS_NOT_FOUND ? api_key_owner_fail_unknown(call, owner_id) : status;
}

enum status api_key_owner_check_revoke(struct call *call, struct query_db db, const char *key_id, const char **owner_id)
{
  bool is_admin = call_caller_has_role(call, AUTH_ROLE_ADMIN);
  struct auth_db_find_api_key_owner_row key;
  enum status status = auth_db_find_api_key_owner(db, key_id, call_arena(call), &key);
  bool is_found = status == STATUS_OK;
  if (!is_found && status != STATUS_NOT_FOUND)
    return status;
  *owner_id = is_found ? key.user_id : NULL;
  if (is_found && (is_admin || is_own(call, key.user_id)))
    return STATUS_OK;
  if (is_found && key.is_service && call_caller_holds(call, SERVICE_ACCOUNTS_WRITE, false))
    return auth_roles_check_target(call, db, key.user_id);
  return call_fail(call, STATUS_NOT_FOUND, "API_KEY_NOT_FOUND",
                   is_admin ? "there is no API key %s" : "you have no API key %s", key_id);
}

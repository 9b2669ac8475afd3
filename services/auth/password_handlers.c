#include "services/auth/password_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_passwords.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_tries.h"

// Compares the current password. UNAUTHENTICATED where it is wrong.
static enum status compare_current(struct call *call, const char *given, struct auth_db_get_password_hash_row *row)
{
  struct auth_state *state = call_state(call);
  *row = (struct auth_db_get_password_hash_row){0};
  enum status status = auth_db_get_password_hash(query_on(state->pg), resource_caller(call), call_arena(call), row);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, resource_caller(call));
  enum password_match match = PASSWORD_WRONG;
  if (status == STATUS_OK)
    status = auth_passwords_compare(call, given, row->password_hash, &match);
  return status == STATUS_OK && match == PASSWORD_WRONG ? STATUS_UNAUTHENTICATED : status;
}

// Proves that the caller knows the current password, under the limits of logins: a stolen access token must be no way
// to guess it.
static enum status prove_current(struct call *call, const char *email, const char *given,
                                 struct auth_db_get_password_hash_row *row)
{
  struct device device;
  struct login_try try;
  enum status status = auth_tries_begin(call, email, "", &device, &try);
  if (status != STATUS_OK)
    return status;
  status = compare_current(call, given, row);
  auth_tries_settle(call, &try, status);
  const struct audit_entry entry = {
      .action = "password.change", .reason = "WRONG_PASSWORD", .user_id = resource_caller(call)};
  if (status != STATUS_UNAUTHENTICATED)
    return status;
  audit_add_failure(call, &entry);
  return call_fail(call, STATUS_PERMISSION_DENIED, "WRONG_PASSWORD", "the current password is wrong");
}

static enum status change_password(struct call *call, const Auth__V1__ChangePasswordRequest *request,
                                   Google__Protobuf__Empty *response)
{
  (void)response;
  struct account_facts account;
  enum status status = auth_peers_find_account(call, resource_caller(call), &account);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, resource_caller(call));
  struct auth_db_get_password_hash_row current = {0};
  if (status == STATUS_OK)
    status = prove_current(call, account.email, request->current_password, &current);
  bool needs_factor = false;
  const struct chosen_password chosen = {
      .text = request->new_password,
      .field = "newPassword",
      .owner = {.email = account.email, .display_name = account.display_name, .has_second_factor = current.has_factor},
      .needs_factor = &needs_factor,
  };
  char new_hash[PASSWORD_HASH_SIZE];
  if (status == STATUS_OK)
    status = auth_passwords_hash(call, &chosen, new_hash);
  const struct password_change change = {
      .email = account.email, .old_hash = current.password_hash, .new_hash = new_hash, .needs_factor = needs_factor};
  if (status == STATUS_OK)
    status = auth_passwords_replace(call, &change);
  return status;
}

const struct auth_v1_password_service_handlers auth_password_handlers = {
    .change_password = change_password,
};

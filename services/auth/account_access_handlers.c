#include "services/auth/account_access_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_sessions.h"

// A step that changes the access to an account. NOT_FOUND where there is none.
typedef enum status access_change(struct call *call, struct query_db db, const char *user_id);

// Keeps changes of roles out, so that of two admins who suspend each other one is left.
static enum status suspend(struct call *call, struct query_db db, const char *user_id)
{
  struct arena *arena = call_arena(call);
  struct auth_db_is_admin_row target = {0};
  int64_t affected = 0;
  enum status status = auth_db_lock_roles(db, arena);
  if (status == STATUS_OK)
    status = auth_db_is_admin(db, user_id, arena, &target);
  if (status == STATUS_OK && target.is_admin)
    status = auth_roles_check_last_admin(call, db, user_id);
  if (status == STATUS_OK)
    status = auth_db_suspend_account(db, user_id, arena, &affected);
  if (status == STATUS_OK && affected == 0)
    return STATUS_NOT_FOUND;
  return status == STATUS_OK ? auth_sessions_end_all(db, user_id, arena) : status;
}

static enum status resume(struct call *call, struct query_db db, const char *user_id)
{
  int64_t affected = 0;
  enum status status = auth_db_resume_account(db, user_id, call_arena(call), &affected);
  return status == STATUS_OK && affected == 0 ? STATUS_NOT_FOUND : status;
}

static enum status sign_out(struct call *call, struct query_db db, const char *user_id)
{
  struct arena *arena = call_arena(call);
  struct auth_db_is_account_suspended_row row;
  enum status status = auth_db_is_account_suspended(db, user_id, arena, &row);
  return status == STATUS_OK ? auth_sessions_end_all(db, user_id, arena) : status;
}

// Makes the change and notes it, both or neither.
static enum status change_access(struct call *call, access_change *change, const char *action, const char *user_id)
{
  const struct auth_state *state = call_state(call);
  struct pg_tx *tx = NULL;
  const struct audit_entry entry = {.action = action, .user_id = user_id};
  enum status status = pg_begin(state->pg, &tx);
  if (status == STATUS_OK)
    status = auth_roles_check_target(call, query_in(tx), user_id);
  if (status == STATUS_OK)
    status = change(call, query_in(tx), user_id);
  if (status == STATUS_OK)
    status = audit_add(call, query_in(tx), &entry);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, status, "USER_NOT_FOUND", "there is no user %s", user_id);
  return status;
}

static enum status suspend_user(struct call *call, const Auth__V1__SuspendUserRequest *request,
                                Google__Protobuf__Empty *response)
{
  (void)response;
  if (slice_equal_ignore_case(call_caller_id(call), slice_from_string(request->id)))
    return call_fail(call, STATUS_FAILED_PRECONDITION, "OWN_ACCOUNT",
                     "nobody suspends his own account; ask another admin");
  return change_access(call, suspend, "account.suspend", request->id);
}

static enum status resume_user(struct call *call, const Auth__V1__ResumeUserRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  return change_access(call, resume, "account.resume", request->id);
}

static enum status sign_out_user(struct call *call, const Auth__V1__SignOutUserRequest *request,
                                 Google__Protobuf__Empty *response)
{
  (void)response;
  return change_access(call, sign_out, "account.sign_out", request->id);
}

static enum status check_reach(struct call *call, const Auth__V1__CheckReachRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  const struct auth_state *state = call_state(call);
  enum status status = auth_roles_check_target(call, query_on(state->pg), request->user_id);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status list_user_sessions(struct call *call, const Auth__V1__ListUserSessionsRequest *request,
                                      Auth__V1__ListSessionsResponse *response)
{
  const struct auth_state *state = call_state(call);
  const struct auth_db_list_sessions_params params = {.user_id = request->user_id};
  return auth_db_list_sessions(query_on(state->pg), &params, call_arena(call), &response->sessions,
                               &response->n_sessions);
}

const struct auth_v1_account_access_service_handlers auth_account_access_handlers = {
    .suspend_user = suspend_user,
    .resume_user = resume_user,
    .sign_out_user = sign_out_user,
    .check_reach = check_reach,
    .list_user_sessions = list_user_sessions,
};

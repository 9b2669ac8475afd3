#include "services/auth/account_access_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_transaction.h"

// Refuses to take an admin away where he is the last one. Comes after auth_roles_lock, so that of two admins who take
// each other away one is left.
static enum status check_not_last_admin(struct call *call, struct query_db db, const char *user_id)
{
  struct auth_db_is_admin_row target = {0};
  enum status status = auth_db_is_admin(db, user_id, call_arena(call), &target);
  return status == STATUS_OK && target.is_admin ? auth_roles_check_last_admin(call, db, user_id) : status;
}

// A step that changes the access to an account. NOT_FOUND where there is none.
typedef enum status access_change(struct call *call, struct query_db db, const char *user_id);

static enum status suspend(struct call *call, struct query_db db, const char *user_id)
{
  struct arena *arena = call_arena(call);
  int64_t affected = 0;
  enum status status = check_not_last_admin(call, db, user_id);
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

struct access_step {
  access_change *change;
  const char *action;
  const char *user_id;
};

// Makes the change and notes it.
static enum status change_in(struct call *call, struct query_db db, const void *arg)
{
  const struct access_step *access = arg;
  const struct audit_entry entry = {.action = access->action, .user_id = access->user_id};
  enum status status = auth_roles_lock(call, db, access->user_id);
  if (status == STATUS_OK)
    status = auth_roles_check_target(call, db, access->user_id);
  if (status == STATUS_OK)
    status = access->change(call, db, access->user_id);
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

static enum status change_access(struct call *call, const struct access_step *access)
{
  enum status status = auth_transact(call, change_in, access);
  return status == STATUS_NOT_FOUND ? auth_peers_fail_unknown(call, access->user_id) : status;
}

static enum status suspend_user(struct call *call, const Auth__V1__SuspendUserRequest *request,
                                Google__Protobuf__Empty *response)
{
  (void)response;
  if (slice_equal_ignore_case(call_caller_id(call), slice_from_string(request->id)))
    return call_fail(call, STATUS_FAILED_PRECONDITION, "OWN_ACCOUNT",
                     "nobody suspends their own account; ask another admin");
  enum status status = auth_roles_cancel_stale_deletions(call);
  const struct access_step access = {.change = suspend, .action = "account.suspend", .user_id = request->id};
  return status == STATUS_OK ? change_access(call, &access) : status;
}

static enum status resume_user(struct call *call, const Auth__V1__ResumeUserRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  const struct access_step access = {.change = resume, .action = "account.resume", .user_id = request->id};
  return change_access(call, &access);
}

static enum status sign_out_user(struct call *call, const Auth__V1__SignOutUserRequest *request,
                                 Google__Protobuf__Empty *response)
{
  (void)response;
  const struct access_step access = {.change = sign_out, .action = "account.sign_out", .user_id = request->id};
  return change_access(call, &access);
}

static enum status check_reach(struct call *call, const Auth__V1__CheckReachRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  const struct auth_state *state = call_state(call);
  enum status status = auth_roles_check_target(call, query_on(state->pg), request->user_id);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status begin_deletion_in(struct call *call, struct query_db db, const void *arg)
{
  const char *user_id = arg;
  bool is_own = slice_equal_ignore_case(call_caller_id(call), slice_from_string(user_id));
  enum status status = auth_roles_lock(call, db, user_id);
  // An account without a credential may be deleted. Where it is the caller's, his session is gone with the credential.
  if (status == STATUS_NOT_FOUND && !is_own) {
    status = auth_sessions_require_live(call, db);
    return status == STATUS_OK ? STATUS_NOT_FOUND : status;
  }
  if (status == STATUS_OK && !is_own)
    status = auth_roles_check_target(call, db, user_id);
  if (status == STATUS_OK)
    status = check_not_last_admin(call, db, user_id);
  return status == STATUS_OK ? auth_db_begin_deletion(db, user_id, call_arena(call)) : status;
}

static enum status begin_deletion(struct call *call, const Auth__V1__BeginDeletionRequest *request,
                                  Google__Protobuf__Empty *response)
{
  (void)response;
  enum status status = auth_roles_cancel_stale_deletions(call);
  if (status == STATUS_OK)
    status = auth_transact(call, begin_deletion_in, request->user_id);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status list_suspensions(struct call *call, const Auth__V1__ListSuspensionsRequest *request,
                                    Auth__V1__ListSuspensionsResponse *response)
{
  const struct auth_state *state = call_state(call);
  const struct auth_db_list_suspensions_params params = {.user_ids = (const char *const *)request->user_ids,
                                                         .user_ids_count = request->n_user_ids};
  return auth_db_list_suspensions(query_on(state->pg), &params, call_arena(call), &response->suspensions,
                                  &response->n_suspensions);
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
    .begin_deletion = begin_deletion,
    .list_suspensions = list_suspensions,
    .list_user_sessions = list_user_sessions,
};

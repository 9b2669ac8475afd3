#include "services/auth/session_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/session_names.h"

static const char *current_id(struct call *call)
{
  return arena_string(call_arena(call), call_caller_session(call));
}

// Fails alike for a session of somebody else and for one that does not exist.
static enum status fail_not_found(struct call *call, const char *id)
{
  return call_fail(call, STATUS_NOT_FOUND, "SESSION_NOT_FOUND", "you have no session %s", id);
}

static enum status list_sessions(struct call *call, const Auth__V1__ListSessionsRequest *request,
                                 Auth__V1__ListSessionsResponse *response)
{
  (void)request;
  struct auth_state *state = call_state(call);
  const char *current = current_id(call);
  const struct auth_db_list_sessions_params params = {.current_id = *current == '\0' ? NULL : current,
                                                      .user_id = resource_caller(call)};
  return auth_db_list_sessions(query_on(state->pg), &params, call_arena(call), &response->sessions,
                               &response->n_sessions);
}

static enum status update_session(struct call *call, const Auth__V1__UpdateSessionRequest *request,
                                  Auth__V1__Session *response)
{
  struct auth_state *state = call_state(call);
  enum status status = session_check_name(call, "deviceName", request->device_name);
  if (status != STATUS_OK)
    return status;
  const char *current = current_id(call);
  const struct auth_db_name_session_params params = {.device_name = request->device_name,
                                                     .id = request->id,
                                                     .user_id = resource_caller(call),
                                                     .current_id = *current == '\0' ? NULL : current};
  status = auth_db_name_session(query_on(state->pg), &params, call_arena(call), response);
  return status == STATUS_NOT_FOUND ? fail_not_found(call, request->id) : status;
}

// Ends a session, and says so in the audit log. NOT_FOUND where the caller has no such session.
static enum status end_session(struct call *call, struct query_db db, const void *arg)
{
  const char *id = arg;
  const char *user_id = resource_caller(call);
  const struct auth_db_end_session_params params = {.id = id, .user_id = user_id};
  int64_t ended = 0;
  enum status status = auth_db_end_session(db, &params, call_arena(call), &ended);
  if (status == STATUS_OK && ended == 0)
    return STATUS_NOT_FOUND;
  const struct audit_entry entry = {.action = "session.end", .user_id = user_id, .target_id = id};
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

static enum status delete_session(struct call *call, const Auth__V1__DeleteSessionRequest *request,
                                  Google__Protobuf__Empty *response)
{
  (void)response;
  enum status status = auth_transact(call, end_session, request->id);
  return status == STATUS_NOT_FOUND ? fail_not_found(call, request->id) : status;
}

static enum status end_others(struct call *call, struct query_db db, const void *arg)
{
  const char *kept_id = arg;
  const char *user_id = resource_caller(call);
  const struct audit_entry entry = {.action = "session.end_others", .user_id = user_id};
  enum status status = auth_sessions_end_others(db, user_id, kept_id, call_arena(call));
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

static enum status revoke_other_sessions(struct call *call, const Auth__V1__RevokeOtherSessionsRequest *request,
                                         Google__Protobuf__Empty *response)
{
  (void)request;
  (void)response;
  const char *current = current_id(call);
  if (*current == '\0')
    return call_fail(call, STATUS_FAILED_PRECONDITION, "SESSION_UNKNOWN",
                     "the access token names no session; refresh it and try again");
  return auth_transact(call, end_others, current);
}

static enum status end_all(struct call *call, struct query_db db, const void *arg)
{
  (void)arg;
  const char *user_id = resource_caller(call);
  const struct audit_entry entry = {.action = "session.end_all", .user_id = user_id};
  enum status status = auth_sessions_end_all(db, user_id, call_arena(call));
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

static enum status revoke_all_sessions(struct call *call, const Auth__V1__RevokeAllSessionsRequest *request,
                                       Google__Protobuf__Empty *response)
{
  (void)request;
  (void)response;
  return auth_transact(call, end_all, NULL);
}

const struct auth_v1_session_service_handlers auth_session_handlers = {
    .list_sessions = list_sessions,
    .update_session = update_session,
    .delete_session = delete_session,
    .revoke_other_sessions = revoke_other_sessions,
    .revoke_all_sessions = revoke_all_sessions,
};

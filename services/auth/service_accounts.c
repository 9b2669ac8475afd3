#include "services/auth/service_accounts.h"

#include "auth/queries.bh.h"
#include "common/base/uuid.h"
#include "common/service/call.h"
#include "services/auth/audit.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/session_names.h"

// How the audit log tells these accounts from those of people.
#define AUDIT_REASON "service account"
// Each may have as many API keys as any account, and lasts until it is deleted.
#define MOST_SERVICE_ACCOUNTS 1000

static enum status check_name(struct call *call, const ProtobufCMessage *message)
{
  const Auth__V1__ServiceAccount *account = (const Auth__V1__ServiceAccount *)(const void *)message;
  return session_check_name(call, "name", account->name);
}

const struct resource service_account_resource = {
    .name = "service_account",
    .article = "a service account",
    .title = "service account",
    .not_found = "SERVICE_ACCOUNT_NOT_FOUND",
    .invalid = "INVALID_SERVICE_ACCOUNT",
    .get_request = &auth__v1__get_service_account_request__descriptor,
    .update_request = &auth__v1__update_service_account_request__descriptor,
    .get = &auth_db_get_service_account_query,
    .lock = &auth_db_lock_service_account_query,
    .update = &auth_db_update_service_account_query,
    .check = check_name,
};

// ---- making ----

struct new_service_account {
  const char *id;
  const Auth__V1__CreateServiceAccountRequest *request;
  Auth__V1__ServiceAccount *response;
};

// Keeps others from making accounts while they are counted.
static enum status create_in(struct call *call, struct query_db db, const void *arg)
{
  const struct new_service_account *account = arg;
  const struct auth_db_add_service_account_params params = {.id = account->id, .request = account->request};
  const struct audit_entry entry = {.action = "account.create", .reason = AUDIT_REASON, .user_id = account->id};
  struct auth_db_count_service_accounts_row accounts;
  enum status status = auth_roles_lock(call, db, NULL);
  if (status == STATUS_OK)
    status = auth_db_count_service_accounts(db, call_arena(call), &accounts);
  if (status == STATUS_OK && accounts.count >= MOST_SERVICE_ACCOUNTS)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "TOO_MANY_SERVICE_ACCOUNTS",
                     "there may be %d service accounts at most; delete one that is not needed", MOST_SERVICE_ACCOUNTS);
  if (status == STATUS_OK)
    status = auth_db_add_service_account(db, &params, call_arena(call), account->response);
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

enum status service_accounts_create(struct call *call, const Auth__V1__CreateServiceAccountRequest *request,
                                    Auth__V1__ServiceAccount *response)
{
  enum status status = session_check_name(call, "name", request->name);
  if (status != STATUS_OK)
    return status;
  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  const struct new_service_account account = {.id = id, .request = request, .response = response};
  return auth_transact(call, create_in, &account);
}

// ---- removing ----

// Removes the credential, with which roles, API keys and the account itself go.
static enum status remove_account(struct call *call, struct query_db db, const char *id)
{
  int64_t removed = 0;
  const struct audit_entry entry = {.action = "account.delete", .reason = AUDIT_REASON, .user_id = id};
  const struct job_request job = {.kind = AUTH_REMOVE_DATA_JOB, .key = id};
  enum status status = auth_db_delete_credential(db, id, call_arena(call), &removed);
  if (status == STATUS_OK)
    status = audit_add(call, db, &entry);
  return status == STATUS_OK ? jobs_add(db, &job, call_arena(call)) : status;
}

static enum status delete_in(struct call *call, struct query_db db, const void *arg)
{
  const Auth__V1__DeleteServiceAccountRequest *request = arg;
  struct arena *arena = call_arena(call);
  Auth__V1__ServiceAccount account;
  enum status status = auth_roles_lock(call, db, request->id);
  if (status == STATUS_OK)
    status = auth_db_lock_service_account(db, request->id, arena, &account);
  if (status == STATUS_NOT_FOUND)
    return resource_fail_not_found(call, &service_account_resource, request->id);
  if (status == STATUS_OK)
    status = auth_roles_check_target(call, db, account.id);
  if (status == STATUS_OK)
    status =
        resource_check_state(call, &service_account_resource, account.etag, request->if_match, request->if_none_match);
  return status == STATUS_OK ? remove_account(call, db, account.id) : status;
}

enum status service_accounts_delete(struct call *call, const Auth__V1__DeleteServiceAccountRequest *request)
{
  return auth_transact(call, delete_in, request);
}

enum status service_accounts_remove_data(struct job *job)
{
  enum status status = auth_peers_remove_account_data(job_service(job), job_key(job), job_arena(job));
  if (status == STATUS_OK)
    return status;
  return job_fail(job, STATUS_UNAVAILABLE, "the user service did not take the removal of the data: %s",
                  status_name(status));
}

#include "services/user/user_handlers.h"

#include <string.h>

#include "common/base/plain_text.h"
#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "services/user/settings.h"
#include "services/user/user_jobs.h"
#include "services/user/user_peers.h"
#include "user/queries.bh.h"

#define TAKE_BACK_MS 3000

static enum status fail_email_taken(struct call *call)
{
  call_violation(call, "email", "an account with this address exists");
  return call_fail(call, STATUS_ALREADY_EXISTS, "EMAIL_TAKEN", "an account with this address exists");
}

// A name with characters that nobody sees looks like that of somebody else.
static enum status check_name(struct call *call, const char *name)
{
  if (plain_text_check(slice_from_string(name)))
    return STATUS_OK;
  call_violation(call, "displayName", PLAIN_TEXT_RULE);
  return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_USER", "displayName " PLAIN_TEXT_RULE);
}

static enum status check_user(struct call *call, const ProtobufCMessage *message)
{
  return check_name(call, ((const User__V1__User *)(const void *)message)->display_name);
}

const struct resource user_resource = {
    .name = "user",
    .article = "a user",
    .title = "account",
    .not_found = "USER_NOT_FOUND",
    .invalid = "INVALID_USER",
    .update_request = &user__v1__update_user_request__descriptor,
    .delete_request = &user__v1__delete_user_request__descriptor,
    .get = &user_db_get_query,
    .lock = &user_db_lock_query,
    .update = &user_db_update_query,
    .remove = &user_db_delete_query,
    .check = check_user,
    .describe_remover = user_peers_describe_actor,
};

// ---- sign-up ----

//
// The account here and the credential in the auth service are made by a saga with one moment of truth, finish_sign_up:
//   jobs_add           a delayed job: "remove the credential with this id, which may have no account"
//   create_credential  in the auth service, under an id that nobody else knows
//   finish_sign_up     the account appears and the job goes, in one statement; with an Idempotency-Key the reply is
//                      kept in the same transaction, so a repeat finds the account with its answer, or neither
// Whatever happens before the moment of truth leaves at most a credential that no login can reach (a login starts from
// the account) and that blocks nothing, for the next sign-up has an id of its own. The job makes sure that it is
// removed.

// Returns what the job is stored on: always by itself, because it must be stored before the credential is made.
static struct query_db own_db(struct call *call)
{
  return query_on(service_pg(call_service(call)));
}

static enum status add_removal(struct call *call, const char *id, int64_t delay_ms)
{
  const struct job_request removal = {.kind = USER_REMOVE_CREDENTIAL, .key = id, .delay_ms = (uint64_t)delay_ms};
  return jobs_add(own_db(call), &removal, call_arena(call));
}

// Lets a credential be removed now that will have no account. Where that cannot be stored, the job that the sign-up has
// begun with removes it later, unless that has run already.
static void take_back(struct call *call, const char *id)
{
  task_shield(true);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), TAKE_BACK_MS));
  enum status status = add_removal(call, id, 0);
  task_restore_deadline(before);
  task_shield(false);
  if (status != STATUS_OK)
    log_warn("sign-up", "could not ask for the removal of a credential without account", LOG_STRING("userId", id),
             LOG_STATUS(status));
}

struct sign_up_end {
  const char *id;
  bool sends_mail;
};

// The moment of truth. Where sign-ups tell nothing about existing accounts, it answers alike for a taken address.
static enum status finish_sign_up(struct call *call, const User__V1__CreateUserRequest *request,
                                  const struct sign_up_end *end, User__V1__User *response)
{
  const struct user_settings *settings = service_settings(call_service(call));
  const struct user_db_finish_sign_up_params finish = {
      .id = end->id, .request = request, .sends_mail = end->sends_mail};
  const struct user_db_finish_private_sign_up_params quietly = {.id = end->id, .request = request};
  if (settings->verify_email_first)
    return user_db_finish_private_sign_up(resource_db(call), &quietly, call_arena(call), response);
  return user_db_finish_sign_up(resource_db(call), &finish, call_arena(call), response);
}

static enum status create_account(struct call *call, const User__V1__CreateUserRequest *request, const char *id,
                                  User__V1__User *response)
{
  const struct user_settings *settings = service_settings(call_service(call));
  struct arena *arena = call_arena(call);
  enum status status = add_removal(call, id, settings->sign_up_limit_ms);
  if (status != STATUS_OK)
    return status;
  bool sends_mail = false;
  status = user_peers_create_credential(call, id, request, &sends_mail);
  // A refused password is certainly not stored. Where removing the job fails, it runs and finds nothing.
  if (status == STATUS_INVALID_ARGUMENT && user_db_forget_removal(own_db(call), id, arena) != STATUS_OK)
    log_info("sign-up", "left the job of a refused sign-up to its worker", LOG_STRING("userId", id));
  // After any other failure the auth service may still be storing the credential, and a removal could overtake that. So
  // the job stays delayed until that can no longer happen.
  if (status != STATUS_OK)
    return call_fail_as_peer(call, status);
  status = finish_sign_up(call, request, &(struct sign_up_end){.id = id, .sends_mail = sends_mail}, response);
  // Only these two statuses prove that no account was made. After a broken connection or a deadline the account may
  // exist; then so must its credential. Where it does not, the job is still there.
  if (status == STATUS_ALREADY_EXISTS || status == STATUS_NOT_FOUND)
    take_back(call, id);
  return status;
}

static enum status create_user(struct call *call, const User__V1__CreateUserRequest *request, User__V1__User *response)
{
  const struct user_settings *settings = service_settings(call_service(call));
  if (check_name(call, request->display_name) != STATUS_OK)
    return STATUS_INVALID_ARGUMENT;
  // This check spares the expensive hashing of a sign-up that would fail. The unique index decides in the end. A
  // sign-up that tells nothing does the same work for every address.
  User__V1__User existing;
  enum status status = settings->verify_email_first
                           ? STATUS_NOT_FOUND
                           : user_db_find_by_email(own_db(call), request->email, call_arena(call), &existing);
  if (status == STATUS_OK)
    return fail_email_taken(call);
  if (status != STATUS_NOT_FOUND)
    return status;

  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  status = create_account(call, request, id, response);
  if (status == STATUS_ALREADY_EXISTS)
    return fail_email_taken(call);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, STATUS_ABORTED, "SIGN_UP_EXPIRED",
                     "the sign-up took too long and was taken back; try again");
  return status;
}

// ---- reading ----

static enum status read_user(struct call *call, const char *id, User__V1__User *response)
{
  enum status status = user_db_get(resource_db(call), id, call_arena(call), response);
  return status == STATUS_NOT_FOUND ? resource_fail_not_found(call, &user_resource, id) : status;
}

static enum status get_current_user(struct call *call, const User__V1__GetCurrentUserRequest *request,
                                    User__V1__User *response)
{
  (void)request;
  return read_user(call, resource_caller(call), response);
}

static enum status get_user(struct call *call, const User__V1__GetUserRequest *request, User__V1__User *response)
{
  return read_user(call, request->id, response);
}

static enum status find_user_by_email(struct call *call, const User__V1__FindUserByEmailRequest *request,
                                      User__V1__User *response)
{
  enum status status = user_db_find_by_email(resource_db(call), request->email, call_arena(call), response);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, status, "USER_NOT_FOUND", "no user has this address");
  return status;
}

static enum status find_user_by_id(struct call *call, const User__V1__FindUserByIdRequest *request,
                                   User__V1__User *response)
{
  return read_user(call, request->id, response);
}

static enum status list_users(struct call *call, const User__V1__ListUsersRequest *request,
                              User__V1__ListUsersResponse *response)
{
  enum status status = resource_list_into(call, &user_db_list, NULL, &request->base, &response->base);
  // An account by itself does not tell it, because its etag stays the same when it is suspended.
  return status == STATUS_OK ? user_peers_add_suspensions(call, response->users, response->n_users) : status;
}

// ---- changing ----

// Refuses to act on the account of somebody who holds more than the caller. Nobody holds more than an admin, who needs
// no answer of auth.
static enum status check_reach(struct call *call, const char *id)
{
  bool is_own = slice_equal_ignore_case(call_caller_id(call), slice_from_string(id));
  return is_own || call_caller_has_role(call, POLICY_ROLE_ADMIN) ? STATUS_OK : user_peers_check_reach(call, id);
}

static enum status update_user(struct call *call, const User__V1__UpdateUserRequest *request, User__V1__User *response)
{
  (void)response;
  enum status status = check_reach(call, request->user->id);
  return status == STATUS_OK ? resource_update(call, &user_resource, &request->base) : status;
}

static enum status delete_user(struct call *call, const User__V1__DeleteUserRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  bool begun;
  enum status status = user_peers_begin_deletion(call, request->id, &begun);
  // Releases of auth before check only whom the caller may act on.
  if (status == STATUS_OK && !begun)
    status = check_reach(call, request->id);
  // The statement that deletes the account adds the job that removes its credential.
  return status == STATUS_OK ? resource_delete(call, &user_resource, &request->base) : status;
}

// ---- the caller's own account ----

static enum status update_current_user(struct call *call, const User__V1__UpdateCurrentUserRequest *request,
                                       User__V1__User *response)
{
  User__V1__User user = *request->user;
  user.id = (char *)(uintptr_t)resource_caller(call);
  User__V1__UpdateUserRequest update = USER__V1__UPDATE_USER_REQUEST__INIT;
  update.user = &user;
  update.update_mask = request->update_mask;
  update.if_match = request->if_match;
  update.if_none_match = request->if_none_match;
  return update_user(call, &update, response);
}

static enum status delete_current_user(struct call *call, const User__V1__DeleteCurrentUserRequest *request,
                                       Google__Protobuf__Empty *response)
{
  User__V1__DeleteUserRequest removal = USER__V1__DELETE_USER_REQUEST__INIT;
  removal.id = (char *)(uintptr_t)resource_caller(call);
  removal.if_match = request->if_match;
  removal.if_none_match = request->if_none_match;
  return delete_user(call, &removal, response);
}

const struct user_v1_user_service_handlers user_handlers = {
    .create_user = create_user,
    .get_current_user = get_current_user,
    .update_current_user = update_current_user,
    .delete_current_user = delete_current_user,
    .get_user = get_user,
    .list_users = list_users,
    .update_user = update_user,
    .delete_user = delete_user,
    .find_user_by_email = find_user_by_email,
    .find_user_by_id = find_user_by_id,
};

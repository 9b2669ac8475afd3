#include "services/user/user_handlers.h"

#include <string.h>

#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "services/user/settings.h"
#include "services/user/user_peers.h"
#include "services/user/user_repo.h"
#include "services/user/user_rules.h"

#define DEFAULT_PAGE_SIZE 20
#define COMPENSATE_MS 3000

static struct pg *pg_of(struct call *call)
{
  return service_pg(call_service(call));
}

static enum status fail_email_taken(struct call *call)
{
  call_violation(call, "email", "an account with this address exists");
  return call_fail(call, STATUS_ALREADY_EXISTS, "EMAIL_TAKEN", "an account with this address exists");
}

static enum status fail_not_found(struct call *call, const char *id)
{
  return call_fail(call, STATUS_NOT_FOUND, "USER_NOT_FOUND", "there is no user %s", id);
}

// ---- sign-up ----

//
// The account here and the credential in the auth service are made by a saga with one moment of truth, finish_sign_up:
//   begin_sign_up      a note: "a credential for this id may have no account"
//   create_credential  in the auth service, under an id that nobody else knows
//   finish_sign_up     the account appears and the note goes, in one statement
// Whatever happens before the moment of truth leaves at most a credential that no login can reach (a login starts from
// the account) and that blocks nothing, for the next sign-up has an id of its own. The note makes sure that it is
// removed.

// The credential is there and has no account: it goes at once, or with the sweep where that fails.
static void take_back(struct call *call, const char *id)
{
  task_shield(true);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), COMPENSATE_MS));
  enum status status = user_peers_delete_credential(call_service(call), call, id, call_arena(call));
  if (status == STATUS_OK)
    status = user_repo_forget_orphan(pg_of(call), id, call_arena(call));
  task_restore_deadline(before);
  task_shield(false);
  if (status != STATUS_OK)
    log_info("sign-up", "left a credential without account to the sweep", LOG_STRING("userId", id), LOG_STATUS(status));
}

static enum status create_account(struct call *call, const User__V1__CreateUserRequest *request, const char *id,
                                  User__V1__User *response)
{
  const struct user_settings *settings = service_settings(call_service(call));
  struct arena *arena = call_arena(call);
  enum status status = user_repo_begin_sign_up(pg_of(call), id, settings->sign_up_limit_ms, arena);
  if (status != STATUS_OK)
    return status;
  status = user_peers_create_credential(call_service(call), call, id, request->password, arena);
  // It may still be on its way to the auth service's database, where a removal could overtake it: the note stays, and
  // the sweep comes when that can no longer be.
  if (status != STATUS_OK)
    return call_fail_as_peer(call, status);
  status = user_repo_finish_sign_up(pg_of(call), id, request->email, request->display_name, arena, response);
  // Only these say that nothing was made. After a broken connection or a deadline the account may exist; then so must
  // its credential, and the note, if it is still there, tells the sweep.
  if (status == STATUS_ALREADY_EXISTS || status == STATUS_ABORTED)
    take_back(call, id);
  return status;
}

static enum status create_user(struct call *call, const User__V1__CreateUserRequest *request, User__V1__User *response)
{
  // Before the expensive hashing; the unique index decides in the end.
  User__V1__User existing;
  enum status status = user_repo_find_by_email(pg_of(call), request->email, call_arena(call), &existing);
  if (status == STATUS_OK)
    return fail_email_taken(call);
  if (status != STATUS_NOT_FOUND)
    return status;

  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  status = create_account(call, request, id, response);
  if (status == STATUS_ALREADY_EXISTS)
    return fail_email_taken(call);
  if (status == STATUS_ABORTED)
    return call_fail(call, status, "SIGN_UP_EXPIRED", "the sign-up took too long and was taken back; try again");
  return status;
}

// ---- reading ----

static bool may_access(struct call *call, const char *id)
{
  return slice_equal_ignore_case(call_caller_id(call), slice_from_string(id)) || call_caller_has_role(call, "admin");
}

// The same for an id that exists and one that does not, so that nobody learns which.
static enum status fail_not_yours(struct call *call)
{
  return call_fail(call, STATUS_PERMISSION_DENIED, "NOT_YOUR_ACCOUNT", "only an admin may access another's account");
}

static enum status read_user(struct call *call, const char *id, User__V1__User *response)
{
  enum status status = user_repo_get(pg_of(call), id, call_arena(call), response);
  return status == STATUS_NOT_FOUND ? fail_not_found(call, id) : status;
}

static enum status get_current_user(struct call *call, const User__V1__GetCurrentUserRequest *request,
                                    User__V1__User *response)
{
  (void)request;
  return read_user(call, arena_string(call_arena(call), call_caller_id(call)), response);
}

static enum status get_user(struct call *call, const User__V1__GetUserRequest *request, User__V1__User *response)
{
  if (!may_access(call, request->id))
    return fail_not_yours(call);
  return read_user(call, request->id, response);
}

static enum status find_user_by_email(struct call *call, const User__V1__FindUserByEmailRequest *request,
                                      User__V1__User *response)
{
  enum status status = user_repo_find_by_email(pg_of(call), request->email, call_arena(call), response);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, status, "USER_NOT_FOUND", "no user has this address");
  return status;
}

static enum status list_users(struct call *call, const User__V1__ListUsersRequest *request,
                              User__V1__ListUsersResponse *response)
{
  struct arena *arena = call_arena(call);
  size_t page_size = request->page_size == 0 ? DEFAULT_PAGE_SIZE : (size_t)request->page_size;
  struct user_place after = {0};
  if (request->page_token[0] != '\0' && !user_rules_read_token(request->page_token, arena, &after)) {
    call_violation(call, "pageToken", "must be the nextPageToken of the page before");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "the page token is not valid");
  }
  User__V1__User *users;
  size_t count;
  enum status status = user_repo_list(pg_of(call), &after, page_size + 1, arena, &users, &count);
  if (status != STATUS_OK)
    return status;
  if (count > page_size) {
    count = page_size;
    response->next_page_token = (char *)(uintptr_t)user_rules_write_token(&users[count - 1], arena);
  }
  response->n_users = count;
  response->users = arena_array(arena, count, sizeof(*response->users));
  for (size_t i = 0; i < count; i++)
    response->users[i] = &users[i];
  return STATUS_OK;
}

// ---- changing ----

static enum status fail_stale(struct call *call)
{
  return call_fail(call, STATUS_ABORTED, "ETAG_MISMATCH",
                   "the account has changed since you read it; read it again and repeat the change");
}

struct update {
  struct call *call;
  const User__V1__UpdateUserRequest *request;
};

// From the account as it is to the account as it shall be.
static enum status apply_update(void *arg, User__V1__User *user)
{
  const struct update *update = arg;
  const User__V1__UpdateUserRequest *request = update->request;
  struct call *call = update->call;
  if (!resource_etag_fits(user->etag, request->if_match, request->user->etag))
    return fail_stale(call);
  const char *unknown = user_rules_merge(user, request->user, request->update_mask);
  if (unknown != NULL) {
    call_violation(call, "updateMask", arena_printf(call_arena(call), "names no field of a user: %s", unknown));
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_UPDATE_MASK", "the update mask is not valid");
  }
  const char *empty = user->email[0] == '\0' ? "email" : user->display_name[0] == '\0' ? "displayName" : NULL;
  if (empty != NULL) {
    call_violation(call, empty, "is required");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_USER", "the account would not be valid after the change");
  }
  return STATUS_OK;
}

// ABORTED when somebody else's change came between.
static enum status update_optimistically(struct update *update, User__V1__User *response)
{
  struct call *call = update->call;
  User__V1__User user = USER__V1__USER__INIT;
  enum status status = user_repo_get(pg_of(call), update->request->user->id, call_arena(call), &user);
  if (status == STATUS_OK)
    status = apply_update(update, &user);
  return status != STATUS_OK ? status : user_repo_update(pg_of(call), &user, user.etag, call_arena(call), response);
}

static enum status update_user(struct call *call, const User__V1__UpdateUserRequest *request, User__V1__User *response)
{
  const char *id = request->user->id;
  if (id[0] == '\0') {
    call_violation(call, "user.id", "is required");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_USER", "which account to change is not said");
  }
  if (!may_access(call, id))
    return fail_not_yours(call);
  struct update update = {call, request};
  enum status status = update_optimistically(&update, response);
  if (status == STATUS_ABORTED && !resource_is_conditional(request->if_match, request->user->etag))
    status = user_repo_change(pg_of(call), id, apply_update, &update, call_arena(call), response);
  if (status == STATUS_ABORTED)
    return fail_stale(call);
  if (status == STATUS_NOT_FOUND)
    return fail_not_found(call, id);
  return status == STATUS_ALREADY_EXISTS ? fail_email_taken(call) : status;
}

static enum status delete_user(struct call *call, const User__V1__DeleteUserRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  if (!may_access(call, request->id))
    return fail_not_yours(call);
  bool conditional = resource_is_conditional(request->if_match, "");
  User__V1__User user = USER__V1__USER__INIT;
  enum status status = read_user(call, request->id, &user);
  if (status != STATUS_OK)
    return status;
  if (!resource_etag_fits(user.etag, request->if_match, ""))
    return fail_stale(call);
  status = user_repo_delete(pg_of(call), request->id, conditional ? user.etag : NULL, call_arena(call));
  if (status == STATUS_ABORTED)
    return conditional ? fail_stale(call) : fail_not_found(call, request->id);
  // The account is gone; its credential goes now or, where the auth service is away, with the next sweep.
  if (status == STATUS_OK)
    take_back(call, request->id);
  return status;
}

const struct user_v1_user_service_handlers user_handlers = {
    .create_user = create_user,
    .get_current_user = get_current_user,
    .get_user = get_user,
    .list_users = list_users,
    .update_user = update_user,
    .delete_user = delete_user,
    .find_user_by_email = find_user_by_email,
};

#include "services/user/user_peers.h"

#include <string.h>

#include "auth/v1/account_access.bh.h"
#include "auth/v1/auth.bh.h"
#include "auth/v1/email.bh.h"
#include "common/service/call.h"
#include "item/v1/owners.bh.h"

static char *changeable(const char *text)
{
  return (char *)(uintptr_t)text;
}

enum status user_peers_create_credential(struct call *call, const char *user_id,
                                         const User__V1__CreateUserRequest *sign_up, bool *sends_mail)
{
  Auth__V1__CreateCredentialRequest request = AUTH__V1__CREATE_CREDENTIAL_REQUEST__INIT;
  request.user_id = changeable(user_id);
  request.password = sign_up->password;
  request.email = sign_up->email;
  request.display_name = sign_up->display_name;
  Auth__V1__CreateCredentialResponse *response;
  enum status status =
      auth_v1_auth_service_create_credential(call_service(call), call, &request, call_arena(call), &response);
  *sends_mail = status == STATUS_OK && response->sends_mail;
  return status;
}

struct slice user_peers_describe_actor(struct call *call)
{
  struct arena *arena = call_arena(call);
  Auth__V1__Actor actor = AUTH__V1__ACTOR__INIT;
  actor.user_id = arena_string(arena, call_caller_id(call));
  actor.session_id = arena_string(arena, call_caller_session(call));
  actor.address = arena_string(arena, call_client_address(call));
  actor.user_agent = arena_string(arena, call_user_agent(call));
  actor.trace_id = arena_string(arena, call_trace_id(call));
  uint8_t *packed = arena_alloc(arena, auth__v1__actor__get_packed_size(&actor));
  return slice_make(packed, auth__v1__actor__pack(&actor, packed));
}

enum status user_peers_delete_credential(struct service *service, const char *user_id, struct slice actor,
                                         struct arena *arena)
{
  Auth__V1__DeleteCredentialRequest request = AUTH__V1__DELETE_CREDENTIAL_REQUEST__INIT;
  request.user_id = changeable(user_id);
  if (actor.size > 0)
    request.actor = auth__v1__actor__unpack(NULL, actor.size, (const uint8_t *)actor.data);
  Google__Protobuf__Empty *response;
  enum status status = auth_v1_auth_service_delete_credential(service, NULL, &request, arena, &response);
  auth__v1__actor__free_unpacked(request.actor, NULL);
  return status;
}

static enum status fail_as_peer(struct call *call, enum status status)
{
  return status == STATUS_OK ? status : call_fail_as_peer(call, status);
}

enum status user_peers_check_reach(struct call *call, const char *user_id)
{
  Auth__V1__CheckReachRequest request = AUTH__V1__CHECK_REACH_REQUEST__INIT;
  request.user_id = changeable(user_id);
  Google__Protobuf__Empty *response;
  return fail_as_peer(call, auth_v1_account_access_service_check_reach(call_service(call), call, &request,
                                                                       call_arena(call), &response));
}

enum status user_peers_begin_deletion(struct call *call, const char *user_id, bool *begun)
{
  Auth__V1__BeginDeletionRequest request = AUTH__V1__BEGIN_DELETION_REQUEST__INIT;
  request.user_id = changeable(user_id);
  Google__Protobuf__Empty *response;
  enum status status =
      auth_v1_account_access_service_begin_deletion(call_service(call), call, &request, call_arena(call), &response);
  *begun = status == STATUS_OK;
  return status == STATUS_UNIMPLEMENTED ? STATUS_OK : fail_as_peer(call, status);
}

static void add_suspension(User__V1__User *user, const Auth__V1__ListSuspensionsResponse *response)
{
  for (size_t i = 0; i < response->n_suspensions; i++) {
    if (strcmp(response->suspensions[i]->user_id, user->id) != 0)
      continue;
    user->_suspend_time_case = USER__V1__USER___SUSPEND_TIME_SUSPEND_TIME;
    user->suspend_time = response->suspensions[i]->suspend_time;
  }
}

enum status user_peers_add_suspensions(struct call *call, User__V1__User *const *users, size_t count)
{
  Auth__V1__ListSuspensionsRequest request = AUTH__V1__LIST_SUSPENSIONS_REQUEST__INIT;
  Auth__V1__ListSuspensionsResponse *response;
  if (count == 0)
    return STATUS_OK;
  request.user_ids = arena_array(call_arena(call), count, sizeof(*request.user_ids));
  request.n_user_ids = count;
  for (size_t i = 0; i < count; i++)
    request.user_ids[i] = users[i]->id;
  enum status status =
      auth_v1_account_access_service_list_suspensions(call_service(call), call, &request, call_arena(call), &response);
  if (status == STATUS_UNIMPLEMENTED)
    return STATUS_OK;
  if (status != STATUS_OK)
    return call_fail_as_peer(call, status);
  for (size_t i = 0; i < count; i++)
    add_suspension(users[i], response);
  return STATUS_OK;
}

enum status user_peers_send_verification(struct service *service, const char *user_id, const char *email,
                                         struct arena *arena)
{
  Auth__V1__SendVerificationRequest request = AUTH__V1__SEND_VERIFICATION_REQUEST__INIT;
  request.user_id = changeable(user_id);
  request.email = changeable(email);
  Google__Protobuf__Empty *response;
  return auth_v1_account_mail_service_send_verification(service, NULL, &request, arena, &response);
}

enum status user_peers_tell_sign_up(struct service *service, const char *user_id, const char *email,
                                    struct arena *arena)
{
  Auth__V1__TellSignUpRequest request = AUTH__V1__TELL_SIGN_UP_REQUEST__INIT;
  request.user_id = changeable(user_id);
  request.email = changeable(email);
  Google__Protobuf__Empty *response;
  return auth_v1_account_mail_service_tell_sign_up(service, NULL, &request, arena, &response);
}

enum status user_peers_settle_address(struct service *service, const char *cause, struct arena *arena)
{
  Auth__V1__SettleAddressRequest request = AUTH__V1__SETTLE_ADDRESS_REQUEST__INIT;
  request.cause = changeable(cause);
  Google__Protobuf__Empty *response;
  return auth_v1_account_mail_service_settle_address(service, NULL, &request, arena, &response);
}

enum status user_peers_delete_items(struct service *service, const char *user_id, struct arena *arena, bool *more)
{
  Item__V1__DeleteOwnerItemsRequest request = ITEM__V1__DELETE_OWNER_ITEMS_REQUEST__INIT;
  request.owner_id = (char *)(uintptr_t)user_id;
  Item__V1__DeleteOwnerItemsResponse *response;
  enum status status = item_v1_owner_service_delete_owner_items(service, NULL, &request, arena, &response);
  *more = status == STATUS_OK && response->more;
  return status;
}

enum status user_peers_export_sessions(struct call *call, const char *user_id, User__V1__UserExport *export)
{
  Auth__V1__ListUserSessionsRequest request = AUTH__V1__LIST_USER_SESSIONS_REQUEST__INIT;
  request.user_id = (char *)(uintptr_t)user_id;
  Auth__V1__ListSessionsResponse *response;
  enum status status = auth_v1_account_access_service_list_user_sessions(call_service(call), call, &request,
                                                                         call_arena(call), &response);
  if (status == STATUS_OK) {
    export->sessions = response->sessions;
    export->n_sessions = response->n_sessions;
  }
  return status;
}

enum status user_peers_export_items(struct call *call, const char *user_id, const char *page_token,
                                    User__V1__UserExport *export)
{
  Item__V1__ListOwnerItemsRequest request = ITEM__V1__LIST_OWNER_ITEMS_REQUEST__INIT;
  request.owner_id = (char *)(uintptr_t)user_id;
  request.page_token = (char *)(uintptr_t)page_token;
  Item__V1__ListOwnerItemsResponse *response;
  enum status status =
      item_v1_owner_service_list_owner_items(call_service(call), call, &request, call_arena(call), &response);
  if (status == STATUS_OK) {
    export->items = response->items;
    export->n_items = response->n_items;
    export->next_page_token = response->next_page_token;
  }
  return status;
}

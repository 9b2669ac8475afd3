#include "services/auth/auth_peers.h"

#include "common/service/call.h"
#include "user/v1/addresses.bh.h"
#include "user/v1/removals.bh.h"
#include "user/v1/user.bh.h"

enum status auth_peers_find_user(struct service *service, struct call *call, const char *email, struct arena *arena,
                                 const char **user_id)
{
  User__V1__FindUserByEmailRequest request = USER__V1__FIND_USER_BY_EMAIL_REQUEST__INIT;
  request.email = (char *)(uintptr_t)email;
  User__V1__User *user;
  enum status status = user_v1_user_service_find_user_by_email(service, call, &request, arena, &user);
  if (status == STATUS_OK)
    *user_id = user->id;
  return status;
}

enum status auth_peers_read_account(struct service *service, struct call *call, const char *user_id,
                                    struct arena *arena, struct account_facts *account)
{
  *account = (struct account_facts){0};
  User__V1__FindUserByIdRequest request = USER__V1__FIND_USER_BY_ID_REQUEST__INIT;
  request.id = (char *)(uintptr_t)user_id;
  User__V1__User *user;
  enum status status = user_v1_user_service_find_user_by_id(service, call, &request, arena, &user);
  if (status == STATUS_OK)
    *account = (struct account_facts){
        .email = user->email, .display_name = user->display_name, .email_verified = user->email_verified};
  return status;
}

enum status auth_peers_find_account(struct call *call, const char *user_id, struct account_facts *account)
{
  return auth_peers_read_account(call_service(call), call, user_id, call_arena(call), account);
}

enum status auth_peers_fail_unknown(struct call *call, const char *user_id)
{
  return call_fail(call, STATUS_NOT_FOUND, "USER_NOT_FOUND", "there is no user %s", user_id);
}

// ---- addresses ----

static char *changeable(const char *text)
{
  return (char *)(uintptr_t)text;
}

enum status auth_peers_get_address(struct call *call, const char *user_id, struct account_address *address)
{
  User__V1__GetAddressRequest request = USER__V1__GET_ADDRESS_REQUEST__INIT;
  request.user_id = changeable(user_id);
  User__V1__Address *reply;
  enum status status =
      user_v1_address_service_get_address(call_service(call), call, &request, call_arena(call), &reply);
  if (status == STATUS_OK)
    *address = (struct account_address){.email = reply->email, .verified = reply->verified, .version = reply->version};
  return status;
}

enum status auth_peers_confirm_address(struct call *call, const char *user_id, const char *email)
{
  User__V1__ConfirmAddressRequest request = USER__V1__CONFIRM_ADDRESS_REQUEST__INIT;
  request.user_id = changeable(user_id);
  request.email = changeable(email);
  Google__Protobuf__Empty *reply;
  return user_v1_address_service_confirm_address(call_service(call), call, &request, call_arena(call), &reply);
}

enum status auth_peers_change_address(struct call *call, const struct address_change *change)
{
  User__V1__ChangeAddressRequest request = USER__V1__CHANGE_ADDRESS_REQUEST__INIT;
  request.user_id = changeable(change->user_id);
  request.email = changeable(change->email);
  request.version = change->version;
  request.undo = change->undo;
  request.hold_ms = change->hold_ms;
  request.cause = changeable(change->cause);
  Google__Protobuf__Empty *reply;
  return user_v1_address_service_change_address(call_service(call), call, &request, call_arena(call), &reply);
}

// ---- removal ----

enum status auth_peers_remove_account_data(struct service *service, const char *user_id, struct arena *arena)
{
  User__V1__RemoveAccountDataRequest request = USER__V1__REMOVE_ACCOUNT_DATA_REQUEST__INIT;
  request.user_id = changeable(user_id);
  Google__Protobuf__Empty *reply;
  return user_v1_removal_service_remove_account_data(service, NULL, &request, arena, &reply);
}

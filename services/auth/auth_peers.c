#include "services/auth/auth_peers.h"

#include "common/service/call.h"
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
    *account = (struct account_facts){.email = user->email, .display_name = user->display_name};
  return status;
}

enum status auth_peers_find_account(struct call *call, const char *user_id, struct account_facts *account)
{
  return auth_peers_read_account(call_service(call), call, user_id, call_arena(call), account);
}

#include "services/user/user_peers.h"

#include "auth/v1/auth.bh.h"
#include "common/service/call.h"

enum status user_peers_create_credential(struct service *service, struct call *call, const char *user_id,
                                         const User__V1__CreateUserRequest *sign_up, struct arena *arena)
{
  Auth__V1__CreateCredentialRequest request = AUTH__V1__CREATE_CREDENTIAL_REQUEST__INIT;
  request.user_id = (char *)(uintptr_t)user_id;
  request.password = sign_up->password;
  request.email = sign_up->email;
  request.display_name = sign_up->display_name;
  Google__Protobuf__Empty *response;
  return auth_v1_auth_service_create_credential(service, call, &request, arena, &response);
}

enum status user_peers_delete_credential(struct service *service, struct call *call, const char *user_id,
                                         struct arena *arena)
{
  Auth__V1__DeleteCredentialRequest request = AUTH__V1__DELETE_CREDENTIAL_REQUEST__INIT;
  request.user_id = (char *)(uintptr_t)user_id;
  Google__Protobuf__Empty *response;
  return auth_v1_auth_service_delete_credential(service, call, &request, arena, &response);
}

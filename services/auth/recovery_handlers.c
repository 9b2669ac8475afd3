#include "services/auth/recovery_handlers.h"

#include "common/service/call.h"
#include "services/auth/auth_recovery.h"

static enum status forgot_password(struct call *call, const Auth__V1__ForgotPasswordRequest *request,
                                   Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_recovery_begin(call, request->email);
}

static enum status reset_password(struct call *call, const Auth__V1__ResetPasswordRequest *request,
                                  Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_recovery_finish(call, request->token, request->new_password);
}

const struct auth_v1_recovery_service_handlers auth_recovery_handlers = {
    .forgot_password = forgot_password,
    .reset_password = reset_password,
};

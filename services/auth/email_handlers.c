#include "services/auth/email_handlers.h"

#include "common/base/codec.h"
#include "common/service/call.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_resend.h"

// ---- for clients ----

static enum status verify_email(struct call *call, const Auth__V1__VerifyEmailRequest *request,
                                Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_email_verify(call, request->token);
}

static enum status change_email(struct call *call, const Auth__V1__ChangeEmailRequest *request,
                                Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_email_request_change(call, request->new_email);
}

static enum status undo_email_change(struct call *call, const Auth__V1__UndoEmailChangeRequest *request,
                                     Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_email_undo(call, request->token);
}

static enum status resend_verification(struct call *call, const Auth__V1__ResendVerificationRequest *request,
                                       Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_resend_begin(call, request->email);
}

const struct auth_v1_email_service_handlers auth_email_handlers = {
    .verify_email = verify_email,
    .change_email = change_email,
    .undo_email_change = undo_email_change,
    .resend_verification = resend_verification,
};

// ---- for the user service ----

// A sign-up gets one such mail, however often its job runs.
static enum status send_verification(struct call *call, const Auth__V1__SendVerificationRequest *request,
                                     Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_email_send_verification(call, request->user_id, request->email, 1);
}

static enum status tell_sign_up(struct call *call, const Auth__V1__TellSignUpRequest *request,
                                Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_email_tell_sign_up(call, request->user_id, request->email);
}

static enum status settle_address(struct call *call, const Auth__V1__SettleAddressRequest *request,
                                  Google__Protobuf__Empty *response)
{
  (void)response;
  unsigned char hash[32];
  if (!hex_decode(slice_from_string(request->cause), hash, sizeof(hash)))
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST", "cause must be 64 hexadecimal digits");
  return auth_email_settle(call, slice_make(hash, sizeof(hash)));
}

const struct auth_v1_account_mail_service_handlers auth_account_mail_handlers = {
    .send_verification = send_verification,
    .tell_sign_up = tell_sign_up,
    .settle_address = settle_address,
};

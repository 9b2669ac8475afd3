#include "services/auth/factor_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/auth_challenges.h"
#include "services/auth/auth_factors.h"
#include "services/auth/auth_state.h"

static enum status verify_login(struct call *call, const Auth__V1__VerifyLoginRequest *request,
                                Auth__V1__TokenResponse *response)
{
  return auth_challenges_verify(call, request, response);
}

static enum status add_totp(struct call *call, const Auth__V1__AddTotpRequest *request,
                            Auth__V1__AddTotpResponse *response)
{
  (void)request;
  return auth_factors_add_totp(call, response);
}

static enum status confirm_totp(struct call *call, const Auth__V1__ConfirmTotpRequest *request,
                                Auth__V1__RecoveryCodes *response)
{
  return auth_factors_confirm_totp(call, request->code, response);
}

static enum status list_factors(struct call *call, const Auth__V1__ListFactorsRequest *request,
                                Auth__V1__ListFactorsResponse *response)
{
  (void)request;
  const struct auth_state *state = call_state(call);
  struct query_db db = query_on(state->pg);
  struct arena *arena = call_arena(call);
  const char *user_id = resource_caller(call);
  struct auth_db_count_recovery_codes_row codes = {0};
  enum status status = auth_db_list_factors(db, user_id, arena, &response->factors, &response->n_factors);
  if (status == STATUS_OK)
    status = auth_db_count_recovery_codes(db, user_id, arena, &codes);
  response->recovery_codes_left = (int32_t)codes.count;
  return status;
}

static enum status delete_factor(struct call *call, const Auth__V1__DeleteFactorRequest *request,
                                 Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_factors_remove(call, request->id);
}

static enum status reset_factors(struct call *call, const Auth__V1__ResetFactorsRequest *request,
                                 Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_factors_reset(call, request->id);
}

const struct auth_v1_factor_service_handlers auth_factor_handlers = {
    .verify_login = verify_login,
    .add_totp = add_totp,
    .confirm_totp = confirm_totp,
    .list_factors = list_factors,
    .delete_factor = delete_factor,
    .reset_factors = reset_factors,
};

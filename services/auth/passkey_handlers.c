#include "services/auth/passkey_handlers.h"

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/observe/metrics.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_sign_in.h"
#include "services/auth/auth_state.h"
#include "services/auth/passkey_challenges.h"
#include "services/auth/passkeys.h"
#include "services/auth/session_names.h"
#include "services/auth/settings.h"

static char *text_of(struct call *call, const char *text)
{
  return arena_string(call_arena(call), slice_from_string(text));
}

#define PUBLIC_KEY "public-key"

// ---- registration ----

static void fill_party(struct call *call, Auth__V1__PasskeyCreationOptions *options)
{
  const struct auth_state *state = call_state(call);
  options->rp = arena_alloc(call_arena(call), sizeof(*options->rp));
  auth__v1__passkey_relying_party__init(options->rp);
  options->rp->id = text_of(call, state->passkey_party.id);
  options->rp->name = text_of(call, state->settings->product_name);
}

static void fill_user(struct call *call, const struct account_facts *account, Auth__V1__PasskeyCreationOptions *options)
{
  options->user = arena_alloc(call_arena(call), sizeof(*options->user));
  auth__v1__passkey_user__init(options->user);
  options->user->id = passkeys_user_handle(resource_caller(call), call_arena(call));
  options->user->name = text_of(call, account->email);
  bool has_name = account->display_name != NULL && account->display_name[0] != '\0';
  options->user->display_name = text_of(call, has_name ? account->display_name : account->email);
}

static void fill_algorithms(struct call *call, Auth__V1__PasskeyCreationOptions *options)
{
  struct arena *arena = call_arena(call);
  options->n_pub_key_cred_params = WEBAUTHN_ALGORITHM_COUNT;
  options->pub_key_cred_params = arena_array(arena, WEBAUTHN_ALGORITHM_COUNT, sizeof(*options->pub_key_cred_params));
  for (size_t i = 0; i < WEBAUTHN_ALGORITHM_COUNT; i++) {
    Auth__V1__PasskeyParameters *params = arena_alloc(arena, sizeof(*params));
    auth__v1__passkey_parameters__init(params);
    params->type = text_of(call, PUBLIC_KEY);
    params->alg = webauthn_algorithms[i];
    options->pub_key_cred_params[i] = params;
  }
}

static Auth__V1__PasskeyDescriptor *describe(struct call *call, const struct auth_db_list_passkey_descriptors_row *row)
{
  Auth__V1__PasskeyDescriptor *descriptor = arena_alloc(call_arena(call), sizeof(*descriptor));
  auth__v1__passkey_descriptor__init(descriptor);
  descriptor->type = text_of(call, PUBLIC_KEY);
  descriptor->id = base64url_string(row->credential_id, call_arena(call));
  descriptor->transports = row->transports;
  descriptor->n_transports = row->transports_count;
  return descriptor;
}

static enum status fill_excluded(struct call *call, Auth__V1__PasskeyCreationOptions *options)
{
  const struct auth_state *state = call_state(call);
  struct auth_db_list_passkey_descriptors_row *rows = NULL;
  size_t count = 0;
  enum status status =
      auth_db_list_passkey_descriptors(query_on(state->pg), resource_caller(call), call_arena(call), &rows, &count);
  if (status != STATUS_OK)
    return status;
  if (count >= PASSKEYS_PER_ACCOUNT)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "TOO_MANY_PASSKEYS",
                     "the account has %d passkeys; remove one first", PASSKEYS_PER_ACCOUNT);
  options->n_exclude_credentials = count;
  options->exclude_credentials = arena_array(call_arena(call), count, sizeof(*options->exclude_credentials));
  for (size_t i = 0; i < count; i++)
    options->exclude_credentials[i] = describe(call, &rows[i]);
  return STATUS_OK;
}

static void fill_selection(struct call *call, Auth__V1__PasskeyCreationOptions *options)
{
  Auth__V1__PasskeyAuthenticatorSelection *selection = arena_alloc(call_arena(call), sizeof(*selection));
  auth__v1__passkey_authenticator_selection__init(selection);
  selection->resident_key = text_of(call, "required");
  selection->require_resident_key = true;
  selection->user_verification = text_of(call, "required");
  options->authenticator_selection = selection;
}

static enum status begin_registration(struct call *call, const Auth__V1__BeginPasskeyRegistrationRequest *request,
                                      Auth__V1__PasskeyCreationOptions *response)
{
  (void)request;
  struct account_facts account;
  enum status status = passkeys_check_enabled(call);
  if (status == STATUS_OK)
    status = auth_peers_find_account(call, resource_caller(call), &account);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, resource_caller(call));
  if (status == STATUS_OK)
    status = fill_excluded(call, response);
  if (status == STATUS_OK)
    status = passkeys_make_challenge(call, PASSKEY_FOR_REGISTRATION, resource_caller(call), &response->challenge);
  if (status != STATUS_OK)
    return status;
  fill_party(call, response);
  fill_user(call, &account, response);
  fill_algorithms(call, response);
  fill_selection(call, response);
  response->timeout = PASSKEY_CHALLENGE_TTL_MS;
  response->attestation = text_of(call, "none");
  return STATUS_OK;
}

static enum status finish_registration(struct call *call, const Auth__V1__FinishPasskeyRegistrationRequest *request,
                                       Auth__V1__Passkey *response)
{
  enum status status = passkeys_check_enabled(call);
  return status == STATUS_OK ? passkeys_register(call, request, response) : status;
}

// ---- sign-in ----

static enum status begin_login(struct call *call, const Auth__V1__BeginPasskeyLoginRequest *request,
                               Auth__V1__PasskeyRequestOptions *response)
{
  (void)request;
  const struct auth_state *state = call_state(call);
  enum status status = passkeys_check_enabled(call);
  if (status == STATUS_OK)
    status = passkeys_make_challenge(call, PASSKEY_FOR_SIGN_IN, "", &response->challenge);
  if (status != STATUS_OK)
    return status;
  response->timeout = PASSKEY_CHALLENGE_TTL_MS;
  response->rp_id = text_of(call, state->passkey_party.id);
  response->user_verification = text_of(call, "required");
  return STATUS_OK;
}

static enum status fail_removed(struct call *call)
{
  return call_fail(call, STATUS_UNAUTHENTICATED, "WRONG_PASSKEY",
                   "no account has this passkey; it may have been removed");
}

static enum status begin_session(struct call *call, const Auth__V1__FinishPasskeyLoginRequest *request,
                                 const struct passkey_account *proven, const char *email,
                                 Auth__V1__TokenResponse *response)
{
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct sign_in sign_in = {.user_id = proven->user_id,
                            .password_set_us = proven->password_set_us,
                            .factor_generation = proven->factor_generation,
                            .account = auth_devices_account(state->stored_secret, email, arena),
                            .device_name = request->device_name,
                            .user_agent = request->user_agent};
  struct device device;
  const struct device_scope devices = auth_state_devices(state, sign_in.account);
  if (auth_devices_read(&devices, request->device_token, arena, &device))
    sign_in.device = &device;
  enum status status = auth_sign_in_refuse_suspended(call, sign_in.user_id);
  if (status == STATUS_OK)
    status = auth_email_demand(call, sign_in.user_id);
  if (status == STATUS_OK)
    status = auth_sign_in_complete_at_once(call, &sign_in, response);
  if (status == STATUS_OK)
    metric_add(state->logins[LOGIN_OK], 1);
  return status;
}

static enum status finish_login(struct call *call, const Auth__V1__FinishPasskeyLoginRequest *request,
                                Auth__V1__TokenResponse *response)
{
  if (session_check_name(call, "deviceName", request->device_name) != STATUS_OK)
    return STATUS_INVALID_ARGUMENT;
  const struct passkey_answer answer = {.id = request->id, .raw_id = request->raw_id, .response = request->response};
  struct passkey_account proven;
  struct account_facts account;
  enum status status = passkeys_check_enabled(call);
  if (status == STATUS_OK)
    status = auth_sign_in_wait(call);
  if (status == STATUS_OK)
    status = passkeys_prove(call, &answer, &proven);
  if (status != STATUS_OK)
    return status;
  status = auth_peers_find_account(call, proven.user_id, &account);
  if (status == STATUS_OK)
    status = begin_session(call, request, &proven, account.email, response);
  return status == STATUS_NOT_FOUND ? fail_removed(call) : status;
}

const struct auth_v1_passkey_service_handlers auth_passkey_handlers = {
    .begin_passkey_registration = begin_registration,
    .finish_passkey_registration = finish_registration,
    .begin_passkey_login = begin_login,
    .finish_passkey_login = finish_login,
};

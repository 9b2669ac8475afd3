// What outlives a session is not done with the access token of one that has ended, which gateways take until they have
// heard of its end, and not while its end is on its way either.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/account_access.pb-c.h"
#include "auth/v1/api_keys.pb-c.h"
#include "auth/v1/email.pb-c.h"
#include "auth/v1/factors.pb-c.h"
#include "auth/v1/passkeys.pb-c.h"
#include "auth/v1/password.pb-c.h"
#include "auth/v1/roles.pb-c.h"
#include "auth/v1/service_accounts.pb-c.h"
#include "common/base/codec.h"
#include "tests/support/common/authenticator.h"
#include "tests/support/common/totp_code.h"
#include "tests/support/service/accounts.h"
#include "tests/support/service/gate.h"

#define ORIGIN "http://localhost:8080"
#define NEXT_PASSWORD "kolibri tunnel saturn"
#define ADMIN "01936b5e-7c1a-7d3e-9f00-00000000ad01"

static struct accounts accounts;
static const char *user_id;
static struct slice token;

static void setup(void)
{
  // Nothing takes connections at port 1: mails stay in the queue.
  accounts_open(&accounts, (const char *const[]){"AUTH_PASSKEY_RP_ID=localhost", "AUTH_PASSKEY_ORIGINS=" ORIGIN,
                                                 "MAIL_URL=smtp://127.0.0.1:1", "MAIL_WITHOUT_TLS=true",
                                                 "MAIL_FROM=accounts@example.com",
                                                 "ACCOUNT_URL=https://example.com/account", NULL});
  accounts_plant_session(&accounts, ADMIN);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_late_acts, .init = setup, .fini = teardown);

static char *changeable(const char *text)
{
  return (char *)(uintptr_t)text;
}

// A call that waits to be made.
struct act {
  struct driver *driver;
  const char *method;
  struct slice request;
};

static struct act make_act(const char *method, const ProtobufCMessage *request)
{
  return (struct act){
      .driver = &accounts.to_auth, .method = method, .request = driver_pack(&accounts.to_auth, request)};
}

// The call of an act with the token that holds now.
static struct prepared_call call_of(const struct act *act)
{
  return (struct prepared_call){.driver = act->driver,
                                .method = act->method,
                                .request = act->request,
                                .context = {.access_token = token, .client_address = SLICE("192.0.2.7")}};
}

static struct outcome do_act(const struct act *act)
{
  const struct prepared_call call = call_of(act);
  struct outcome outcome;
  driver_begin_prepared(&call, &outcome);
  driver_finish(act->driver, &outcome);
  return outcome;
}

// ---- the acts, each prepared as far as its last call ----

static struct act add_key(void)
{
  char *scopes[] = {changeable("items:read")};
  Auth__V1__CreateApiKeyRequest request = AUTH__V1__CREATE_API_KEY_REQUEST__INIT;
  request.name = changeable("nightly import");
  request.scopes = scopes;
  request.n_scopes = 1;
  return make_act("auth.v1.ApiKeyService/CreateApiKey", &request.base);
}

static struct act add_app(void)
{
  Auth__V1__AddTotpRequest add = AUTH__V1__ADD_TOTP_REQUEST__INIT;
  struct act begin = make_act("auth.v1.FactorService/AddTotp", &add.base);
  struct outcome outcome = do_act(&begin);
  const Auth__V1__AddTotpResponse *app = (const void *)driver_reply(&outcome, &auth__v1__add_totp_response__descriptor);
  char code[7];
  totp_code(app->secret, 0, code);
  Auth__V1__ConfirmTotpRequest request = AUTH__V1__CONFIRM_TOTP_REQUEST__INIT;
  request.code = code;
  return make_act("auth.v1.FactorService/ConfirmTotp", &request.base);
}

static struct act remove_app(void)
{
  struct act add = add_app();
  cr_assert_eq(do_act(&add).status, STATUS_OK);
  Auth__V1__DeleteFactorRequest request = AUTH__V1__DELETE_FACTOR_REQUEST__INIT;
  request.id =
      changeable(database_sql(&accounts.database, "SELECT id FROM auth.factors WHERE user_id = '%s'", user_id));
  return make_act("auth.v1.FactorService/DeleteFactor", &request.base);
}

static struct act add_passkey(void)
{
  Auth__V1__BeginPasskeyRegistrationRequest begin = AUTH__V1__BEGIN_PASSKEY_REGISTRATION_REQUEST__INIT;
  struct act ask = make_act("auth.v1.PasskeyService/BeginPasskeyRegistration", &begin.base);
  struct outcome outcome = do_act(&ask);
  const Auth__V1__PasskeyCreationOptions *options =
      (const void *)driver_reply(&outcome, &auth__v1__passkey_creation_options__descriptor);
  struct arena *arena = &accounts.to_auth.arena;
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, arena);
  const struct ceremony ceremony = {.type = "webauthn.create",
                                    .challenge = options->challenge,
                                    .origin = ORIGIN,
                                    .rp_id = "localhost",
                                    .flags = AUTHENTICATOR_PRESENT | AUTHENTICATOR_VERIFIED};
  struct ceremony_answer answer = authenticator_register(key, &ceremony, "none", arena);
  Auth__V1__PasskeyAttestationResponse response = AUTH__V1__PASSKEY_ATTESTATION_RESPONSE__INIT;
  response.client_data_json = base64url_string(answer.client_data_json, arena);
  response.attestation_object = base64url_string(answer.attestation_object, arena);
  Auth__V1__FinishPasskeyRegistrationRequest request = AUTH__V1__FINISH_PASSKEY_REGISTRATION_REQUEST__INIT;
  request.id = base64url_string(authenticator_credential_id(key), arena);
  request.raw_id = request.id;
  request.type = changeable("public-key");
  request.response = &response;
  request.name = changeable("a telephone");
  return make_act("auth.v1.PasskeyService/FinishPasskeyRegistration", &request.base);
}

static struct act change_password(void)
{
  Auth__V1__ChangePasswordRequest request = AUTH__V1__CHANGE_PASSWORD_REQUEST__INIT;
  request.current_password = changeable(ACCOUNTS_PASSWORD);
  request.new_password = changeable(NEXT_PASSWORD);
  return make_act("auth.v1.PasswordService/ChangePassword", &request.base);
}

static struct act ask_for_address(void)
{
  Auth__V1__ChangeEmailRequest request = AUTH__V1__CHANGE_EMAIL_REQUEST__INIT;
  request.new_email = changeable("elsewhere@example.com");
  return make_act("auth.v1.EmailService/ChangeEmail", &request.base);
}

// ---- what admins do ----

static const char *new_account(void)
{
  static int number;
  const char *email = arena_printf(&accounts.database.arena, "bob%d@example.com", number++);
  return arena_string(&accounts.database.arena, slice_from_string(accounts_new_user(&accounts, email)->id));
}

static const char *new_role(void)
{
  static int number;
  const char *name = arena_printf(&accounts.database.arena, "role%d", number++);
  database_sql(&accounts.database, "INSERT INTO auth.role_definitions (name, permissions) VALUES ('%s', '{}')", name);
  return name;
}

static const char *new_service_account(void)
{
  const char *id = database_sql(&accounts.database,
                                "INSERT INTO auth.credentials (user_id, is_service) VALUES (gen_random_uuid(), true)"
                                " RETURNING user_id");
  database_sql(&accounts.database, "INSERT INTO auth.service_accounts (id, name) VALUES ('%s', 'robot')", id);
  return id;
}

static struct act create_role(void)
{
  Auth__V1__CreateRoleRequest request = AUTH__V1__CREATE_ROLE_REQUEST__INIT;
  request.name = changeable("accomplice");
  return make_act("auth.v1.RoleService/CreateRole", &request.base);
}

static struct act change_role(void)
{
  char *permissions[] = {changeable("items:read")};
  Auth__V1__Role role = AUTH__V1__ROLE__INIT;
  Auth__V1__UpdateRoleRequest request = AUTH__V1__UPDATE_ROLE_REQUEST__INIT;
  role.name = changeable(new_role());
  role.permissions = permissions;
  role.n_permissions = 1;
  request.role = &role;
  return make_act("auth.v1.RoleService/UpdateRole", &request.base);
}

static struct act delete_role(void)
{
  Auth__V1__DeleteRoleRequest request = AUTH__V1__DELETE_ROLE_REQUEST__INIT;
  request.name = changeable(new_role());
  return make_act("auth.v1.RoleService/DeleteRole", &request.base);
}

static struct act grant_role(void)
{
  char *roles[] = {changeable("admin")};
  Auth__V1__SetUserRolesRequest request = AUTH__V1__SET_USER_ROLES_REQUEST__INIT;
  request.id = changeable(new_account());
  request.roles = roles;
  request.n_roles = 1;
  return make_act("auth.v1.RoleService/SetUserRoles", &request.base);
}

// The requests of these have the same fields.
static struct act change_access(const char *method)
{
  Auth__V1__SuspendUserRequest request = AUTH__V1__SUSPEND_USER_REQUEST__INIT;
  request.id = changeable(new_account());
  return make_act(method, &request.base);
}

static struct act suspend_user(void)
{
  return change_access("auth.v1.AccountAccessService/SuspendUser");
}

static struct act resume_user(void)
{
  return change_access("auth.v1.AccountAccessService/ResumeUser");
}

static struct act sign_out_user(void)
{
  return change_access("auth.v1.AccountAccessService/SignOutUser");
}

static struct act reset_factors(void)
{
  return change_access("auth.v1.FactorService/ResetFactors");
}

static struct act create_service_account(void)
{
  Auth__V1__CreateServiceAccountRequest request = AUTH__V1__CREATE_SERVICE_ACCOUNT_REQUEST__INIT;
  request.name = changeable("robot");
  return make_act("auth.v1.ServiceAccountService/CreateServiceAccount", &request.base);
}

static struct act delete_service_account(void)
{
  Auth__V1__DeleteServiceAccountRequest request = AUTH__V1__DELETE_SERVICE_ACCOUNT_REQUEST__INIT;
  request.id = changeable(new_service_account());
  return make_act("auth.v1.ServiceAccountService/DeleteServiceAccount", &request.base);
}

static struct act add_key_of_service_account(void)
{
  char *scopes[] = {changeable("items:read")};
  Auth__V1__CreateApiKeyRequest request = AUTH__V1__CREATE_API_KEY_REQUEST__INIT;
  request.name = changeable("nightly import");
  request.owner_id = changeable(new_service_account());
  request.scopes = scopes;
  request.n_scopes = 1;
  return make_act("auth.v1.ApiKeyService/CreateApiKey", &request.base);
}

static struct act delete_account(void)
{
  User__V1__DeleteCurrentUserRequest request = USER__V1__DELETE_CURRENT_USER_REQUEST__INIT;
  struct act act = make_act("user.v1.UserService/DeleteCurrentUser", &request.base);
  act.driver = &accounts.to_user;
  return act;
}

static const struct {
  const char *name;
  struct act (*prepare)(void);
  const char *rows;  // of a table of auth with the caller's id, which tell whether it was done
  const char *before, *after;
} acts[] = {
    {"an API key is made", add_key, "api_keys WHERE user_id", "0", "1"},
    {"an app is confirmed", add_app, "factors WHERE confirm_time IS NOT NULL AND user_id", "0", "1"},
    {"an app is removed", remove_app, "factors WHERE confirm_time IS NOT NULL AND user_id", "1", "0"},
    {"a passkey is registered", add_passkey, "passkeys WHERE user_id", "0", "1"},
    {"the password is changed", change_password, "credentials WHERE update_time > create_time AND user_id", "0", "1"},
    {"another address is wanted", ask_for_address, "account_tokens WHERE purpose = 'change_email' AND user_id", "0",
     "1"},
    {"the account is deleted", delete_account, "credentials WHERE user_id", "1", "0"},
    {"a role is made", create_role, "audit_events WHERE action = 'role.create' AND actor_id", "0", "1"},
    {"a role is changed", change_role, "audit_events WHERE action = 'role.change' AND actor_id", "0", "1"},
    {"a role is deleted", delete_role, "audit_events WHERE action = 'role.delete' AND actor_id", "0", "1"},
    {"a role is given", grant_role, "audit_events WHERE action = 'role.grant' AND actor_id", "0", "1"},
    {"an account is suspended", suspend_user, "audit_events WHERE action = 'account.suspend' AND actor_id", "0", "1"},
    {"an account is resumed", resume_user, "audit_events WHERE action = 'account.resume' AND actor_id", "0", "1"},
    {"an account is signed out", sign_out_user, "audit_events WHERE action = 'account.sign_out' AND actor_id", "0",
     "1"},
    {"factors are reset", reset_factors, "audit_events WHERE action = 'factor.reset' AND actor_id", "0", "1"},
    {"a service account is made", create_service_account, "audit_events WHERE reason = 'service account' AND actor_id",
     "0", "1"},
    {"a service account is deleted", delete_service_account,
     "audit_events WHERE action = 'account.delete' AND actor_id", "0", "1"},
    {"a service account gets a key", add_key_of_service_account,
     "audit_events WHERE action = 'api_key.create' AND actor_id", "0", "1"},
};

// Prepares an act of a new account that has just logged in.
static struct act prepare(size_t i)
{
  const char *email = arena_printf(&accounts.database.arena, "ada%zu@example.com", i);
  user_id = arena_string(&accounts.database.arena, slice_from_string(accounts_new_user(&accounts, email)->id));
  accounts_tokens(&accounts, email);
  token = accounts_role_token(&accounts, user_id, "admin");
  return acts[i].prepare();
}

static void expect_done(const struct outcome *outcome, size_t i, bool done)
{
  enum status status = done ? STATUS_OK : STATUS_UNAUTHENTICATED;
  cr_expect_eq(outcome->status, status, "%s: %s " SLICE_FMT, acts[i].name, status_name(outcome->status),
               SLICE_ARG(outcome->message));
  cr_expect(slice_equal_string(outcome->reason, done ? "" : "TOKEN_REVOKED"), "%s: " SLICE_FMT, acts[i].name,
            SLICE_ARG(outcome->reason));
  const char *query =
      arena_printf(&accounts.database.arena, "SELECT count(*) FROM auth.%s = '%s'", acts[i].rows, user_id);
  if (done)
    database_wait_sql(&accounts.database, query, acts[i].after);
  else
    cr_expect_str_eq(database_sql(&accounts.database, "%s", query), acts[i].before, "%s", acts[i].name);
}

Test(auth_late_acts, are_done_while_the_session_lives)
{
  for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
    struct act act = prepare(i);
    struct outcome outcome = do_act(&act);
    expect_done(&outcome, i, true);
  }
}

Test(auth_late_acts, are_refused_once_the_session_has_ended)
{
  for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
    struct act act = prepare(i);
    database_sql(&accounts.database, "DELETE FROM auth.sessions WHERE user_id = '%s'", user_id);
    struct outcome outcome = do_act(&act);
    expect_done(&outcome, i, false);
  }
}

// A demotion leaves the session and ends the tokens that say more than the account may do now.
Test(auth_late_acts, are_refused_once_the_token_is_of_an_earlier_generation)
{
  for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
    struct act act = prepare(i);
    database_sql(&accounts.database,
                 "UPDATE auth.credentials SET token_generation = token_generation + 1 WHERE user_id = '%s'", user_id);
    struct outcome outcome = do_act(&act);
    expect_done(&outcome, i, false);
    token = accounts_role_token(&accounts, user_id, "admin");
    outcome = do_act(&act);
    expect_done(&outcome, i, true);
  }
}

// Makes an API key of the user, who is an admin, and takes the token that stands for it.
static void take_key_token(const char *scope)
{
  char *scopes[] = {changeable(scope)};
  Auth__V1__CreateApiKeyRequest create = AUTH__V1__CREATE_API_KEY_REQUEST__INIT;
  create.name = changeable("support");
  create.scopes = scopes;
  create.n_scopes = 1;
  database_sql(&accounts.database, "INSERT INTO auth.roles VALUES ('%s', 'admin')", user_id);
  struct act act = make_act("auth.v1.ApiKeyService/CreateApiKey", &create.base);
  struct outcome outcome = do_act(&act);
  const Auth__V1__CreateApiKeyResponse *key =
      (const void *)driver_reply(&outcome, &auth__v1__create_api_key_response__descriptor);
  token = accounts_key_token(&accounts, user_id, key->id, scope);
}

static void expect_key_act(enum status status)
{
  struct act act = sign_out_user();
  struct outcome outcome = do_act(&act);
  cr_expect_eq(outcome.status, status, "%s " SLICE_FMT, status_name(outcome.status), SLICE_ARG(outcome.message));
}

// The token of a key names the key as its session. What needs no recent login is done with it, too.
Test(auth_late_acts, are_done_with_an_api_key_until_it_ends)
{
  (void)prepare(0);
  take_key_token("users:write:any");
  expect_key_act(STATUS_OK);
  database_sql(&accounts.database,
               "UPDATE auth.credentials SET token_generation = token_generation + 1 WHERE user_id = '%s'", user_id);
  expect_key_act(STATUS_UNAUTHENTICATED);
  database_sql(&accounts.database,
               "UPDATE auth.credentials SET token_generation = token_generation - 1 WHERE user_id = '%s'", user_id);
  database_sql(&accounts.database, "DELETE FROM auth.api_keys WHERE user_id = '%s'", user_id);
  expect_key_act(STATUS_UNAUTHENTICATED);
}

static struct prepared_call sign_out_call(void)
{
  static const struct slice roles[] = {SLICE_INIT("admin")};
  static const struct rpc_context admin = {.caller_id = SLICE_INIT(ADMIN),
                                           .caller_session = SLICE_INIT(ADMIN),
                                           .caller_roles = roles,
                                           .caller_role_count = 1};
  Auth__V1__SignOutUserRequest request = AUTH__V1__SIGN_OUT_USER_REQUEST__INIT;
  request.id = changeable(user_id);
  return driver_prepare(&accounts.to_auth, "auth.v1.AccountAccessService/SignOutUser", &request.base, &admin);
}

// Whatever ends all sessions locks the account first, so an act that comes meanwhile waits, and then finds none.
Test(auth_late_acts, are_refused_while_the_session_ends)
{
  for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
    const struct act act = prepare(i);
    const struct prepared_call sign_out = sign_out_call(), late = call_of(&act);
    struct outcome outcomes[2];
    gate_race(&accounts.database, "INSERT ON auth.endings FOR EACH ROW", &sign_out, &late, outcomes);
    cr_expect_eq(outcomes[0].status, STATUS_OK, "%s", acts[i].name);
    expect_done(&outcomes[1], i, false);
  }
}

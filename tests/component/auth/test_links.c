// Tokens of every kind when something has become of their account, and links that come back several times at once.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/account_access.pb-c.h"
#include "auth/v1/api_keys.pb-c.h"
#include "auth/v1/email.pb-c.h"
#include "auth/v1/factors.pb-c.h"
#include "auth/v1/recovery.pb-c.h"
#include "tests/support/service/accounts.h"

#define ADMIN "01936b5e-7c1a-7d3e-9f00-00000000ad01"
#define NEXT_PASSWORD "kolibri tunnel saturn"

static struct accounts accounts;
static struct driver as_user;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};

static void setup(void)
{
  // Nothing takes connections at port 1: mails stay in the queue.
  accounts_open(&accounts, (const char *const[]){"MAIL_URL=smtp://127.0.0.1:1", "MAIL_WITHOUT_TLS=true",
                                                 "MAIL_FROM=accounts@example.com",
                                                 "ACCOUNT_URL=https://example.com/account", NULL});
  accounts_plant_session(&accounts, ADMIN);
  driver_open(&as_user, accounts.auth.url, "user");
}

static void teardown(void)
{
  driver_close(&as_user);
  accounts_close(&accounts);
}

TestSuite(auth_links, .init = setup, .fini = teardown);

static char *changeable(const char *text)
{
  return (char *)(uintptr_t)text;
}

static const char *format(const char *pattern, const char *text)
{
  return database_sql(&accounts.database, "SELECT format('%s', '%s')", pattern, text);
}

// ---- an account with a token of each kind ----

struct holder {
  const char *name;
  const char *email;
  const char *user_id;
  const char *refresh_token;
  const char *api_key;
};

static const char *token_of(const struct holder *holder, const char *kind)
{
  return arena_printf(&accounts.database.arena, "%s-of-%s-0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e", kind, holder->name);
}

static void plant(const struct holder *holder, const char *kind, const char *purpose, const char *email, int version)
{
  accounts_plant_link(&accounts, &(struct planted_link){.token = token_of(holder, kind),
                                                        .purpose = purpose,
                                                        .user_id = holder->user_id,
                                                        .email = email,
                                                        .email_version = version});
}

static const char *make_key(const struct holder *holder)
{
  char *scopes[] = {changeable("items:read")};
  Auth__V1__CreateApiKeyRequest request = AUTH__V1__CREATE_API_KEY_REQUEST__INIT;
  request.name = changeable("nightly import");
  request.scopes = scopes;
  request.n_scopes = 1;
  const struct rpc_context context = {.access_token = accounts_access_token(&accounts, holder->user_id, 0)};
  struct outcome outcome =
      driver_call(&accounts.to_auth, "auth.v1.ApiKeyService/CreateApiKey", &request.base, &context);
  return ((const Auth__V1__CreateApiKeyResponse *)(const void *)driver_reply(
              &outcome, &auth__v1__create_api_key_response__descriptor))
      ->key;
}

// The account has had another address, and has confirmed the one that it has.
static struct holder make_holder(const char *name)
{
  struct holder holder = {.name = name, .email = format("%s@example.com", name)};
  holder.user_id = accounts_new_user(&accounts, holder.email)->id;
  database_sql(&accounts.database, "UPDATE \"user\".users SET verify_time = now(), email_version = 2 WHERE id = '%s'",
               holder.user_id);
  holder.refresh_token = accounts_tokens(&accounts, holder.email)->refresh_token;
  holder.api_key = make_key(&holder);
  plant(&holder, "verify", "verify_email", holder.email, 0);
  plant(&holder, "change", "change_email", format("%s@example.org", name), 2);
  plant(&holder, "undo", "undo_email", format("%s@example.net", name), 1);
  plant(&holder, "reset", "reset_password", holder.email, 0);
  database_sql(&accounts.database,
               "INSERT INTO auth.login_challenges (token_hash, user_id, password_set_us, factor_generation, account,"
               " source, try_interval_ms, device_name, expire_time)"
               " SELECT sha256('%s'), user_id, (extract(epoch FROM update_time) * 1000000)::bigint, factor_generation,"
               " 'ada', 'unknown devices', 300000, 'a telephone', now() + interval '1 hour'"
               " FROM auth.credentials WHERE user_id = '%s'",
               token_of(&holder, "challenge"), holder.user_id);
  return holder;
}

// ---- what takes a token; each returns the reason of a refusal ----

static const char *reason_of(const char *method, const ProtobufCMessage *request)
{
  struct outcome outcome = driver_call(&accounts.to_auth, method, request, &anonymous);
  cr_expect(outcome.status == STATUS_OK || outcome.reason.size > 0, "%s: %s", method, status_name(outcome.status));
  return arena_string(&accounts.database.arena, outcome.reason);
}

static const char *verify(const char *token)
{
  Auth__V1__VerifyEmailRequest request = AUTH__V1__VERIFY_EMAIL_REQUEST__INIT;
  request.token = changeable(token);
  return reason_of("auth.v1.EmailService/VerifyEmail", &request.base);
}

static const char *use_verify(const struct holder *holder)
{
  return verify(token_of(holder, "verify"));
}

static const char *use_change(const struct holder *holder)
{
  return verify(token_of(holder, "change"));
}

static const char *use_undo(const struct holder *holder)
{
  Auth__V1__UndoEmailChangeRequest request = AUTH__V1__UNDO_EMAIL_CHANGE_REQUEST__INIT;
  request.token = changeable(token_of(holder, "undo"));
  return reason_of("auth.v1.EmailService/UndoEmailChange", &request.base);
}

static const char *use_reset(const struct holder *holder)
{
  Auth__V1__ResetPasswordRequest request = AUTH__V1__RESET_PASSWORD_REQUEST__INIT;
  request.token = changeable(token_of(holder, "reset"));
  request.new_password = changeable(NEXT_PASSWORD);
  return reason_of("auth.v1.RecoveryService/ResetPassword", &request.base);
}

static const char *use_refresh(const struct holder *holder)
{
  struct outcome outcome = accounts_refresh(&accounts, holder->refresh_token);
  return arena_string(&accounts.database.arena, outcome.reason);
}

// A code that is wrong is looked at only where the challenge is good.
static const char *use_challenge(const struct holder *holder)
{
  Auth__V1__VerifyLoginRequest request = AUTH__V1__VERIFY_LOGIN_REQUEST__INIT;
  request.challenge = changeable(token_of(holder, "challenge"));
  request.proof_case = AUTH__V1__VERIFY_LOGIN_REQUEST__PROOF_CODE;
  request.code = changeable("k3vq-7xw2-m5pt-9ahe");
  return reason_of("auth.v1.FactorService/VerifyLogin", &request.base);
}

static const char *use_key(const struct holder *holder)
{
  Auth__V1__ExchangeApiKeyRequest request = AUTH__V1__EXCHANGE_API_KEY_REQUEST__INIT;
  request.key = changeable(holder->api_key);
  return reason_of("auth.v1.ApiKeyService/ExchangeApiKey", &request.base);
}

// ---- what becomes of its account ----

static void leave(const struct holder *holder)
{
  (void)holder;
}

static void expire(const struct holder *holder)
{
  static const char *const tables[] = {"account_tokens", "sessions", "login_challenges", "api_keys"};
  for (size_t i = 0; i < ARRAY_LEN(tables); i++)
    database_sql(&accounts.database, "UPDATE auth.%s SET expire_time = now() WHERE user_id = '%s'", tables[i],
                 holder->user_id);
}

static void suspend(const struct holder *holder)
{
  static const struct slice roles[] = {SLICE_INIT("admin")};
  static const struct rpc_context admin = {.caller_id = SLICE_INIT(ADMIN),
                                           .caller_session = SLICE_INIT(ADMIN),
                                           .caller_roles = roles,
                                           .caller_role_count = 1};
  Auth__V1__SuspendUserRequest request = AUTH__V1__SUSPEND_USER_REQUEST__INIT;
  request.id = changeable(holder->user_id);
  cr_assert_eq(driver_call(&accounts.to_auth, "auth.v1.AccountAccessService/SuspendUser", &request.base, &admin).status,
               STATUS_OK);
}

static void change_password(const struct holder *holder)
{
  struct holder other = {.name = format("%s-again", holder->name), .email = holder->email, .user_id = holder->user_id};
  plant(&other, "reset", "reset_password", holder->email, 0);
  cr_assert_str_eq(use_reset(&other), "");
}

static void remove_account(const struct holder *holder)
{
  Auth__V1__DeleteCredentialRequest request = AUTH__V1__DELETE_CREDENTIAL_REQUEST__INIT;
  request.user_id = changeable(holder->user_id);
  cr_assert_eq(driver_call(&as_user, "auth.v1.AuthService/DeleteCredential", &request.base, &anonymous).status,
               STATUS_OK);
}

// ---- all of them ----

enum { LEFT_ALONE, EXPIRED, SUSPENDED, OTHER_PASSWORD, DELETED, STATES };

static const struct {
  const char *name;
  void (*become)(const struct holder *holder);
} states[STATES] = {
    [LEFT_ALONE] = {"left", leave},          [EXPIRED] = {"expired", expire},
    [SUSPENDED] = {"suspended", suspend},    [OTHER_PASSWORD] = {"password", change_password},
    [DELETED] = {"deleted", remove_account},
};

static const struct {
  const char *name;
  const char *(*use)(const struct holder *holder);
  const char *refusal;
  const char *good;  // what it says where it is good
  bool outlives[STATES];
} kinds[] = {
    {"verify", use_verify, "INVALID_TOKEN", "", {[LEFT_ALONE] = true, [SUSPENDED] = true, [OTHER_PASSWORD] = true}},
    {"change", use_change, "INVALID_TOKEN", "", {[LEFT_ALONE] = true}},
    {"undo", use_undo, "INVALID_TOKEN", "", {[LEFT_ALONE] = true, [SUSPENDED] = true, [OTHER_PASSWORD] = true}},
    {"reset", use_reset, "INVALID_TOKEN", "", {[LEFT_ALONE] = true, [SUSPENDED] = true}},
    {"refresh", use_refresh, "INVALID_REFRESH_TOKEN", "", {[LEFT_ALONE] = true}},
    {"challenge", use_challenge, "INVALID_CHALLENGE", "WRONG_CODE", {[LEFT_ALONE] = true, [SUSPENDED] = true}},
    {"key", use_key, "API_KEY_UNKNOWN", "", {[LEFT_ALONE] = true, [OTHER_PASSWORD] = true}},
};

Test(auth_links, tokens_end_with_what_they_rest_on)
{
  for (size_t s = 0; s < STATES; s++)
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
      struct holder holder =
          make_holder(arena_printf(&accounts.database.arena, "%s-%s", kinds[k].name, states[s].name));
      states[s].become(&holder);
      cr_expect_str_eq(kinds[k].use(&holder), kinds[k].outlives[s] ? kinds[k].good : kinds[k].refusal, "%s, %s",
                       kinds[k].name, states[s].name);
    }
  // Whatever becomes of it, a suspended account lets nobody in.
  cr_expect_eq(accounts_login(&accounts, "reset-suspended@example.com", NEXT_PASSWORD).status,
               STATUS_PERMISSION_DENIED);
}

// ---- at once ----

enum { CALLS = 4 };

// Sets another password by each of the tokens at the same time, and returns the one that holds.
static const char *reset_at_once(const char *const tokens[CALLS])
{
  struct outcome outcomes[CALLS];
  const char *passwords[CALLS], *set = NULL;
  for (int i = 0; i < CALLS; i++) {
    passwords[i] = arena_printf(&accounts.database.arena, "kolibri tunnel saturn %d", i);
    Auth__V1__ResetPasswordRequest request = AUTH__V1__RESET_PASSWORD_REQUEST__INIT;
    request.token = changeable(tokens[i]);
    request.new_password = changeable(passwords[i]);
    driver_begin(&accounts.to_auth, "auth.v1.RecoveryService/ResetPassword",
                 driver_pack(&accounts.to_auth, &request.base), &anonymous, 30000, &outcomes[i]);
  }
  for (int i = 0; i < CALLS; i++) {
    driver_finish(&accounts.to_auth, &outcomes[i]);
    if (outcomes[i].status == STATUS_OK) {
      cr_expect_null(set, "two have set it");
      set = passwords[i];
      continue;
    }
    cr_expect_eq(outcomes[i].status, STATUS_FAILED_PRECONDITION, "%s", status_name(outcomes[i].status));
    cr_expect(slice_equal_string(outcomes[i].reason, "INVALID_TOKEN"), SLICE_FMT, SLICE_ARG(outcomes[i].reason));
  }
  cr_assert_not_null(set, "none has set it");
  return set;
}

Test(auth_links, of_resets_with_one_link_at_once_one_sets_the_password)
{
  struct holder ada = make_holder("ada");
  const char *token = token_of(&ada, "reset");
  const char *set = reset_at_once((const char *const[CALLS]){token, token, token, token});
  cr_expect_eq(accounts_login(&accounts, ada.email, set).status, STATUS_OK);
  cr_expect_str_eq(
      database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_events WHERE action = 'password.reset'"), "1");
}

Test(auth_links, of_resets_with_several_links_at_once_one_sets_the_password)
{
  struct holder ada = make_holder("ada");
  const char *tokens[CALLS];
  for (int i = 0; i < CALLS; i++) {
    char *kind = arena_printf(&accounts.database.arena, "reset%d", i);
    plant(&ada, kind, "reset_password", ada.email, 0);
    tokens[i] = token_of(&ada, kind);
  }
  const char *set = reset_at_once(tokens);
  cr_expect_eq(accounts_login(&accounts, ada.email, set).status, STATUS_OK);
}

Test(auth_links, of_confirmations_with_one_link_at_once_one_is_noted)
{
  struct holder ada = make_holder("ada");
  struct outcome outcomes[CALLS];
  Auth__V1__VerifyEmailRequest request = AUTH__V1__VERIFY_EMAIL_REQUEST__INIT;
  request.token = changeable(token_of(&ada, "verify"));
  int confirmed = 0;
  for (int i = 0; i < CALLS; i++)
    driver_begin(&accounts.to_auth, "auth.v1.EmailService/VerifyEmail", driver_pack(&accounts.to_auth, &request.base),
                 &anonymous, 30000, &outcomes[i]);
  for (int i = 0; i < CALLS; i++) {
    driver_finish(&accounts.to_auth, &outcomes[i]);
    confirmed += outcomes[i].status == STATUS_OK;
  }
  cr_expect_eq(confirmed, 1);
  cr_expect_str_eq(
      database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_events WHERE action = 'email.verify'"), "1");
}

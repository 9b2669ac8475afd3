// Second factors: what happens at once, what a restart leaves, and what the database and the log hold.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "auth/v1/factors.pb-c.h"
#include "auth/v1/password.pb-c.h"
#include "tests/support/common/totp_code.h"
#include "tests/support/service/accounts.h"
#include "tests/support/service/gate.h"

#define ADA "ada@example.com"
#define VERIFY "auth.v1.FactorService/VerifyLogin"
#define CONFIRM "auth.v1.FactorService/ConfirmTotp"

// The sessions that the test has begun.
#define SESSIONS "sessions WHERE address <> 'of the suite'"

static struct accounts accounts;
static struct slice token;

static void setup(void)
{
  accounts_open(&accounts, NULL);
  const char *id = accounts_new_user(&accounts, ADA)->id;
  database_sql(&accounts.database,
               "INSERT INTO auth.sessions (id, user_id, token_hash, address, expire_time)"
               " VALUES (gen_random_uuid(), '%s', '\\x00', 'of the suite', now() + interval '1 hour')",
               id);
  token = arena_copy(&accounts.database.arena, accounts_access_token(&accounts, id, 0));
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_factors, .init = setup, .fini = teardown);

// ---- calls ----

static char *changeable(const char *text)
{
  return (char *)(uintptr_t)text;
}

static struct prepared_call prepare(const char *method, const ProtobufCMessage *request)
{
  const struct rpc_context context = {.access_token = token, .client_address = SLICE("192.0.2.7")};
  return driver_prepare(&accounts.to_auth, method, request, &context);
}

static void begin_call(const char *method, const ProtobufCMessage *request, struct outcome *outcome)
{
  const struct prepared_call call = prepare(method, request);
  driver_begin_prepared(&call, outcome);
}

static struct outcome call(const char *method, const ProtobufCMessage *request)
{
  struct outcome outcome;
  begin_call(method, request, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  return outcome;
}

static void expect(const struct outcome *outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome->status, status, "%s", status_name(outcome->status));
  cr_expect(slice_equal_string(outcome->reason, reason), SLICE_FMT, SLICE_ARG(outcome->reason));
}

// Begins to add an app and returns its secret.
static const char *add_app(void)
{
  Auth__V1__AddTotpRequest request = AUTH__V1__ADD_TOTP_REQUEST__INIT;
  struct outcome outcome = call("auth.v1.FactorService/AddTotp", &request.base);
  const Auth__V1__AddTotpResponse *response =
      (const void *)driver_reply(&outcome, &auth__v1__add_totp_response__descriptor);
  return response->secret;
}

static struct prepared_call confirm_call(const char *secret)
{
  char code[7];
  totp_code(secret, 0, code);
  Auth__V1__ConfirmTotpRequest request = AUTH__V1__CONFIRM_TOTP_REQUEST__INIT;
  request.code = code;
  return prepare(CONFIRM, &request.base);
}

static void begin_confirm(const char *secret, struct outcome *outcome)
{
  const struct prepared_call call = confirm_call(secret);
  driver_begin_prepared(&call, outcome);
}

static const Auth__V1__RecoveryCodes *confirm_app(const char *secret)
{
  struct outcome outcome;
  begin_confirm(secret, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  return (const void *)driver_reply(&outcome, &auth__v1__recovery_codes__descriptor);
}

static struct outcome log_in(const char *device_token)
{
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = ADA;
  request.password = ACCOUNTS_PASSWORD;
  request.device_token = changeable(device_token);
  const struct rpc_context context = {.client_address = SLICE("192.0.2.7")};
  return driver_call(&accounts.to_auth, "auth.v1.AuthService/Login", &request.base, &context);
}

static const char *challenge_of(const char *device_token)
{
  struct outcome outcome = log_in(device_token);
  const Auth__V1__LoginResponse *response = (const void *)driver_reply(&outcome, &auth__v1__login_response__descriptor);
  cr_assert_eq(response->_challenge_case, AUTH__V1__LOGIN_RESPONSE___CHALLENGE_CHALLENGE);
  return response->challenge;
}

static void begin_verify(const char *challenge, const char *code, struct outcome *outcome)
{
  Auth__V1__VerifyLoginRequest request = AUTH__V1__VERIFY_LOGIN_REQUEST__INIT;
  request.challenge = changeable(challenge);
  request.proof_case = AUTH__V1__VERIFY_LOGIN_REQUEST__PROOF_CODE;
  request.code = changeable(code);
  begin_call(VERIFY, &request.base, outcome);
}

static struct outcome verify(const char *challenge, const char *code)
{
  struct outcome outcome;
  begin_verify(challenge, code, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  return outcome;
}

static void guess(const char *device_token, int count)
{
  const char *challenge = challenge_of(device_token);
  for (int i = 0; i < count; i++) {
    struct outcome outcome = verify(challenge, "k3vq-7xw2-m5pt-9ahe");
    expect(&outcome, STATUS_UNAUTHENTICATED, "WRONG_CODE");
  }
}

static const char *count(const char *what)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.%s", what);
}

// ---- at once ----

enum { CALLS = 4 };

// Ends calls of which one succeeds. The others are refused with this reason; NULL stands for any.
static void expect_one_winner(struct outcome outcomes[CALLS], const char *reason)
{
  int won = 0;
  for (int i = 0; i < CALLS; i++) {
    driver_finish(&accounts.to_auth, &outcomes[i]);
    won += outcomes[i].status == STATUS_OK;
    if (outcomes[i].status != STATUS_OK && reason != NULL)
      expect(&outcomes[i], STATUS_UNAUTHENTICATED, reason);
  }
  cr_expect_eq(won, 1);
}

Test(auth_factors, of_logins_with_one_code_at_once_one_wins)
{
  const char *secret = add_app();
  (void)confirm_app(secret);
  char code[7];
  totp_code(secret, 1, code);
  const char *challenges[CALLS];
  struct outcome outcomes[CALLS];
  for (int i = 0; i < CALLS; i++)
    challenges[i] = challenge_of("");
  for (int i = 0; i < CALLS; i++)
    begin_verify(challenges[i], code, &outcomes[i]);
  expect_one_winner(outcomes, "WRONG_CODE");
  cr_expect_str_eq(count(SESSIONS), "1");
}

Test(auth_factors, of_codes_for_one_challenge_at_once_one_is_spent)
{
  const Auth__V1__RecoveryCodes *codes = confirm_app(add_app());
  const char *challenge = challenge_of("");
  struct outcome outcomes[CALLS];
  for (int i = 0; i < CALLS; i++)
    begin_verify(challenge, codes->recovery_codes[i], &outcomes[i]);
  expect_one_winner(outcomes, "INVALID_CHALLENGE");
  cr_expect_str_eq(count("recovery_codes"), "9");
  cr_expect_str_eq(count(SESSIONS), "1");
}

Test(auth_factors, of_logins_with_one_recovery_code_at_once_one_wins)
{
  const Auth__V1__RecoveryCodes *codes = confirm_app(add_app());
  const char *challenges[CALLS];
  struct outcome outcomes[CALLS];
  for (int i = 0; i < CALLS; i++)
    challenges[i] = challenge_of("");
  for (int i = 0; i < CALLS; i++)
    begin_verify(challenges[i], codes->recovery_codes[0], &outcomes[i]);
  expect_one_winner(outcomes, "WRONG_CODE");
  cr_expect_str_eq(count("recovery_codes"), "9");
  cr_expect_str_eq(count(SESSIONS), "1");
}

// Neither undoes the other, and nothing that was begun before goes on.
Test(auth_factors, an_app_that_is_added_while_the_password_changes_stays)
{
  (void)confirm_app(add_app());
  const char *challenge = challenge_of("");
  const char *secret = add_app();
  Auth__V1__ChangePasswordRequest request = AUTH__V1__CHANGE_PASSWORD_REQUEST__INIT;
  request.current_password = changeable(ACCOUNTS_PASSWORD);
  request.new_password = changeable("kolibri tunnel saturn");
  const struct prepared_call add = confirm_call(secret);
  const struct prepared_call change = prepare("auth.v1.PasswordService/ChangePassword", &request.base);
  struct outcome outcomes[2];
  gate_race(&accounts.database, "INSERT ON auth.audit_events FOR EACH ROW WHEN (NEW.action = 'factor.add')", &add,
            &change, outcomes);
  expect(&outcomes[0], STATUS_OK, "");
  expect(&outcomes[1], STATUS_OK, "");
  cr_expect_str_eq(count("factors WHERE confirm_time IS NOT NULL"), "2");
  struct outcome late = verify(challenge, "k3vq-7xw2-m5pt-9ahe");
  expect(&late, STATUS_UNAUTHENTICATED, "INVALID_CHALLENGE");
}

Test(auth_factors, of_confirmations_at_once_one_gets_codes)
{
  const char *secret = add_app();
  struct outcome outcomes[CALLS];
  for (int i = 0; i < CALLS; i++)
    begin_confirm(secret, &outcomes[i]);
  expect_one_winner(outcomes, NULL);
  cr_expect_str_eq(count("recovery_codes"), "10");
  cr_expect_str_eq(count("factors WHERE confirm_time IS NOT NULL"), "1");
}

Test(auth_factors, a_login_that_was_judged_without_the_factor_gets_no_session)
{
  const char *secret = add_app();
  gate_close(&accounts.database, "INSERT ON auth.sessions FOR EACH STATEMENT");
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = ADA;
  request.password = ACCOUNTS_PASSWORD;
  struct outcome login;
  begin_call("auth.v1.AuthService/Login", &request.base, &login);
  gate_wait_one(&accounts.database);
  (void)confirm_app(secret);
  gate_open(&accounts.database);
  driver_finish(&accounts.to_auth, &login);
  expect(&login, STATUS_UNAUTHENTICATED, "WRONG_CREDENTIALS");
  cr_expect_str_eq(count(SESSIONS), "0");
}

// As the release before it begins a session, beside this one or after a roll-back.
#define BEGIN_AS_BEFORE                                                                                                \
  "INSERT INTO auth.sessions (id, user_id, token_hash, expire_time) SELECT gen_random_uuid(), user_id, '\\x01',"       \
  " now() + interval '1 hour' FROM auth.credentials"

Test(auth_factors, a_release_that_asks_for_no_second_step_begins_no_session)
{
  const char *secret = add_app();
  database_sql(&accounts.database, BEGIN_AS_BEFORE);
  database_sql(&accounts.database, "DELETE FROM auth.sessions WHERE token_hash = '\\x01'");
  (void)confirm_app(secret);
  cr_expect_not_null(strstr(database_refusal(&accounts.database, "auth", BEGIN_AS_BEFORE), "has a second factor"));
  database_sql(&accounts.database, "UPDATE auth.credentials SET has_factor = false, suspend_time = now()");
  cr_expect_not_null(strstr(database_refusal(&accounts.database, "auth", BEGIN_AS_BEFORE), "is suspended"));
}

// ---- limits ----

Test(auth_factors, a_restart_forgets_no_guesses)
{
  const Auth__V1__RecoveryCodes *codes = confirm_app(add_app());
  char code[32];
  snprintf(code, sizeof(code), "%s", codes->recovery_codes[0]);
  guess("", 5);
  guess("", 5);
  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts, NULL);
  struct outcome outcome = verify(challenge_of(""), code);
  expect(&outcome, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_FAILURES");
  // One comes back each five minutes; it has waited for none of them.
  cr_expect_gt(outcome.retry_after_ms, 0);
  cr_expect_leq(outcome.retry_after_ms, 300000);
  database_sql(&accounts.database, "UPDATE auth.factor_tries SET full_time = full_time - interval '5 minutes'");
  outcome = verify(challenge_of(""), code);
  expect(&outcome, STATUS_OK, "");
  cr_expect_str_eq(count("factor_tries WHERE source = 'unknown devices' AND full_time > now()"), "1");
}

Test(auth_factors, devices_that_have_passed_the_second_step_have_tries_of_their_own)
{
  const char *before = accounts_tokens(&accounts, ADA)->device_token;
  const Auth__V1__RecoveryCodes *codes = confirm_app(add_app());
  database_sql(&accounts.database, "UPDATE auth.factors SET confirm_time = now() + interval '1 hour'");
  struct outcome passed = verify(challenge_of(""), codes->recovery_codes[0]);
  const char *since = accounts_tokens_of(&passed)->device_token;
  guess(before, 5);
  guess(before, 5);
  struct outcome outcome = verify(challenge_of(before), codes->recovery_codes[1]);
  expect(&outcome, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_FAILURES");
  // The factor is older than the second device's token from here on.
  database_sql(&accounts.database, "UPDATE auth.factors SET confirm_time = now() - interval '1 hour'");
  outcome = verify(challenge_of(since), codes->recovery_codes[1]);
  expect(&outcome, STATUS_OK, "");
  cr_expect_str_eq(count("factor_tries WHERE source LIKE 'device:%'"), "1");
  outcome = verify(challenge_of(""), codes->recovery_codes[2]);
  expect(&outcome, STATUS_OK, "");
}

Test(auth_factors, a_new_app_is_confirmed_within_ten_tries_and_half_an_hour)
{
  const char *secret = add_app();
  Auth__V1__ConfirmTotpRequest wrong = AUTH__V1__CONFIRM_TOTP_REQUEST__INIT;
  wrong.code = "none";
  for (int i = 0; i < 10; i++) {
    struct outcome outcome = call(CONFIRM, &wrong.base);
    expect(&outcome, STATUS_INVALID_ARGUMENT, "WRONG_CODE");
  }
  struct outcome outcome;
  begin_confirm(secret, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "NO_NEW_FACTOR");
  secret = add_app();
  database_sql(&accounts.database, "UPDATE auth.factors SET create_time = now() - interval '31 minutes'");
  begin_confirm(secret, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "NO_NEW_FACTOR");
  (void)confirm_app(add_app());
  cr_expect_str_eq(count("factors"), "1");
}

Test(auth_factors, a_challenge_ends_by_itself)
{
  const Auth__V1__RecoveryCodes *codes = confirm_app(add_app());
  const char *challenge = challenge_of("");
  database_sql(&accounts.database, "UPDATE auth.login_challenges SET expire_time = now()");
  struct outcome outcome = verify(challenge, codes->recovery_codes[0]);
  expect(&outcome, STATUS_UNAUTHENTICATED, "INVALID_CHALLENGE");
  cr_expect_str_eq(count("recovery_codes"), "10");
}

Test(auth_factors, an_account_has_five_apps_at_most)
{
  for (int i = 0; i < 5; i++)
    (void)confirm_app(add_app());
  Auth__V1__AddTotpRequest request = AUTH__V1__ADD_TOTP_REQUEST__INIT;
  struct outcome outcome = call("auth.v1.FactorService/AddTotp", &request.base);
  expect(&outcome, STATUS_FAILED_PRECONDITION, "TOO_MANY_FACTORS");
  cr_expect_str_eq(count("recovery_codes"), "10");
}

// ---- what is kept ----

Test(auth_factors, neither_database_nor_log_holds_a_secret)
{
  const char *secret = add_app();
  const Auth__V1__RecoveryCodes *codes = confirm_app(secret);
  const char *challenge = challenge_of("");
  struct outcome outcome = verify(challenge, "999-999 9");
  expect(&outcome, STATUS_UNAUTHENTICATED, "WRONG_CODE");
  outcome = verify(challenge, codes->recovery_codes[0]);
  expect(&outcome, STATUS_OK, "");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT octet_length(secret) > 40 FROM auth.factors"), "t");
  cr_expect_str_eq(count("recovery_codes WHERE length(code_hash) = 64 AND code_hash ~ '^[0-9a-f]+$'"), "9");
  process_wait_output(&accounts.auth, "a second step failed: the code is wrong");
  EXPECT_NO_OUTPUT(accounts.auth, secret);
  EXPECT_NO_OUTPUT(accounts.auth, challenge);
  EXPECT_NO_OUTPUT(accounts.auth, codes->recovery_codes[0]);
  EXPECT_NO_OUTPUT(accounts.auth, "999-999 9");
  cr_expect_str_eq(count("audit_events WHERE action = 'factor.add' AND result = 'success'"), "1");
  cr_expect_str_eq(count("audit_events WHERE action = 'session.begin' AND reason = 'WRONG_CODE'"), "1");
}

// Whoever writes into the database moves no app to another account.
Test(auth_factors, an_app_of_another_account_opens_nothing)
{
  const char *secret = add_app();
  (void)confirm_app(secret);
  const char *challenge = challenge_of("");
  database_sql(&accounts.database, "UPDATE auth.factors SET id = gen_random_uuid()");
  char code[7];
  totp_code(secret, 1, code);
  struct outcome outcome = verify(challenge, code);
  expect(&outcome, STATUS_UNAUTHENTICATED, "WRONG_CODE");
  cr_expect_str_eq(count(SESSIONS), "0");
}

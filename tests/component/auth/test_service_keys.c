// API keys of service accounts that somebody may have made with a stolen account go when that one is taken back.
#include <criterion/criterion.h>

#include "auth/v1/api_keys.pb-c.h"
#include "auth/v1/email.pb-c.h"
#include "auth/v1/recovery.pb-c.h"
#include "auth/v1/service_accounts.pb-c.h"
#include "tests/support/service/accounts.h"
#include "tests/support/service/gate.h"

#define OWN "ada@example.com"
#define THIEF "thief@example.com"
#define LINK "to-ada-0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e"

static struct accounts accounts;
static const char *user_id, *robot;

static const char *kept(const char *text)
{
  return arena_string(&accounts.database.arena, slice_from_string(text));
}

static struct rpc_context as_admin(void)
{
  return (struct rpc_context){.access_token = accounts_role_token(&accounts, user_id, "admin")};
}

static void setup(void)
{
  accounts_open(&accounts,
                (const char *const[]){"MAIL_URL=smtp://127.0.0.1:1",  // nothing takes connections there
                                      "MAIL_WITHOUT_TLS=true", "MAIL_FROM=accounts@example.com",
                                      "ACCOUNT_URL=https://example.com/account", NULL});
  user_id = kept(accounts_new_user(&accounts, OWN)->id);
  (void)database_sql(&accounts.database, "INSERT INTO auth.roles VALUES ('%s', 'admin')", user_id);
  (void)accounts_tokens(&accounts, OWN);
  Auth__V1__CreateServiceAccountRequest request = AUTH__V1__CREATE_SERVICE_ACCOUNT_REQUEST__INIT;
  request.name = "robot";
  const struct rpc_context context = as_admin();
  struct outcome made =
      driver_call(&accounts.to_auth, "auth.v1.ServiceAccountService/CreateServiceAccount", &request.base, &context);
  robot =
      kept(((const Auth__V1__ServiceAccount *)(const void *)driver_reply(&made, &auth__v1__service_account__descriptor))
               ->id);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_service_keys, .init = setup, .fini = teardown);

static struct prepared_call key_call(void)
{
  char *scopes[] = {(char *)(uintptr_t) "items:read"};
  Auth__V1__CreateApiKeyRequest request = AUTH__V1__CREATE_API_KEY_REQUEST__INIT;
  request.name = "robot's key";
  request.owner_id = (char *)(uintptr_t)robot;
  request.scopes = scopes;
  request.n_scopes = 1;
  const struct rpc_context context = as_admin();
  return driver_prepare(&accounts.to_auth, "auth.v1.ApiKeyService/CreateApiKey", &request.base, &context);
}

static void make_key(void)
{
  const struct prepared_call call = key_call();
  struct outcome outcome;
  driver_begin_prepared(&call, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  cr_assert_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
}

// A key of the service account that somebody else has made, which stays.
static void make_another(void)
{
  (void)database_sql(&accounts.database,
                     "INSERT INTO auth.api_keys (id, user_id, creator_id, name, key_hash, key_prefix) "
                     "VALUES (gen_random_uuid(), '%s', gen_random_uuid(), 'other', 'hash', 'bhk_01234567')",
                     robot);
}

static void expect_only_the_other(void)
{
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT string_agg(name, ' ') FROM auth.api_keys"), "other");
  cr_expect_str_eq(database_sql(&accounts.database,
                                "SELECT count(*) FROM auth.endings WHERE user_id = '%s' AND session_id IS NOT NULL",
                                robot),
                   "1", "gateways are told of the key under its account");
}

static void plant(const char *purpose, const char *other_email)
{
  accounts_plant_link(&accounts, &(struct planted_link){.token = LINK,
                                                        .purpose = purpose,
                                                        .user_id = user_id,
                                                        .email = OWN,
                                                        .other_email = other_email,
                                                        .email_version = 1});
}

static struct prepared_call reset_call(void)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__ResetPasswordRequest request = AUTH__V1__RESET_PASSWORD_REQUEST__INIT;
  request.token = (char *)(uintptr_t)LINK;
  request.new_password = (char *)(uintptr_t) "kolibri tunnel saturn";
  return driver_prepare(&accounts.to_auth, "auth.v1.RecoveryService/ResetPassword", &request.base, &anonymous);
}

Test(auth_service_keys, an_undo_removes_those_that_the_account_has_made)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__UndoEmailChangeRequest request = AUTH__V1__UNDO_EMAIL_CHANGE_REQUEST__INIT;
  make_key();
  make_another();
  (void)database_sql(&accounts.database, "UPDATE \"user\".users SET email = '" THIEF "', email_version = 2");
  plant("undo_email", THIEF);
  request.token = (char *)(uintptr_t)LINK;
  cr_expect_eq(driver_call(&accounts.to_auth, "auth.v1.EmailService/UndoEmailChange", &request.base, &anonymous).status,
               STATUS_OK);
  expect_only_the_other();
}

// Its address was not confirmed, so somebody else may have signed up with it.
Test(auth_service_keys, a_first_reset_removes_those_that_the_account_has_made)
{
  const struct prepared_call reset = reset_call();
  struct outcome outcome;
  make_key();
  make_another();
  plant("reset_password", NULL);
  driver_begin_prepared(&reset, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  cr_expect_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  expect_only_the_other();
}

Test(auth_service_keys, a_first_reset_removes_one_that_is_being_made)
{
  const struct prepared_call key = key_call(), reset = reset_call();
  struct outcome outcomes[2];
  make_another();
  plant("reset_password", NULL);
  gate_race(&accounts.database, "INSERT ON auth.audit_events FOR EACH ROW WHEN (NEW.action = 'api_key.create')", &key,
            &reset, outcomes);
  for (size_t i = 0; i < 2; i++)
    cr_expect_eq(outcomes[i].status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcomes[i].message));
  expect_only_the_other();
}

Test(auth_service_keys, whoever_makes_one_is_told_by_mail)
{
  const char *mails = "SELECT count(*) FROM auth.jobs WHERE kind = 'notice'";
  cr_expect_str_eq(database_sql(&accounts.database, "%s", mails), "0");
  make_key();
  cr_expect_str_eq(database_sql(&accounts.database, "%s", mails), "1");
}

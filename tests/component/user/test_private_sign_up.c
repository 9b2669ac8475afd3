// Sign-ups that tell nothing about existing accounts (VERIFY_EMAIL_FIRST), and addresses that change while a process or
// the auth service is away. No mail leaves: nothing takes connections at port 1.
#include <criterion/criterion.h>

#include "auth/v1/email.pb-c.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
static const char *const settings[] = {"MAIL_URL=smtp://127.0.0.1:1",    "MAIL_WITHOUT_TLS=true",
                                       "MAIL_FROM=accounts@example.com", "ACCOUNT_URL=https://example.com/account",
                                       "VERIFY_EMAIL_FIRST=true",        NULL};

static void setup(void)
{
  accounts_open(&accounts, settings);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(user_private_sign_up, .init = setup, .fini = teardown);

static void wait_sql(const char *query, const char *expected)
{
  database_wait_sql(&accounts.database, query, expected);
}

static struct outcome verify(const char *token)
{
  Auth__V1__VerifyEmailRequest request = AUTH__V1__VERIFY_EMAIL_REQUEST__INIT;
  request.token = (char *)(uintptr_t)token;
  return driver_call(&accounts.to_auth, "auth.v1.EmailService/VerifyEmail", &request.base, &anonymous);
}

// Stores a token that the test knows, as the mail would carry it.
static void add_token(const char *token, const char *purpose, const char *email)
{
  database_sql(&accounts.database,
               "INSERT INTO auth.account_tokens (token_hash, purpose, user_id, email, other_email, email_version,"
               " expire_time) SELECT sha256('%s'), '%s', id, '%s', email, email_version, now() + interval '1 hour'"
               " FROM \"user\".users WHERE email = '" ADA "'",
               token, purpose, email);
}

Test(user_private_sign_up, a_taken_address_gets_the_same_answer)
{
  const User__V1__User *first = accounts_new_user(&accounts, ADA);
  const User__V1__User *second = accounts_new_user(&accounts, "ADA@example.com");
  cr_expect_str_neq(first->id, second->id);
  cr_expect_str_eq(first->etag, second->etag);
  cr_expect_str_eq(first->display_name, second->display_name);
  cr_expect_not_null(second->create_time);
  cr_expect_not(second->email_verified);
  // The second sign-up leaves no account and no credential, and its owner gets a mail beside that of the first.
  wait_sql("SELECT count(*) FROM \"user\".jobs", "0");
  wait_sql("SELECT count(*) FROM \"user\".users", "1");
  wait_sql("SELECT count(*) FROM auth.credentials", "1");
  wait_sql("SELECT string_agg(purpose, ' ' ORDER BY purpose) FROM auth.account_tokens", "reset_password verify_email");
  wait_sql("SELECT count(*) FROM auth.jobs WHERE kind = 'mail'", "2");
}

Test(user_private_sign_up, a_login_waits_for_the_address)
{
  accounts_new_user(&accounts, ADA);
  struct outcome early = accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD);
  // Whoever has signed up with the address of somebody else learns no more than who guesses a password.
  struct outcome wrong = accounts_login(&accounts, ADA, "a wrong password");
  cr_expect_eq(early.status, STATUS_UNAUTHENTICATED, "%s", status_name(early.status));
  cr_expect(slice_equal_string(early.reason, "WRONG_CREDENTIALS"), SLICE_FMT, SLICE_ARG(early.reason));
  cr_expect_eq(wrong.status, early.status);
  cr_expect(slice_equal(wrong.reason, early.reason));
  cr_expect(slice_equal(wrong.message, early.message), SLICE_FMT, SLICE_ARG(wrong.message));
  add_token("token", "verify_email", ADA);
  cr_expect_eq(verify("token").status, STATUS_OK);
  accounts_tokens(&accounts, ADA);
}

// The process of auth has died between the change and what follows it: the job of the user service makes up for it.
Test(user_private_sign_up, a_change_is_followed_whatever_dies)
{
  accounts_new_user(&accounts, ADA);
  wait_sql("SELECT count(*) FROM \"user\".jobs", "0");
  add_token("token", "change_email", "eve@example.com");
  database_sql(&accounts.database,
               "ALTER TABLE auth.account_tokens ADD CONSTRAINT never CHECK (purpose <> 'undo_email')"
               " NOT VALID");
  cr_expect_neq(verify("token").status, STATUS_OK);
  wait_sql("SELECT email FROM \"user\".users", "eve@example.com");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE failures > 0", "1");
  database_sql(&accounts.database, "ALTER TABLE auth.account_tokens DROP CONSTRAINT never");
  wait_sql("SELECT count(*) FROM \"user\".jobs", "0");
  wait_sql("SELECT email, other_email FROM auth.account_tokens WHERE purpose = 'undo_email'", ADA "|eve@example.com");
  // The call that it came with was lost: it can be sent once more, which changes nothing.
  cr_expect_eq(verify("token").status, STATUS_OK);
  wait_sql("SELECT count(*) FROM auth.account_tokens WHERE purpose <> 'undo_email' AND use_time IS NULL", "0");
  cr_expect_neq(verify("token").status, STATUS_OK);
  wait_sql("SELECT count(*) FROM auth.account_tokens WHERE purpose = 'undo_email'", "1");
}

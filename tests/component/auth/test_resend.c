// The mail that confirms an address, asked for again. No mail leaves: nothing takes connections at port 1.
#include <criterion/criterion.h>

#include "auth/v1/email.pb-c.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, (const char *const[]){
                               "MAIL_URL=smtp://127.0.0.1:1", "MAIL_WITHOUT_TLS=true", "MAIL_FROM=accounts@example.com",
                               "ACCOUNT_URL=https://example.com/account", "VERIFY_EMAIL_FIRST=true", NULL});
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_resend, .init = setup, .fini = teardown);

// Asks for the mail, and waits until its job has ended.
static void resend(const char *email)
{
  Auth__V1__ResendVerificationRequest request = AUTH__V1__RESEND_VERIFICATION_REQUEST__INIT;
  const struct rpc_context anonymous = {.request_id = SLICE("r-0")};
  request.email = (char *)(uintptr_t)email;
  cr_expect_eq(
      driver_call(&accounts.to_auth, "auth.v1.EmailService/ResendVerification", &request.base, &anonymous).status,
      STATUS_OK);
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.jobs WHERE kind = 'resend'", "0");
}

static const char *count_mails(void)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.jobs WHERE kind = 'mail'");
}

static void sign_up(void)
{
  (void)accounts_new_user(&accounts, ADA);
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.jobs WHERE kind = 'mail'", "1");
}

Test(auth_resend, an_account_gets_five_mails_an_hour)
{
  sign_up();
  resend(ADA);
  cr_expect_str_eq(count_mails(), "2");
  for (int i = 0; i < 6; i++)
    resend("ADA@example.com");
  cr_expect_str_eq(count_mails(), "5");
}

Test(auth_resend, only_an_address_that_is_not_confirmed_gets_one)
{
  sign_up();
  resend("nobody@example.com");
  cr_expect_str_eq(count_mails(), "1");
  (void)database_sql(&accounts.database, "UPDATE \"user\".users SET verify_time = now()");
  resend(ADA);
  cr_expect_str_eq(count_mails(), "1");
}

// Mails that cannot be sent, and settings that would send what they must not.
#include <criterion/criterion.h>

#include "auth/v1/recovery.pb-c.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};

static void forget(const char *email)
{
  Auth__V1__ForgotPasswordRequest request = AUTH__V1__FORGOT_PASSWORD_REQUEST__INIT;
  request.email = (char *)(uintptr_t)email;
  cr_assert_eq(
      driver_call(&accounts.to_auth, "auth.v1.RecoveryService/ForgotPassword", &request.base, &anonymous).status,
      STATUS_OK);
}

// Nothing takes connections at port 1. A link that has expired must not be sent when the mail server is back.
Test(auth_mails, a_mail_is_not_sent_once_its_link_is_void)
{
  accounts_open(&accounts,
                (const char *const[]){"MAIL_URL=smtp://127.0.0.1:1", "MAIL_WITHOUT_TLS=true",
                                      "MAIL_FROM=accounts@example.com", "ACCOUNT_URL=https://example.com/account",
                                      "AUTH_RESET_TTL=1s", "AUTH_VERIFY_TTL=1s", NULL});
  accounts_new_user(&accounts, ADA);
  forget(ADA);
  process_wait_output(&accounts.auth, "a mail was not sent, because it could not be while its link was good");
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.jobs WHERE kind = 'mail'", "0");
  accounts_close(&accounts);
}

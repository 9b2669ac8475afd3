// Forgotten passwords: from the request over the mail, which a real mail server has taken, to the new password.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/mails.h"

#define SUBJECT "Set a new password"
#define NEW_PASSWORD "seven purple elephants dance"

static struct http_reply forget(const char *email)
{
  return HTTP(.path = "/v1/auth/password/forgot", .body = text("{\"email\":\"%s\"}", email));
}

static struct http_reply reset(const char *token, const char *password)
{
  return HTTP(.path = "/v1/auth/password/reset",
              .body = text("{\"token\":\"%s\",\"newPassword\":\"%s\"}", token, password));
}

static void assert_token_refused(struct http_reply reply)
{
  ASSERT_PROBLEM(reply, 400, "FAILED_PRECONDITION");
  cr_assert_str_eq(http_json(&reply, "reason"), "INVALID_TOKEN");
}

static const char *forget_and_read(const char *email, int count)
{
  ASSERT_STATUS(forget(email), 202);
  struct mail mail = mail_about(email, SUBJECT, count);
  cr_assert_not_null(strstr(mail.html, "#reset="));
  return mail_token(&mail, "reset");
}

Test(e2e_18_recovery, a_mail_sets_a_new_password_and_ends_all_sessions)
{
  struct account ada = account_create();
  const char *token = forget_and_read(ada.email, 1);
  ASSERT_STATUS(reset(token, NEW_PASSWORD), 204);
  struct http_reply old = account_login(ada.email, ada.password);
  ASSERT_PROBLEM(old, 401, "UNAUTHENTICATED");
  ASSERT_STATUS(account_login(ada.email, NEW_PASSWORD), 200);
  struct http_reply refreshed =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token));
  ASSERT_PROBLEM(refreshed, 401, "UNAUTHENTICATED");
  (void)mail_about(ada.email, "Your password was changed", 1);
}

Test(e2e_18_recovery, a_token_works_once)
{
  struct account ada = account_create();
  const char *token = forget_and_read(ada.email, 1);
  ASSERT_STATUS(reset(token, NEW_PASSWORD), 204);
  assert_token_refused(reset(token, "another purple elephant sleeps"));
  ASSERT_STATUS(account_login(ada.email, NEW_PASSWORD), 200);
}

Test(e2e_18_recovery, a_reset_spends_the_other_tokens_of_the_account)
{
  struct account ada = account_create();
  const char *first = forget_and_read(ada.email, 1);
  const char *second = forget_and_read(ada.email, 2);
  cr_assert_str_neq(first, second);
  ASSERT_STATUS(reset(second, NEW_PASSWORD), 204);
  assert_token_refused(reset(first, "another purple elephant sleeps"));
}

Test(e2e_18_recovery, a_password_that_is_refused_leaves_the_token)
{
  struct account ada = account_create();
  const char *token = forget_and_read(ada.email, 1);
  struct http_reply refused = reset(token, "password");
  ASSERT_PROBLEM(refused, 400, "INVALID_ARGUMENT");
  assert_violation(&refused, "newPassword");
  ASSERT_STATUS(reset(token, NEW_PASSWORD), 204);
}

// The answer does not tell whether there is an account, and nobody gets a mail that did not sign up.
Test(e2e_18_recovery, an_unknown_address_gets_the_same_answer_and_no_mail)
{
  const char *unknown = fresh_email();
  struct account ada = account_create();
  struct http_reply to_nobody = forget(unknown), to_ada = forget(ada.email);
  ASSERT_STATUS(to_nobody, 202);
  ASSERT_STATUS(to_ada, 202);
  cr_assert_str_eq(to_nobody.body, to_ada.body);
  (void)mail_about(ada.email, SUBJECT, 1);
  cr_assert_eq(mails_to(unknown, NULL), 0);
}

Test(e2e_18_recovery, an_account_gets_five_mails_an_hour)
{
  struct account ada = account_create();
  for (int i = 1; i <= 5; i++)
    (void)forget_and_read(ada.email, i);
  ASSERT_STATUS(forget(ada.email), 202);
  // What came later has been worked on, too.
  struct account eve = account_create();
  (void)forget_and_read(eve.email, 1);
  cr_assert_eq(mails_to(ada.email, SUBJECT), 5);
}

Test(e2e_18_recovery, what_was_never_sent_opens_nothing)
{
  assert_token_refused(reset("0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e0hT9mJ4yXq2", NEW_PASSWORD));
  struct account ada = account_create();
  assert_token_refused(reset(ada.refresh_token, NEW_PASSWORD));
}

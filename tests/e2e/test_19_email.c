// E-mail addresses: confirmed, changed and given back by links in mails that a real mail server has taken.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/mails.h"

#define NEW_PASSWORD "seven purple elephants dance"
#define CONFIRM "Confirm your e-mail address"
#define CONFIRM_NEW "Confirm your new e-mail address"
#define CHANGED "Your e-mail address was changed"
#define UNDONE "Your e-mail address is yours again"

static struct http_reply verify(const char *token)
{
  return HTTP(.path = "/v1/auth/email/verify", .body = text("{\"token\":\"%s\"}", token));
}

static struct http_reply change(const struct account *account, const char *new_email)
{
  return HTTP(.path = "/v1/auth/email/change", .token = account->token,
              .body = text("{\"newEmail\":\"%s\"}", new_email));
}

static struct http_reply undo(const char *token)
{
  return HTTP(.path = "/v1/auth/email/undo", .body = text("{\"token\":\"%s\"}", token));
}

static struct http_reply reset(const char *token)
{
  return HTTP(.path = "/v1/auth/password/reset",
              .body = text("{\"token\":\"%s\",\"newPassword\":\"%s\"}", token, NEW_PASSWORD));
}

static struct http_reply refresh(const struct account *account)
{
  return HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", account->refresh_token));
}

static void assert_token_refused(struct http_reply reply)
{
  ASSERT_PROBLEM(reply, 400, "FAILED_PRECONDITION");
  cr_assert_str_eq(http_json(&reply, "reason"), "INVALID_TOKEN");
}

static const char *token_about(const char *address, const char *subject, const char *purpose)
{
  struct mail mail = mail_about(address, subject, 1);
  cr_assert_not_null(strstr(mail.html, text("#%s=", purpose)), "%s", mail.html);
  return mail_token(&mail, purpose);
}

static void assert_address(const struct account *account, const char *email, const char *verified)
{
  struct http_reply me = HTTP(.path = "/v1/users/me", .token = account->token);
  ASSERT_STATUS(me, 200);
  cr_assert_str_eq(http_json(&me, "email"), email);
  cr_assert_str_eq(http_json(&me, "emailVerified"), verified);
}

// Changes the address of an account, and returns the token that takes the change back.
static const char *change_to(const struct account *account, const char *old_email, const char *new_email)
{
  ASSERT_STATUS(change(account, new_email), 202);
  const char *token = token_about(new_email, CONFIRM_NEW, "verify");
  ASSERT_STATUS(verify(token), 204);
  return token_about(old_email, CHANGED, "undo");
}

// ---- a new account ----

Test(e2e_19_email, the_mail_of_a_sign_up_confirms_the_address)
{
  struct account ada = account_create();
  assert_address(&ada, ada.email, "false");
  const char *token = token_about(ada.email, CONFIRM, "verify");
  ASSERT_STATUS(verify(token), 204);
  assert_address(&ada, ada.email, "true");
  assert_token_refused(verify(token));
}

Test(e2e_19_email, a_reset_by_mail_confirms_the_address_too)
{
  struct account ada = account_create();
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/forgot", .body = text("{\"email\":\"%s\"}", ada.email)), 202);
  ASSERT_STATUS(reset(token_about(ada.email, "Set a new password", "reset")), 204);
  struct http_reply login = account_login(ada.email, NEW_PASSWORD);
  ASSERT_STATUS(login, 200);
  ada.token = http_json(&login, "accessToken");
  assert_address(&ada, ada.email, "true");
}

Test(e2e_19_email, the_owner_is_told_of_a_login_from_another_device)
{
  struct account ada = account_create();
  ASSERT_STATUS(account_login(ada.email, ada.password), 200);
  struct mail told = mail_about(ada.email, "A login from a new device", 1);
  cr_assert_not_null(strstr(told.text, "127.0.0.1"), "%s", told.text);
  // The login that account_create has made was the first one.
  cr_assert_eq(mails_to(ada.email, "A login from a new device"), 1);
}

static struct http_reply resend(const char *email)
{
  return HTTP(.path = "/v1/auth/email/resend", .body = text("{\"email\":\"%s\"}", email));
}

Test(e2e_19_email, the_mail_of_a_sign_up_can_be_asked_for_again)
{
  struct account ada = account_create();
  (void)mail_about(ada.email, CONFIRM, 1);
  ASSERT_STATUS(resend(ada.email), 202);
  struct mail again = mail_about(ada.email, CONFIRM, 2);
  ASSERT_STATUS(verify(mail_token(&again, "verify")), 204);
  assert_address(&ada, ada.email, "true");
  // What needs no mail, or nobody has, is answered alike.
  struct http_reply known = resend(ada.email), unknown = resend(fresh_email());
  ASSERT_STATUS(known, 202);
  ASSERT_STATUS(unknown, 202);
  cr_assert_str_eq(known.body, unknown.body);
}

// ---- a change ----

Test(e2e_19_email, a_change_holds_once_the_new_address_confirms_it)
{
  struct account ada = account_create();
  const char *new_email = fresh_email();
  ASSERT_STATUS(change(&ada, new_email), 202);
  const char *token = token_about(new_email, CONFIRM_NEW, "verify");
  assert_address(&ada, ada.email, "false");
  ASSERT_STATUS(verify(token), 204);
  assert_address(&ada, new_email, "true");
  assert_token_refused(verify(token));
  ASSERT_STATUS(account_login(new_email, ada.password), 200);
  struct http_reply old = account_login(ada.email, ada.password);
  ASSERT_PROBLEM(old, 401, "UNAUTHENTICATED");
  struct mail told = mail_about(ada.email, CHANGED, 1);
  cr_assert_not_null(strstr(told.text, new_email), "%s", told.text);
}

Test(e2e_19_email, nobody_else_gets_an_address_that_may_come_back)
{
  struct account ada = account_create();
  (void)change_to(&ada, ada.email, fresh_email());
  struct http_reply thief = account_sign_up(ada.email, "correct horse battery");
  ASSERT_PROBLEM(thief, 409, "ALREADY_EXISTS");
  cr_assert_str_eq(http_json(&thief, "reason"), "EMAIL_TAKEN");
}

// The answer is the same, nothing changes, and the owner of the address hears of it.
Test(e2e_19_email, an_address_that_is_taken_stays_its_owners)
{
  struct account ada = account_create(), bob = account_create();
  ASSERT_STATUS(change(&ada, bob.email), 202);
  (void)mail_about(bob.email, "You have an account already", 1);
  cr_assert_eq(mails_to(bob.email, CONFIRM_NEW), 0);
  assert_address(&ada, ada.email, "false");
}

Test(e2e_19_email, the_address_that_the_account_has_is_no_new_one)
{
  struct account ada = account_create();
  struct http_reply same = change(&ada, ada.email);
  ASSERT_PROBLEM(same, 400, "INVALID_ARGUMENT");
  cr_assert_str_eq(http_json(&same, "reason"), "EMAIL_UNCHANGED");
  assert_violation(&same, "newEmail");
}

// Whoever asked for it may have been somebody else.
Test(e2e_19_email, a_change_of_the_password_voids_a_change_of_the_address)
{
  struct account ada = account_create();
  const char *new_email = fresh_email();
  ASSERT_STATUS(change(&ada, new_email), 202);
  const char *token = token_about(new_email, CONFIRM_NEW, "verify");
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/change", .token = ada.token,
                     .body = text("{\"currentPassword\":\"%s\",\"newPassword\":\"%s\"}", ada.password, NEW_PASSWORD)),
                204);
  assert_token_refused(verify(token));
}

// ---- its undo ----

Test(e2e_19_email, the_former_address_takes_a_change_back)
{
  struct account ada = account_create();
  const char *new_email = fresh_email();
  const char *token = change_to(&ada, ada.email, new_email);
  ASSERT_STATUS(undo(token), 204);
  assert_token_refused(undo(token));
  struct http_reply refreshed = refresh(&ada);
  ASSERT_PROBLEM(refreshed, 401, "UNAUTHENTICATED");
  struct http_reply thief = account_login(new_email, ada.password);
  ASSERT_PROBLEM(thief, 401, "UNAUTHENTICATED");
  struct http_reply login = account_login(ada.email, ada.password);
  ASSERT_STATUS(login, 200);
  ada.token = http_json(&login, "accessToken");
  assert_address(&ada, ada.email, "true");
  ASSERT_STATUS(reset(token_about(ada.email, UNDONE, "reset")), 204);
}

// A thief has moved the account on, and has set a password of his own.
Test(e2e_19_email, an_undo_takes_back_what_followed_and_voids_what_a_thief_holds)
{
  struct account ada = account_create();
  const char *second = fresh_email(), *third = fresh_email();
  const char *to_first = change_to(&ada, ada.email, second);
  const char *to_second = change_to(&ada, second, third);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/forgot", .body = text("{\"email\":\"%s\"}", third)), 202);
  ASSERT_STATUS(reset(token_about(third, "Set a new password", "reset")), 204);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/forgot", .body = text("{\"email\":\"%s\"}", third)), 202);
  struct mail kept = mail_about(third, "Set a new password", 2);
  ASSERT_STATUS(undo(to_first), 204);
  assert_token_refused(undo(to_second));
  assert_token_refused(reset(mail_token(&kept, "reset")));
  struct http_reply thief = account_login(ada.email, NEW_PASSWORD);
  ASSERT_PROBLEM(thief, 401, "UNAUTHENTICATED");
  ASSERT_STATUS(reset(token_about(ada.email, UNDONE, "reset")), 204);
  ASSERT_STATUS(account_login(ada.email, NEW_PASSWORD), 200);
}

// ---- tokens ----

Test(e2e_19_email, a_token_works_for_its_purpose_only)
{
  struct account ada = account_create();
  const char *of_sign_up = token_about(ada.email, CONFIRM, "verify");
  assert_token_refused(undo(of_sign_up));
  assert_token_refused(reset(of_sign_up));
  const char *new_email = fresh_email();
  ASSERT_STATUS(change(&ada, new_email), 202);
  const char *of_change = token_about(new_email, CONFIRM_NEW, "verify");
  assert_token_refused(undo(of_change));
  assert_token_refused(reset(of_change));
  ASSERT_STATUS(verify(of_change), 204);
  const char *of_undo = token_about(ada.email, CHANGED, "undo");
  assert_token_refused(verify(of_undo));
  assert_token_refused(reset(of_undo));
  assert_token_refused(verify(of_sign_up));
  assert_token_refused(verify("0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e"));
  ASSERT_STATUS(undo(of_undo), 204);
}

Test(e2e_19_email, a_change_needs_a_caller)
{
  struct http_reply anonymous =
      HTTP(.path = "/v1/auth/email/change", .body = text("{\"newEmail\":\"%s\"}", fresh_email()));
  ASSERT_PROBLEM(anonymous, 401, "UNAUTHENTICATED");
}

// Second factors as clients see them: adding an authenticator app, the second step of a login, recovery codes,
// remembered devices, and what becomes of guesses.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/common/totp_code.h"
#include "tests/support/http.h"
#include "tests/support/mails.h"
#include "tests/support/stack.h"

#define RECOVERY_CODES 10

// An account with an authenticator app.
struct guarded {
  struct account account;
  const char *device_token;  // of a login before there was the app
  const char *secret;
  const char *codes[RECOVERY_CODES];
};

static struct http_reply add_totp(const char *token)
{
  return HTTP(.path = "/v1/auth/factors/totp", .token = token, .body = "{}");
}

static struct http_reply confirm(const char *token, const char *code)
{
  return HTTP(.path = "/v1/auth/factors/totp/confirm", .token = token, .body = text("{\"code\":\"%s\"}", code));
}

// The code `steps` half minutes from now. A code is good for a step before and after its own, so 1 is good, too.
static const char *code_of(const char *secret, int steps)
{
  char code[7];
  totp_code(secret, steps, code);
  return text("%s", code);
}

static struct http_reply login(const struct account *account, const char *device_token)
{
  return HTTP(.path = "/v1/auth/login",
              .body = text("{\"email\":\"%s\",\"password\":\"%s\"%s}", account->email, account->password,
                           device_token == NULL ? "" : text(",\"deviceToken\":\"%s\"", device_token)));
}

static struct http_reply verify(const char *challenge, const char *code)
{
  return HTTP(.path = "/v1/auth/login/verify", .body = text("{\"challenge\":\"%s\",\"code\":\"%s\"}", challenge, code));
}

static struct http_reply verify_and_remember(const char *challenge, const char *code)
{
  return HTTP(.path = "/v1/auth/login/verify",
              .body = text("{\"challenge\":\"%s\",\"code\":\"%s\",\"rememberDevice\":true}", challenge, code));
}

// Logs in and asserts that a second step is asked for.
static const char *challenge_of(const struct account *account, const char *device_token)
{
  struct http_reply reply = login(account, device_token);
  ASSERT_STATUS(reply, 200);
  cr_assert_not_null(http_json(&reply, "challenge"), "%s", reply.body);
  return http_json(&reply, "challenge");
}

static void assert_refused(struct http_reply reply, int status, const char *reason)
{
  cr_assert_eq(reply.status, status, "%ld: %s", (long)reply.status, reply.body);
  cr_assert_str_eq(http_json(&reply, "reason"), reason);
}

static void confirm_app(struct guarded *ada)
{
  struct http_reply added = add_totp(ada->account.token);
  ASSERT_STATUS(added, 200);
  ada->secret = http_json(&added, "secret");
  struct http_reply confirmed = confirm(ada->account.token, code_of(ada->secret, 0));
  ASSERT_STATUS(confirmed, 200);
  cr_assert_eq(http_json_count(&confirmed, "recoveryCodes"), RECOVERY_CODES);
  for (int i = 0; i < RECOVERY_CODES; i++)
    ada->codes[i] = http_json(&confirmed, text("recoveryCodes[%d]", i));
}

static struct guarded guarded_create(void)
{
  struct guarded ada = {.account = account_create()};
  struct http_reply tokens = login(&ada.account, NULL);
  ASSERT_STATUS(tokens, 200);
  ada.device_token = http_json(&tokens, "deviceToken");
  ada.account.token = http_json(&tokens, "accessToken");
  confirm_app(&ada);
  return ada;
}

Test(e2e_20_factors, an_app_is_added_by_a_code_of_it)
{
  struct account ada = account_create();
  struct http_reply added = add_totp(ada.token);
  ASSERT_STATUS(added, 200);
  const char *secret = http_json(&added, "secret");
  cr_assert_eq(strlen(secret), 32);
  const char *uri = http_json(&added, "otpauthUri");
  cr_assert_eq(strncmp(uri, "otpauth://totp/", 15), 0, "%s", uri);
  cr_assert_eq(strncmp(http_json(&added, "qrSvg"), "<svg xmlns=", 11), 0, "%s", added.body);
  cr_assert_not_null(strstr(uri, text("secret=%s&", secret)));
  // The app does not count before.
  struct http_reply listed = HTTP(.path = "/v1/auth/factors", .token = ada.token);
  cr_assert_eq(http_json_count(&listed, "factors"), 0);
  struct http_reply wrong = confirm(ada.token, code_of(secret, 1000));
  assert_refused(wrong, 400, "WRONG_CODE");
  assert_violation(&wrong, "code");
  ASSERT_STATUS(confirm(ada.token, code_of(secret, 0)), 200);
  listed = HTTP(.path = "/v1/auth/factors", .token = ada.token);
  ASSERT_STATUS(listed, 200);
  cr_assert_eq(http_json_count(&listed, "factors"), 1);
  cr_assert_str_eq(http_json(&listed, "factors[0].type"), "totp");
  cr_assert_null(http_json(&listed, "factors[0].lastUseTime"));
  cr_assert_str_eq(http_json(&listed, "recoveryCodesLeft"), "10");
  assert_refused(confirm(ada.token, code_of(secret, 1)), 400, "NO_NEW_FACTOR");
  struct mail told = mail_about(ada.email, "The second step of your login was changed", 1);
  cr_assert_not_null(strstr(told.text, "an authenticator app was added"), "%s", told.text);
}

Test(e2e_20_factors, a_login_asks_for_the_second_step_and_gives_no_token_before)
{
  struct guarded ada = guarded_create();
  struct http_reply asked = login(&ada.account, NULL);
  ASSERT_STATUS(asked, 200);
  static const char *const absent[] = {"accessToken", "tokenType", "expiresIn", "refreshToken", "deviceToken"};
  for (size_t i = 0; i < ARRAY_LEN(absent); i++)
    cr_assert_null(http_json(&asked, absent[i]), "%s", asked.body);
  cr_assert_str_eq(http_json(&asked, "factors[0]"), "totp");
  cr_assert_str_eq(http_json(&asked, "factors[1]"), "recoveryCode");
  struct http_reply tokens = verify(http_json(&asked, "challenge"), code_of(ada.secret, 1));
  ASSERT_STATUS(tokens, 200);
  const char *token = http_json(&tokens, "accessToken");
  struct http_reply listed = HTTP(.path = "/v1/auth/factors", .token = token);
  ASSERT_STATUS(listed, 200);
  cr_assert_not_null(http_json(&listed, "factors[0].lastUseTime"));
  cr_assert_not_null(http_json(&tokens, "deviceToken"));
}

Test(e2e_20_factors, a_code_and_a_challenge_work_once)
{
  struct guarded ada = guarded_create();
  // The code that has confirmed the app is used, too.
  assert_refused(verify(challenge_of(&ada.account, NULL), code_of(ada.secret, 0)), 401, "WRONG_CODE");
  const char *challenge = challenge_of(&ada.account, NULL);
  const char *code = code_of(ada.secret, 1);
  ASSERT_STATUS(verify(challenge, code), 200);
  assert_refused(verify(challenge, ada.codes[0]), 401, "INVALID_CHALLENGE");
  assert_refused(verify(challenge_of(&ada.account, NULL), code), 401, "WRONG_CODE");
  ASSERT_STATUS(verify(challenge_of(&ada.account, NULL), ada.codes[0]), 200);
  assert_refused(verify(challenge_of(&ada.account, NULL), ada.codes[0]), 401, "WRONG_CODE");
  assert_refused(verify("0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e0hT9mJ4yXq2", ada.codes[1]), 401, "INVALID_CHALLENGE");
  assert_refused(verify(ada.account.refresh_token, ada.codes[1]), 401, "INVALID_CHALLENGE");
}

Test(e2e_20_factors, a_device_is_remembered_where_its_user_asks_for_it)
{
  struct guarded ada = guarded_create();
  struct http_reply tokens = verify(challenge_of(&ada.account, ada.device_token), ada.codes[0]);
  ASSERT_STATUS(tokens, 200);
  const char *device = http_json(&tokens, "deviceToken");
  tokens = verify_and_remember(challenge_of(&ada.account, device), ada.codes[1]);
  ASSERT_STATUS(tokens, 200);
  device = http_json(&tokens, "deviceToken");
  struct http_reply at_once = login(&ada.account, device);
  ASSERT_STATUS(at_once, 200);
  cr_assert_not_null(http_json(&at_once, "accessToken"));
  cr_assert_null(http_json(&at_once, "challenge"));
  cr_assert_eq(http_json_count(&at_once, "factors"), 0);
  // Another device is none that was remembered, and a change of the factors forgets this one.
  (void)challenge_of(&ada.account, NULL);
  ada.account.token = http_json(&at_once, "accessToken");
  confirm_app(&ada);
  (void)challenge_of(&ada.account, device);
}

Test(e2e_20_factors, a_changed_password_voids_challenges_and_remembered_devices)
{
  struct guarded ada = guarded_create();
  struct http_reply tokens = verify_and_remember(challenge_of(&ada.account, NULL), ada.codes[0]);
  ASSERT_STATUS(tokens, 200);
  const char *device = http_json(&tokens, "deviceToken");
  const char *challenge = challenge_of(&ada.account, NULL);
  // With a second factor, a shorter password is enough.
  const char *next = "q7#mVw2z!";
  struct http_reply changed =
      HTTP(.path = "/v1/auth/password/change", .token = http_json(&tokens, "accessToken"),
           .body = text("{\"currentPassword\":\"%s\",\"newPassword\":\"%s\"}", ada.account.password, next));
  ASSERT_STATUS(changed, 204);
  assert_refused(verify(challenge, ada.codes[1]), 401, "INVALID_CHALLENGE");
  ada.account.password = next;
  tokens = verify(challenge_of(&ada.account, device), ada.codes[1]);
  ASSERT_STATUS(tokens, 200);
  // The short password is not enough alone, so the factor stays until it is longer.
  const char *token = http_json(&tokens, "accessToken");
  struct http_reply listed = HTTP(.path = "/v1/auth/factors", .token = token);
  const char *path = text("/v1/auth/factors/%s", http_json(&listed, "factors[0].id"));
  assert_refused(HTTP(.method = "DELETE", .path = path, .token = token), 400, "PASSWORD_NEEDS_FACTOR");
  changed = HTTP(.path = "/v1/auth/password/change", .token = token,
                 .body = text("{\"currentPassword\":\"%s\",\"newPassword\":\"kolibri tunnel saturn\"}", next));
  ASSERT_STATUS(changed, 204);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = token), 204);
  assert_refused(HTTP(.method = "DELETE", .path = path, .token = token), 404, "FACTOR_NOT_FOUND");
  struct http_reply plain = account_login(ada.account.email, "kolibri tunnel saturn");
  ASSERT_STATUS(plain, 200);
  cr_assert_not_null(http_json(&plain, "accessToken"));
}

// Somebody who knows the password guesses codes. He is slowed; the owner signs in from his own device meanwhile.
Test(e2e_20_factors, a_thousand_wrong_codes_are_refused_and_hold_up_nobody_else)
{
  enum { GUESSES = 1000 };
  struct guarded ada = guarded_create();
  const char *challenge = challenge_of(&ada.account, NULL);
  int wrong = 0, refused = 0;
  for (int i = 0; i < GUESSES; i++) {
    struct http_reply reply = verify(challenge, code_of(ada.secret, 100 + i));
    wrong += reply.status == 401;
    refused += reply.status == 429;
    if (reply.status == 429)
      cr_assert_not_null(http_header(&reply, "retry-after"));
  }
  cr_assert_eq(wrong, 5);
  cr_assert_eq(refused, GUESSES - 5);
  // Not even the right one is taken there, and the next challenge has what the account's bucket has left.
  assert_refused(verify(challenge, code_of(ada.secret, 1)), 429, "TOO_MANY_FAILURES");
  challenge = challenge_of(&ada.account, NULL);
  for (int i = 0; i < 5; i++)
    assert_refused(verify(challenge, code_of(ada.secret, 100 + i)), 401, "WRONG_CODE");
  assert_refused(verify(challenge_of(&ada.account, NULL), code_of(ada.secret, 1)), 429, "TOO_MANY_FAILURES");
  ASSERT_STATUS(verify(challenge_of(&ada.account, ada.device_token), code_of(ada.secret, 1)), 200);
}

Test(e2e_20_factors, an_admin_removes_the_factors_of_somebody_who_has_lost_them)
{
  struct guarded ada = guarded_create();
  struct account admin = account_create();
  const char *path = text("/v1/users/%s:resetFactors", ada.account.id);
  assert_refused(HTTP(.path = path, .token = ada.account.token, .body = "{}"), 403, "PERMISSION_REQUIRED");
  (void)output_of(
      (const char *const[]){"deploy/local/stack", "exec", "auth", "grant-role", "admin", admin.email, NULL});
  struct http_reply tokens = account_login(admin.email, admin.password);
  const char *token = http_json(&tokens, "accessToken");
  ASSERT_STATUS(HTTP(.path = path, .token = token, .body = "{}"), 204);
  struct http_reply plain = account_login(ada.account.email, ada.account.password);
  ASSERT_STATUS(plain, 200);
  cr_assert_not_null(http_json(&plain, "accessToken"));
  struct mail told = mail_about(ada.account.email, "The second step of your login was changed", 2);
  cr_assert_not_null(strstr(told.text, "an administrator has removed all second factors"), "%s", told.text);
  const char *nobody = "/v1/users/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b:resetFactors";
  assert_refused(HTTP(.path = nobody, .token = token, .body = "{}"), 404, "USER_NOT_FOUND");
}

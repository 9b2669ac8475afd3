// Tokens of one purpose that are shown where another is expected: each is refused everywhere else, is not spent by
// that, and works where it belongs afterwards.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "tests/support/common/totp_code.h"
#include "tests/support/http.h"
#include "tests/support/mails.h"

#define NEW_PASSWORD "seven purple elephants dance"

// ---- where tokens are shown ----

static struct http_reply post(const char *from, const char *path, const char *body)
{
  return HTTP(.from = from, .path = text("/v1/auth/%s", path), .body = body);
}

static struct http_reply show_bearer(const char *from, const char *token)
{
  return HTTP(.from = from, .path = "/v1/users/me", .token = token);
}

static struct http_reply show_refresh(const char *from, const char *token)
{
  return post(from, "refresh", text("{\"refreshToken\":\"%s\"}", token));
}

static struct http_reply show_verify(const char *from, const char *token)
{
  return post(from, "email/verify", text("{\"token\":\"%s\"}", token));
}

static struct http_reply show_undo(const char *from, const char *token)
{
  return post(from, "email/undo", text("{\"token\":\"%s\"}", token));
}

static struct http_reply show_reset(const char *from, const char *token)
{
  return post(from, "password/reset", text("{\"token\":\"%s\",\"newPassword\":\"%s\"}", token, NEW_PASSWORD));
}

static const char *recovery_code;

static struct http_reply show_challenge(const char *from, const char *token)
{
  return post(from, "login/verify", text("{\"challenge\":\"%s\",\"code\":\"%s\"}", token, recovery_code));
}

enum { BEARER, REFRESH, VERIFY, UNDO, RESET, CHALLENGE, DOORS, NOWHERE };

static const struct {
  const char *name;
  struct http_reply (*show)(const char *from, const char *token);
  const char *refusals[4];  // reasons; the last is NULL. INVALID_REQUEST: it has not even the form
} doors[DOORS] = {
    [BEARER] = {"Authorization", show_bearer, {"INVALID_TOKEN", "INVALID_API_KEY"}},
    [REFRESH] = {"refresh", show_refresh, {"INVALID_REFRESH_TOKEN", "INVALID_REQUEST"}},
    [VERIFY] = {"email/verify", show_verify, {"INVALID_TOKEN", "INVALID_REQUEST"}},
    [UNDO] = {"email/undo", show_undo, {"INVALID_TOKEN", "INVALID_REQUEST"}},
    [RESET] = {"password/reset", show_reset, {"INVALID_TOKEN", "INVALID_REQUEST"}},
    [CHALLENGE] = {"login/verify", show_challenge, {"INVALID_CHALLENGE", "INVALID_REQUEST"}},
};

// ---- the tokens, of as many accounts as they need ----

struct shown {
  const char *name;
  const char *token;
  int door;  // where it belongs
};

static const char *token_about(const char *address, const char *subject, const char *purpose)
{
  struct mail mail = mail_about(address, subject, 1);
  return mail_token(&mail, purpose);
}

// Asks for another address, and returns the token that the mail to it holds.
static const char *ask_for(const struct account *account, const char *email)
{
  struct http_reply asked =
      HTTP(.path = "/v1/auth/email/change", .token = account->token, .body = text("{\"newEmail\":\"%s\"}", email));
  ASSERT_STATUS(asked, 202);
  return token_about(email, "Confirm your new e-mail address", "verify");
}

static const char *undo_token(void)
{
  struct account account = account_create();
  ASSERT_STATUS(show_verify(NULL, ask_for(&account, fresh_email())), 204);
  return token_about(account.email, "Your e-mail address was changed", "undo");
}

static const char *reset_token(void)
{
  struct account account = account_create();
  ASSERT_STATUS(post(NULL, "password/forgot", text("{\"email\":\"%s\"}", account.email)), 202);
  return token_about(account.email, "Set a new password", "reset");
}

static const char *challenge_token(void)
{
  struct account account = account_create();
  struct http_reply app = HTTP(.path = "/v1/auth/factors/totp", .token = account.token, .body = "{}");
  ASSERT_STATUS(app, 200);
  char code[7];
  totp_code(http_json(&app, "secret"), 0, code);
  struct http_reply codes =
      HTTP(.path = "/v1/auth/factors/totp/confirm", .token = account.token, .body = text("{\"code\":\"%s\"}", code));
  ASSERT_STATUS(codes, 200);
  recovery_code = http_json(&codes, "recoveryCodes[0]");
  struct http_reply login = account_login(account.email, account.password);
  ASSERT_STATUS(login, 200);
  return http_json(&login, "challenge");
}

static const char *api_key(const struct account *account)
{
  struct http_reply made = HTTP(.path = "/v1/apiKeys", .token = account->token,
                                .body = "{\"name\":\"nightly import\",\"scopes\":[\"users:read\"]}");
  ASSERT_STATUS(made, 201);
  return http_json(&made, "key");
}

static const char *passkey_challenge(void)
{
  struct http_reply begun = post(NULL, "passkeys/login/begin", "{}");
  ASSERT_STATUS(begun, 200);
  return http_json(&begun, "challenge");
}

static bool is_one_of(const char *reason, const char *const *reasons)
{
  for (; *reasons != NULL; reasons++)
    if (reason != NULL && strcmp(reason, *reasons) == 0)
      return true;
  return false;
}

Test(e2e_21_purposes, a_token_works_where_it_belongs_and_nowhere_else)
{
  struct account ada = account_create(), bob = account_create();
  struct http_reply login = account_login(bob.email, bob.password);
  ASSERT_STATUS(login, 200);
  const struct shown tokens[] = {
      {"an access token", ada.token, BEARER},
      {"an API key", api_key(&ada), BEARER},
      {"a refresh token", ada.refresh_token, REFRESH},
      {"the link of a sign-up", token_about(ada.email, "Confirm your e-mail address", "verify"), VERIFY},
      {"the link to a new address", ask_for(&bob, fresh_email()), VERIFY},
      {"the link that takes a change back", undo_token(), UNDO},
      {"the link for a new password", reset_token(), RESET},
      {"a challenge", challenge_token(), CHALLENGE},
      {"a recovery code", recovery_code, NOWHERE},
      {"a device token", http_json(&login, "deviceToken"), NOWHERE},
      {"the challenge of a passkey", passkey_challenge(), NOWHERE},
  };
  for (int d = 0; d < DOORS; d++) {
    const char *from = fresh_address();
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
      if (tokens[i].door == d)
        continue;
      struct http_reply refused = doors[d].show(from, tokens[i].token);
      cr_expect(refused.status == 400 || refused.status == 401, "%s at %s: %d", tokens[i].name, doors[d].name,
                refused.status);
      cr_expect(is_one_of(http_json(&refused, "reason"), doors[d].refusals), "%s at %s: %s", tokens[i].name,
                doors[d].name, refused.body);
    }
  }
  for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
    if (tokens[i].door == NOWHERE)
      continue;
    struct http_reply taken = doors[tokens[i].door].show(fresh_address(), tokens[i].token);
    cr_expect(taken.status == 200 || taken.status == 204, "%s: %d %s", tokens[i].name, taken.status, taken.body);
  }
}

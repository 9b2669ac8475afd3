// Passkeys, with an authenticator in software: registered by an account, and then all that a sign-in needs.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/arena.h"
#include "tests/support/common/authenticator.h"
#include "tests/support/common/totp_code.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/mails.h"
#include "tests/support/stack.h"

#define NEW_PASSWORD "seven purple elephants dance"
#define BOTH (AUTHENTICATOR_PRESENT | AUTHENTICATOR_VERIFIED)

static struct arena arena;

// The stack's pages by the name that its passkeys belong to.
static const char *origin(void)
{
  const char *url = need_variable("BULKHEAD_URL");
  const char *port = strrchr(url, ':');
  return text("%s://localhost%s", strncmp(url, "https", 5) == 0 ? "https" : "http", port);
}

static struct ceremony ceremony(const char *type, const char *challenge)
{
  return (struct ceremony){
      .type = type, .challenge = challenge, .origin = origin(), .rp_id = "localhost", .flags = BOTH};
}

static struct http_reply post(const char *token, const char *path, const char *body)
{
  return HTTP(.path = text("/v1/auth/passkeys/%s", path), .token = token, .body = body);
}

static const char *begin(const char *token, const char *what)
{
  struct http_reply reply = post(token, text("%s/begin", what), "{}");
  ASSERT_STATUS(reply, 200);
  return http_json(&reply, "challenge");
}

static const char *registration_body(struct authenticator *key, const struct ceremony *made)
{
  struct ceremony_answer answer = authenticator_register(key, made, "none", &arena);
  return authenticator_registration_json(key, &answer, &arena);
}

static void enroll(const struct account *account, struct authenticator *key)
{
  struct ceremony made = ceremony("webauthn.create", begin(account->token, "register"));
  struct http_reply reply = post(account->token, "register/finish", registration_body(key, &made));
  ASSERT_STATUS(reply, 201);
}

static const char *handle_of(const struct account *account)
{
  struct http_reply options = post(account->token, "register/begin", "{}");
  ASSERT_STATUS(options, 200);
  return http_json(&options, "user.id");
}

static const char *sign_in_body(struct authenticator *key, const struct ceremony *made, const char *handle)
{
  struct ceremony_answer answer = authenticator_sign_in(key, made, &arena);
  return authenticator_sign_in_json(key, &answer, handle, &arena);
}

static struct http_reply sign_in(struct authenticator *key, const struct account *account)
{
  struct ceremony made = ceremony("webauthn.get", begin(NULL, "login"));
  return post(NULL, "login/finish", sign_in_body(key, &made, handle_of(account)));
}

static void assert_reason(struct http_reply reply, int status, const char *reason)
{
  ASSERT_STATUS(reply, status);
  cr_assert_str_eq(http_json(&reply, "reason"), reason);
}

Test(e2e_19_passkeys, options_are_those_that_browsers_read)
{
  struct account ada = account_create();
  struct http_reply options = post(ada.token, "register/begin", "{}");
  ASSERT_STATUS(options, 200);
  cr_assert_str_eq(http_json(&options, "rp.id"), "localhost");
  cr_assert_str_eq(http_json(&options, "user.name"), ada.email);
  cr_assert_str_eq(http_json(&options, "pubKeyCredParams[0].alg"), "-7");
  cr_assert_str_eq(http_json(&options, "authenticatorSelection.residentKey"), "required");
  cr_assert_str_eq(http_json(&options, "authenticatorSelection.userVerification"), "required");
  cr_assert_str_eq(http_json(&options, "attestation"), "none");
  cr_assert_eq(http_json_count(&options, "excludeCredentials"), 0);
  struct http_reply request = post(NULL, "login/begin", "{}");
  ASSERT_STATUS(request, 200);
  cr_assert_str_eq(http_json(&request, "rpId"), "localhost");
  cr_assert_eq(http_json_count(&request, "allowCredentials"), 0);
}

Test(e2e_19_passkeys, a_passkey_is_registered_and_signs_its_user_in)
{
  struct account ada = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  enroll(&ada, key);
  struct mail told = mail_about(ada.email, "The second step of your login was changed", 1);
  cr_assert_not_null(strstr(told.text, "passkey"), "%s", told.text);
  struct http_reply options = post(ada.token, "register/begin", "{}");
  cr_assert_eq(http_json_count(&options, "excludeCredentials"), 1);
  cr_assert_str_eq(http_json(&options, "excludeCredentials[0].transports[0]"), "internal");

  struct http_reply tokens = sign_in(key, &ada);
  ASSERT_STATUS(tokens, 200);
  cr_assert_not_null(http_json(&tokens, "refreshToken"));
  struct http_reply me = HTTP(.path = "/v1/users/me", .token = http_json(&tokens, "accessToken"));
  ASSERT_STATUS(me, 200);
  cr_assert_str_eq(http_json(&me, "id"), ada.id);
  struct http_reply events = HTTP(.path = "/v1/users/me/auditEvents", .token = http_json(&tokens, "accessToken"));
  ASSERT_STATUS(events, 200);
  cr_assert_not_null(strstr(events.body, "\"passkey.add\""), "%s", events.body);
}

Test(e2e_19_passkeys, keys_of_every_offered_algorithm_sign_in)
{
  static const int algorithms[] = {AUTHENTICATOR_ES256, AUTHENTICATOR_EDDSA, AUTHENTICATOR_RS256};
  struct account ada = account_create();
  for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++) {
    struct authenticator *key = authenticator_create(algorithms[i], &arena);
    enroll(&ada, key);
    ASSERT_STATUS(sign_in(key, &ada), 200);
  }
}

Test(e2e_19_passkeys, a_challenge_works_once)
{
  struct account ada = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  enroll(&ada, key);
  struct ceremony made = ceremony("webauthn.get", begin(NULL, "login"));
  const char *body = sign_in_body(key, &made, handle_of(&ada));
  ASSERT_STATUS(post(NULL, "login/finish", body), 200);
  assert_reason(post(NULL, "login/finish", body), 400, "INVALID_CHALLENGE");

  struct ceremony creation = ceremony("webauthn.create", begin(ada.token, "register"));
  struct authenticator *other = authenticator_create(AUTHENTICATOR_EDDSA, &arena);
  ASSERT_STATUS(post(ada.token, "register/finish", registration_body(other, &creation)), 201);
  struct authenticator *third = authenticator_create(AUTHENTICATOR_ES256, &arena);
  assert_reason(post(ada.token, "register/finish", registration_body(third, &creation)), 400, "INVALID_CHALLENGE");
}

Test(e2e_19_passkeys, a_challenge_is_for_one_purpose_and_one_account)
{
  struct account ada = account_create(), eve = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  enroll(&ada, key);
  struct ceremony creation = ceremony("webauthn.create", begin(NULL, "login"));
  struct authenticator *other = authenticator_create(AUTHENTICATOR_ES256, &arena);
  assert_reason(post(ada.token, "register/finish", registration_body(other, &creation)), 400, "INVALID_CHALLENGE");
  creation.challenge = begin(eve.token, "register");
  assert_reason(post(ada.token, "register/finish", registration_body(other, &creation)), 400, "INVALID_CHALLENGE");
  struct ceremony request = ceremony("webauthn.get", begin(ada.token, "register"));
  assert_reason(post(NULL, "login/finish", sign_in_body(key, &request, handle_of(&ada))), 400, "INVALID_CHALLENGE");
  request.challenge = "AAAAAAAAAAAAAAAAAAAAAA";
  assert_reason(post(NULL, "login/finish", sign_in_body(key, &request, handle_of(&ada))), 400, "INVALID_CHALLENGE");
}

static void add_app(const struct account *account)
{
  struct http_reply added = HTTP(.path = "/v1/auth/factors/totp", .token = account->token, .body = "{}");
  ASSERT_STATUS(added, 200);
  char code[7];
  totp_code(http_json(&added, "secret"), 0, code);
  ASSERT_STATUS(
      HTTP(.path = "/v1/auth/factors/totp/confirm", .token = account->token, .body = text("{\"code\":\"%s\"}", code)),
      200);
}

// A challenge that no decoder reads is as foreign as one that this server has not made.
static const char *const unreadable[] = {"*", "", "A", "AA*A"};

Test(e2e_19_passkeys, a_challenge_that_cannot_be_read_is_refused)
{
  struct account ada = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct authenticator *other = authenticator_create(AUTHENTICATOR_ES256, &arena);
  enroll(&ada, key);
  add_app(&ada);
  struct http_reply login = account_login(ada.email, ada.password);
  ASSERT_STATUS(login, 200);
  const char *second = http_json(&login, "challenge"), *handle = handle_of(&ada);
  for (size_t i = 0; i < sizeof(unreadable) / sizeof(*unreadable); i++) {
    struct ceremony request = ceremony("webauthn.get", unreadable[i]);
    const char *body = sign_in_body(key, &request, handle);
    assert_reason(post(NULL, "login/finish", body), 400, "INVALID_CHALLENGE");
    assert_reason(
        HTTP(.path = "/v1/auth/login/verify", .body = text("{\"challenge\":\"%s\",\"passkey\":%s}", second, body)), 400,
        "INVALID_CHALLENGE");
    struct ceremony creation = ceremony("webauthn.create", unreadable[i]);
    assert_reason(post(ada.token, "register/finish", registration_body(other, &creation)), 400, "INVALID_CHALLENGE");
  }
}

Test(e2e_19_passkeys, what_is_wrong_in_one_thing_signs_nobody_in)
{
  struct account ada = account_create(), eve = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  authenticator_set_counter(key, 10);
  enroll(&ada, key);
  // Another origin, no user verification, another account's handle, a counter that went back.
  struct ceremony made = ceremony("webauthn.get", begin(NULL, "login"));
  made.origin = "https://localhost.evil.org";
  authenticator_set_counter(key, 11);
  assert_reason(post(NULL, "login/finish", sign_in_body(key, &made, handle_of(&ada))), 401, "WRONG_PASSKEY");
  made.origin = origin();
  made.flags = AUTHENTICATOR_PRESENT;
  assert_reason(post(NULL, "login/finish", sign_in_body(key, &made, handle_of(&ada))), 401, "WRONG_PASSKEY");
  made.flags = BOTH;
  assert_reason(post(NULL, "login/finish", sign_in_body(key, &made, handle_of(&eve))), 401, "WRONG_PASSKEY");
  authenticator_set_counter(key, 10);
  assert_reason(post(NULL, "login/finish", sign_in_body(key, &made, handle_of(&ada))), 401, "WRONG_PASSKEY");
  // What was refused has spent nothing.
  authenticator_set_counter(key, 12);
  ASSERT_STATUS(post(NULL, "login/finish", sign_in_body(key, &made, handle_of(&ada))), 200);
}

Test(e2e_19_passkeys, a_passkey_is_listed_and_removed_as_a_factor)
{
  struct account ada = account_create(), eve = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony made = ceremony("webauthn.create", begin(ada.token, "register"));
  const char *body = registration_body(key, &made);
  // A name beside what the browser sends.
  struct http_reply added = post(ada.token, "register/finish", text("{\"name\":\"Ada's key\",%s", body + 1));
  ASSERT_STATUS(added, 201);
  struct http_reply factors = HTTP(.path = "/v1/auth/factors", .token = ada.token);
  ASSERT_STATUS(factors, 200);
  cr_assert_eq(http_json_count(&factors, "factors"), 1);
  cr_assert_str_eq(http_json(&factors, "factors[0].type"), "passkey");
  cr_assert_str_eq(http_json(&factors, "factors[0].name"), "Ada's key");
  cr_assert_str_eq(http_json(&factors, "factors[0].id"), http_json(&added, "id"));
  const char *path = text("/v1/auth/factors/%s", http_json(&added, "id"));
  ASSERT_PROBLEM(HTTP(.method = "DELETE", .path = path, .token = eve.token), 404, "NOT_FOUND");
  ASSERT_STATUS(sign_in(key, &ada), 200);
  // A passkey alone asks nobody for a second step.
  struct http_reply login = account_login(ada.email, ada.password);
  cr_assert_not_null(http_json(&login, "accessToken"));
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = ada.token), 204);
  assert_reason(sign_in(key, &ada), 401, "WRONG_PASSKEY");
}

static struct http_reply verify(const char *challenge, struct authenticator *key, const struct account *account)
{
  struct ceremony made = ceremony("webauthn.get", begin(NULL, "login"));
  return HTTP(.path = "/v1/auth/login/verify", .body = text("{\"challenge\":\"%s\",\"passkey\":%s}", challenge,
                                                            sign_in_body(key, &made, handle_of(account))));
}

Test(e2e_19_passkeys, a_passkey_is_the_second_step_of_a_login)
{
  struct account ada = account_create(), eve = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct authenticator *other = authenticator_create(AUTHENTICATOR_ES256, &arena);
  enroll(&ada, key);
  enroll(&eve, other);
  add_app(&ada);
  struct http_reply login = account_login(ada.email, ada.password);
  ASSERT_STATUS(login, 200);
  cr_assert_null(http_json(&login, "accessToken"));
  cr_assert_str_eq(http_json(&login, "factors[0]"), "passkey");
  const char *challenge = http_json(&login, "challenge");
  assert_reason(verify(challenge, other, &eve), 401, "WRONG_PASSKEY");
  struct http_reply tokens = verify(challenge, key, &ada);
  ASSERT_STATUS(tokens, 200);
  struct http_reply me = HTTP(.path = "/v1/users/me", .token = http_json(&tokens, "accessToken"));
  cr_assert_str_eq(http_json(&me, "id"), ada.id);
  // The challenge of the login is used; and a passkey signs in without a second step.
  assert_reason(verify(challenge, key, &ada), 401, "INVALID_CHALLENGE");
  struct http_reply alone = sign_in(key, &ada);
  ASSERT_STATUS(alone, 200);
  cr_assert_not_null(http_json(&alone, "accessToken"));
}

// ---- what somebody else has added to an account ----

// By what a thief or squatter has secured his way into an account.
struct foothold {
  struct authenticator *passkey;
  const char *handle;
  const char *api_key;
};

static struct foothold settle_in(const struct account *account)
{
  struct foothold held = {.passkey = authenticator_create(AUTHENTICATOR_ES256, &arena), .handle = handle_of(account)};
  enroll(account, held.passkey);
  add_app(account);
  struct http_reply made =
      HTTP(.path = "/v1/apiKeys", .token = account->token, .body = "{\"name\":\"mine\",\"scopes\":[\"users:read\"]}");
  ASSERT_STATUS(made, 201);
  held.api_key = http_json(&made, "key");
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = held.api_key), 200);
  return held;
}

static bool is_refused(const void *api_key)
{
  struct http_reply reply = HTTP(.path = "/v1/users/me", .token = api_key);
  return reply.status == 401;
}

// The owner signs in with a password of his own, and nothing of the other one's is left.
static void assert_owners(const struct account *account, const struct foothold *held)
{
  struct ceremony made = ceremony("webauthn.get", begin(NULL, "login"));
  const char *body = sign_in_body(held->passkey, &made, held->handle);
  assert_reason(post(NULL, "login/finish", body), 401, "WRONG_PASSKEY");
  wait_until(is_refused, held->api_key, "an API key that was removed is taken");
  struct http_reply login = account_login(account->email, NEW_PASSWORD);
  ASSERT_STATUS(login, 200);
  const char *token = http_json(&login, "accessToken");
  cr_assert_not_null(token, "%s", login.body);
  struct http_reply factors = HTTP(.path = "/v1/auth/factors", .token = token);
  cr_assert_eq(http_json_count(&factors, "factors"), 0, "%s", factors.body);
  cr_assert_str_eq(http_json(&factors, "recoveryCodesLeft"), "0");
  struct http_reply keys = HTTP(.path = "/v1/apiKeys", .token = token);
  cr_assert_eq(http_json_count(&keys, "apiKeys"), 0, "%s", keys.body);
  struct http_reply events = HTTP(.path = "/v1/users/me/auditEvents", .token = token);
  cr_assert_not_null(strstr(events.body, "\"factor.reset\""), "%s", events.body);
}

static void reset(const char *email, const char *subject)
{
  struct mail mail = mail_about(email, subject, 1);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/reset", .body = text("{\"token\":\"%s\",\"newPassword\":\"%s\"}",
                                                                     mail_token(&mail, "reset"), NEW_PASSWORD)),
                204);
}

Test(e2e_19_passkeys, an_undone_change_of_the_address_removes_what_a_thief_has_added)
{
  struct account ada = account_create();
  struct foothold thief = settle_in(&ada);
  const char *other = fresh_email();
  ASSERT_STATUS(HTTP(.path = "/v1/auth/email/change", .token = ada.token, .body = text("{\"newEmail\":\"%s\"}", other)),
                202);
  struct mail wish = mail_about(other, "Confirm your new e-mail address", 1);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/email/verify", .body = text("{\"token\":\"%s\"}", mail_token(&wish, "verify"))),
                204);
  struct mail told = mail_about(ada.email, "Your e-mail address was changed", 1);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/email/undo", .body = text("{\"token\":\"%s\"}", mail_token(&told, "undo"))),
                204);
  reset(ada.email, "Your e-mail address is yours again");
  assert_owners(&ada, &thief);
}

// Somebody has signed up with an address that is not his, and its owner never confirmed that.
Test(e2e_19_passkeys, a_reset_by_mail_removes_what_was_added_before_the_address_was_confirmed)
{
  struct account ada = account_create();
  struct foothold squatter = settle_in(&ada);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/forgot", .body = text("{\"email\":\"%s\"}", ada.email)), 202);
  reset(ada.email, "Set a new password");
  assert_owners(&ada, &squatter);
}

Test(e2e_19_passkeys, an_unknown_passkey_signs_nobody_in)
{
  struct account ada = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  assert_reason(sign_in(key, &ada), 401, "WRONG_PASSKEY");
}

Test(e2e_19_passkeys, a_passkey_belongs_to_one_account)
{
  struct account ada = account_create(), eve = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  enroll(&ada, key);
  struct ceremony made = ceremony("webauthn.create", begin(eve.token, "register"));
  assert_reason(post(eve.token, "register/finish", registration_body(key, &made)), 409, "PASSKEY_EXISTS");
}

Test(e2e_19_passkeys, a_registration_that_is_wrong_is_refused)
{
  struct account ada = account_create();
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony made = ceremony("webauthn.create", begin(ada.token, "register"));
  made.origin = "http://localhost";
  assert_reason(post(ada.token, "register/finish", registration_body(key, &made)), 400, "PASSKEY_REFUSED");
  made.origin = origin();
  made.flags = AUTHENTICATOR_PRESENT;
  assert_reason(post(ada.token, "register/finish", registration_body(key, &made)), 400, "PASSKEY_REFUSED");
  ASSERT_PROBLEM(post(ada.token, "register/finish", "{\"id\":\"AA\"}"), 400, "INVALID_ARGUMENT");
}

Test(e2e_19_passkeys, registering_needs_a_login)
{
  ASSERT_PROBLEM(post(NULL, "register/begin", "{}"), 401, "UNAUTHENTICATED");
  ASSERT_PROBLEM(post(NULL, "register/finish", "{}"), 401, "UNAUTHENTICATED");
}

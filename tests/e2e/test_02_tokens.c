// Logging in, staying logged in, logging out; tokens that must not work.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

Test(e2e_02_tokens, login_answers_as_rfc_6749_in_lower_camel)
{
  struct account ada = account_create();
  struct http_reply reply = account_login(ada.email, ada.password);
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "tokenType"), "Bearer");
  cr_assert_str_eq(http_json(&reply, "expiresIn"), "900");
  cr_assert_not_null(http_json(&reply, "accessToken"));
  cr_assert_not_null(http_json(&reply, "refreshToken"));
  cr_assert_str_eq(http_header(&reply, "Cache-Control"), "no-store");
}

Test(e2e_02_tokens, a_wrong_password_and_an_unknown_address_look_the_same)
{
  struct account ada = account_create();
  struct http_reply wrong = account_login(ada.email, "not her password");
  struct http_reply unknown = account_login(fresh_email(), "not her password");
  ASSERT_PROBLEM(wrong, 401, "UNAUTHENTICATED");
  ASSERT_PROBLEM(unknown, 401, "UNAUTHENTICATED");
  cr_assert_str_eq(http_json(&wrong, "detail"), http_json(&unknown, "detail"));
}

Test(e2e_02_tokens, a_refresh_token_is_spent_and_its_answer_may_be_asked_for_again)
{
  struct account ada = account_create();
  const char *body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token);
  struct http_reply first = HTTP(.path = "/v1/auth/refresh", .body = body);
  ASSERT_STATUS(first, 200);
  cr_assert_str_neq(http_json(&first, "refreshToken"), ada.refresh_token);
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = http_json(&first, "accessToken")), 200);
  struct http_reply second = HTTP(.path = "/v1/auth/refresh", .body = body);
  ASSERT_STATUS(second, 200);
  // Both clients go on.
  struct http_reply *both[] = {&first, &second};
  for (size_t i = 0; i < ARRAY_LEN(both); i++)
    ASSERT_STATUS(
        HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", http_json(both[i], "refreshToken"))),
        200);
}

Test(e2e_02_tokens, a_token_that_was_spent_before_ends_the_session)
{
  struct account ada = account_create();
  const char *body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token);
  struct http_reply first = HTTP(.path = "/v1/auth/refresh", .body = body);
  ASSERT_STATUS(first, 200);
  struct http_reply second =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", http_json(&first, "refreshToken")));
  ASSERT_STATUS(second, 200);
  struct http_reply reused = HTTP(.path = "/v1/auth/refresh", .body = body);
  ASSERT_PROBLEM(reused, 401, "UNAUTHENTICATED");
  struct http_reply ended =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", http_json(&second, "refreshToken")));
  ASSERT_PROBLEM(ended, 401, "UNAUTHENTICATED");
}

Test(e2e_02_tokens, logout_ends_the_session_and_may_be_repeated)
{
  struct account ada = account_create();
  const char *body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = body), 204);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = body), 204);
  struct http_reply refresh = HTTP(.path = "/v1/auth/refresh", .body = body);
  ASSERT_PROBLEM(refresh, 401, "UNAUTHENTICATED");
}

Test(e2e_02_tokens, the_public_keys_are_a_json_web_key_set)
{
  struct http_reply reply = HTTP(.path = "/.well-known/jwks.json");
  ASSERT_STATUS(reply, 200);
  cr_assert_gt(http_json_count(&reply, "keys"), 0);
  cr_assert_str_eq(http_json(&reply, "keys[0].kty"), "EC");
  cr_assert_str_eq(http_json(&reply, "keys[0].crv"), "P-256");
  cr_assert_str_eq(http_json(&reply, "keys[0].alg"), "ES256");
  cr_assert_eq(strlen(http_json(&reply, "keys[0].x")), 43);
  cr_assert_null(http_json(&reply, "keys[0].d"));
}

static void assert_refused(const char *token)
{
  struct http_reply reply = HTTP(.path = "/v1/users/me", .token = token);
  ASSERT_PROBLEM(reply, 401, "UNAUTHENTICATED");
  const char *challenge = http_header(&reply, "WWW-Authenticate");
  cr_assert_not_null(challenge);
  cr_assert(strncmp(challenge, "Bearer", 6) == 0, "%s", challenge);
}

static const char *base64url(const char *plain)
{
  struct strbuf out;
  strbuf_init(&out, 0);
  base64url_encode(slice_from_string(plain), &out);
  const char *result = text(SLICE_FMT, SLICE_ARG(strbuf_slice(&out)));
  strbuf_free(&out);
  return result;
}

Test(e2e_02_tokens, no_token_a_forged_one_and_garbage_are_refused)
{
  struct account ada = account_create();
  struct http_reply none = HTTP(.path = "/v1/users/me");
  ASSERT_PROBLEM(none, 401, "UNAUTHENTICATED");
  assert_refused("garbage");
  assert_refused("a.b.c");

  const char *payload = strchr(ada.token, '.');
  size_t claims_size = strcspn(payload + 1, ".");
  // This token has the real claims and the algorithm "none".
  assert_refused(text("%s.%.*s.", base64url("{\"alg\":\"none\",\"typ\":\"JWT\"}"), (int)claims_size, payload + 1));

  // One bit is changed in the claims, then one in the signature.
  char *forged = text("%s", ada.token);
  size_t place = (size_t)(payload - ada.token) + 20;
  forged[place] = forged[place] == 'A' ? 'B' : 'A';
  assert_refused(forged);
  forged = text("%s", ada.token);
  place = strlen(forged) - 20;
  forged[place] = forged[place] == 'A' ? 'B' : 'A';
  assert_refused(forged);
}

Test(e2e_02_tokens, the_scheme_must_be_bearer)
{
  struct account ada = account_create();
  struct http_reply basic = HTTP(.path = "/v1/users/me", .headers = {"Authorization: Basic YTpi"});
  ASSERT_PROBLEM(basic, 401, "UNAUTHENTICATED");
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .headers = {text("Authorization: bearer %s", ada.token)}), 200);
}

Test(e2e_02_tokens, sessions_are_listed_named_and_ended)
{
  struct account ada = account_create();
  struct http_reply login = HTTP(.path = "/v1/auth/login", .headers = {"User-Agent: e2e/1"},
                                 .body = text("{\"email\":\"%s\",\"password\":\"%s\"}", ada.email, ada.password));
  ASSERT_STATUS(login, 200);
  const char *token = http_json(&login, "accessToken");
  struct http_reply list = HTTP(.path = "/v1/auth/sessions", .token = token);
  ASSERT_STATUS(list, 200);
  cr_assert_eq(http_json_count(&list, "sessions"), 2);
  cr_expect_str_eq(http_json(&list, "sessions[0].deviceName"), "e2e/1");
  cr_expect_str_eq(http_json(&list, "sessions[0].current"), "true");
  cr_expect_not_null(http_json(&list, "sessions[0].address"));
  cr_expect_not_null(http_json(&list, "sessions[0].createTime"));
  cr_expect_not_null(http_json(&list, "sessions[0].lastUseTime"));

  const char *path = text("/v1/auth/sessions/%s", http_json(&list, "sessions[0].id"));
  struct http_reply named =
      HTTP(.method = "PATCH", .path = path, .token = token, .body = "{\"deviceName\":\"Ada's laptop\"}");
  ASSERT_STATUS(named, 200);
  cr_expect_str_eq(http_json(&named, "deviceName"), "Ada's laptop");

  struct account eve = account_create();
  struct http_reply foreign = HTTP(.method = "DELETE", .path = path, .token = eve.token);
  ASSERT_PROBLEM(foreign, 404, "NOT_FOUND");
  ASSERT_STATUS(HTTP(.path = "/v1/auth/sessions:revokeOthers", .token = token, .body = "{}"), 204);
  list = HTTP(.path = "/v1/auth/sessions", .token = token);
  cr_assert_eq(http_json_count(&list, "sessions"), 1);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = token), 204);
}

// Whether twenty requests in a row are refused: each of them may meet another worker of the gateway.
static bool is_revoked(const void *arg)
{
  const char *token = arg;
  for (int i = 0; i < 20; i++) {
    struct http_reply reply = HTTP(.path = "/v1/users/me", .token = token);
    if (reply.status != 401 || strcmp(http_json(&reply, "reason"), "TOKEN_REVOKED") != 0)
      return false;
  }
  return true;
}

static void expect_revoked(const char *token)
{
  wait_until(is_revoked, token, "the token of what has ended is taken on");
}

Test(e2e_02_tokens, access_tokens_end_with_their_session)
{
  struct account ada = account_create();
  struct http_reply login = account_login(ada.email, ada.password);
  const char *kept = http_json(&login, "accessToken");
  for (int i = 0; i < 8; i++)
    ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token), 200);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/sessions:revokeOthers", .token = kept, .body = "{}"), 204);
  expect_revoked(ada.token);
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = kept), 200);
}

Test(e2e_02_tokens, all_sessions_end_with_their_access_tokens)
{
  struct account ada = account_create();
  struct http_reply login = account_login(ada.email, ada.password);
  const char *token = http_json(&login, "accessToken");
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token), 200);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/sessions:revokeAll", .token = token, .body = "{}"), 204);
  expect_revoked(ada.token);
  expect_revoked(token);
}

Test(e2e_02_tokens, access_tokens_end_with_a_logout)
{
  struct account ada = account_create();
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token), 200);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token)), 204);
  expect_revoked(ada.token);
}

Test(e2e_02_tokens, access_tokens_end_with_their_account)
{
  struct account ada = account_create();
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token), 200);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = "/v1/users/me", .token = ada.token), 204);
  expect_revoked(ada.token);
}

// Accounts as a REST client sees them.
#include <criterion/criterion.h>

#include "tests/support/http.h"
#include "tests/support/mails.h"

Test(e2e_01_accounts, sign_up_answers_201_with_the_account_and_where_it_is)
{
  const char *email = fresh_email();
  struct http_reply reply = account_sign_up(email, "correct horse battery");
  ASSERT_STATUS(reply, 201);
  const char *id = http_json(&reply, "id");
  cr_assert_str_eq(http_json(&reply, "email"), email);
  cr_assert_str_eq(http_json(&reply, "displayName"), "Ada Lovelace");
  cr_assert_not_null(http_json(&reply, "createTime"));
  cr_assert_not_null(http_json(&reply, "updateTime"));
  cr_assert_null(http_json(&reply, "password"));
  cr_assert_str_eq(http_header(&reply, "Location"), text("/v1/users/%s", id));
  cr_assert_str_eq(http_header(&reply, "ETag"), text("\"%s\"", http_json(&reply, "etag")));
}

Test(e2e_01_accounts, an_address_has_one_account_in_whatever_case)
{
  const char *word = fresh_word();
  ASSERT_STATUS(account_sign_up(text("%s@example.com", word), "correct horse battery"), 201);
  struct http_reply again = account_sign_up(text("%s@EXAMPLE.com", word), "another password");
  ASSERT_PROBLEM(again, 409, "ALREADY_EXISTS");
  assert_violation(&again, "email");
}

Test(e2e_01_accounts, sign_up_names_every_field_at_fault)
{
  struct http_reply reply = HTTP(.path = "/v1/users", .body = "{\"email\":\"nobody\"}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "email");
  assert_violation(&reply, "password");
  assert_violation(&reply, "displayName");
}

static void expect_password_refused(const char *password, const char *reason)
{
  struct http_reply reply = account_sign_up(fresh_email(), password);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "password");
  cr_expect_str_eq(http_json(&reply, "reason"), reason, "%s: %s", password, http_json(&reply, "reason"));
}

Test(e2e_01_accounts, a_password_that_is_easily_found_is_refused_with_a_reason)
{
  expect_password_refused("short", "PASSWORD_TOO_SHORT");
  expect_password_refused("fourteen chars", "PASSWORD_TOO_SHORT");
  expect_password_refused("wolf tusk gne\xCC\x81w", "PASSWORD_TOO_SHORT");
  expect_password_refused("Password Password!", "PASSWORD_COMMON");
  expect_password_refused("Ada Lovelace 1815", "PASSWORD_FROM_ACCOUNT");
  expect_password_refused("dragonmasterdragon", "PASSWORD_GUESSABLE");
  expect_password_refused("wolf tusk\\tgnaws away", "PASSWORD_NOT_TEXT");
}

// What one device sends as a letter with an accent, another one sends as a letter and an accent.
Test(e2e_01_accounts, both_spellings_of_an_accent_are_one_password)
{
  const char *email = fresh_email();
  ASSERT_STATUS(account_sign_up(email, "caf\xC3\xA9 au lait, croissant"), 201);
  ASSERT_STATUS(account_login(email, "cafe\xCC\x81 au lait, croissant"), 200);
  ASSERT_STATUS(account_login(email, "cafe au lait, croissant"), 401);
}

static struct http_reply change_password(const char *token, const char *current, const char *next)
{
  return HTTP(.path = "/v1/auth/password/change", .token = token,
              .body = text("{\"currentPassword\":\"%s\",\"newPassword\":\"%s\"}", current, next));
}

Test(e2e_01_accounts, a_changed_password_ends_the_other_sessions)
{
  struct account ada = account_create();
  struct http_reply here = account_login(ada.email, ada.password);
  const char *token = http_json(&here, "accessToken");
  ASSERT_PROBLEM(change_password(NULL, ada.password, "kolibri tunnel saturn"), 401, "UNAUTHENTICATED");
  ASSERT_PROBLEM(change_password(token, "a wrong password", "kolibri tunnel saturn"), 403, "PERMISSION_DENIED");
  struct http_reply refused = change_password(token, ada.password, text("%s!", ada.email));
  ASSERT_PROBLEM(refused, 400, "INVALID_ARGUMENT");
  assert_violation(&refused, "newPassword");
  cr_expect_str_eq(http_json(&refused, "reason"), "PASSWORD_FROM_ACCOUNT");
  ASSERT_STATUS(change_password(token, ada.password, "kolibri tunnel saturn"), 204);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token)), 401);
  const char *kept = http_json(&here, "refreshToken");
  ASSERT_STATUS(HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", kept)), 200);
  ASSERT_STATUS(account_login(ada.email, ada.password), 401);
  ASSERT_STATUS(account_login(ada.email, "kolibri tunnel saturn"), 200);
  (void)mail_about(ada.email, "Your password was changed", 1);
}

Test(e2e_01_accounts, an_account_is_read_by_its_owner_only)
{
  struct account ada = account_create();
  struct account bob = account_create();
  struct http_reply me = HTTP(.path = "/v1/users/me", .token = ada.token);
  ASSERT_STATUS(me, 200);
  cr_assert_str_eq(http_json(&me, "id"), ada.id);
  ASSERT_STATUS(HTTP(.path = text("/v1/users/%s", ada.id), .token = ada.token), 200);
  struct http_reply other = HTTP(.path = text("/v1/users/%s", ada.id), .token = bob.token);
  ASSERT_PROBLEM(other, 403, "PERMISSION_DENIED");
  struct http_reply nobody = HTTP(.path = "/v1/users/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", .token = bob.token);
  ASSERT_PROBLEM(nobody, 403, "PERMISSION_DENIED");
}

Test(e2e_01_accounts, a_change_touches_what_the_body_holds_and_makes_a_new_etag)
{
  struct account ada = account_create();
  const char *path = text("/v1/users/%s", ada.id);
  struct http_reply before = HTTP(.path = path, .token = ada.token);
  struct http_reply after =
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"displayName\":\"Countess\"}");
  ASSERT_STATUS(after, 200);
  cr_assert_str_eq(http_json(&after, "displayName"), "Countess");
  cr_assert_str_eq(http_json(&after, "email"), ada.email);
  cr_assert_str_neq(http_json(&after, "etag"), http_json(&before, "etag"));

  struct http_reply stale = HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"displayName\":\"X\"}",
                                 .headers = {text("If-Match: %s", http_header(&before, "ETag"))});
  ASSERT_PROBLEM(stale, 412, "ABORTED");
  struct http_reply fresh = HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"displayName\":\"Y\"}",
                                 .headers = {text("If-Match: %s", http_header(&after, "ETag"))});
  ASSERT_STATUS(fresh, 200);
}

Test(e2e_01_accounts, a_deleted_account_is_gone_with_its_password_and_its_address_is_free)
{
  struct account ada = account_create();
  const char *path = text("/v1/users/%s", ada.id);
  struct http_reply gone = HTTP(.method = "DELETE", .path = path, .token = ada.token);
  ASSERT_STATUS(gone, 204);
  cr_assert_eq(gone.body_size, 0);
  struct http_reply read = HTTP(.path = path, .token = ada.token);
  cr_assert(read.status == 404 || read.status == 401, "%d: the account is gone, and within a second its tokens",
            read.status);
  struct http_reply login = account_login(ada.email, ada.password);
  ASSERT_PROBLEM(login, 401, "UNAUTHENTICATED");
  struct http_reply refresh =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token));
  ASSERT_PROBLEM(refresh, 401, "UNAUTHENTICATED");
  ASSERT_STATUS(account_sign_up(ada.email, "another heron password"), 201);
}

Test(e2e_01_accounts, only_an_admin_lists_accounts)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/users", .token = ada.token);
  ASSERT_PROBLEM(reply, 403, "PERMISSION_DENIED");
}

// U+202E turns the direction around, U+200B shows nothing, U+FEFF neither: such a name looks like another one.
Test(e2e_01_accounts, a_name_that_looks_like_another_is_refused)
{
  static const char *const names[] = {"Ada \\u202eecalevoL", "Ada\\u200b Lovelace", "Ada\\ufeff Lovelace",
                                      "Ada\\u2066 Lovelace", "Ada \\u00ad Lovelace"};
  struct account ada = account_create();
  for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
    struct http_reply created =
        HTTP(.path = "/v1/users",
             .body = text("{\"email\":\"%s\",\"password\":\"correct horse battery\",\"displayName\":\"%s\"}",
                          fresh_email(), names[i]));
    ASSERT_PROBLEM(created, 400, "INVALID_ARGUMENT");
    assert_violation(&created, "displayName");
    struct http_reply changed = HTTP(.method = "PATCH", .path = "/v1/users/me", .token = ada.token,
                                     .body = text("{\"displayName\":\"%s\"}", names[i]));
    ASSERT_PROBLEM(changed, 400, "INVALID_ARGUMENT");
    assert_violation(&changed, "displayName");
  }
  struct http_reply mixed = HTTP(.method = "PATCH", .path = "/v1/users/me", .token = ada.token,
                                 .body = "{\"displayName\":\"\\u0391\\u03b4\\u03b1 \\u5f20\"}");
  ASSERT_STATUS(mixed, 200);
}

// Admins: made by a command on the machine, then all by REST.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

static void command(const char *name, const char *who)
{
  (void)output_of((const char *const[]){"deploy/local/stack", "exec", "auth", name, "admin", who, NULL});
}

// A change of roles takes effect with the next login, because roles are in the token.
static void log_in_again(struct account *account)
{
  struct http_reply tokens = account_login(account->email, account->password);
  ASSERT_STATUS(tokens, 200);
  account->token = http_json(&tokens, "accessToken");
  account->refresh_token = http_json(&tokens, "refreshToken");
}

static bool is_revoked(const void *arg)
{
  struct http_reply reply = HTTP(.path = "/v1/users", .token = arg);
  return reply.status == 401 && strcmp(http_json(&reply, "reason"), "TOKEN_REVOKED") == 0;
}

static struct account admin_create(void)
{
  struct account admin = account_create();
  command("grant-role", admin.email);
  log_in_again(&admin);
  return admin;
}

Test(e2e_08_admins, a_role_is_given_and_taken_by_command)
{
  struct account ada = account_create();
  ASSERT_STATUS(HTTP(.path = "/v1/users", .token = ada.token), 403);
  command("grant-role", ada.email);
  // The present token does not change; a refresh brings the role as a login does.
  ASSERT_STATUS(HTTP(.path = "/v1/users", .token = ada.token), 403);
  struct http_reply tokens =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token));
  ASSERT_STATUS(tokens, 200);
  ASSERT_STATUS(HTTP(.path = "/v1/users", .token = http_json(&tokens, "accessToken")), 200);
  command("revoke-role", ada.id);
  wait_until(is_revoked, http_json(&tokens, "accessToken"), "the token of an admin who is none any more is taken");
  log_in_again(&ada);
  ASSERT_STATUS(HTTP(.path = "/v1/users", .token = ada.token), 403);
}

// Others who sign up meanwhile come before the first page, never between two pages.
Test(e2e_08_admins, lists_all_accounts_page_by_page_newest_first)
{
  enum { OURS = 5, PAGE = 2, MAX_PAGES = 10000 };
  struct account ours[OURS];
  int seen[OURS] = {0};
  for (int i = 0; i < OURS; i++)
    ours[i] = account_create();
  struct account admin = admin_create();
  const char *token = "";
  const char *last_time = NULL;
  for (int page = 0; page < MAX_PAGES && token != NULL; page++) {
    struct http_reply reply =
        HTTP(.path = text("/v1/users?pageSize=%d&pageToken=%s", PAGE, token), .token = admin.token);
    ASSERT_STATUS(reply, 200);
    int count = http_json_count(&reply, "users");
    token = http_json(&reply, "nextPageToken");
    token = token != NULL && token[0] != '\0' ? token : NULL;
    cr_assert(token == NULL || count == PAGE, "%d accounts on a page that is not the last", count);
    for (int i = 0; i < count; i++) {
      const char *id = http_json(&reply, text("users[%d].id", i));
      const char *time = http_json(&reply, text("users[%d].createTime", i));
      // RFC 3339 in UTC sorts as text up to the seconds.
      cr_assert(last_time == NULL || strncmp(last_time, time, 19) >= 0, "%s before %s", last_time, time);
      last_time = time;
      for (int k = 0; k < OURS; k++)
        seen[k] += strcmp(id, ours[k].id) == 0;
    }
    bool all = true;
    for (int k = 0; k < OURS; k++)
      all = all && seen[k] > 0;
    if (all)
      break;
  }
  for (int k = 0; k < OURS; k++)
    cr_assert_eq(seen[k], 1, "account %d was listed %d times", k, seen[k]);
}

Test(e2e_08_admins, page_sizes_and_tokens_are_checked)
{
  struct account admin = admin_create();
  struct http_reply large = HTTP(.path = "/v1/users?pageSize=101", .token = admin.token);
  ASSERT_PROBLEM(large, 400, "INVALID_ARGUMENT");
  assert_violation(&large, "pageSize");
  struct http_reply forged = HTTP(.path = "/v1/users?pageToken=AAAA", .token = admin.token);
  ASSERT_PROBLEM(forged, 400, "INVALID_ARGUMENT");
  assert_violation(&forged, "pageToken");
}

Test(e2e_08_admins, reads_changes_and_deletes_anothers_account)
{
  struct account admin = admin_create();
  struct account bob = account_create();
  const char *path = text("/v1/users/%s", bob.id);
  struct http_reply read = HTTP(.path = path, .token = admin.token);
  ASSERT_STATUS(read, 200);
  cr_assert_str_eq(http_json(&read, "email"), bob.email);
  struct http_reply changed =
      HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{\"displayName\":\"Robert\"}",
           .headers = {text("If-Match: %s", http_header(&read, "ETag"))});
  ASSERT_STATUS(changed, 200);
  cr_assert_str_eq(http_json(&changed, "displayName"), "Robert");
  cr_assert_str_eq(http_json(&changed, "email"), bob.email);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = admin.token), 204);
  ASSERT_STATUS(HTTP(.path = path, .token = admin.token), 404);
  ASSERT_STATUS(account_login(bob.email, bob.password), 401);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", bob.refresh_token)), 401);

  // An admin learns that there is no such account.
  struct http_reply nobody = HTTP(.path = "/v1/users/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", .token = admin.token);
  ASSERT_PROBLEM(nobody, 404, "NOT_FOUND");
}

Test(e2e_08_admins, changes_and_deletes_anothers_item_which_stays_the_owners)
{
  struct account admin = admin_create();
  struct account bob = account_create();
  struct account eve = account_create();
  const char *path = text("/v1/items/%s", item_create(&bob, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word())));
  ASSERT_STATUS(HTTP(.method = "PATCH", .path = path, .token = eve.token, .body = "{\"name\":\"Mine\"}"), 403);
  struct http_reply changed =
      HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{\"name\":\"Spade\"}");
  ASSERT_STATUS(changed, 200);
  cr_assert_str_eq(http_json(&changed, "ownerId"), bob.id);
  struct http_reply read = HTTP(.path = path, .token = bob.token);
  cr_assert_str_eq(http_json(&read, "name"), "Spade");
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = admin.token), 204);
  ASSERT_STATUS(HTTP(.path = path, .token = bob.token), 404);
}

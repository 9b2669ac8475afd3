// Leaving, and being sent away: suspended accounts, users who are signed out, and what is left of a deleted account.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

static struct account admin_create(void)
{
  struct account admin = account_create();
  (void)output_of(
      (const char *const[]){"deploy/local/stack", "exec", "auth", "grant-role", "admin", admin.email, NULL});
  struct http_reply tokens = account_login(admin.email, admin.password);
  ASSERT_STATUS(tokens, 200);
  admin.token = http_json(&tokens, "accessToken");
  return admin;
}

static struct http_reply act(const struct account *admin, const char *id, const char *verb)
{
  return HTTP(.path = text("/v1/users/%s:%s", id, verb), .token = admin->token, .body = "{}");
}

static bool is_revoked(const void *arg)
{
  struct http_reply reply = HTTP(.path = "/v1/users/me", .token = arg);
  return reply.status == 401 && strcmp(http_json(&reply, "reason"), "TOKEN_REVOKED") == 0;
}

static struct http_reply refresh(const struct account *account)
{
  return HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", account->refresh_token));
}

Test(e2e_25_leaving, a_suspended_account_is_closed_until_it_is_resumed)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  ASSERT_STATUS(act(&ada, ada.id, "suspend"), 403);
  ASSERT_STATUS(act(&admin, ada.id, "suspend"), 204);
  wait_until(is_revoked, ada.token, "the token of a suspended account is taken");
  ASSERT_PROBLEM(refresh(&ada), 401, "UNAUTHENTICATED");
  struct http_reply login = account_login(ada.email, ada.password);
  ASSERT_PROBLEM(login, 403, "PERMISSION_DENIED");
  cr_assert_str_eq(http_json(&login, "reason"), "ACCOUNT_SUSPENDED");
  ASSERT_STATUS(act(&admin, ada.id, "resume"), 204);
  ASSERT_STATUS(account_login(ada.email, ada.password), 200);
}

static const char *reason_of(struct http_reply reply)
{
  const char *reason = http_json(&reply, "reason");
  return reason == NULL ? "" : reason;
}

// A support role acts on users, and not on those who may do more than it.
Test(e2e_25_leaving, nobody_acts_on_the_account_of_who_holds_more)
{
  static const char *const verbs[] = {"suspend", "resume", "signOut", "resetFactors"};
  struct account admin = admin_create();
  struct account bob = account_create();
  struct account ada = account_create();
  const char *role = text("r%s", fresh_word());
  ASSERT_STATUS(HTTP(.path = "/v1/roles", .token = admin.token,
                     .body = text("{\"name\":\"%s\",\"permissions\":[\"users:write:any\"]}", role)),
                201);
  ASSERT_STATUS(HTTP(.method = "PUT", .path = text("/v1/users/%s/roles", bob.id), .token = admin.token,
                     .body = text("{\"roles\":[\"%s\"]}", role)),
                200);
  struct http_reply tokens = account_login(bob.email, bob.password);
  bob.token = http_json(&tokens, "accessToken");
  for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
    cr_assert_str_eq(reason_of(act(&bob, admin.id, verbs[i])), "HOLDS_MORE_THAN_YOU", "%s", verbs[i]);
    ASSERT_STATUS(act(&bob, ada.id, verbs[i]), 204);
  }
  const char *path = text("/v1/users/%s", admin.id), *name = "{\"displayName\":\"Bob was here\"}";
  cr_assert_str_eq(reason_of(HTTP(.method = "PATCH", .path = path, .token = bob.token, .body = name)),
                   "HOLDS_MORE_THAN_YOU");
  cr_assert_str_eq(reason_of(HTTP(.method = "DELETE", .path = path, .token = bob.token)), "HOLDS_MORE_THAN_YOU");
  path = text("/v1/users/%s", ada.id);
  ASSERT_STATUS(HTTP(.method = "PATCH", .path = path, .token = bob.token, .body = name), 200);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = bob.token), 204);
  ASSERT_STATUS(account_login(admin.email, admin.password), 200);
}

static bool is_refused(const void *key)
{
  return HTTP(.path = "/v1/items?pageSize=1", .token = key).status == 401;
}

static bool is_taken(const void *key)
{
  return HTTP(.path = "/v1/items?pageSize=1", .token = key).status == 200;
}

Test(e2e_25_leaving, the_api_keys_of_a_suspended_account_rest)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  struct http_reply made =
      HTTP(.path = "/v1/apiKeys", .token = ada.token, .body = "{\"name\":\"robot\",\"scopes\":[\"items:read\"]}");
  ASSERT_STATUS(made, 201);
  const char *key = http_json(&made, "key");
  ASSERT_STATUS(HTTP(.path = "/v1/items?pageSize=1", .token = key), 200);
  ASSERT_STATUS(act(&admin, ada.id, "suspend"), 204);
  wait_until(is_refused, key, "a key of a suspended account is taken");
  ASSERT_STATUS(act(&admin, ada.id, "resume"), 204);
  wait_until(is_taken, key, "a key of a resumed account is refused");
}

Test(e2e_25_leaving, a_user_who_is_signed_out_signs_in_again)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  ASSERT_STATUS(act(&admin, ada.id, "signOut"), 204);
  wait_until(is_revoked, ada.token, "the token of a user who was signed out is taken");
  struct http_reply tokens = account_login(ada.email, ada.password);
  ASSERT_STATUS(tokens, 200);
  // Who did it is no secret, but from where is.
  struct http_reply events =
      HTTP(.path = "/v1/users/me/auditEvents?action=account.sign_out", .token = http_json(&tokens, "accessToken"));
  ASSERT_STATUS(events, 200);
  cr_assert_str_eq(http_json(&events, "auditEvents[0].actorId"), admin.id, "%s", events.body);
  cr_assert_null(http_json(&events, "auditEvents[0].sessionId"), "%s", events.body);
  cr_assert_str_eq(http_json(&events, "auditEvents[0].address"), "");
  ASSERT_STATUS(act(&admin, "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", "signOut"), 404);
}

static void expect_found(const struct account *admin, const char *query, const char *id)
{
  struct http_reply reply = HTTP(.path = text("/v1/users?%s", query), .token = admin->token);
  ASSERT_STATUS(reply, 200);
  cr_assert_eq(http_json_count(&reply, "users"), id == NULL ? 0 : 1, "%s", reply.body);
  if (id != NULL)
    cr_assert_str_eq(http_json(&reply, "users[0].id"), id);
}

Test(e2e_25_leaving, admins_find_an_account_by_its_address_or_name)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  const char *name = fresh_word();
  ASSERT_STATUS(HTTP(.method = "PATCH", .path = "/v1/users/me", .token = ada.token,
                     .body = text("{\"displayName\":\"Zoe %s\"}", name)),
                200);
  expect_found(&admin, text("email=%s", ada.email), ada.id);
  expect_found(&admin, text("q=%.*s", (int)strcspn(ada.email, "@"), ada.email), ada.id);
  expect_found(&admin, text("q=zOE%%20%s", name), ada.id);
  expect_found(&admin, text("q=%s", name), NULL);
  // Signs that some searches give a meaning stand for themselves.
  expect_found(&admin, text("q=zoe%%25%s", name), NULL);
  struct http_reply refused = HTTP(.path = "/v1/users?q=a", .token = ada.token);
  ASSERT_PROBLEM(refused, 403, "PERMISSION_DENIED");
}

Test(e2e_25_leaving, admins_see_who_is_suspended)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  const char *list = text("/v1/users?email=%s", ada.email);
  struct http_reply before = HTTP(.path = list, .token = admin.token);
  cr_assert_null(http_json(&before, "users[0].suspendTime"));
  ASSERT_STATUS(act(&admin, ada.id, "suspend"), 204);
  struct http_reply listed = HTTP(.path = list, .token = admin.token);
  cr_assert_not_null(http_json(&listed, "users[0].suspendTime"), "%s", listed.body);
  ASSERT_STATUS(act(&admin, ada.id, "resume"), 204);
  struct http_reply after = HTTP(.path = list, .token = admin.token);
  cr_assert_eq(http_json_count(&after, "users"), 1);
  cr_assert_null(http_json(&after, "users[0].suspendTime"));
}

struct watched {
  const struct account *reader;
  const char *path;
};

static bool is_gone(const void *arg)
{
  const struct watched *watched = arg;
  struct http_reply reply = HTTP(.path = watched->path, .token = watched->reader->token);
  return reply.status == 404;
}

Test(e2e_25_leaving, the_items_of_a_deleted_account_go_with_it)
{
  struct account ada = account_create();
  struct account eve = account_create();
  const char *item = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  const char *other = item_create(&eve, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  const struct watched watched = {.reader = &eve, .path = text("/v1/items/%s", item)};
  ASSERT_STATUS(HTTP(.path = watched.path, .token = eve.token), 200);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = "/v1/users/me", .token = ada.token), 204);
  wait_until(is_gone, &watched, "an item of a deleted account is there");
  ASSERT_STATUS(HTTP(.path = text("/v1/items/%s", other), .token = eve.token), 200);
  wait_until(is_revoked, ada.token, "the token of a deleted account is taken");
}

Test(e2e_25_leaving, an_export_has_what_is_stored_of_its_user)
{
  enum { ITEMS = 103, FIRST = 100 };
  struct account ada = account_create();
  struct account eve = account_create();
  for (int i = 0; i < ITEMS; i++)
    (void)item_create(&ada, text("{\"sku\":\"E-%d\",\"name\":\"Lamp\"}", i));
  struct http_reply first = HTTP(.path = "/v1/users/me/export", .token = ada.token);
  ASSERT_STATUS(first, 200);
  cr_assert_str_eq(http_json(&first, "account.email"), ada.email);
  cr_assert_eq(http_json_count(&first, "sessions"), 1);
  cr_assert_eq(http_json_count(&first, "items"), FIRST);
  cr_assert_str_eq(http_json(&first, "items[0].ownerId"), ada.id);
  const char *token = http_json(&first, "nextPageToken");
  struct http_reply rest = HTTP(.path = text("/v1/users/me/export?pageToken=%s", token), .token = ada.token);
  ASSERT_STATUS(rest, 200);
  cr_assert_eq(http_json_count(&rest, "items"), ITEMS - FIRST);
  cr_assert_str_eq(http_json(&rest, "nextPageToken"), "");
  struct http_reply forged = HTTP(.path = "/v1/users/me/export?pageToken=AAAA", .token = ada.token);
  ASSERT_PROBLEM(forged, 400, "INVALID_ARGUMENT");
  struct http_reply others = HTTP(.path = "/v1/users/me/export", .token = eve.token);
  ASSERT_STATUS(others, 200);
  cr_assert_eq(http_json_count(&others, "items"), 0);
  ASSERT_STATUS(HTTP(.path = "/v1/users/me/export"), 401);
}

// Roles and permissions: made, given and taken by REST; what was taken ends at the gateway at once.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

static void refresh(struct account *account)
{
  struct http_reply tokens =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", account->refresh_token));
  ASSERT_STATUS(tokens, 200);
  account->token = http_json(&tokens, "accessToken");
  account->refresh_token = http_json(&tokens, "refreshToken");
}

static struct account admin_create(void)
{
  struct account admin = account_create();
  (void)output_of(
      (const char *const[]){"deploy/local/stack", "exec", "auth", "grant-role", "admin", admin.email, NULL});
  refresh(&admin);
  return admin;
}

static struct http_reply create_role(const struct account *by, const char *name, const char *permissions)
{
  return HTTP(.path = "/v1/roles", .token = by->token,
              .body = text("{\"name\":\"%s\",\"permissions\":[%s]}", name, permissions));
}

static struct http_reply set_roles(const struct account *by, const struct account *of, const char *roles)
{
  return HTTP(.method = "PUT", .path = text("/v1/users/%s/roles", of->id), .token = by->token,
              .body = text("{\"roles\":[%s]}", roles));
}

static const char *make_role(const struct account *admin, const char *permissions)
{
  const char *name = text("r%s", fresh_word());
  ASSERT_STATUS(create_role(admin, name, permissions), 201);
  return name;
}

static struct http_reply rename_item(const struct account *by, const char *id)
{
  return HTTP(.method = "PATCH", .path = text("/v1/items/%s", id), .token = by->token,
              .body = text("{\"name\":\"%s\"}", fresh_word()));
}

static const char *reason_of(struct http_reply reply)
{
  const char *reason = http_json(&reply, "reason");
  return reason == NULL ? "" : reason;
}

static bool is_revoked(const void *arg)
{
  return strcmp(reason_of(HTTP(.path = "/v1/users/me", .token = arg)), "TOKEN_REVOKED") == 0;
}

Test(e2e_22_roles, an_editor_changes_what_belongs_to_others_until_the_role_is_taken)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  struct account bob = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  cr_assert_str_eq(reason_of(rename_item(&bob, id)), "NOT_THE_OWNER");

  const char *role = make_role(&admin, "\"items:write:any\"");
  struct http_reply given = set_roles(&admin, &bob, text("\"%s\"", role));
  ASSERT_STATUS(given, 200);
  cr_assert_str_eq(http_json(&given, "roles[0]"), "user");
  cr_assert_str_eq(http_json(&given, "roles[1]"), role);
  refresh(&bob);
  ASSERT_STATUS(rename_item(&bob, id), 200);
  // The permission is for items only.
  cr_assert_str_eq(reason_of(HTTP(.path = text("/v1/users/%s", ada.id), .token = bob.token)), "NOT_YOUR_ACCOUNT");

  ASSERT_STATUS(set_roles(&admin, &bob, ""), 200);
  wait_until(is_revoked, bob.token, "the token of an editor who is none any more is taken");
  refresh(&bob);
  ASSERT_PROBLEM(rename_item(&bob, id), 403, "PERMISSION_DENIED");
}

Test(e2e_22_roles, what_is_taken_from_a_role_ends_for_its_holders)
{
  struct account admin = admin_create();
  struct account bob = account_create();
  const char *role = make_role(&admin, "\"users:read:any\", \"items:write:any\"");
  const char *path = text("/v1/roles/%s", role);
  ASSERT_STATUS(set_roles(&admin, &bob, text("\"%s\"", role)), 200);
  refresh(&bob);
  ASSERT_STATUS(HTTP(.path = "/v1/users", .token = bob.token), 200);
  ASSERT_STATUS(
      HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{\"permissions\":[\"items:write:any\"]}"),
      200);
  wait_until(is_revoked, bob.token, "a token with what its role has lost is taken");
  refresh(&bob);
  cr_assert_str_eq(reason_of(HTTP(.path = "/v1/users", .token = bob.token)), "PERMISSION_REQUIRED");

  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = admin.token), 204);
  wait_until(is_revoked, bob.token, "a token with a role that is gone is taken");
  ASSERT_PROBLEM(HTTP(.method = "DELETE", .path = path, .token = admin.token), 404, "NOT_FOUND");
  struct http_reply left = HTTP(.path = text("/v1/users/%s/roles", bob.id), .token = admin.token);
  ASSERT_STATUS(left, 200);
  cr_assert_eq(http_json_count(&left, "roles"), 1);
}

Test(e2e_22_roles, the_list_begins_with_the_built_in_roles)
{
  struct account admin = admin_create();
  struct http_reply list = HTTP(.path = "/v1/roles", .token = admin.token);
  ASSERT_STATUS(list, 200);
  cr_assert_str_eq(http_json(&list, "roles[0].name"), "user");
  cr_assert_str_eq(http_json(&list, "roles[1].name"), "admin");
  cr_assert_str_eq(http_json(&list, "roles[1].builtIn"), "true");
  cr_assert_gt(http_json_count(&list, "roles[1].permissions"), http_json_count(&list, "roles[0].permissions"));
}

Test(e2e_22_roles, what_does_not_exist_is_refused_with_what_does)
{
  struct account admin = admin_create();
  struct account bob = account_create();
  struct http_reply unknown = create_role(&admin, text("r%s", fresh_word()), "\"items:wirte\"");
  ASSERT_PROBLEM(unknown, 400, "INVALID_ARGUMENT");
  cr_assert_str_eq(reason_of(unknown), "UNKNOWN_PERMISSION");
  assert_violation(&unknown, "permissions[0]");
  cr_assert_not_null(strstr(http_json(&unknown, "detail"), "items:write:any"));
  struct http_reply nobodys = set_roles(&admin, &bob, "\"no-such-role\"");
  cr_assert_str_eq(reason_of(nobodys), "UNKNOWN_ROLE");
  cr_assert_not_null(strstr(http_json(&nobodys, "detail"), "admin"));
  ASSERT_PROBLEM(HTTP(.method = "PUT", .path = "/v1/users/01936b5e-7c1a-7d3e-9f00-0000000000ff/roles",
                      .token = admin.token, .body = "{\"roles\":[]}"),
                 404, "NOT_FOUND");
}

Test(e2e_22_roles, names_and_built_in_roles_are_checked)
{
  struct account admin = admin_create();
  static const char *const BAD[] = {"Editor", "2nd", "an.editor", "-x"};
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_expect_str_eq(reason_of(create_role(&admin, BAD[i], "")), "INVALID_ROLE_NAME", "%s", BAD[i]);
  cr_assert_str_eq(reason_of(create_role(&admin, "user", "")), "ROLE_EXISTS");
  cr_assert_str_eq(reason_of(create_role(&admin, "admin", "")), "ROLE_EXISTS");
  const char *path[] = {"/v1/roles/admin", "/v1/roles/user"};
  for (size_t i = 0; i < ARRAY_LEN(path); i++) {
    cr_assert_str_eq(reason_of(HTTP(.method = "DELETE", .path = path[i], .token = admin.token)), "BUILT_IN_ROLE");
    cr_assert_str_eq(
        reason_of(HTTP(.method = "PATCH", .path = path[i], .token = admin.token, .body = "{\"permissions\":[]}")),
        "BUILT_IN_ROLE");
  }
}

// As with every other PATCH: what a GET answered may be sent back, and what the body leaves out stays.
Test(e2e_22_roles, an_update_changes_what_its_body_holds)
{
  struct account admin = admin_create();
  const char *role = make_role(&admin, "\"items:write:any\"");
  const char *path = text("/v1/roles/%s", role);
  struct http_reply made = HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{}");
  ASSERT_STATUS(made, 200);
  cr_assert_eq(http_json_count(&made, "permissions"), 1, "%s", made.body);
  cr_assert_str_eq(http_json(&made, "updateTime"), http_json(&made, "createTime"));
  struct http_reply same = HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = made.body);
  ASSERT_STATUS(same, 200);
  cr_assert_str_eq(same.body, made.body);
  cr_assert_str_eq(reason_of(HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{\"name\":\"r0\"}")),
                   "INVALID_REQUEST");
  struct http_reply emptied =
      HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{\"permissions\":[]}");
  ASSERT_STATUS(emptied, 200);
  cr_assert_eq(http_json_count(&emptied, "permissions"), 0, "%s", emptied.body);
  // What changed nothing is no event.
  struct http_reply events =
      HTTP(.path = text("/v1/auditEvents?action=role.change&targetId=%s", role), .token = admin.token);
  cr_assert_eq(http_json_count(&events, "auditEvents"), 1, "%s", events.body);
}

Test(e2e_22_roles, nobody_gives_more_than_he_holds)
{
  struct account admin = admin_create();
  struct account bob = account_create();
  struct account eve = account_create();
  ASSERT_STATUS(set_roles(&admin, &bob, text("\"%s\"", make_role(&admin, "\"roles:write\", \"roles:read\""))), 200);
  refresh(&bob);
  cr_assert_str_eq(reason_of(set_roles(&bob, &bob, "\"admin\"")), "NOT_YOURS_TO_GIVE");
  cr_assert_str_eq(reason_of(set_roles(&bob, &admin, "")), "NOT_YOURS_TO_GIVE");
  cr_assert_str_eq(reason_of(create_role(&bob, text("r%s", fresh_word()), "\"users:read:any\"")), "NOT_YOURS_TO_GIVE");
  const char *role = make_role(&bob, "\"items:write\", \"roles:read\"");
  ASSERT_STATUS(set_roles(&bob, &eve, text("\"%s\"", role)), 200);
  refresh(&eve);
  ASSERT_STATUS(HTTP(.path = "/v1/roles", .token = eve.token), 200);
  cr_assert_str_eq(reason_of(set_roles(&eve, &eve, "")), "PERMISSION_REQUIRED");
}

Test(e2e_22_roles, users_see_no_roles)
{
  struct account bob = account_create();
  cr_assert_str_eq(reason_of(HTTP(.path = "/v1/roles", .token = bob.token)), "PERMISSION_REQUIRED");
  cr_assert_str_eq(reason_of(create_role(&bob, "mine", "")), "PERMISSION_REQUIRED");
  cr_assert_str_eq(reason_of(set_roles(&bob, &bob, "\"admin\"")), "PERMISSION_REQUIRED");
  ASSERT_PROBLEM(HTTP(.path = text("/v1/users/%s/roles", bob.id), .token = bob.token), 403, "PERMISSION_DENIED");
}

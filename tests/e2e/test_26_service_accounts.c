// Service accounts: made by admins and by those whom they allow it, used by API keys, and closed at every gateway at
// once.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/mails.h"
#include "tests/support/stack.h"

#define NO_ACCOUNT "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define ITEMS "/v1/items?pageSize=1"

static const char *reason_of(struct http_reply reply)
{
  const char *reason = http_json(&reply, "reason");
  return reason == NULL ? "" : reason;
}

#define ASSERT_REASON(reply, expected_status, expected_reason)                                                         \
  do {                                                                                                                 \
    struct http_reply answered = (reply);                                                                              \
    ASSERT_STATUS(answered, expected_status);                                                                          \
    cr_assert_str_eq(reason_of(answered), expected_reason, "%s", answered.body);                                       \
  } while (0)

static void login(struct account *account)
{
  struct http_reply tokens = account_login(account->email, account->password);
  ASSERT_STATUS(tokens, 200);
  account->token = http_json(&tokens, "accessToken");
}

static struct account admin_create(void)
{
  struct account admin = account_create();
  (void)output_of(
      (const char *const[]){"deploy/local/stack", "exec", "auth", "grant-role", "admin", admin.email, NULL});
  login(&admin);
  return admin;
}

static struct http_reply set_roles(const struct account *by, const char *id, const char *roles)
{
  return HTTP(.method = "PUT", .path = text("/v1/users/%s/roles", id), .token = by->token,
              .body = text("{\"roles\":[%s]}", roles));
}

// Makes a role that holds these permissions, and gives it to an account.
static const char *give(const struct account *admin, const char *id, const char *permissions)
{
  const char *role = text("r%s", fresh_word());
  ASSERT_STATUS(HTTP(.path = "/v1/roles", .token = admin->token,
                     .body = text("{\"name\":\"%s\",\"permissions\":[%s]}", role, permissions)),
                201);
  ASSERT_STATUS(set_roles(admin, id, text("\"%s\"", role)), 200);
  return role;
}

static struct account manager_create(const struct account *admin)
{
  struct account manager = account_create();
  (void)give(admin, manager.id, "\"service_accounts:read\",\"service_accounts:write\"");
  login(&manager);
  return manager;
}

static struct http_reply create(const struct account *by, const char *name)
{
  return HTTP(.path = "/v1/serviceAccounts", .token = by->token, .body = text("{\"name\":\"%s\"}", name));
}

static const char *create_robot(const struct account *by)
{
  struct http_reply made = create(by, "robot");
  ASSERT_STATUS(made, 201);
  cr_assert_str_eq(http_header(&made, "Location"), text("/v1/serviceAccounts/%s", http_json(&made, "id")));
  return http_json(&made, "id");
}

static struct http_reply ask_for_key(const struct account *by, const char *owner, const char *scopes)
{
  return HTTP(.path = "/v1/apiKeys", .token = by->token,
              .body = text("{\"name\":\"robot's key\",\"ownerId\":\"%s\",\"scopes\":[%s]}", owner, scopes));
}

struct key {
  const char *id;
  const char *text;
};

static struct key make_key(const struct account *by, const char *owner, const char *scopes)
{
  struct http_reply made = ask_for_key(by, owner, scopes);
  ASSERT_STATUS(made, 201);
  cr_assert_str_eq(http_json(&made, "ownerId"), owner);
  return (struct key){http_json(&made, "id"), http_json(&made, "key")};
}

static struct http_reply path_of(const struct account *by, const char *method, const char *id)
{
  return HTTP(.method = method, .path = text("/v1/serviceAccounts/%s", id), .token = by->token);
}

static struct http_reply act(const struct account *by, const char *id, const char *verb)
{
  return HTTP(.path = text("/v1/users/%s:%s", id, verb), .token = by->token, .body = "{}");
}

static bool is_refused(const void *key)
{
  return strcmp(reason_of(HTTP(.path = ITEMS, .token = key)), "INVALID_API_KEY") == 0;
}

static bool is_taken(const void *key)
{
  return HTTP(.path = ITEMS, .token = key).status == 200;
}

static bool has_no_items(const void *owner)
{
  return strcmp(sql("SELECT count(*) FROM item.items WHERE owner_id = '%s'", (const char *)owner), "0") == 0;
}

// The life of one: made, used by its key, and gone with the key and what it has stored.
Test(e2e_26_service_accounts, a_program_acts_for_itself_until_its_account_is_deleted)
{
  struct account admin = admin_create();
  const char *robot = create_robot(&admin);
  struct account program = {.token = make_key(&admin, robot, "\"items:read\",\"items:write\"").text};
  const char *item = item_create(&program, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  struct http_reply seen = HTTP(.path = text("/v1/items/%s", item), .token = admin.token);
  cr_assert_str_eq(http_json(&seen, "ownerId"), robot);
  struct http_reply events = HTTP(.path = text("/v1/auditEvents?targetId=%s", robot), .token = admin.token);
  cr_assert_str_eq(http_json(&events, "auditEvents[0].action"), "account.create");
  cr_assert_str_eq(http_json(&events, "auditEvents[0].actorId"), admin.id);

  ASSERT_STATUS(path_of(&admin, "DELETE", robot), 204);
  wait_until(is_refused, program.token, "the key of a deleted service account is taken");
  ASSERT_REASON(path_of(&admin, "GET", robot), 404, "SERVICE_ACCOUNT_NOT_FOUND");
  ASSERT_REASON(path_of(&admin, "DELETE", robot), 404, "SERVICE_ACCOUNT_NOT_FOUND");
  wait_until(has_no_items, robot, "the items of a deleted service account are there");
}

Test(e2e_26_service_accounts, a_suspended_one_rests_until_it_is_resumed)
{
  struct account admin = admin_create();
  const char *robot = create_robot(&admin);
  struct key key = make_key(&admin, robot, "\"items:read\"");
  ASSERT_STATUS(HTTP(.path = ITEMS, .token = key.text), 200);
  ASSERT_STATUS(act(&admin, robot, "suspend"), 204);
  wait_until(is_refused, key.text, "a key of a suspended service account is taken");
  ASSERT_STATUS(act(&admin, robot, "resume"), 204);
  wait_until(is_taken, key.text, "a key of a resumed service account is refused");
  // Its access tokens end; the key brings the next one.
  ASSERT_STATUS(act(&admin, robot, "signOut"), 204);
  wait_until(is_taken, key.text, "a key is refused after its account was signed out");
}

Test(e2e_26_service_accounts, its_name_changes_and_the_list_has_it)
{
  struct account admin = admin_create();
  const char *robot = create_robot(&admin);
  const char *path = text("/v1/serviceAccounts/%s", robot), *body = "{\"name\":\"nightly import\"}";
  struct http_reply before = HTTP(.path = path, .token = admin.token);
  ASSERT_STATUS(before, 200);
  struct http_reply changed = HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = body,
                                   .headers = {text("If-Match: %s", http_header(&before, "ETag"))});
  ASSERT_STATUS(changed, 200);
  cr_assert_str_eq(http_json(&changed, "name"), "nightly import");
  const char *stale = text("If-Match: %s", http_header(&before, "ETag"));
  ASSERT_STATUS(HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = body, .headers = {stale}), 412);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = admin.token, .headers = {stale}), 412);
  struct http_reply hidden =
      HTTP(.method = "PATCH", .path = path, .token = admin.token, .body = "{\"name\":\"a\\u202etxt\"}");
  ASSERT_PROBLEM(hidden, 400, "INVALID_ARGUMENT");
  ASSERT_PROBLEM(create(&admin, "a\\u202etxt"), 400, "INVALID_ARGUMENT");
  struct http_reply list = HTTP(.path = "/v1/serviceAccounts?pageSize=100", .token = admin.token);
  ASSERT_STATUS(list, 200);
  cr_assert_not_null(strstr(list.body, robot), "the newest accounts are listed first");
}

Test(e2e_26_service_accounts, nobody_gets_in_without_a_key)
{
  struct account admin = admin_create();
  const char *robot = create_robot(&admin);
  struct key key = make_key(&admin, robot, "\"items:read\",\"users:read\"");
  cr_assert_str_eq(sql("SELECT password_hash IS NULL FROM auth.credentials WHERE user_id = '%s'", robot), "t");
  // What would give it another way in is for people who have logged in.
  ASSERT_REASON(HTTP(.path = "/v1/auth/factors/totp", .token = key.text, .body = "{}"), 403, "LOGIN_REQUIRED");
  ASSERT_REASON(HTTP(.path = "/v1/auth/passkeys/register/begin", .token = key.text, .body = "{}"), 403,
                "LOGIN_REQUIRED");
  ASSERT_REASON(
      HTTP(.path = "/v1/auth/email/change", .token = key.text, .body = text("{\"newEmail\":\"%s\"}", fresh_email())),
      403, "LOGIN_REQUIRED");
  ASSERT_REASON(HTTP(.path = "/v1/auth/password/change", .token = key.text,
                     .body = "{\"currentPassword\":\"x\",\"newPassword\":\"seven purple elephants dance\"}"),
                403, "LOGIN_REQUIRED");
  ASSERT_REASON(HTTP(.path = "/v1/apiKeys", .token = key.text, .body = "{\"name\":\"n\",\"scopes\":[\"items:read\"]}"),
                403, "LOGIN_REQUIRED");
  // The user service does not know it: it is no user.
  ASSERT_REASON(HTTP(.path = "/v1/users/me", .token = key.text), 404, "USER_NOT_FOUND");
  ASSERT_REASON(HTTP(.path = text("/v1/users/%s", robot), .token = admin.token), 404, "USER_NOT_FOUND");
}

Test(e2e_26_service_accounts, who_may_not_manage_them_does_not)
{
  struct account admin = admin_create();
  struct account eve = account_create();
  const char *robot = create_robot(&admin);
  struct key key = make_key(&admin, robot, "\"items:read\"");
  ASSERT_REASON(create(&eve, "mine"), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(path_of(&eve, "GET", robot), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(path_of(&eve, "DELETE", robot), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(HTTP(.path = "/v1/serviceAccounts", .token = eve.token), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(ask_for_key(&eve, robot, "\"items:read\""), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(ask_for_key(&eve, NO_ACCOUNT, "\"items:read\""), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(HTTP(.path = text("/v1/apiKeys?ownerId=%s", robot), .token = eve.token), 403, "PERMISSION_REQUIRED");
  ASSERT_REASON(HTTP(.method = "DELETE", .path = text("/v1/apiKeys/%s", key.id), .token = eve.token), 404,
                "API_KEY_NOT_FOUND");
  ASSERT_STATUS(HTTP(.path = ITEMS, .token = key.text), 200);
}

Test(e2e_26_service_accounts, a_manager_makes_lists_and_revokes_their_keys)
{
  struct account admin = admin_create();
  struct account bob = manager_create(&admin);
  struct account ada = account_create();
  const char *robot = create_robot(&bob);
  struct key key = make_key(&bob, robot, "\"items:read\"");
  struct http_reply list = HTTP(.path = text("/v1/apiKeys?ownerId=%s", robot), .token = bob.token);
  ASSERT_STATUS(list, 200);
  cr_assert_eq(http_json_count(&list, "apiKeys"), 1);
  cr_assert_str_eq(http_json(&list, "apiKeys[0].id"), key.id);
  struct http_reply own = HTTP(.path = "/v1/apiKeys", .token = bob.token);
  cr_assert_eq(http_json_count(&own, "apiKeys"), 0);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = text("/v1/apiKeys/%s", key.id), .token = bob.token), 204);
  wait_until(is_refused, key.text, "a key that was revoked is taken");
  // Keys of people are theirs; admins see and revoke them.
  ASSERT_REASON(ask_for_key(&bob, ada.id, "\"items:read\""), 403, "NOT_A_SERVICE_ACCOUNT");
  ASSERT_REASON(ask_for_key(&admin, ada.id, "\"items:read\""), 403, "NOT_A_SERVICE_ACCOUNT");
  ASSERT_REASON(HTTP(.path = text("/v1/apiKeys?ownerId=%s", ada.id), .token = bob.token), 403, "PERMISSION_REQUIRED");
  ASSERT_STATUS(HTTP(.path = text("/v1/apiKeys?ownerId=%s", ada.id), .token = admin.token), 200);
  ASSERT_REASON(ask_for_key(&bob, NO_ACCOUNT, "\"items:read\""), 404, "USER_NOT_FOUND");
  ASSERT_STATUS(HTTP(.path = "/v1/apiKeys", .token = ada.token,
                     .body = text("{\"name\":\"mine\",\"ownerId\":\"%s\",\"scopes\":[\"items:read\"]}", ada.id)),
                201);
}

// Somebody else may have made it with his account.
Test(e2e_26_service_accounts, the_maker_of_a_key_is_told)
{
  struct account admin = admin_create();
  struct key key = make_key(&admin, create_robot(&admin), "\"items:read\"");
  struct mail told = mail_about(admin.email, "A new API key of a service account", 1);
  cr_assert_not_null(strstr(told.text, "robot's key"), "%s", told.text);
  cr_assert_null(strstr(told.text, key.text), "the mail shows the key");
}

// With a key of an account that holds more, its maker could do more than he may.
Test(e2e_26_service_accounts, nobody_acts_on_one_that_holds_more)
{
  struct account admin = admin_create();
  struct account bob = manager_create(&admin);
  const char *robot = create_robot(&bob);
  // The role comes first, then a key for what it holds.
  ASSERT_REASON(ask_for_key(&admin, robot, "\"items:write:any\""), 400, "SCOPE_NOT_HELD");
  (void)give(&admin, robot, "\"items:write:any\"");
  struct key key = make_key(&admin, robot, "\"items:write:any\",\"items:read\"");
  ASSERT_REASON(ask_for_key(&bob, robot, "\"items:read\""), 403, "HOLDS_MORE_THAN_YOU");
  ASSERT_REASON(path_of(&bob, "DELETE", robot), 403, "HOLDS_MORE_THAN_YOU");
  ASSERT_REASON(HTTP(.method = "DELETE", .path = text("/v1/apiKeys/%s", key.id), .token = bob.token), 403,
                "HOLDS_MORE_THAN_YOU");
  ASSERT_REASON(HTTP(.method = "PATCH", .path = text("/v1/serviceAccounts/%s", robot), .token = bob.token,
                     .body = "{\"name\":\"bob's\"}"),
                403, "HOLDS_MORE_THAN_YOU");
  // What the account loses its keys lose.
  struct account ada = account_create();
  const char *item = text("/v1/items/%s", item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word())));
  ASSERT_STATUS(HTTP(.method = "PATCH", .path = item, .token = key.text, .body = "{\"name\":\"Torch\"}"), 200);
  ASSERT_STATUS(set_roles(&admin, robot, ""), 200);
  ASSERT_STATUS(path_of(&bob, "DELETE", robot), 204);
  wait_until(is_refused, key.text, "the key of a deleted service account is taken");
}

Test(e2e_26_service_accounts, a_repeat_makes_no_second_account)
{
  struct account admin = admin_create();
  const char *header = text("Idempotency-Key: %s", fresh_word()), *body = "{\"name\":\"robot\"}";
  struct http_reply first =
      HTTP(.path = "/v1/serviceAccounts", .token = admin.token, .body = body, .headers = {header});
  ASSERT_STATUS(first, 201);
  struct http_reply repeat =
      HTTP(.path = "/v1/serviceAccounts", .token = admin.token, .body = body, .headers = {header});
  ASSERT_STATUS(repeat, 201);
  cr_assert_str_eq(http_json(&repeat, "id"), http_json(&first, "id"));
}

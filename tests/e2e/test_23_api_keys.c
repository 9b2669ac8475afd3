// API keys: from their making over their use at two gateways to their end.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/mails.h"
#include "tests/support/stack.h"

#define SCOPES "\"scopes\":[\"users:read\",\"items:read\",\"items:write\"]"

static struct gateway_place second;

static void stop_gateway(void)
{
  if (second.name != NULL)
    gateway_stop(&second);
}

struct key {
  const char *id;
  const char *text;
};

static struct http_reply ask_for_key(const char *token, const char *json)
{
  return HTTP(.path = "/v1/apiKeys", .token = token, .body = json);
}

static struct key make_key(const char *token, const char *json)
{
  struct http_reply made = ask_for_key(token, json);
  ASSERT_STATUS(made, 201);
  return (struct key){http_json(&made, "id"), http_json(&made, "key")};
}

static struct http_reply read_me(const char *key)
{
  return HTTP(.path = "/v1/users/me", .token = key);
}

static void assert_reason(struct http_reply reply, int status, const char *reason)
{
  ASSERT_STATUS(reply, status);
  cr_assert_str_eq(http_json(&reply, "reason"), reason, "%s", reply.body);
}

Test(e2e_23_api_keys, a_key_stands_for_its_account_until_it_is_revoked)
{
  struct account ada = account_create();
  struct key key = make_key(ada.token, "{" SCOPES ",\"name\":\"nightly import\"}");
  cr_assert_eq(strlen(key.text), 53);
  cr_assert_eq(strncmp(key.text, "bhk_", 4), 0);
  struct http_reply me = read_me(key.text);
  ASSERT_STATUS(me, 200);
  cr_assert_str_eq(http_json(&me, "id"), ada.id);
  struct account program = ada;
  program.token = key.text;
  const char *id = item_create(&program, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct http_reply item = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  cr_assert_str_eq(http_json(&item, "ownerId"), ada.id);
}

static bool is_refused(const struct key *key, const char *base_url)
{
  struct http_reply reply = HTTP(.path = "/v1/users/me", .token = key->text, .base_url = base_url);
  return reply.status == 401 && strcmp(http_json(&reply, "reason"), "INVALID_API_KEY") == 0;
}

// Whether twenty requests in a row are refused at both gateways: each of them may meet another worker.
static bool is_revoked(const void *arg)
{
  for (int i = 0; i < 20; i++)
    if (!is_refused(arg, NULL) || !is_refused(arg, second.plain_url))
      return false;
  return true;
}

Test(e2e_23_api_keys, what_is_revoked_ends_at_every_gateway, .fini = stop_gateway)
{
  struct account ada = account_create();
  struct key key = make_key(ada.token, "{" SCOPES ",\"name\":\"one\"}");
  struct key other = make_key(ada.token, "{" SCOPES ",\"name\":\"two\"}");
  second = gateway_start("gateway-83");
  ASSERT_STATUS(read_me(key.text), 200);
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = key.text, .base_url = second.plain_url), 200);
  const char *path = text("/v1/apiKeys/%s", key.id);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = ada.token), 204);
  wait_until(is_revoked, &key, "a gateway takes a key that is revoked");
  assert_reason(HTTP(.method = "DELETE", .path = path, .token = ada.token), 404, "API_KEY_NOT_FOUND");
  ASSERT_STATUS(read_me(other.text), 200);
  // With the account its other key goes, too.
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = "/v1/users/me", .token = ada.token), 204);
  wait_until(is_revoked, &other, "a gateway takes the key of a deleted account");
}

Test(e2e_23_api_keys, the_list_shows_keys_without_their_text)
{
  struct account ada = account_create();
  struct key first = make_key(ada.token, "{" SCOPES ",\"name\":\"first\"}");
  struct key second_key =
      make_key(ada.token, "{" SCOPES ",\"name\":\"second\",\"expireTime\":\"2100-01-01T00:00:00Z\"}");
  struct http_reply list = HTTP(.path = "/v1/apiKeys", .token = ada.token);
  ASSERT_STATUS(list, 200);
  cr_assert_eq(http_json_count(&list, "apiKeys"), 2);
  cr_assert_str_eq(http_json(&list, "apiKeys[0].id"), second_key.id);
  cr_assert_str_eq(http_json(&list, "apiKeys[0].expireTime"), "2100-01-01T00:00:00Z");
  cr_assert_str_eq(http_json(&list, "apiKeys[1].name"), "first");
  const char *shown = http_json(&list, "apiKeys[1].keyPrefix");
  cr_assert(strlen(shown) == 12 && strncmp(shown, first.text, 12) == 0);
  cr_assert_null(strstr(list.body, first.text));
  cr_assert_null(http_json(&list, "apiKeys[1].lastUseTime"));
}

static bool is_used(const void *arg)
{
  struct http_reply list = HTTP(.path = "/v1/apiKeys", .token = arg);
  return http_json(&list, "apiKeys[0].lastUseTime") != NULL;
}

Test(e2e_23_api_keys, the_list_tells_of_the_last_use)
{
  struct account ada = account_create();
  ASSERT_STATUS(read_me(make_key(ada.token, "{" SCOPES ",\"name\":\"used\"}").text), 200);
  wait_until(is_used, ada.token, "the list tells of the use of a key");
}

Test(e2e_23_api_keys, a_key_belongs_to_one_account)
{
  struct account ada = account_create(), eve = account_create();
  struct key key = make_key(ada.token, "{" SCOPES ",\"name\":\"mine\"}");
  struct http_reply list = HTTP(.path = "/v1/apiKeys", .token = eve.token);
  cr_assert_eq(http_json_count(&list, "apiKeys"), 0);
  const char *path = text("/v1/apiKeys/%s", key.id);
  assert_reason(HTTP(.method = "DELETE", .path = path, .token = eve.token), 404, "API_KEY_NOT_FOUND");
  ASSERT_STATUS(read_me(key.text), 200);
}

Test(e2e_23_api_keys, keys_are_made_after_a_login_and_not_by_keys)
{
  struct account ada = account_create();
  struct key key = make_key(ada.token, "{" SCOPES ",\"name\":\"one\"}");
  assert_reason(ask_for_key(key.text, "{" SCOPES ",\"name\":\"two\"}"), 403, "LOGIN_REQUIRED");
  const char *change =
      "{\"currentPassword\":\"correct horse battery\",\"newPassword\":\"seven purple elephants dance\"}";
  assert_reason(HTTP(.path = "/v1/auth/password/change", .token = key.text, .body = change), 403, "LOGIN_REQUIRED");
  assert_reason(HTTP(.path = "/v1/apiKeys", .token = key.text), 403, "LOGIN_REQUIRED");
  // Also where it has the permission, because this needs a recent login.
  assert_reason(HTTP(.method = "DELETE", .path = "/v1/users/me", .token = key.text), 403, "LOGIN_REQUIRED");
  assert_reason(HTTP(.path = "/v1/auth/sessions", .token = key.text), 403, "LOGIN_REQUIRED");
  assert_reason(HTTP(.method = "DELETE", .path = text("/v1/apiKeys/%s", key.id), .token = key.text), 403,
                "LOGIN_REQUIRED");
  ASSERT_STATUS(ask_for_key(NULL, "{" SCOPES ",\"name\":\"two\"}"), 401);
}

Test(e2e_23_api_keys, what_is_no_key_is_refused)
{
  struct account ada = account_create();
  struct key key = make_key(ada.token, "{" SCOPES ",\"name\":\"one\"}");
  char *damaged = text("%s", key.text);
  damaged[20] = damaged[20] == 'a' ? 'b' : 'a';
  assert_reason(read_me(damaged), 401, "INVALID_API_KEY");
  assert_reason(read_me("bhk_"), 401, "INVALID_API_KEY");
  // Well formed, and never issued.
  assert_reason(read_me("bhk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2imMLQ"), 401, "INVALID_API_KEY");
}

Test(e2e_23_api_keys, requests_are_checked)
{
  struct account ada = account_create();
  struct http_reply past =
      ask_for_key(ada.token, "{" SCOPES ",\"name\":\"late\",\"expireTime\":\"2020-01-01T00:00:00Z\"}");
  ASSERT_PROBLEM(past, 400, "INVALID_ARGUMENT");
  assert_violation(&past, "expireTime");
  struct http_reply nameless = ask_for_key(ada.token, "{}");
  ASSERT_PROBLEM(nameless, 400, "INVALID_ARGUMENT");
  assert_violation(&nameless, "name");
  struct http_reply hidden = ask_for_key(ada.token, "{" SCOPES ",\"name\":\"a\\u202etxt\"}");
  ASSERT_PROBLEM(hidden, 400, "INVALID_ARGUMENT");
  assert_violation(&hidden, "name");
}

Test(e2e_23_api_keys, a_key_does_what_its_scopes_say)
{
  struct account ada = account_create();
  struct account reader = ada;
  reader.token = make_key(ada.token, "{\"name\":\"reader\",\"scopes\":[\"items:read\"]}").text;
  const char *path = text("/v1/items/%s", item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}"));
  ASSERT_STATUS(HTTP(.path = path, .token = reader.token), 200);
  assert_reason(HTTP(.method = "DELETE", .path = path, .token = reader.token), 403, "PERMISSION_REQUIRED");
  assert_reason(read_me(reader.token), 403, "PERMISSION_REQUIRED");
  assert_reason(ask_for_key(ada.token, "{\"name\":\"n\",\"scopes\":[\"items:write:any\"]}"), 403, "NOT_YOURS_TO_GIVE");
  struct http_reply unknown = ask_for_key(ada.token, "{\"name\":\"n\",\"scopes\":[\"items:wirte\"]}");
  assert_reason(unknown, 400, "UNKNOWN_PERMISSION");
  assert_violation(&unknown, "scopes[0]");
  struct http_reply none = ask_for_key(ada.token, "{\"name\":\"n\"}");
  ASSERT_PROBLEM(none, 400, "INVALID_ARGUMENT");
  assert_violation(&none, "scopes");
}

static bool cannot_list(const void *arg)
{
  struct http_reply reply = HTTP(.path = "/v1/users", .token = arg);
  return reply.status == 403 && strcmp(http_json(&reply, "reason"), "PERMISSION_REQUIRED") == 0;
}

// A key never may what its account may not, also where that has changed since.
Test(e2e_23_api_keys, what_the_account_loses_its_keys_lose)
{
  struct account ada = account_create();
  (void)output_of((const char *const[]){"deploy/local/stack", "exec", "auth", "grant-role", "admin", ada.id, NULL});
  struct http_reply login = account_login(ada.email, ada.password);
  const char *key =
      make_key(http_json(&login, "accessToken"), "{\"name\":\"lister\",\"scopes\":[\"users:read:any\"]}").text;
  ASSERT_STATUS(HTTP(.path = "/v1/users", .token = key), 200);
  (void)output_of((const char *const[]){"deploy/local/stack", "exec", "auth", "revoke-role", "admin", ada.id, NULL});
  wait_until(cannot_list, key, "the key of an admin who is none any more lists accounts");
}

static bool is_over(const void *arg)
{
  return is_refused(arg, NULL);
}

Test(e2e_23_api_keys, a_key_expires)
{
  struct account ada = account_create();
  const char *soon = sql("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '10 seconds', "
                         "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
  struct key key = make_key(ada.token, text("{" SCOPES ",\"name\":\"short\",\"expireTime\":\"%s\"}", soon));
  wait_until(is_over, &key, "a key is taken after it has expired");
}

Test(e2e_23_api_keys, an_account_has_so_many_keys)
{
  struct account ada = account_create();
  for (int i = 0; i < 50; i++)
    (void)make_key(ada.token, text("{" SCOPES ",\"name\":\"key %d\"}", i));
  assert_reason(ask_for_key(ada.token, "{" SCOPES ",\"name\":\"one more\"}"), 400, "TOO_MANY_API_KEYS");
}

// A repeat must not show the key again, nor make another one.
Test(e2e_23_api_keys, a_repeat_makes_no_second_key)
{
  struct account ada = account_create();
  const char *header = text("Idempotency-Key: %s", fresh_word());
  ASSERT_STATUS(
      HTTP(.path = "/v1/apiKeys", .token = ada.token, .body = "{" SCOPES ",\"name\":\"one\"}", .headers = {header}),
      201);
  struct http_reply repeat =
      HTTP(.path = "/v1/apiKeys", .token = ada.token, .body = "{" SCOPES ",\"name\":\"one\"}", .headers = {header});
  ASSERT_STATUS(repeat, 409);
  cr_assert_null(strstr(repeat.body, "bhk_"));
  struct http_reply list = HTTP(.path = "/v1/apiKeys", .token = ada.token);
  cr_assert_eq(http_json_count(&list, "apiKeys"), 1);
}

// Somebody else may have made it.
Test(e2e_23_api_keys, the_owner_is_told_of_a_new_key)
{
  struct account ada = account_create();
  struct key key = make_key(ada.token, "{" SCOPES ",\"name\":\"<b>nightly</b> import\"}");
  struct mail told = mail_about(ada.email, "A new API key of your account", 1);
  cr_assert_not_null(strstr(told.text, "<b>nightly</b> import"), "%s", told.text);
  cr_assert_not_null(strstr(told.text, "127.0.0.1"), "%s", told.text);
  cr_assert_not_null(strstr(told.html, "&lt;b&gt;nightly"), "%s", told.html);
  cr_assert_null(strstr(told.text, key.text), "the mail shows the key");
  cr_assert_null(strstr(told.text, "bhk_"), "the mail shows how the key begins");
}

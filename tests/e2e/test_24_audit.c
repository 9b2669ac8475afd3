// The audit log, as admins and users see it, and its proof by command.
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

Test(e2e_24_audit, users_see_what_concerns_their_account)
{
  struct account ada = account_create();
  ASSERT_STATUS(account_login(ada.email, "something else entirely"), 401);
  struct http_reply reply = HTTP(.path = "/v1/users/me/auditEvents", .token = ada.token);
  ASSERT_STATUS(reply, 200);
  cr_assert_eq(http_json_count(&reply, "auditEvents"), 3);
  cr_assert_str_eq(http_json(&reply, "auditEvents[0].action"), "session.begin");
  cr_assert_str_eq(http_json(&reply, "auditEvents[0].result"), "failure");
  cr_assert_str_eq(http_json(&reply, "auditEvents[0].reason"), "WRONG_CREDENTIALS");
  cr_assert_str_eq(http_json(&reply, "auditEvents[1].result"), "success");
  cr_assert_str_eq(http_json(&reply, "auditEvents[1].actorId"), ada.id);
  cr_assert_str_neq(http_json(&reply, "auditEvents[1].address"), "");
  cr_assert_eq(strlen(http_json(&reply, "auditEvents[1].traceId")), 32);
  cr_assert_str_eq(http_json(&reply, "auditEvents[2].action"), "account.create");
  struct account eve = account_create();
  struct http_reply others = HTTP(.path = "/v1/users/me/auditEvents", .token = eve.token);
  cr_assert_eq(http_json_count(&others, "auditEvents"), 2);
}

Test(e2e_24_audit, admins_filter_and_page_all_events)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  ASSERT_STATUS(account_login(ada.email, ada.password), 200);
  struct http_reply refused = HTTP(.path = "/v1/auditEvents", .token = ada.token);
  ASSERT_PROBLEM(refused, 403, "PERMISSION_DENIED");
  const char *path = text("/v1/auditEvents?targetId=%s&action=session.begin&pageSize=1", ada.id);
  struct http_reply first = HTTP(.path = path, .token = admin.token);
  ASSERT_STATUS(first, 200);
  cr_assert_eq(http_json_count(&first, "auditEvents"), 1);
  const char *token = http_json(&first, "nextPageToken");
  struct http_reply second = HTTP(.path = text("%s&pageToken=%s", path, token), .token = admin.token);
  ASSERT_STATUS(second, 200);
  cr_assert_eq(http_json_count(&second, "auditEvents"), 1);
  cr_assert_str_eq(http_json(&second, "nextPageToken"), "");
  cr_assert_str_neq(http_json(&first, "auditEvents[0].id"), http_json(&second, "auditEvents[0].id"));
  struct http_reply by_actor =
      HTTP(.path = text("/v1/auditEvents?actorId=%s&startTime=2020-01-01T00:00:00Z", ada.id), .token = admin.token);
  ASSERT_STATUS(by_actor, 200);
  cr_assert_eq(http_json_count(&by_actor, "auditEvents"), 3);
  struct http_reply before =
      HTTP(.path = text("/v1/auditEvents?actorId=%s&endTime=2020-01-01T00:00:00Z", ada.id), .token = admin.token);
  ASSERT_STATUS(before, 200);
  cr_assert_eq(http_json_count(&before, "auditEvents"), 0);
}

#define AGENT "e2e/24"

static struct http_reply post(const char *path, const char *token, const char *body)
{
  return HTTP(.path = path, .token = token, .headers = {"User-Agent: " AGENT}, .body = body);
}

// Also those of what a service does for another one, such as the credential of a sign-up.
Test(e2e_24_audit, every_event_of_a_request_has_its_user_agent)
{
  const char *email = fresh_email(), *password = "correct horse battery staple";
  ASSERT_STATUS(
      post("/v1/users", NULL, text("{\"email\":\"%s\",\"password\":\"%s\",\"displayName\":\"Ada\"}", email, password)),
      201);
  struct http_reply login =
      post("/v1/auth/login", NULL, text("{\"email\":\"%s\",\"password\":\"%s\"}", email, password));
  ASSERT_STATUS(login, 200);
  const char *token = http_json(&login, "accessToken");
  ASSERT_STATUS(post("/v1/auth/sessions:revokeOthers", token, "{}"), 204);
  struct http_reply events = HTTP(.path = "/v1/users/me/auditEvents", .token = token);
  ASSERT_STATUS(events, 200);
  cr_assert_eq(http_json_count(&events, "auditEvents"), 3, "%s", events.body);
  for (int i = 0; i < 3; i++)
    cr_expect_str_eq(http_json(&events, text("auditEvents[%d].userAgent", i)), AGENT, "%s", events.body);
}

struct deletion {
  const struct account *admin;
  const char *user_id;
};

static bool is_noted(const void *arg)
{
  const struct deletion *deletion = arg;
  const char *path = text("/v1/auditEvents?action=account.delete&targetId=%s", deletion->user_id);
  struct http_reply found = HTTP(.path = path, .token = deletion->admin->token);
  return http_json_count(&found, "auditEvents") == 1 &&
         strcmp(http_json(&found, "auditEvents[0].actorId"), deletion->admin->id) == 0 &&
         strcmp(http_json(&found, "auditEvents[0].address"), "") != 0;
}

Test(e2e_24_audit, a_deletion_names_its_actor)
{
  struct account admin = admin_create();
  struct account ada = account_create();
  const struct deletion deletion = {.admin = &admin, .user_id = ada.id};
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = text("/v1/users/%s", ada.id), .token = admin.token), 204);
  wait_until(is_noted, &deletion, "the deletion is not in the log with its actor");
}

// What nothing can match is a mistake, and the answer says which.
Test(e2e_24_audit, filters_that_nothing_matches_are_refused)
{
  struct account admin = admin_create();
  struct http_reply action = HTTP(.path = "/v1/auditEvents?action=session.ends", .token = admin.token);
  ASSERT_PROBLEM(action, 400, "INVALID_ARGUMENT");
  assert_violation(&action, "action");
  cr_assert_not_null(strstr(action.body, "session.end_others"), "%s", action.body);
  struct http_reply times =
      HTTP(.path = "/v1/auditEvents?startTime=2021-01-01T00:00:00Z&endTime=2020-01-01T00:00:00Z", .token = admin.token);
  ASSERT_PROBLEM(times, 400, "INVALID_ARGUMENT");
  assert_violation(&times, "startTime");
  struct http_reply own = HTTP(.path = "/v1/users/me/auditEvents?action=session.ends", .token = admin.token);
  ASSERT_PROBLEM(own, 400, "INVALID_ARGUMENT");
}

Test(e2e_24_audit, the_log_is_proven_by_command)
{
  (void)account_create();
  const char *said = output_of((const char *const[]){"deploy/local/stack", "exec", "auth", "audit", "verify", NULL});
  cr_assert_not_null(strstr(said, "events are as they were written"), "%s", said);
}

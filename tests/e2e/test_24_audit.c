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

Test(e2e_24_audit, the_log_is_proven_by_command)
{
  (void)account_create();
  const char *said = output_of((const char *const[]){"deploy/local/stack", "exec", "auth", "audit", "verify", NULL});
  cr_assert_not_null(strstr(said, "events are as they were written"), "%s", said);
}

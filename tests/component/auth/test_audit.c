// The audit log: what it holds, who may read it, and that the service can only add to it.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/audit.pb-c.h"
#include "common/base/clock.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define EVE "eve@example.com"
#define LIST "auth.v1.AuditService/ListAuditEvents"
#define LIST_OWN "auth.v1.AuditService/ListOwnAuditEvents"
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_audit, .init = setup, .fini = teardown);

static struct outcome log_in(const char *email, const char *password)
{
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = (char *)(uintptr_t)email;
  request.password = (char *)(uintptr_t)password;
  const struct rpc_context context = {.client_address = SLICE("192.0.2.7"),
                                      .user_agent = SLICE("curl/8"),
                                      .traceparent = SLICE("00-" TRACE "-00f067aa0ba902b7-01")};
  return driver_call(&accounts.to_auth, "auth.v1.AuthService/Login", &request.base, &context);
}

static const char *id_of(const User__V1__User *user)
{
  return arena_string(&accounts.database.arena, slice_from_string(user->id));
}

static const Auth__V1__ListAuditEventsResponse *events_of(const struct outcome *outcome)
{
  return (const void *)driver_reply(outcome, &auth__v1__list_audit_events_response__descriptor);
}

static const Auth__V1__ListAuditEventsResponse *list_as_admin(const Auth__V1__ListAuditEventsRequest *request)
{
  static const struct slice roles[] = {SLICE_INIT("admin")};
  const struct rpc_context context = {
      .caller_id = SLICE("01936b5e-7c1a-7d3e-9f00-00000000ad01"), .caller_roles = roles, .caller_role_count = 1};
  struct outcome outcome = driver_call(&accounts.to_auth, LIST, &request->base, &context);
  return events_of(&outcome);
}

static const Auth__V1__ListAuditEventsResponse *list_own(const char *user_id, const char *action)
{
  Auth__V1__ListOwnAuditEventsRequest request = AUTH__V1__LIST_OWN_AUDIT_EVENTS_REQUEST__INIT;
  request.action = (char *)(uintptr_t)action;
  const struct rpc_context context = {.caller_id = slice_from_string(user_id)};
  struct outcome outcome = driver_call(&accounts.to_auth, LIST_OWN, &request.base, &context);
  return events_of(&outcome);
}

static const char *count_events(const char *condition)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_events WHERE %s", condition);
}

Test(auth_audit, a_login_is_noted_with_who_and_from_where)
{
  const char *id = id_of(accounts_new_user(&accounts, ADA));
  cr_assert_eq(log_in(ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
  const Auth__V1__ListAuditEventsResponse *events = list_own(id, "session.begin");
  cr_assert_eq(events->n_audit_events, 1);
  const Auth__V1__AuditEvent *event = events->audit_events[0];
  cr_expect_str_eq(event->action, "session.begin");
  cr_expect_str_eq(event->result, "success");
  cr_expect_str_eq(event->actor_id, id);
  cr_expect_str_eq(event->user_id, id);
  cr_expect_str_eq(event->target_id, id);
  cr_expect_str_eq(event->session_id, database_sql(&accounts.database, "SELECT id FROM auth.sessions"));
  cr_expect_str_eq(event->address, "192.0.2.7");
  cr_expect_str_eq(event->user_agent, "curl/8");
  cr_expect_str_eq(event->trace_id, TRACE);
  cr_expect_str_eq(event->account_hash, "");
  cr_expect_not_null(event->create_time);
}

Test(auth_audit, a_wrong_password_is_noted_for_the_owner_without_an_actor)
{
  const char *id = id_of(accounts_new_user(&accounts, ADA));
  cr_assert_eq(log_in(ADA, "something else entirely").status, STATUS_UNAUTHENTICATED);
  const Auth__V1__ListAuditEventsResponse *events = list_own(id, "session.begin");
  cr_assert_eq(events->n_audit_events, 1);
  cr_expect_str_eq(events->audit_events[0]->result, "failure");
  cr_expect_str_eq(events->audit_events[0]->reason, "WRONG_CREDENTIALS");
  cr_expect_str_eq(events->audit_events[0]->actor_id, "");
  cr_expect_str_eq(events->audit_events[0]->address, "192.0.2.7");
}

Test(auth_audit, an_unknown_address_is_not_written_down)
{
  cr_assert_eq(log_in("nobody@example.com", "something else entirely").status, STATUS_UNAUTHENTICATED);
  cr_assert_eq(log_in("Nobody@example.com", "something else entirely").status, STATUS_UNAUTHENTICATED);
  Auth__V1__ListAuditEventsRequest request = AUTH__V1__LIST_AUDIT_EVENTS_REQUEST__INIT;
  const Auth__V1__ListAuditEventsResponse *events = list_as_admin(&request);
  cr_assert_eq(events->n_audit_events, 2);
  cr_expect_str_eq(events->audit_events[0]->user_id, "");
  cr_expect_str_neq(events->audit_events[0]->account_hash, "");
  cr_expect_str_eq(events->audit_events[0]->account_hash, events->audit_events[1]->account_hash);
  cr_expect_str_eq(database_sql(&accounts.database,
                                "SELECT count(*) FROM auth.audit_events AS e WHERE lower(e::text) LIKE '%%nobody%%'"),
                   "0");
}

Test(auth_audit, reuse_and_logout_are_noted)
{
  const char *id = id_of(accounts_new_user(&accounts, ADA));
  const char *first = accounts_tokens(&accounts, ADA)->refresh_token;
  struct outcome refreshed = accounts_refresh(&accounts, first);
  const char *second = accounts_tokens_of(&refreshed)->refresh_token;
  cr_assert_eq(accounts_refresh(&accounts, second).status, STATUS_OK);
  cr_assert_eq(accounts_refresh(&accounts, first).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(list_own(id, "session.reuse")->n_audit_events, 1);
  Auth__V1__LogoutRequest request = AUTH__V1__LOGOUT_REQUEST__INIT;
  request.refresh_token = accounts_tokens(&accounts, ADA)->refresh_token;
  const struct rpc_context nobody = {0};
  for (int i = 0; i < 2; i++)
    cr_assert_eq(driver_call(&accounts.to_auth, "auth.v1.AuthService/Logout", &request.base, &nobody).status,
                 STATUS_OK);
  cr_expect_eq(list_own(id, "session.end")->n_audit_events, 1, "the second logout has ended nothing");
}

Test(auth_audit, roles_and_keys_by_command_are_noted)
{
  const char *id = id_of(accounts_new_user(&accounts, ADA));
  struct process process;
  cr_assert_eq(accounts_command(&accounts, &process, "grant-role", "admin", (char *)(uintptr_t)id), 0);
  process_free(&process);
  cr_assert_eq(accounts_command(&accounts, &process, "revoke-role", "admin", (char *)(uintptr_t)id), 0);
  process_free(&process);
  cr_assert_eq(accounts_command(&accounts, &process, "rotate-keys", NULL, NULL), 0);
  process_free(&process);
  cr_expect_str_eq(count_events("action = 'role.grant' AND reason = 'admin' AND user_agent = 'command'"), "1");
  cr_expect_str_eq(count_events("action = 'role.revoke' AND actor_id IS NULL"), "1");
  cr_expect_str_eq(count_events("action = 'signing_key.rotate' AND target_id <> ''"), "1");
  cr_expect_eq(list_own(id, "role.grant")->n_audit_events, 1);
}

Test(auth_audit, lists_are_filtered_and_paged)
{
  const char *ada = id_of(accounts_new_user(&accounts, ADA));
  const char *eve = id_of(accounts_new_user(&accounts, EVE));
  for (int i = 0; i < 3; i++)
    cr_assert_eq(log_in(ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
  cr_assert_eq(log_in(EVE, ACCOUNTS_PASSWORD).status, STATUS_OK);
  Auth__V1__ListAuditEventsRequest request = AUTH__V1__LIST_AUDIT_EVENTS_REQUEST__INIT;
  request.actor_id = (char *)(uintptr_t)ada;
  request.action = "session.begin";
  request.page_size = 2;
  const Auth__V1__ListAuditEventsResponse *page = list_as_admin(&request);
  cr_assert_eq(page->n_audit_events, 2);
  request.page_token = page->next_page_token;
  page = list_as_admin(&request);
  cr_assert_eq(page->n_audit_events, 1);
  cr_expect_str_eq(page->next_page_token, "");
  request = (Auth__V1__ListAuditEventsRequest)AUTH__V1__LIST_AUDIT_EVENTS_REQUEST__INIT;
  request.target_id = (char *)(uintptr_t)eve;
  cr_expect_eq(list_as_admin(&request)->n_audit_events, 2, "the account was made, and somebody has logged in");
  Google__Protobuf__Timestamp future = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
  future.seconds = clock_wall_us() / 1000000 + 3600;
  request.end_time = &future;
  cr_expect_eq(list_as_admin(&request)->n_audit_events, 2);
  request.end_time = NULL;
  request.start_time = &future;
  cr_expect_eq(list_as_admin(&request)->n_audit_events, 0);
}

Test(auth_audit, only_admins_list_all_and_users_see_their_own)
{
  const char *ada = id_of(accounts_new_user(&accounts, ADA));
  const char *eve = id_of(accounts_new_user(&accounts, EVE));
  cr_assert_eq(log_in(ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
  cr_expect_eq(list_own(ada, "")->n_audit_events, 2);
  cr_expect_eq(list_own(eve, "")->n_audit_events, 1);
  Auth__V1__ListAuditEventsRequest request = AUTH__V1__LIST_AUDIT_EVENTS_REQUEST__INIT;
  const struct rpc_context context = {.caller_id = slice_from_string(ada)};
  cr_expect_eq(driver_call(&accounts.to_auth, LIST, &request.base, &context).status, STATUS_PERMISSION_DENIED);
}

Test(auth_audit, the_service_can_add_and_read_and_nothing_else)
{
  static const char *const tables[] = {"audit_events", "audit_links", "audit_heads"};
  accounts_new_user(&accounts, ADA);
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
      struct arena *arena = &accounts.database.arena;
      const char *const statements[] = {arena_printf(arena, "DELETE FROM auth.%s", tables[i]),
                                        arena_printf(arena, "TRUNCATE auth.%s", tables[i]),
                                        arena_printf(arena, "DROP TABLE auth.%s", tables[i])};
      for (size_t k = 0; k < ARRAY_LEN(statements); k++) {
        const char *refusal = database_refusal(&accounts.database, "auth", statements[k]);
        cr_expect(strstr(refusal, "permission denied") != NULL || strstr(refusal, "must be owner") != NULL, "%s: %s",
                  statements[k], refusal);
      }
    }
    const char *refusal =
        database_refusal(&accounts.database, "auth", "UPDATE auth.audit_events SET address = 'elsewhere'");
    cr_expect_not_null(strstr(refusal, "permission denied"), "%s", refusal);
    // The roles may be set up again at any time.
    database_prepare(&accounts.database, "auth");
  }
}

// ---- what cannot match ----

static void expect_refused(const char *method, const ProtobufCMessage *request, const char *field, const char *reason)
{
  static const struct slice roles[] = {SLICE_INIT("admin")};
  const struct rpc_context context = {
      .caller_id = SLICE("01936b5e-7c1a-7d3e-9f00-00000000ad01"), .caller_roles = roles, .caller_role_count = 1};
  struct outcome outcome = driver_call(&accounts.to_auth, method, request, &context);
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT, "%s", status_name(outcome.status));
  cr_expect(slice_equal_string(outcome.reason, reason), SLICE_FMT, SLICE_ARG(outcome.reason));
  cr_expect(slice_equal_string(outcome.violation_field, field), SLICE_FMT, SLICE_ARG(outcome.violation_field));
}

Test(auth_audit, a_filter_that_nothing_can_match_is_refused)
{
  Auth__V1__ListAuditEventsRequest request = AUTH__V1__LIST_AUDIT_EVENTS_REQUEST__INIT;
  Auth__V1__ListOwnAuditEventsRequest own = AUTH__V1__LIST_OWN_AUDIT_EVENTS_REQUEST__INIT;
  request.action = own.action = "session.ends";
  expect_refused(LIST, &request.base, "action", "UNKNOWN_ACTION");
  expect_refused(LIST_OWN, &own.base, "action", "UNKNOWN_ACTION");
  Google__Protobuf__Timestamp early = GOOGLE__PROTOBUF__TIMESTAMP__INIT, late = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
  late.seconds = 1;
  request.action = "session.end";
  request.start_time = &late;
  request.end_time = &early;
  expect_refused(LIST, &request.base, "startTime", "INVALID_TIME_RANGE");
  request.end_time = &late;
  cr_expect_eq(list_as_admin(&request)->n_audit_events, 0);
}

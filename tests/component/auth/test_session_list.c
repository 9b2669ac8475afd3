// What users see of their sessions, and end.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "auth/v1/sessions.pb-c.h"
#include "common/base/clock.h"
#include "common/security/token.h"
#include "tests/support/common/service_keys.h"
#include "tests/support/service/accounts.h"
#include "tests/support/service/gate.h"

#define ADA "ada@example.com"
#define EVE "eve@example.com"
#define LIST "auth.v1.SessionService/ListSessions"
#define UPDATE "auth.v1.SessionService/UpdateSession"
#define DELETE "auth.v1.SessionService/DeleteSession"
#define REVOKE_OTHERS "auth.v1.SessionService/RevokeOtherSessions"
#define REVOKE_ALL "auth.v1.SessionService/RevokeAllSessions"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, NULL);
  accounts_new_user(&accounts, ADA);
  accounts_new_user(&accounts, EVE);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_session_list, .init = setup, .fini = teardown);

static struct outcome log_in(const char *email, const char *device_name, const char *agent)
{
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = (char *)(uintptr_t)email;
  request.password = ACCOUNTS_PASSWORD;
  request.device_name = (char *)(uintptr_t)device_name;
  request.user_agent = (char *)(uintptr_t)agent;
  const struct rpc_context context = {.client_address = SLICE("192.0.2.7")};
  return driver_call(&accounts.to_auth, "auth.v1.AuthService/Login", &request.base, &context);
}

// A session with an access token that the services of a test take (service_keys.h), which are signed by another key.
struct tokens {
  struct slice access;
  const char *refresh_token;
};

// With a right-to-left override (U+202E). Bytes, because no text in a source may change its direction.
static const char name_from_right[] = {'a', (char)0xe2, (char)0x80, (char)0xae, 't', 'x', 't', '\0'};
static const char agent_from_right[] = {'M', 'o',        'z',        'i',        'l', 'l', 'a', '/', '5', '.', '0',
                                        ' ', (char)0xe2, (char)0x80, (char)0xae, '(', 'X', '1', '1', ')', '\0'};

static const struct tokens *tokens_of(const char *email, const char *device_name, const char *agent)
{
  struct outcome outcome = log_in(email, device_name, agent);
  struct arena *arena = &accounts.to_auth.arena;
  struct tokens *tokens = arena_alloc(arena, sizeof(*tokens));
  tokens->refresh_token = accounts_tokens_of(&outcome)->refresh_token;
  int64_t now = clock_wall_us() / 1000000;
  const char *newest = "SELECT %s FROM auth.sessions ORDER BY create_time DESC LIMIT 1";
  const struct token_claims claims = {
      .subject = slice_from_string(database_sql(&accounts.database, newest, "user_id")),
      .id = SLICE("token-1"),
      .issued_at = now,
      .expires_at = now + 900,
      .session = slice_from_string(database_sql(&accounts.database, newest, "id")),
      .auth_time = now,
  };
  const struct token_signing_key key = {.kid = "auth", .private_pem = service_keys_private()};
  cr_assert_eq(token_sign(&key, "bulkhead", "bulkhead", &claims, arena, &tokens->access), STATUS_OK);
  return tokens;
}

static struct outcome call_as(const struct tokens *tokens, const char *method, const ProtobufCMessage *request)
{
  const struct rpc_context context = {.access_token = tokens->access};
  return driver_call(&accounts.to_auth, method, request, &context);
}

static const Auth__V1__ListSessionsResponse *list(const struct tokens *tokens)
{
  Auth__V1__ListSessionsRequest request = AUTH__V1__LIST_SESSIONS_REQUEST__INIT;
  struct outcome outcome = call_as(tokens, LIST, &request.base);
  return (const void *)driver_reply(&outcome, &auth__v1__list_sessions_response__descriptor);
}

Test(auth_session_list, shows_the_callers_sessions_and_which_one_asks)
{
  tokens_of(ADA, "Ada's telephone", "curl/8");
  database_sql(&accounts.database, "UPDATE auth.sessions SET use_time = use_time - interval '1 minute'");
  const struct tokens *here = tokens_of(ADA, "", agent_from_right);
  tokens_of(EVE, "Eve's", "");
  const Auth__V1__ListSessionsResponse *sessions = list(here);
  cr_assert_eq(sessions->n_sessions, 2);
  cr_expect_str_eq(sessions->sessions[0]->device_name, "Mozilla/5.0 (X11)", "the last used comes first");
  cr_expect_str_eq(sessions->sessions[0]->address, "192.0.2.7");
  cr_expect(sessions->sessions[0]->current);
  cr_expect_not_null(sessions->sessions[0]->create_time);
  cr_expect_not_null(sessions->sessions[0]->last_use_time);
  cr_expect_str_eq(sessions->sessions[1]->device_name, "Ada's telephone");
  cr_expect_not(sessions->sessions[1]->current);
}

static enum status rename_to(const struct tokens *tokens, const char *id, const char *name)
{
  Auth__V1__UpdateSessionRequest request = AUTH__V1__UPDATE_SESSION_REQUEST__INIT;
  request.id = (char *)(uintptr_t)id;
  request.device_name = (char *)(uintptr_t)name;
  return call_as(tokens, UPDATE, &request.base).status;
}

static enum status end(const struct tokens *tokens, const char *id)
{
  Auth__V1__DeleteSessionRequest request = AUTH__V1__DELETE_SESSION_REQUEST__INIT;
  request.id = (char *)(uintptr_t)id;
  return call_as(tokens, DELETE, &request.base).status;
}

static struct outcome end_others(const struct tokens *tokens)
{
  Auth__V1__RevokeOtherSessionsRequest request = AUTH__V1__REVOKE_OTHER_SESSIONS_REQUEST__INIT;
  return call_as(tokens, REVOKE_OTHERS, &request.base);
}

Test(auth_session_list, a_session_may_be_named)
{
  const struct tokens *tokens = tokens_of(ADA, "", "curl/8");
  const char *id = list(tokens)->sessions[0]->id;
  cr_expect_eq(rename_to(tokens, id, "Z\xc3\xbcrich"), STATUS_OK);
  cr_expect_str_eq(list(tokens)->sessions[0]->device_name, "Z\xc3\xbcrich");
  cr_expect_eq(rename_to(tokens, id, ""), STATUS_INVALID_ARGUMENT);
  cr_expect_eq(rename_to(tokens, id, "a\nb"), STATUS_INVALID_ARGUMENT);
  cr_expect_eq(rename_to(tokens, id, name_from_right), STATUS_INVALID_ARGUMENT, "right-to-left override");
  cr_expect_eq(rename_to(tokens, id, "a\xe2\x80\x8b"), STATUS_INVALID_ARGUMENT, "zero-width space");
  cr_expect_str_eq(list(tokens)->sessions[0]->device_name, "Z\xc3\xbcrich");
}

Test(auth_session_list, a_login_with_an_unreadable_device_name_is_refused)
{
  struct outcome outcome = log_in(ADA, "a\xe2\x80\x8b", "");
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT);
  cr_expect(slice_equal_string(outcome.violation_field, "deviceName"));
}

Test(auth_session_list, anothers_session_does_not_exist)
{
  const struct tokens *ada = tokens_of(ADA, "hers", "");
  const struct tokens *eve = tokens_of(EVE, "", "");
  const char *id = list(ada)->sessions[0]->id;
  cr_expect_eq(end(eve, id), STATUS_NOT_FOUND);
  cr_expect_eq(rename_to(eve, id, "mine"), STATUS_NOT_FOUND);
  cr_expect_eq(end(eve, "01936b5e-7c1a-7d3e-9f00-4a7c9e21d0b8"), STATUS_NOT_FOUND);
  cr_expect_str_eq(list(ada)->sessions[0]->device_name, "hers");
}

Test(auth_session_list, one_session_ends_and_no_other)
{
  const struct tokens *here = tokens_of(ADA, "", "");
  const struct tokens *there = tokens_of(ADA, "", "");
  const Auth__V1__ListSessionsResponse *sessions = list(here);
  cr_expect_eq(end(here, sessions->sessions[sessions->sessions[0]->current ? 1 : 0]->id), STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, there->refresh_token).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_refresh(&accounts, here->refresh_token).status, STATUS_OK);
}

Test(auth_session_list, all_others_end)
{
  const struct tokens *here = tokens_of(ADA, "", "");
  const struct tokens *others[] = {tokens_of(ADA, "", ""), tokens_of(ADA, "", "")};
  const struct tokens *eve = tokens_of(EVE, "", "");
  cr_expect_eq(end_others(here).status, STATUS_OK);
  for (size_t i = 0; i < ARRAY_LEN(others); i++)
    cr_expect_eq(accounts_refresh(&accounts, others[i]->refresh_token).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_refresh(&accounts, here->refresh_token).status, STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, eve->refresh_token).status, STATUS_OK);
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.endings"), "2");
}

Test(auth_session_list, all_end)
{
  const struct tokens *here = tokens_of(ADA, "", "");
  const struct tokens *there = tokens_of(ADA, "", "");
  const struct tokens *eve = tokens_of(EVE, "", "");
  Auth__V1__RevokeAllSessionsRequest request = AUTH__V1__REVOKE_ALL_SESSIONS_REQUEST__INIT;
  cr_expect_eq(call_as(here, REVOKE_ALL, &request.base).status, STATUS_OK);
  cr_expect_eq(accounts_refresh(&accounts, here->refresh_token).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_refresh(&accounts, there->refresh_token).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_refresh(&accounts, eve->refresh_token).status, STATUS_OK);
}

// ---- changes of the address ----

// Says whether the link of Ada's change is still good.
static bool change_waits(void)
{
  const char *good = database_sql(&accounts.database,
                                  "SELECT count(*) FROM auth.account_tokens JOIN \"user\".users ON users.id = user_id"
                                  " WHERE users.email = '" ADA "' AND purpose = 'change_email' AND use_time IS NULL");
  return strcmp(good, "0") != 0;
}

static void plant_changes(void)
{
  static const char *const owners[] = {ADA, EVE};
  for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
    const char *id = database_sql(&accounts.database, "SELECT id FROM \"user\".users WHERE email = '%s'", owners[i]);
    accounts_plant_link(&accounts, &(struct planted_link){.token = owners[i],
                                                          .purpose = "change_email",
                                                          .user_id = id,
                                                          .email = "thief@example.com",
                                                          .email_version = 1});
  }
}

// Whichever session has asked for it: a thief may have logged out since.
Test(auth_session_list, whoever_ends_a_session_voids_changes_of_the_address)
{
  const struct tokens *here = tokens_of(ADA, "here", "");
  tokens_of(ADA, "there", "");
  plant_changes();
  cr_expect_eq(end(here, "01936b5e-7c1a-7d3e-9f00-4a7c9e21d0b8"), STATUS_NOT_FOUND);
  cr_expect(change_waits(), "no session was ended");
  const Auth__V1__ListSessionsResponse *sessions = list(here);
  cr_expect_eq(end(here, sessions->sessions[sessions->sessions[0]->current ? 1 : 0]->id), STATUS_OK);
  cr_expect_not(change_waits());
}

Test(auth_session_list, whoever_ends_the_others_voids_changes_of_the_address)
{
  const struct tokens *here = tokens_of(ADA, "here", "");
  plant_changes();
  cr_expect_eq(end_others(here).status, STATUS_OK);
  cr_expect_not(change_waits());
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.account_tokens WHERE use_time IS NULL"),
                   "1", "that of Eve stays");
}

// ---- a refresh at the same time ----

static struct prepared_call revoke_call(const struct tokens *here)
{
  Auth__V1__RevokeOtherSessionsRequest request = AUTH__V1__REVOKE_OTHER_SESSIONS_REQUEST__INIT;
  const struct rpc_context context = {.access_token = here->access};
  return driver_prepare(&accounts.to_auth, REVOKE_OTHERS, &request.base, &context);
}

static struct prepared_call refresh_call(const struct tokens *tokens)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__RefreshRequest request = AUTH__V1__REFRESH_REQUEST__INIT;
  request.refresh_token = (char *)(uintptr_t)tokens->refresh_token;
  return driver_prepare(&accounts.to_auth, "auth.v1.AuthService/Refresh", &request.base, &anonymous);
}

Test(auth_session_list, a_refresh_that_is_about_to_end_has_its_session_ended)
{
  const struct tokens *here = tokens_of(ADA, "here", ""), *thief = tokens_of(ADA, "there", "");
  const struct prepared_call refresh = refresh_call(thief), revoke = revoke_call(here);
  struct outcome outcomes[2];
  gate_race(&accounts.database, "UPDATE ON auth.sessions FOR EACH ROW", &refresh, &revoke, outcomes);
  cr_assert_eq(outcomes[0].status, STATUS_OK, "%s", status_name(outcomes[0].status));
  cr_expect_eq(outcomes[1].status, STATUS_OK, "%s", status_name(outcomes[1].status));
  cr_expect_eq(accounts_refresh(&accounts, accounts_tokens_of(&outcomes[0])->refresh_token).status,
               STATUS_UNAUTHENTICATED);
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.sessions"), "1");
}

Test(auth_session_list, a_refresh_that_comes_while_its_session_ends_is_refused)
{
  const struct tokens *here = tokens_of(ADA, "here", ""), *thief = tokens_of(ADA, "there", "");
  const struct prepared_call refresh = refresh_call(thief), revoke = revoke_call(here);
  struct outcome outcomes[2];
  gate_race(&accounts.database, "INSERT ON auth.endings FOR EACH ROW", &revoke, &refresh, outcomes);
  cr_expect_eq(outcomes[0].status, STATUS_OK, "%s", status_name(outcomes[0].status));
  cr_expect_eq(outcomes[1].status, STATUS_UNAUTHENTICATED, "%s", status_name(outcomes[1].status));
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.sessions"), "1");
}

// A token of a mail comes with a call that is lost after its change was made, or while its answer was kept: the token
// can be sent again.
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/mails.h"
#include "tests/support/stack.h"

#define NEW_PASSWORD "seven purple elephants dance"
#define AUTH_SESSIONS "pg_stat_activity WHERE usename = 'bulkhead_auth'"

struct lost_call {
  const char *path, *body;
  const char *key;  // its Idempotency-Key; NULL
  struct http_reply reply;
};

static struct http_reply post(const struct lost_call *call)
{
  const char *header = call->key == NULL ? NULL : text("Idempotency-Key: %s", call->key);
  return HTTP(.path = call->path, .body = call->body, .headers = {header});
}

static void send_lost_call(void *arg)
{
  struct lost_call *call = arg;
  call->reply = post(call);
}

// Whether there are rows.
static bool is_any(const void *arg)
{
  return strcmp(sql("SELECT count(*) FROM %s", (const char *)arg), "0") != 0;
}

static bool is_none(const void *arg)
{
  return !is_any(arg);
}

// Sends the call and kills auth when it waits for what `lock` holds, and these rows are there.
static void lose(struct lost_call *call, const char *lock, const char *rows)
{
  struct sql_transaction *transaction = sql_begin(lock);
  struct background *background = background_start(send_lost_call, call);
  wait_until(is_any, rows, rows);
  wait_until(is_any, AUTH_SESSIONS " AND wait_event_type = 'Lock'", "a wait for the lock");
  stack_signal("auth-1", SIGKILL);
  (void)sql("SELECT count(pg_terminate_backend(pid)) FROM " AUTH_SESSIONS);
  sql_commit(transaction);
  background_join(background);
  wait_until(is_none, AUTH_SESSIONS, "the end of auth's sessions");
  stack("start", "auth-1");
  cr_assert_neq(call->reply.status, 204, "the call was not lost");
}

static const char *token_about(const char *address, const char *subject, const char *purpose)
{
  struct mail mail = mail_about(address, subject, 1);
  return mail_token(&mail, purpose);
}

static void assert_token_refused(struct http_reply reply)
{
  ASSERT_PROBLEM(reply, 400, "FAILED_PRECONDITION");
  cr_expect_str_eq(http_json(&reply, "reason"), "INVALID_TOKEN");
}

// The user service has changed the address, and its job does the rest while auth is away.
Test(fault_25_lost_calls, a_changed_address_is_acknowledged_to_a_repeat)
{
  wait_until_healthy();
  struct account ada = account_create();
  const char *new_email = fresh_email();
  ASSERT_STATUS(
      HTTP(.path = "/v1/auth/email/change", .token = ada.token, .body = text("{\"newEmail\":\"%s\"}", new_email)), 202);
  const char *token = token_about(new_email, "Confirm your new e-mail address", "verify");
  struct lost_call call = {.path = "/v1/auth/email/verify", .body = text("{\"token\":\"%s\"}", token)};
  lose(&call, text("SELECT FROM auth.credentials WHERE user_id = '%s' FOR UPDATE", ada.id),
       text("\"user\".users WHERE email = '%s'", new_email));
  wait_until(is_any, text("auth.account_tokens WHERE user_id = '%s' AND settle_time IS NOT NULL", ada.id),
             "the end of the change by a job");
  wait_until_healthy();
  ASSERT_STATUS(post(&call), 204);
  assert_token_refused(post(&call));
  (void)mail_about(ada.email, "Your e-mail address was changed", 1);
  ASSERT_STATUS(account_login(new_email, ada.password), 200);
  cr_expect_eq(mails_to(ada.email, "Your e-mail address was changed"), 1);
}

// Nothing is stored but together with the answer.
Test(fault_25_lost_calls, a_password_that_was_set_by_mail_is_acknowledged_to_a_repeat)
{
  wait_until_healthy();
  struct account ada = account_create();
  const char *confirmed = token_about(ada.email, "Confirm your e-mail address", "verify");
  ASSERT_STATUS(HTTP(.path = "/v1/auth/email/verify", .body = text("{\"token\":\"%s\"}", confirmed)), 204);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/password/forgot", .body = text("{\"email\":\"%s\"}", ada.email)), 202);
  const char *token = token_about(ada.email, "Set a new password", "reset");
  struct lost_call call = {.path = "/v1/auth/password/reset",
                           .key = fresh_word(),
                           .body = text("{\"token\":\"%s\",\"newPassword\":\"%s\"}", token, NEW_PASSWORD)};
  lose(&call, "LOCK TABLE auth.idempotency_keys IN SHARE MODE", "auth.credentials");
  wait_until_healthy();
  ASSERT_STATUS(post(&call), 204);
  ASSERT_STATUS(post(&call), 204);
  call.key = fresh_word();
  assert_token_refused(post(&call));
  ASSERT_STATUS(account_login(ada.email, NEW_PASSWORD), 200);
  (void)mail_about(ada.email, "Your password was changed", 1);
  cr_expect_eq(mails_to(ada.email, "Your password was changed"), 1);
}

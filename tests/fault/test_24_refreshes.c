// A hundred clients refresh with one token at the same time, as tabs of a browser do that wake up together: nobody is
// logged out, and it stays one session.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { CLIENTS = 100 };

struct client {
  struct background *thread;
  const char *refresh_token;
  struct http_reply reply;
};

static void refresh(void *arg)
{
  struct client *client = arg;
  client->reply = HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", client->refresh_token));
}

// Every client refreshes with its token at the same time, and keeps what it gets.
static void refresh_all(struct client clients[CLIENTS], const char *what)
{
  size_t succeeded = 0;
  for (size_t i = 0; i < CLIENTS; i++)
    clients[i].thread = background_start(refresh, &clients[i]);
  for (size_t i = 0; i < CLIENTS; i++) {
    background_join(clients[i].thread);
    succeeded += clients[i].reply.status == 200;
    ASSERT_STATUS(clients[i].reply, 200);
    clients[i].refresh_token = http_json(&clients[i].reply, "refreshToken");
  }
  fprintf(stderr, "%s: %zu of %d refreshes at the same time succeeded\n", what, succeeded, CLIENTS);
}

static void expect_one_session(const struct account *ada, const char *token)
{
  struct http_reply sessions = HTTP(.path = "/v1/auth/sessions", .token = token);
  ASSERT_STATUS(sessions, 200);
  cr_expect_eq(http_json_count(&sessions, "sessions"), 1, "%s", sessions.body);
  cr_expect_str_eq(sql("SELECT count(*) FROM auth.sessions WHERE user_id = '%s'", ada->id), "1");
  cr_expect_str_eq(sql("SELECT count(*) FROM auth.endings WHERE user_id = '%s'", ada->id), "0");
}

static void reset_grace(void)
{
  cr_assert_eq(setenv("AUTH_REFRESH_GRACE", "", 1), 0);
  stack("restart", "auth-1");
}

// The longest grace, so that a slow machine does not end it.
Test(fault_24_refreshes, a_hundred_with_one_token_log_nobody_out, .fini = reset_grace)
{
  cr_assert_eq(setenv("AUTH_REFRESH_GRACE", "60s", 1), 0);
  stack("restart", "auth-1");
  wait_until_healthy();
  struct account ada = account_create();
  static struct client clients[CLIENTS];
  for (size_t i = 0; i < CLIENTS; i++)
    clients[i].refresh_token = ada.refresh_token;
  refresh_all(clients, "with one token");
  for (size_t i = 0; i < CLIENTS; i++)
    for (size_t j = 0; j < i; j++)
      cr_assert_str_neq(clients[i].refresh_token, clients[j].refresh_token);
  expect_one_session(&ada, http_json(&clients[0].reply, "accessToken"));
  // Long after the grace each of them goes on with the token that it has got.
  (void)sql("UPDATE auth.sessions SET spend_time = spend_time - interval '1 hour' WHERE user_id = '%s'", ada.id);
  (void)sql("UPDATE auth.session_branches SET use_time = use_time - interval '1 hour' WHERE session_id IN"
            " (SELECT id FROM auth.sessions WHERE user_id = '%s')",
            ada.id);
  refresh_all(clients, "with its own each");
  expect_one_session(&ada, http_json(&clients[CLIENTS - 1].reply, "accessToken"));
}
